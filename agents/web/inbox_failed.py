"""Failed runs in the inbox: those after which nothing ran in their conversation, so that somebody has still to look."""

from __future__ import annotations

from dataclasses import dataclass

from agents.services.failed_runs import open_failures
from agents.web.run_rows import RunRow, rows_of
from agents.web.transcript import Fault, fault_from
from letta_ade.accounts.auth import Caller

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
    caller.check("read")
    chosen = open_failures().filter(workspace_id=caller.workspace_id)
    if agent_id:
        chosen = chosen.filter(agent_id=agent_id)
    runs = list(chosen.select_related("agent", "conversation").order_by("-created_at", "-id")[:_SHOWN])
    if not runs:
        return FailedRuns(rows=(), count=0)
    rows = rows_of(runs, workspace_id=caller.workspace_id)
    return FailedRuns(
        rows=tuple(FailedRow(row=row, fault=fault_from(row.run.metadata.get("error"))) for row in rows),
        count=len(runs) if len(runs) < _SHOWN else chosen.count(),
    )
