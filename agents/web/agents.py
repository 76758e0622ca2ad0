"""Pages of the agents: the list with its peek, the form for a new one, and deletion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from agents.models import Agent, Message
from agents.services.agents import delete_agent, get_agent_for
from agents.web import agent_peek, agent_rows
from agents.web.agent_rows import ListFilters
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import pagination
from letta_ade.core.errors import NotFound
from letta_ade.llm import catalog

PAGE_ROWS = 50
#: Value of `sort` → (its name, the column, the direction). The first is the default.
SORTS: dict[str, tuple[str, str, pagination.Order]] = {
    "run": ("Last run, newest first", "last_run_completion", "desc"),
    "created": ("Created, newest first", "created_at", "desc"),
    "name": ("Name, A to Z", "name", "asc"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """The part of the list that is shown, and where it goes on."""

    agents: list[Agent]
    next_after: str | None
    has_earlier: bool


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The agents, filtered and sorted by the address; `peek` opens one beside the list."""
    caller = request.caller
    filters = ListFilters(
        text=request.GET.get("q", "").strip(),
        tags=tuple(tag for tag in request.GET.getlist("tag") if tag),
        model=request.GET.get("model", ""),
    )
    sort = request.GET.get("sort", "") if request.GET.get("sort") in SORTS else "run"
    chosen = agent_rows.select_agents(caller=caller, filters=filters)
    window = _window(request, chosen, sort)
    models, tags = agent_rows.filter_choices(caller=caller)
    context: dict[str, Any] = {
        "rows": agent_rows.rows_of(window.agents),
        "window": window,
        "filters": filters,
        "total": chosen.count(),
        "has_any": bool(models),
        "models": models,
        "tags": tags,
        "sort": sort,
        "sort_name": SORTS[sort][0],
        "sorts": [(value, name) for value, (name, _, _) in SORTS.items()],
        "peek": _peek(request),
    }
    if not models and not filters.count:  # the empty page shows how to begin
        context["snippet_model"] = catalog.suggested_handle(workspace_id=caller.workspace_id)
    if request.htmx.target == "agent-list":
        return render(request, "agents/lists/list.html", context)
    return render(request, "agents/list.html", context)


def _window(request: PageRequest, chosen: Any, sort: str) -> Window:
    _, column, order = SORTS[sort]
    after = request.GET.get("after") or None
    page = pagination.PageRequest(limit=PAGE_ROWS + 1, order=order, after=after, order_by=column)
    found = pagination.paginate(
        agent_rows.with_latest(chosen),
        page,
        among=Agent.objects.filter(workspace_id=request.caller.workspace_id),
    )
    shown = found[:PAGE_ROWS]
    return Window(
        agents=shown,
        next_after=shown[-1].id if len(found) > PAGE_ROWS else None,
        has_earlier=after is not None,
    )


def _peek(request: PageRequest) -> agent_peek.Peek | None:
    agent_id = request.GET.get("peek")
    if not agent_id:
        return None
    try:
        return agent_peek.look(caller=request.caller, agent_id=agent_id)
    except NotFound:  # deleted since: the list is still worth showing
        return None


@require_GET
def peek_panel(request: PageRequest, agent_id: str) -> HttpResponse:
    """One agent beside the list."""
    peek = agent_peek.look(caller=request.caller, agent_id=agent_id)
    return render(request, "agents/lists/peek.html", {"peek": peek})


@require_http_methods(["GET", "POST"])
def delete_page(request: PageRequest, agent_id: str) -> HttpResponse:
    """Names what goes and what stays, then deletes."""
    caller = request.caller
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    if request.method == "POST":
        name = agent.name
        delete_agent(caller=caller, agent_id=agent_id)
        messages.success(request, f"Deleted {name}")
        return redirect("agents:list")
    blocks = list(agent.blocks.values_list("label", flat=True))
    context = {
        "agent": agent,
        "conversation_count": agent.conversations.count(),
        "message_count": Message.objects.filter(agent=agent).count(),
        "run_count": agent.runs.count(),
        "block_labels": blocks,
    }
    return render(request, "agents/delete.html", context)
