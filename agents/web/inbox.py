"""The inbox: everything that waits for somebody, in one list; a request is answered beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agents.models import Agent
from agents.services.waiting import (
    Waiting,
    WaitingFilters,
    WaitsFor,
    kinds_of,
    list_waiting,
    load_requests,
    select_waiting,
)
from agents.web.code_pieces import arguments_line
from agents.web.inbox_failed import load_failed
from agents.web.waiting_card import WaitingCard, card_of
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import pagination

PAGE_ROWS = 50
_NAMES: dict[WaitsFor, str] = {"approval": "Approvals", "client": "Client tools"}


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxRow:
    """One line of the list."""

    waiting: Waiting

    @property
    def is_client(self) -> bool:
        """Only programs can answer it."""
        return all(call.is_client for call in self.waiting.calls)

    @property
    def title(self) -> str:
        """The calls by name."""
        return ", ".join(call.name for call in self.waiting.calls)

    @property
    def arguments(self) -> str:
        """Of the only call, on one line; of several they would not tell whose they are."""
        calls = self.waiting.calls
        return arguments_line(calls[0].arguments) if len(calls) == 1 else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A kind to which the list can be narrowed; "" is every kind."""

    value: str
    name: str
    count: int


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """What waits, filtered by the address; `open` names the request beside the list, without it the first on a wide page."""
    caller = request.caller
    filters = _filters(request)
    after = request.GET.get("after") or None
    page = pagination.PageRequest(limit=PAGE_ROWS + 1, after=after)
    found = list_waiting(caller=caller, filters=filters, page=page)
    shown = found[:PAGE_ROWS]
    chosen = _chosen(caller, request.GET.get("open", ""), shown)
    segments = _segments(caller, filters)
    context: dict[str, Any] = {
        "rows": [InboxRow(waiting=waiting) for waiting in shown],
        "failed": load_failed(caller, agent_id=filters.agent_id),
        "segments": segments,
        "kind": filters.waits_for or "",
        "filter_agent": _agent_of(caller, filters),
        "total": next(each.count for each in segments if each.value == (filters.waits_for or "")),
        "open_count": select_waiting(caller=caller, filters=WaitingFilters()).count(),
        "has_earlier": after is not None,
        "next_after": shown[-1].request_id if len(found) > PAGE_ROWS else None,
        "chosen": chosen,
        "is_asked_for": chosen is not None and chosen.request_id == request.GET.get("open"),
        "row_query": _row_query(request),
        "agent": {"id": chosen.agent_id} if chosen is not None else None,
        "waiting": _card(chosen),
    }
    is_part = request.htmx.target == "inbox"
    return render(request, "inbox/partials/inbox.html" if is_part else "inbox/list.html", context)


@require_GET
def count(request: PageRequest) -> HttpResponse:
    """How much waits: the number in the rail."""
    number = select_waiting(caller=request.caller, filters=WaitingFilters()).count()
    return render(request, "partials/rail_waiting.html", {"count": number})


def _filters(request: PageRequest) -> WaitingFilters:
    kind = request.GET.get("kind", "")
    return WaitingFilters(
        agent_id=request.GET.get("agent") or None,
        waits_for=next((each for each in get_args(WaitsFor) if each == kind), None),
    )


def _agent_of(caller: Caller, filters: WaitingFilters) -> str:
    """The name of the agent to which the list is narrowed; its id when there is no such agent."""
    if filters.agent_id is None:
        return ""
    found = Agent.objects.filter(workspace_id=caller.workspace_id, id=filters.agent_id)
    return found.values_list("name", flat=True).first() or filters.agent_id


def _segments(caller: Caller, filters: WaitingFilters) -> list[Segment]:
    kinds = kinds_of(select_waiting(caller=caller, filters=replace(filters, waits_for=None)))
    each_kind = [
        Segment(value=value, name=name, count=sum(value in found for found in kinds.values()))
        for value, name in _NAMES.items()
    ]
    return [Segment(value="", name="All", count=len(kinds)), *each_kind]


def _chosen(caller: Caller, request_id: str, shown: list[Waiting]) -> Waiting | None:
    """The request that is open beside the list: the one asked for, or when that does not wait any more the first."""
    for waiting in shown:
        if waiting.request_id == request_id:
            return waiting
    open_one = select_waiting(caller=caller, filters=WaitingFilters()).filter(id=request_id)
    found = load_requests(list(open_one.select_related("agent", "conversation", "run"))) if request_id else []
    return next(iter((*found, *shown)), None)


def _row_query(request: PageRequest) -> str:
    """The list's own part of the address, for the links of its rows."""
    query = request.GET.copy()
    query.pop("open", None)
    return f"{query.urlencode()}&" if query else ""


def _card(chosen: Waiting | None) -> WaitingCard | None:
    return None if chosen is None else card_of(chosen)
