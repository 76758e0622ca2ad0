"""The right to write to a conversation: taken, renewed, checked, given back, taken from the dead."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob
from procrastinate.exceptions import AlreadyEnqueued

from agents.models import Conversation, Run, RunLease
from agents.models.run import RunStatus
from agents.models.step import StepStatus
from agents.services import run_rows
from agents.services.outside_ends import end_from_outside, fail_abandoned, lost_error
from agents.services.step_rows import close_pending_steps
from letta_ade.core import notices
from letta_ade.core.errors import Conflict
from letta_ade.core.jobs import app

_HOST = socket.gethostname()
#: This process. The last part tells it from an earlier one that had the same number.
OWNER = f"{_HOST[:30]}:{os.getpid()}:{secrets.token_hex(4)}"
#: Runs that go on in this process. `execution` keeps it.
working_on: set[str] = set()
#: The owner of a lease whose run waits for a worker.
QUEUE = "queue"
#: The job that works on a queued run (agents/jobs.py).
EXECUTE_RUN = "agents.execute_run"
RUN_QUEUE = "runs"
#: The notice that a run is to stop, for the process that works on it.
STOP_TOPIC = "stop_run"
#: A run over which so many processes have died is not given to another one.
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
    is_ours = run_rows.insert_run(run, lease)
    while not is_ours and (held := _lock_holder(run.conversation_id)) is None:
        # The other one ended just now; a third one may be as quick as we are.
        is_ours = run_rows.insert_lease(lease)
    if is_ours:
        return lease
    assert held is not None, "the loop ends with one of the two"
    if not is_abandoned(held):
        raise busy(held.run_id)
    if is_worth_going_on(held.run):
        # The watch over leases will give it to a worker; this transaction is rolled back and cannot.
        raise busy(held.run_id)
    fail_abandoned(held.run)
    lease.epoch = held.epoch + 1
    lease.save(force_update=True)
    return lease


def _lock_holder(conversation_id: str) -> RunLease | None:
    return (
        RunLease.objects.select_for_update(of=("self",))
        .select_related("run")
        .filter(pk=conversation_id)
        .first()
    )


def _expiry(owner: str) -> datetime:
    return timezone.now() + timedelta(seconds=settings.LEASE_SECONDS * (4 if owner == QUEUE else 1))


def keep_runs_out(conversation: Conversation) -> Conversation:
    """The conversation as it is now; no run begins in it until the caller's transaction ends. Raises RunBusy while one goes on.

    A run that begins takes the lease first and then locks the conversation's row (`run_rows.lock_conversation`), so this only looks
    at the lease.
    """
    locked = Conversation.objects.select_for_update().get(pk=conversation.pk)
    held = RunLease.objects.select_related("run").filter(conversation=locked).first()
    if held is not None:
        if not is_abandoned(held) or is_worth_going_on(held.run):
            raise busy(held.run_id)
        fail_abandoned(held.run)
        held.delete()
    return locked


def busy(run_id: str) -> RunBusy:
    """The error for a second request."""
    return RunBusy(
        f"Another run of this conversation is going on: {run_id}. Wait for it, or cancel it.", run_id=run_id
    )


def renew_leases(run_ids: Sequence[str]) -> dict[str, bool]:
    """Renew the leases of these runs of this process in one statement; of those that it still holds, whether they are to stop.

    Only of runs that really go on: a lease that lost its run on the way must expire.
    """
    return run_rows.renew_leases(OWNER, run_ids, _expiry(OWNER))


def is_abandoned(lease: RunLease) -> bool:
    """Whether nobody works under the lease any more: it has expired, or its process on this machine is gone."""
    if lease.owner == QUEUE:
        return False
    if lease.owner == OWNER:
        # While the database was away, nobody could renew it.
        return lease.run_id not in working_on and lease.expires_at < timezone.now()
    if lease.expires_at < timezone.now():
        return True
    host, pid, _ = lease.owner.rsplit(":", 2)
    if host != _HOST[:30]:
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
        elif is_abandoned(lease) and _take_from_the_dead(lease):
            reaped.append(lease.run_id)
    return reaped


def _take_from_the_dead(lease: RunLease) -> bool:
    """Whether this ended the run."""
    with transaction.atomic():
        held = RunLease.objects.select_for_update().filter(pk=lease.pk).first()
        # It may have been renewed or taken since it was read.
        if held is None or (held.epoch, held.expires_at) != (lease.epoch, lease.expires_at):
            return False
        return _pass_on(held, lease.run, is_lost=True)


def _pass_on(held: RunLease, run: Run, *, is_lost: bool) -> bool:
    """Give the run of a locked lease to the workers, or end it if it has no more to hope for; whether it ended."""
    if held.is_stop_requested:
        end_from_outside(run.id, status=RunStatus.CANCELLED, stop_reason="cancelled")
    elif not is_lost or is_worth_going_on(run):
        held.owner, held.epoch, held.expires_at = QUEUE, held.epoch + 1, _expiry(QUEUE)
        held.save()
        if is_lost:
            Run.objects.filter(id=run.id).update(attempts=run.attempts + 1)
        enqueue(run.id)
        return False
    else:
        fail_abandoned(run)
    held.delete()
    return True


def is_worth_going_on(run: Run) -> bool:
    """Whether another worker takes the run up where its process died."""
    return run.background and run.attempts + 1 < _MOST_ATTEMPTS


def queue_lost_jobs() -> None:
    """Queue every run that waits without a job: a worker had fetched its job and died before it could take the run up."""
    waiting = list(RunLease.objects.filter(owner=QUEUE).values_list("run_id", flat=True))
    queued = ProcrastinateJob.objects.filter(status="todo", queueing_lock__in=waiting)
    for run_id in set(waiting) - set(queued.values_list("queueing_lock", flat=True)):
        # The worker that has its job may be alive and about to take it up; the second job then finds nothing to do.
        enqueue(run_id)


def enqueue(run_id: str) -> None:
    """Give the run to the workers, inside the caller's transaction; a run that waits already is not queued twice."""
    job = app.configure_task(EXECUTE_RUN, queue=RUN_QUEUE, queueing_lock=run_id)
    try:
        with transaction.atomic():
            job.defer(run_id=run_id)
    except AlreadyEnqueued:
        pass


