"""Failed runs in the inbox: those after which nothing ran in their conversation, so that somebody has still to look."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from agents.models.run import RunStatus
from agents.services.runs import RunFilters, select_runs
from agents.web.run_rows import RunRow, rows_of
from agents.web.transcript import Fault, fault_from
from letta_ade.accounts.auth import Caller

#: An older failure is history: the list of runs has it.
SPAN = timedelta(days=7)
_SHOWN = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRow:
    row: RunRow
    fault: Fault | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedRuns:
    """The newest, and how many there are."""

    rows: tuple[FailedRow, ...]
    count: int


def load_failed(caller: Caller, *, agent_id: str | None = None) -> FailedRuns:
    """The failed runs of the workspace, or of one agent, that nothing followed."""
    filters = RunFilters(
        agent_ids=(agent_id,) if agent_id else (),
        statuses=(RunStatus.FAILED.value,),
        since=timezone.now() - SPAN,
        is_last=True,
    )
    chosen = select_runs(caller=caller, filters=filters).exclude(agent__hidden=True)
    runs = list(chosen.select_related("agent", "conversation").order_by("-created_at", "-id")[:_SHOWN])
    if not runs:
        return FailedRuns(rows=(), count=0)
    rows = rows_of(runs, workspace_id=caller.workspace_id)
    return FailedRuns(
        rows=tuple(FailedRow(row=row, fault=fault_from(row.run.metadata.get("error"))) for row in rows),
        count=len(runs) if len(runs) < _SHOWN else chosen.count(),
    )
