"""The right to write to a conversation: taken, renewed, checked, given back, taken from the dead."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from procrastinate.exceptions import AlreadyEnqueued

from agents.event_rows import append_event
from agents.models import Conversation, Message, Run, RunEvent, RunLease
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.models.step import StepStatus
from agents.runtime.endings import error_payload
from agents.runtime.events import RunEnded
from agents.runtime.ports import RunEnd
from agents.services import run_rows
from agents.services.context import searchable_text
from agents.services.run_ends import announce_end
from agents.services.step_rows import close_pending_steps
from letta_ade.core import notices
from letta_ade.core.errors import Conflict
from letta_ade.core.jobs import app

_HOST = socket.gethostname()
#: This process. The last part tells it from an earlier one that had the same number.
OWNER = f"{_HOST[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
#: The owner of a lease whose run waits for a worker.
QUEUE = "queue"
#: The job that works on a queued run (agents/jobs.py).
EXECUTE_RUN = "agents.execute_run"
RUN_QUEUE = "runs"
#: The notice that a run is to stop, for the process that works on it.
STOP_TOPIC = "stop_run"
#: A run that has cost so many processes their life is not given to another one.
_MOST_ATTEMPTS = 3


class RunBusy(Conflict):
    """A run is going on in this conversation."""


class LeaseLost(Conflict):
    """Another process has taken over this conversation."""


def start_run_row(run: Run, *, owner: str = OWNER) -> RunLease:
    """Insert the run and take the lease of its conversation for it, inside the caller's transaction.

    Raises RunBusy (data: run_id) while another run holds it. A holder that is dead or silent is failed and replaced; one that
    works in the background is given to the next worker instead, and stays.
    """
    expires_at = _expiry(owner)
    lease = RunLease(
        conversation_id=run.conversation_id, run_id=run.id, owner=owner, epoch=1, expires_at=expires_at
    )
    # Of two requests that come this far at once the primary key lets one through; the other finds its row.
    if run_rows.insert_run(run, lease):
        return lease
    held = (
        RunLease.objects.select_for_update(of=("self",))
        .select_related("run")
        .filter(pk=run.conversation_id)
        .first()
    )
    if held is None:
        # It ended just now.
        if not run_rows.insert_lease(lease):
            raise RunBusy("Another run of this conversation has just begun.")
        return lease
    if not is_abandoned(held):
        raise busy(held.run_id)
    if is_worth_going_on(held.run):
        # The watch over leases will give it to a worker; this transaction is rolled back and cannot.
        raise busy(held.run_id)
    fail_abandoned(held.run_id)
    lease.epoch = held.epoch + 1
    lease.save(force_update=True)
    return lease


def _expiry(owner: str) -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS * (4 if owner == QUEUE else 1))


def keep_runs_out(conversation: Conversation) -> Conversation:
    """The conversation as it is now; no run begins in it until the caller's transaction ends. Raises RunBusy while one goes on.

    A run that begins takes the lease first and then locks the conversation's row (`run_rows.lock_conversation`), so this only looks
    at the lease.
    """
    locked = Conversation.objects.select_for_update().get(pk=conversation.pk)
    held = RunLease.objects.filter(conversation=locked).first()
    if held is not None:
        if not is_abandoned(held):
            raise busy(held.run_id)
        fail_abandoned(held.run_id)
        held.delete()
    return locked


def busy(run_id: str) -> RunBusy:
    """The error for a second request."""
    return RunBusy(
        f"Another run of this conversation is going on: {run_id}. Wait for it, or cancel it.", run_id=run_id
    )


def check_lease(lease: RunLease) -> None:
    """Raise LeaseLost unless this process still holds the lease; locks it until the transaction ends."""
    if not run_rows.lock_lease(lease):
        raise LeaseLost()


def renew_leases(run_ids: Sequence[str]) -> dict[str, bool]:
    """Renew the leases of these runs of this process in one statement; of those that it still holds, whether they are to stop.

    Only of runs that really go on: a lease that lost its run on the way must expire.
    """
    return run_rows.renew_leases(OWNER, run_ids, _expiry(OWNER))


def is_abandoned(lease: RunLease) -> bool:
    """Whether nobody works under the lease any more: it has expired, or its process on this machine is gone."""
    if lease.owner == QUEUE:
        return False
    if lease.expires_at < timezone.now():
        return True
    host, pid, _ = lease.owner.rsplit(":", 2)
    if host != _HOST[:30] or lease.owner == OWNER:
        return False
    if int(pid) == os.getpid():
        return True
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False


def reap_abandoned_runs() -> list[str]:
    """End every run that nobody works on any more, their ids; those that work in the background go to the next worker."""
    reaped = []
    for lease in RunLease.objects.select_related("run"):
        if lease.owner == QUEUE and lease.expires_at < timezone.now():
            _wait_on(lease)
        elif is_abandoned(lease):
            with transaction.atomic():
                still = RunLease.objects.select_for_update().filter(
                    conversation_id=lease.conversation_id, run_id=lease.run_id, epoch=lease.epoch
                )
                if not still.exists():
                    continue
                if is_worth_going_on(lease.run):
                    _queue_again(lease, is_lost=True)
                else:
                    fail_abandoned(lease.run_id)
                    still.delete()
                    reaped.append(lease.run_id)
    return reaped


def is_worth_going_on(run: Run) -> bool:
    """Whether another worker takes the run up where its process died."""
    return run.request is not None and run.attempts < _MOST_ATTEMPTS


def enqueue(run_id: str) -> None:
    """Give the run to the workers, inside the caller's transaction; a run that waits already is not queued twice."""
    job = app.configure_task(EXECUTE_RUN, queue=RUN_QUEUE, queueing_lock=run_id)
    try:
        with transaction.atomic():
            job.defer(run_id=run_id)
    except AlreadyEnqueued:
        pass