def hand_over(lease: RunLease) -> None:
    """Give a background run of this process back to the workers. Nothing happens when it is not this process's any more."""
    with transaction.atomic():
        if run_rows.lock_lease(lease):
            _pass_on(RunLease.objects.get(pk=lease.pk), lease.run, is_lost=False)


def take_up(run_id: str) -> RunLease | None:
    """The lease of a queued run, taken for this process; None when it has ended or another one works on it.

    Called again, because the answer was lost, it gives what it took.
    """
    with transaction.atomic():
        lease = (
            RunLease.objects.select_for_update(of=("self",))
            .select_related("run", "conversation__agent")
            .filter(run_id=run_id, owner__in=[QUEUE, OWNER])
            .first()
        )
        if lease is None:
            return None
        lease.owner, lease.epoch, lease.expires_at = OWNER, lease.epoch + 1, _expiry(OWNER)
        lease.save()
        Run.objects.filter(id=run_id).update(status=RunStatus.RUNNING)
        # What another process began and did not store is void; its trace shows what was sent.
        close_pending_steps(run_id, status=StepStatus.FAILED, stop_reason="error", error=lost_error(run_id))
    return lease


def cancel_unattended(run_id: str) -> bool:
    """Cancel a run that waits for a worker, or whose process is gone; False when somebody works on it, or it has ended."""
    with transaction.atomic():
        lease = RunLease.objects.select_for_update().filter(run_id=run_id).first()
        if lease is None or not (lease.owner == QUEUE or is_abandoned(lease)):
            return False
        end_from_outside(run_id, status=RunStatus.CANCELLED, stop_reason="cancelled")
        lease.delete()
    return True


def ask_to_stop(run_id: str) -> bool:
    """Ask the process that works on the run to cancel it; False when none does.

    It is told at once, and finds the wish when it renews its lease.
    """
    with transaction.atomic():
        is_held = bool(RunLease.objects.filter(run_id=run_id).update(is_stop_requested=True))
        if is_held:
            notices.notify(STOP_TOPIC, {"run_id": run_id})
    return is_held


def wanted_to_stop() -> list[str]:
    """The runs of this process that somebody has asked to stop."""
    return list(RunLease.objects.filter(owner=OWNER, is_stop_requested=True).values_list("run_id", flat=True))


def give_back(run_id: str) -> None:
    """Free the conversation of a run that has ended from outside."""
    RunLease.objects.filter(run_id=run_id).delete()


def _wait_on(lease: RunLease) -> None:
    """Its job may have been lost; one that is still there stays the only one."""
    with transaction.atomic():
        waiting = RunLease.objects.filter(pk=lease.pk, owner=QUEUE, epoch=lease.epoch)
        if waiting.update(expires_at=_expiry(QUEUE)):
            enqueue(lease.run_id)
