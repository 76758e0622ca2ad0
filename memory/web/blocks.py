"""Pages of the blocks: the list, a new one, deletion. One block has its own page, in `block_page`."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count, Min, Q
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from letta_ade.accounts.pages import PageRequest
from letta_ade.core import pagination
from letta_ade.core.errors import AdeError
from memory.models import Block
from memory.services.blocks import create_block, delete_block, get_block_for, list_blocks
from memory.web.forms import OFFERED_LIMIT, BlockForm

PAGE_ROWS = 50
#: Value of `sort` → (its name, the column, the direction). The first is the default.
SORTS: dict[str, tuple[str, str, pagination.Order]] = {
    "changed": ("Changed, newest first", "updated_at", "desc"),
    "created": ("Created, newest first", "created_at", "desc"),
    "label": ("Label, A to Z", "label", "asc"),
}


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The blocks, filtered and sorted by the address."""
    caller = request.caller
    text = request.GET.get("q", "").strip()
    sort = request.GET.get("sort", "") if request.GET.get("sort") in SORTS else "changed"
    _, column, order = SORTS[sort]
    blocks = list_blocks(caller=caller)
    if text:
        blocks = blocks.filter(
            Q(label__icontains=text) | Q(description__icontains=text) | Q(value__icontains=text) | Q(id=text)
        )
    after = request.GET.get("after") or None
    page = pagination.PageRequest(limit=PAGE_ROWS + 1, order=order, after=after, order_by=column)
    found = pagination.paginate(
        blocks.annotate(agent_count=Count("agent_links"), holder_name=Min("agent_links__agent__name")),
        page,
        among=Block.objects.filter(workspace_id=caller.workspace_id),
    )
    shown = found[:PAGE_ROWS]
    total = blocks.count()
    context: dict[str, Any] = {
        "blocks": shown,
        "next_after": shown[-1].id if len(found) > PAGE_ROWS else None,
        "has_earlier": after is not None,
        "total": total,
        "text": text,
        "sort": sort,
        "sort_name": SORTS[sort][0],
        "sorts": [(value, name) for value, (name, _, _) in SORTS.items()],
        "has_any": bool(total) or bool(text),
    }
    template = "blocks/partials/list.html" if request.htmx.target == "block-list" else "blocks/list.html"
    return render(request, template, context)


@require_http_methods(["GET", "POST"])
def create_page(request: PageRequest) -> HttpResponse:
    """The form for a block that no agent holds yet."""
    caller = request.caller
    caller.check("edit")
    form = BlockForm(request.POST if request.method == "POST" else None, initial={"limit": OFFERED_LIMIT})
    if request.method == "POST" and form.is_valid():
        try:
            block = create_block(caller=caller, draft=form.draft())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Created {block.label} v1")
            return redirect("blocks:detail", block_id=block.id)
    return render(request, "blocks/create.html", {"form": form}, status=422 if form.errors else 200)


@require_http_methods(["GET", "POST"])
def delete_page(request: PageRequest, block_id: str) -> HttpResponse:
    """Names what goes, then deletes."""
    request.caller.check("edit")
    block = get_block_for(caller=request.caller, block_id=block_id)
    if request.method == "POST":
        delete_block(caller=request.caller, block_id=block_id)
        messages.success(request, f"Deleted {block.label}")
        return redirect("blocks:list")
    holders = Block.objects.filter(id=block_id).aggregate(n=Count("agent_links"))["n"]
    return render(request, "blocks/delete.html", {"memory_block": block, "holder_count": holders})