def hand_over(lease: RunLease) -> bool:
    """Give a background run of this process back to the workers; False when it is not this process's any more."""
    with transaction.atomic():
        if not run_rows.lock_lease(lease):
            return False
        _queue_again(lease, is_lost=False)
    return True


def take_up(run_id: str) -> RunLease | None:
    """The lease of a queued run, taken for this process; None when it has ended or somebody else works on it."""
    with transaction.atomic():
        lease = (
            RunLease.objects.select_for_update(of=("self",))
            .select_related("run", "conversation__agent")
            .filter(run_id=run_id, owner=QUEUE)
            .first()
        )
        if lease is None:
            return None
        lease.owner, lease.epoch, lease.expires_at = OWNER, lease.epoch + 1, _expiry(OWNER)
        lease.save()
        Run.objects.filter(id=run_id).update(status=RunStatus.RUNNING)
        # What another process began and did not store is void; its trace shows what was sent.
        close_pending_steps(run_id, status=StepStatus.FAILED, stop_reason="error", error=_lost_error(run_id))
    return lease


def cancel_queued(run_id: str) -> bool:
    """Cancel a run that waits for a worker; False when it does not wait."""
    with transaction.atomic():
        lease = RunLease.objects.select_for_update().filter(run_id=run_id, owner=QUEUE).first()
        if lease is None:
            return False
        end_from_outside(run_id, status=RunStatus.CANCELLED, stop_reason="cancelled")
        lease.delete()
    return True


def ask_to_stop(run_id: str) -> None:
    """Ask the process that works on the run to cancel it: it is told at once, and finds the wish when it renews its lease."""
    with transaction.atomic():
        if RunLease.objects.filter(run_id=run_id).update(is_stop_requested=True):
            notices.notify(STOP_TOPIC, {"run_id": run_id})


def wanted_to_stop() -> list[str]:
    """The runs of this process that somebody has asked to stop."""
    return list(RunLease.objects.filter(owner=OWNER, is_stop_requested=True).values_list("run_id", flat=True))


def give_back(run_id: str) -> None:
    """Free the conversation of a run that has ended from outside."""
    RunLease.objects.filter(run_id=run_id).delete()


def fail_abandoned(run_id: str) -> None:
    """Set a run to failed with a reason that can be read, and end its stream for those who follow it."""
    end_from_outside(run_id, status=RunStatus.FAILED, stop_reason="error", error=_lost_error(run_id))


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
    close_pending_steps(run_id, status=StepStatus(status), stop_reason=stop_reason, error=error)
    run_rows.end_run_from_outside(run_id, RunEnd(status=status, stop_reason=stop_reason, error=error))
    _keep_inputs(run)
    if stores_event:
        append_event(run_id, RunEnded(status=status, stop_reason=stop_reason, error=error))
    announce_end(run)
    return True


def _lost_error(run_id: str) -> dict[str, Any]:
    return error_payload(
        run_id,
        "stream_task_cancelled",
        "The server process that worked on this run ended before the run did. Steps that were stored are kept.",
        None,
        http_status=503,
    )


def _queue_again(lease: RunLease, *, is_lost: bool) -> None:
    RunLease.objects.filter(pk=lease.pk).update(
        owner=QUEUE, epoch=lease.epoch + 1, expires_at=_expiry(QUEUE), is_stop_requested=False
    )
    if is_lost:
        Run.objects.filter(id=lease.run_id).update(attempts=lease.run.attempts + 1)
    enqueue(lease.run_id)


def _wait_on(lease: RunLease) -> None:
    """Its job may have been lost; one that is still there stays the only one."""
    with transaction.atomic():
        waiting = RunLease.objects.filter(pk=lease.pk, owner=QUEUE, epoch=lease.epoch)
        if waiting.update(expires_at=_expiry(QUEUE)):
            enqueue(lease.run_id)


def _keep_inputs(run: Run) -> None:
    """Store what was sent, when the process died before the first step did: out of context, and not lost.

    A run that answers calls has stored messages before its first step.
    """
    started = RunEvent.objects.filter(run=run, type="RunStarted").first()
    inputs = started.data["inputs"] if started else (run.request or {}).get("inputs", [])
    stored = set(run.messages.filter(id__in=[data["id"] for data in inputs]).values_list("id", flat=True))
    rows = [
        Message.from_data({**data, "step_id": None, "is_err": True})
        for data in inputs
        if data["id"] not in stored
    ]
    for row in rows:
        row.workspace_id, row.created_by_id = run.workspace_id, run.created_by_id
        row.text = searchable_text(row.content)
    Message.objects.bulk_create(rows)
