"""The agents that have a tool, as a part of the tool's page, which is on a lower floor: who they are, one more, one less."""

from __future__ import annotations

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from agents.services.agent_tools import attach_tool, detach_tool
from agents.services.agents import agents_of
from agents.web import agent_rows
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError
from tools.services.tools import get_tool_for

#: Agents that the part lists at once, and that can be chosen from.
MOST_HOLDERS = 200


@require_http_methods(["GET", "POST"])
def holders_part(request: PageRequest, tool_id: str) -> HttpResponse:
    """The agents; with `?edit` also those that could get it. A post attaches the tool to one, or detaches it."""
    caller, error = request.caller, ""
    if request.method == "POST":
        change = detach_tool if request.POST.get("do") == "detach" else attach_tool
        try:
            change(caller=caller, agent_id=request.POST.get("agent_id", ""), tool_id=tool_id)
        except AdeError as refused:
            error = refused.message
    is_edited = "edit" in request.GET and caller.can("edit")
    holders = agents_of(caller=caller).filter(tool_links__tool_id=tool_id)
    shown = list(agent_rows.with_latest(holders).order_by("name", "id")[:MOST_HOLDERS])
    context = {
        "rows": agent_rows.rows_of(shown),
        "total": holders.count(),
        "tool": get_tool_for(caller=caller, tool_id=tool_id) if is_edited else None,
        "others": list(
            agents_of(caller=caller)
            .exclude(tool_links__tool_id=tool_id)
            .order_by("name", "id")
            .values_list("id", "name")[:MOST_HOLDERS]
        )
        if is_edited
        else [],
        "error": error,
    }
    return render(request, "agents/lists/holders.html", context)
