"""The end of a run that no process works on any more, written by another one."""

from __future__ import annotations

from typing import Any

from agents.models import Message, Run
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.models.step import StepStatus
from agents.runtime.endings import error_payload, status_of
from agents.runtime.ports import RunEnd
from agents.services import run_rows
from agents.services.context import searchable_text
from agents.services.run_ends import announce_end
from agents.services.step_rows import close_pending_steps
from agents.services.untold import stored_stop_reason, tell_end
from letta_ade.core.nudges import agent_group, nudge, workspace_group


def fail_abandoned(run: Run) -> None:
    """Set a run to failed with a reason that can be read, or to the end that its last step gave it, and end its stream.

    In a transaction.
    """
    reason = stored_stop_reason(run)
    if reason is not None:
        # All that it had to say is stored.
        end_from_outside(run.id, status=RunStatus(status_of(reason)), stop_reason=reason)
        return
    error = lost_error(run.id, lost=run.attempts + 1)
    end_from_outside(run.id, status=RunStatus.FAILED, stop_reason="error", error=error)


def end_from_outside(
    run_id: str,
    *,
    status: RunStatus,
    stop_reason: str,
    error: dict[str, Any] | None = None,
    stores_event: bool = True,
) -> bool:
    """End a run that no process works on: its row, its open step, its stream. What was sent to it is kept. In a transaction.

    False, and nothing is changed, when it has ended. Without `stores_event` the end of its stream is told by the caller.
    """
    run = Run.objects.select_for_update().filter(id=run_id, status__in=ACTIVE_STATUSES).first()
    if run is None:
        return False
    # A run that has all its steps has none that is open.
    step_status = StepStatus.CANCELLED if status == RunStatus.CANCELLED else StepStatus.FAILED
    close_pending_steps(run_id, status=step_status, stop_reason=stop_reason, error=error)
    run_rows.end_run_from_outside(run_id, RunEnd(status=status, stop_reason=stop_reason, error=error))
    _keep_inputs(run)
    if stores_event:
        request = run.request
        run.refresh_from_db()
        # Which it has no more, and its first event is made of.
        run.request = request
        tell_end(run)
    announce_end(run)
    for group in (agent_group(run.agent_id), workspace_group(run.workspace_id)):
        nudge(group, "run_ended", run_id=run.id, agent_id=run.agent_id, status=status)
    return True


def lost_error(run_id: str, *, lost: int = 1) -> dict[str, Any]:
    """The error of a run, or of its open step, whose process is gone; `lost`: how many have died over it."""
    message = (
        "The server process that worked on this run ended, or lost its database, before the run was over."
    )
    if lost > 1:
        message = f"{lost} server processes ended while they worked on this run. It is not tried again."
    return error_payload(
        run_id,
        "stream_task_cancelled",
        f"{message} Steps that were stored are kept.",
        None,
        http_status=503,
    )


def _keep_inputs(run: Run) -> None:
    """Store what was sent, when the process died before the step did that would have: out of context, and not lost.

    A run that answers calls has stored messages before its first step.
    """
    inputs = (run.request or {}).get("inputs", [])
    stored = set(Message.objects.filter(id__in=[data["id"] for data in inputs]).values_list("id", flat=True))
    rows = [
        Message.from_data({**data, "step_id": None, "is_err": True})
        for data in inputs
        if data["id"] not in stored
    ]
    for row in rows:
        row.workspace_id, row.created_by_id = run.workspace_id, run.created_by_id
        row.text = searchable_text(row.content)
    Message.objects.bulk_create(rows)
