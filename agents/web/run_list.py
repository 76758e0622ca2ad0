"""The filters of the list of runs, as they stand in its address."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from django.http import QueryDict
from django.utils import timezone

from agents.models import Agent
from agents.models.run import RARE_STOP_REASONS, RunStatus
from agents.services.runs import RunFilters
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid
from memory.dates import parse_end, parse_start

#: Value of `time` → (its name, the span).
SPANS: Mapping[str, tuple[str, timedelta]] = {
    "1h": ("last hour", timedelta(hours=1)),
    "24h": ("last 24 hours", timedelta(days=1)),
    "7d": ("last 7 days", timedelta(days=7)),
    "30d": ("last 30 days", timedelta(days=30)),
}
STATUSES = [status.value for status in RunStatus]
STOP_REASONS = ["end_turn", *RARE_STOP_REASONS]
_MOST_AGENTS = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Chip:
    """One filter that is on."""

    parameter: str
    name: str
    words: str
    value: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilters:
    """What the address asks for. A value that means nothing is left out, so that an old address still opens."""

    agent_id: str = ""
    agent_name: str = ""
    status: str = ""
    stop_reason: str = ""
    span: str = ""
    first_day: str = ""
    last_day: str = ""
    least_tokens: int | None = None
    is_errors: bool = False
    #: Nothing ran in the conversation since.
    is_last: bool = False

    @property
    def chips(self) -> list[Chip]:
        """The filters that are on, in words."""
        chips = []
        if self.is_errors:
            chips.append(Chip(parameter="errors", name="errors", words="only", value="1"))
        if self.is_last:
            chips.append(Chip(parameter="last", name="nothing ran", words="since", value="1"))
        if self.agent_id:
            chips.append(Chip(parameter="agent", name="agent", words=self.agent_name, value=self.agent_id))
        if self.status:
            chips.append(Chip(parameter="status", name="status", words=self.status, value=self.status))
        if self.stop_reason:
            words = self.stop_reason.replace("_", " ")
            chips.append(Chip(parameter="stop", name="stop reason", words=words, value=self.stop_reason))
        if self.span:
            chips.append(Chip(parameter="time", name="began", words=SPANS[self.span][0], value=self.span))
        if self.first_day:
            chips.append(Chip(parameter="from", name="from", words=self.first_day, value=self.first_day))
        if self.last_day:
            chips.append(Chip(parameter="to", name="to", words=self.last_day, value=self.last_day))
        if self.least_tokens is not None:
            value = str(self.least_tokens)
            chips.append(
                Chip(parameter="tokens", name="tokens", words=f"≥ {self.least_tokens:,}", value=value)
            )
        return chips

    def to_run_filters(self) -> RunFilters:
        """The same for the service."""
        since = timezone.now() - SPANS[self.span][1] if self.span else parse_start(self.first_day)
        return RunFilters(
            agent_ids=(self.agent_id,) if self.agent_id else (),
            statuses=(RunStatus.FAILED.value,) if self.is_errors else (self.status,) if self.status else (),
            stop_reason=self.stop_reason or None,
            since=since,
            until=parse_end(self.last_day),
            least_tokens=self.least_tokens,
            is_last=self.is_last,
        )


def filters_from(caller: Caller, query: QueryDict) -> ListFilters:
    """The filters of an address."""
    agent_id = query.get("agent", "")
    span = _one_of(query.get("time", ""), SPANS)
    tokens = query.get("tokens", "").replace(",", "").strip()
    return ListFilters(
        agent_id=agent_id,
        agent_name=_agent_name(caller, agent_id),
        status=_one_of(query.get("status", ""), STATUSES),
        stop_reason=_one_of(query.get("stop", ""), STOP_REASONS),
        span=span,
        first_day="" if span else _day(query.get("from", "")),
        last_day="" if span else _day(query.get("to", "")),
        least_tokens=int(tokens) if tokens.isascii() and tokens.isdigit() and len(tokens) < 16 else None,
        is_errors=bool(query.get("errors")),
        is_last=bool(query.get("last")),
    )


def agent_choices(caller: Caller) -> list[tuple[str, str]]:
    """The agents that can be chosen, as (id, name): those that ran last."""
    agents = Agent.objects.filter(workspace_id=caller.workspace_id, last_run_completion__isnull=False)
    latest = agents.order_by("-last_run_completion").values_list("id", "name")[:_MOST_AGENTS]
    return sorted(latest, key=lambda pair: pair[1].casefold())


def _agent_name(caller: Caller, agent_id: str) -> str:
    if not agent_id:
        return ""
    found = Agent.objects.filter(workspace_id=caller.workspace_id, id=agent_id)
    return found.values_list("name", flat=True).first() or agent_id


def _one_of(value: str, known: object) -> str:
    return value if value in known else ""  # type: ignore[operator]  # a list or a mapping


def _day(text: str) -> str:
    try:
        return text.strip() if parse_start(text) is not None else ""
    except Invalid:
        return ""
