"""The end of a run that no process works on any more, written by another one."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from agents.models import Agent, Message, Run
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.endings import error_payload
from agents.services.context import searchable_text
from agents.services.run_ends import announce_end
from agents.services.untold import tell_end
from letta_ade.core.nudges import agent_group, nudge, workspace_group


def fail_abandoned(run: Run) -> None:
    """Set a run to failed with a reason that can be read, and end its stream for those who follow it. In a transaction."""
    error = lost_error(run.id, lost=run.attempts + 1)
    end_from_outside(run.id, status=RunStatus.FAILED, stop_reason="error", error=error)


def end_from_outside(
    run_id: str, *, status: RunStatus, stop_reason: str, error: dict[str, Any] | None = None
) -> None:
    """End a run that no process works on: its row, its open step, its stream. What was sent to it is kept. In a transaction."""
    run = Run.objects.select_for_update().filter(id=run_id, status__in=ACTIVE_STATUSES).first()
    if run is None:
        return
    run.status, run.stop_reason, run.completed_at = status, stop_reason, timezone.now()
    run.metadata = {**run.metadata, **({"error": error} if error else {})}
    run.steps.filter(status="pending").update(status="failed", stop_reason=stop_reason, error_data=error)
    _keep_inputs(run)
    tell_end(run)
    run.request = None
    run.save()
    Agent.objects.filter(id=run.agent_id).update(last_stop_reason=stop_reason)
    announce_end(run)
    for group in (agent_group(run.agent_id), workspace_group(run.workspace_id)):
        nudge(group, "run_ended", run_id=run.id, agent_id=run.agent_id, status=status)


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
    """Store what was sent, when the process died before the step did that would have: out of context, and not lost."""
    inputs = (run.request or {}).get("inputs", [])
    if not inputs or Message.objects.filter(id=inputs[0]["id"]).exists():
        return
    rows = [Message.from_data({**data, "step_id": None, "is_err": True}) for data in inputs]
    for row in rows:
        row.workspace_id, row.created_by_id = run.workspace_id, run.created_by_id
        row.text = searchable_text(row.content)
    Message.objects.bulk_create(rows)
