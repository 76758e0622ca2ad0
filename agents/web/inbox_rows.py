"""What waits for somebody, of every kind, as the lines of one list: newest first, page by page."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, TypeVar, get_args

from django.db.models import Model, Q, QuerySet

from agents.models import Message
from agents.services.failed_runs import open_failures
from agents.services.waiting import Waiting, WaitingFilters, kinds_of, load_requests, select_waiting
from agents.web.code_pieces import arguments_line
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.core.ids import is_id
from memory.history import LineCount, count_changed_lines
from memory.models import BlockProposal
from memory.services.proposals import ProposalFilters, list_proposals

Kind = Literal["approval", "client", "proposal"]
NAMES: dict[Kind, str] = {"approval": "Approvals", "client": "Client tools", "proposal": "Proposals"}
M = TypeVar("M", bound=Model)


@dataclass(frozen=True, slots=True, kw_only=True)
class InboxFilters:
    """What is wanted; None: all."""

    kind: Kind | None = None
    agent_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestRow:
    """Calls that wait for an answer."""

    waiting: Waiting

    @property
    def id(self) -> str:
        return self.waiting.request_id

    @property
    def since(self) -> datetime:
        return self.waiting.since

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
class ProposalRow:
    """A memory edit that waits for approval."""

    proposal: BlockProposal
    lines: LineCount

    @property
    def id(self) -> str:
        return self.proposal.id

    @property
    def since(self) -> datetime:
        return self.proposal.created_at


Row = RequestRow | ProposalRow


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A kind to which the list can be narrowed; "" is every kind."""

    value: str
    name: str
    count: int


def kind_of(text: str) -> Kind | None:
    """The kind that an address names; None for every kind."""
    return next((each for each in get_args(Kind) if each == text), None)


def count_waiting(caller: Caller) -> int:
    """How much waits in the workspace for a decision."""
    return _requests(caller, InboxFilters()).count() + _proposals(caller, InboxFilters()).count()


def count_open(caller: Caller) -> int:
    """How much waits in the workspace for somebody, with the failed runs that nobody followed up: the number in the rail."""
    return count_waiting(caller) + open_failures().filter(workspace_id=caller.workspace_id).count()


def list_rows(caller: Caller, filters: InboxFilters, *, after: str | None, limit: int) -> list[Row]:
    """The next rows after the one of that id, which may have been decided meanwhile. Raises NotFound for an unknown one."""
    place = _place_of(caller, after) if after is not None else None
    rows: list[Row] = []
    if filters.kind != "proposal":
        requests = _next(_requests(caller, filters), place, limit)
        found = requests.select_related("agent", "conversation", "run").defer("search", "text")
        rows += [RequestRow(waiting=waiting) for waiting in load_requests(list(found))]
    if filters.kind in (None, "proposal"):
        rows += [_proposal_row(each) for each in _next(_proposals(caller, filters), place, limit)]
    return sorted(rows, key=lambda row: (row.since, row.id), reverse=True)[:limit]


def find_row(caller: Caller, row_id: str) -> Row | None:
    """The row of this id, of whatever kind; None when it does not wait."""
    if is_id("proposal", row_id):
        found = _proposals(caller, InboxFilters()).filter(id=row_id).first()
        return None if found is None else _proposal_row(found)
    requests = _requests(caller, InboxFilters()).filter(id=row_id) if row_id else Message.objects.none()
    [*waiting] = load_requests(list(requests.select_related("agent", "conversation", "run")))
    return RequestRow(waiting=waiting[0]) if waiting else None


def list_segments(caller: Caller, filters: InboxFilters) -> list[Segment]:
    """How much of each kind waits, whichever is shown."""
    of_agent = InboxFilters(agent_id=filters.agent_id)
    kinds = kinds_of(_requests(caller, of_agent))
    counts: dict[Kind, int] = {
        "approval": sum("approval" in found for found in kinds.values()),
        "client": sum("client" in found for found in kinds.values()),
        "proposal": _proposals(caller, of_agent).count(),
    }
    each_kind = [Segment(value=value, name=name, count=counts[value]) for value, name in NAMES.items()]
    return [Segment(value="", name="All", count=len(kinds) + counts["proposal"]), *each_kind]


def _requests(caller: Caller, filters: InboxFilters) -> QuerySet[Message]:
    waits_for = None if filters.kind == "proposal" else filters.kind
    return select_waiting(
        caller=caller, filters=WaitingFilters(agent_id=filters.agent_id, waits_for=waits_for)
    )


def _proposals(caller: Caller, filters: InboxFilters) -> QuerySet[BlockProposal]:
    return list_proposals(caller=caller, filters=ProposalFilters(state="pending", agent_id=filters.agent_id))


def _proposal_row(proposal: BlockProposal) -> ProposalRow:
    new = proposal.base_value if proposal.value is None else proposal.value
    return ProposalRow(proposal=proposal, lines=count_changed_lines(proposal.base_value, new))


def _place_of(caller: Caller, row_id: str) -> tuple[datetime, str]:
    rows = BlockProposal.objects if is_id("proposal", row_id) else Message.objects
    place = rows.filter(workspace_id=caller.workspace_id, pk=row_id).values_list("created_at", "pk").first()
    if place is None:
        raise NotFound(f"There is no {row_id!r} in this list to go on from.")
    return place


def _next(rows: QuerySet[M], place: tuple[datetime, str] | None, limit: int) -> QuerySet[M]:
    if place is not None:
        moment, row_id = place
        rows = rows.filter(Q(created_at__lt=moment) | Q(created_at=moment, pk__lt=row_id))
    return rows.order_by("-created_at", "-pk")[:limit]
