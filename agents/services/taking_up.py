"""How a queued run is taken up: for the first time, or where the process stood that worked on it before."""

from __future__ import annotations

from dataclasses import replace

from django.db import transaction
from django.db.models import Max

from agents.models import Message, Run
from agents.runtime.snapshot import Resumed
from agents.services import leases, run_rows
from agents.services.opening import Checked, OpenedRun, furnish, model_of_run
from agents.services.run_requests import RunRequest
from agents.services.untold import stored_stop_reason, stored_usage, tell_stored_steps


def take_up_run(run_id: str) -> OpenedRun | None:
    """A queued run, opened for this process where it stands; None when it is not to be had any more. Raises as `Opening.open`."""
    lease = leases.take_up(run_id)
    if lease is None:
        return None
    run, conversation = lease.run, lease.conversation
    assert run.request is not None, "only runs that wait for a worker are queued"
    request, caller = RunRequest.from_data(run.request)
    checked = Checked(
        caller=caller,
        request=request,
        agent=conversation.agent,
        conversation=conversation,
        run=run,
        model=model_of_run(conversation, run.metadata["model"]),
        inputs=[] if _has_stored_inputs(run) else _kept_inputs(run),
    )
    with transaction.atomic():
        if not run_rows.lock_lease(lease):
            return None
        opened = furnish(checked, lease)
        last_event = tell_stored_steps(run)
    assert isinstance(opened, OpenedRun), "a repeat is recognised before a run is queued"
    if not last_event:
        return opened
    snapshot = replace(opened.snapshot, resumed=_resumed(run))
    return replace(opened, snapshot=snapshot, last_event=last_event)


def _has_stored_inputs(run: Run) -> bool:
    inputs = (run.request or {}).get("inputs", [])
    return not inputs or Message.objects.filter(id=inputs[0]["id"], is_err=False).exists()


def _kept_inputs(run: Run) -> list[Message]:
    rows = [Message.from_data(data) for data in (run.request or {}).get("inputs", [])]
    for row in rows:
        row.workspace_id, row.created_by_id = run.workspace_id, run.created_by_id
    return rows


def _resumed(run: Run) -> Resumed:
    """How far the run had come; a step that was lost with its process does not count."""
    usage = stored_usage(run)
    last_number = run.steps.aggregate(last=Max("number"))["last"] or 0
    return Resumed(
        steps=usage["step_count"], last_number=last_number, usage=usage, stop_reason=stored_stop_reason(run)
    )
