"""What the list of runs says about each of them, read in a fixed number of queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Q
from django.utils import timezone

from agents.models import Message, Run
from agents.models.message import MessageRole
from agents.models.run import RunStatus
from agents.services.run_costs import RunTotals, totals_by_run
from agents.services.run_ends import BACKGROUND_RUN_TYPE
from agents.web.transcript import text_of
from agents.web.transcript_rows import author_names

RunDot = Literal["live", "ok", "bad", "idle", "warn"]

_TITLE_CHARACTERS = 160
_DOTS: dict[str, RunDot] = {
    RunStatus.CREATED: "live",
    RunStatus.RUNNING: "live",
    RunStatus.COMPLETED: "ok",
    RunStatus.FAILED: "bad",
    RunStatus.CANCELLED: "idle",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """A dot and the words beside it."""

    dot: RunDot
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRow:
    """One line of the list. The run has its agent and conversation."""

    run: Run
    state: RunState
    #: The words that started it, or what it is instead.
    title: str
    is_quoted: bool
    who: str
    model: str
    totals: RunTotals
    took_ms: float | None
    ttft_ms: float | None

    @property
    def tokens(self) -> int | None:
        """None while nothing has been counted."""
        counted = self.totals.total_tokens
        return counted if counted or (self.run.has_ended and self.totals.step_count) else None


def rows_of(runs: Sequence[Run], *, workspace_id: str) -> list[RunRow]:
    """The lines of runs that were read with their agents and conversations. At most four queries, however many there are."""
    ids = [run.id for run in runs]
    asked = titles_of(runs)
    totals = totals_by_run(ids, workspace_id=workspace_id)
    names = author_names({run.created_by_id for run in runs if run.created_by_id})
    now = timezone.now()
    return [
        RunRow(
            run=run,
            state=state_of(run),
            title=asked.get(run.id) or substitute_title(run),
            is_quoted=bool(asked.get(run.id)),
            who=names.get(run.created_by_id or "", ""),
            model=str(run.metadata.get("model") or run.agent.model),
            totals=totals.get(run.id, RunTotals()),
            took_ms=took_ms(run, now),
            ttft_ms=run.ttft_ns / 1e6 if run.ttft_ns is not None else None,
        )
        for run in runs
    ]


def state_of(run: Run) -> RunState:
    """How the run is doing, or how it ended when not by the agent's own decision."""
    if run.stop_reason == "requires_approval" and run.status == RunStatus.COMPLETED:
        return RunState(dot="warn", words="asked for an answer")
    words = str(run.status)
    if run.status == RunStatus.CREATED:
        words = "queued"
    elif run.stop_reason and run.stop_reason not in ("end_turn", run.status):
        words = f"{words}, {run.stop_reason.replace('_', ' ')}"
    return RunState(dot=_DOTS[run.status], words=words)


def took_ms(run: Run, now: datetime) -> float | None:
    """How long it took, or has taken so far."""
    if run.total_duration_ns is not None:
        return run.total_duration_ns / 1e6
    return None if run.has_ended else max(0.0, (now - run.created_at).total_seconds() * 1000)


def titles_of(runs: Sequence[Run]) -> dict[str, str]:
    """By run the words that started it, shortened; none for one that was started otherwise. One query."""
    titles = {run.id: _from_request(run) for run in runs if not run.has_ended}
    said = (
        Message.objects.filter(Q(run__in=runs), role__in=[MessageRole.USER, MessageRole.SYSTEM])
        .order_by("run_id", "created_at", "id")
        .distinct("run_id")
    )
    titles |= {message.run_id: _one_line(message.text) for message in said.only("run_id", "text")}
    return {run_id: title for run_id, title in titles.items() if title}


def substitute_title(run: Run) -> str:
    """What is said of a run that no words started."""
    if run.metadata.get("run_type") == BACKGROUND_RUN_TYPE:
        return "kept the memory of another agent"
    return "answered a tool call"


def _from_request(run: Run) -> str:
    """The words of a run whose messages have not been stored yet."""
    inputs = (run.request or {}).get("inputs") or ()
    return _one_line(text_of(inputs[0]["content"])) if inputs else ""


def _one_line(text: str) -> str:
    return " ".join(text[: _TITLE_CHARACTERS * 2].split())[:_TITLE_CHARACTERS]
