"""The palette: go anywhere, do anything, find anything. A dialog where there is a script, a page where there is none."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from letta_ade.accounts.pages import PageRequest
from letta_ade.web.palette_search import find


@require_GET
def search_page(request: PageRequest) -> HttpResponse:
    """What fits `q`; for the palette only the rows."""
    text = request.GET.get("q", "")
    # In the palette the focus stays where one types; on the page each row takes it.
    is_palette = request.htmx.target == "cmd-list"
    context = {
        "text": text,
        "mark": text.lstrip("> #"),
        "groups": find(caller=request.caller, text=text),
        "is_palette": is_palette,
    }
    template = "search/partials/hits.html" if is_palette else "search/page.html"
    return render(request, template, context)
