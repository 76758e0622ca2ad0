"""The inbox: everything that waits for somebody, in one list; a request or a proposal is decided beside it."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agents.models import Agent
from agents.web.inbox_failed import load_failed
from agents.web.inbox_rows import (
    InboxFilters,
    ProposalRow,
    RequestRow,
    Row,
    count_open,
    count_waiting,
    find_row,
    kind_of,
    list_rows,
    list_segments,
)
from agents.web.proposal_card import load_card
from agents.web.waiting_card import card_of
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest

PAGE_ROWS = 50


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """What waits, filtered by the address; `open` names the row beside the list, without it the first on a wide page."""
    caller = request.caller
    filters = _filters(request)
    after = request.GET.get("after") or None
    found = list_rows(caller, filters, after=after, limit=PAGE_ROWS + 1)
    shown = found[:PAGE_ROWS]
    opened = _opened(caller, request.GET.get("open", ""), shown)
    segments = list_segments(caller, filters)
    context: dict[str, Any] = {
        "rows": shown,
        "failed": load_failed(caller, agent_id=filters.agent_id),
        "segments": segments,
        "kind": filters.kind or "",
        "filter_agent": _agent_of(caller, filters),
        "total": next(each.count for each in segments if each.value == (filters.kind or "")),
        "open_count": count_waiting(caller) if filters.agent_id else segments[0].count,
        "has_earlier": after is not None,
        "next_after": shown[-1].id if len(found) > PAGE_ROWS else None,
        "opened": opened,
        "is_asked_for": opened is not None and opened.id == request.GET.get("open"),
        "row_query": _row_query(request),
        **_beside(opened),
    }
    is_part = request.htmx.target == "inbox"
    return render(request, "inbox/partials/inbox.html" if is_part else "inbox/list.html", context)


@require_GET
def count(request: PageRequest) -> HttpResponse:
    """How much waits for somebody: the number in the rail."""
    return render(request, "partials/rail_waiting.html", {"count": count_open(request.caller)})


def _filters(request: PageRequest) -> InboxFilters:
    return InboxFilters(kind=kind_of(request.GET.get("kind", "")), agent_id=request.GET.get("agent") or None)


def _agent_of(caller: Caller, filters: InboxFilters) -> str:
    """The name of the agent to which the list is narrowed; its id when there is no such agent."""
    if filters.agent_id is None:
        return ""
    found = Agent.objects.filter(workspace_id=caller.workspace_id, id=filters.agent_id)
    return found.values_list("name", flat=True).first() or filters.agent_id


def _opened(caller: Caller, row_id: str, shown: list[Row]) -> Row | None:
    """The row that is open beside the list: the one asked for, or when that does not wait any more the first."""
    for row in shown:
        if row.id == row_id:
            return row
    return find_row(caller, row_id) or next(iter(shown), None)


def _beside(opened: Row | None) -> dict[str, Any]:
    """What the card of the open row needs."""
    match opened:
        case RequestRow(waiting=waiting):
            return {"chosen": waiting, "agent": {"id": waiting.agent_id}, "waiting": card_of(waiting)}
        case ProposalRow(proposal=proposal):
            card = load_card(proposal)
            return {"card": card, "proposal": proposal, "editor_text": card.editor_text}
        case _:
            return {}


def _row_query(request: PageRequest) -> str:
    """The list's own part of the address, for the links of its rows."""
    query = request.GET.copy()
    query.pop("open", None)
    return f"{query.urlencode()}&" if query else ""
