"""The right to write to a conversation: taken, renewed, checked, given back, taken from the dead."""

from __future__ import annotations

import os
import secrets
import socket
from collections.abc import Sequence
from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.models import Conversation, Message, Run, RunEvent, RunLease
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.endings import error_payload
from agents.services.context import searchable_text
from letta_ade.core.errors import Conflict

_HOST = socket.gethostname()
#: This process. The last part tells it from an earlier one that had the same number.
OWNER = f"{_HOST[:30]}:{os.getpid()}:{secrets.token_hex(4)}"


class RunBusy(Conflict):
    """A run is going on in this conversation."""


class LeaseLost(Conflict):
    """Another process has taken over this conversation."""


def take_lease(*, conversation: Conversation, run: Run) -> RunLease:
    """The lease of the conversation for this run, inside the caller's transaction.

    Raises RunBusy (data: run_id) while another run holds it. A holder that is dead or silent is failed and replaced.
    """
    expires_at = timezone.now() + timedelta(seconds=settings.LEASE_SECONDS)
    wanted = RunLease(conversation=conversation, run=run, owner=OWNER, expires_at=expires_at)
    # Of two requests that come this far at once the primary key lets one through; the other finds its row.
    RunLease.objects.bulk_create([wanted], ignore_conflicts=True)
    # The conversation comes along: what it was before the lease, the run before this one may have changed. It is locked too, for
    # whoever changes its context between runs (`keep_runs_out`).
    held = (
        RunLease.objects.select_for_update(of=("self", "conversation"))
        .select_related("conversation")
        .get(pk=conversation.id)
    )
    if held.run_id == run.id:
        return held
    if not is_abandoned(held):
        raise busy(held.run_id)
    fail_abandoned(held.run_id)
    held.run, held.owner, held.epoch, held.expires_at = run, OWNER, held.epoch + 1, expires_at
    held.save()
    return held


def keep_runs_out(conversation: Conversation) -> Conversation:
    """The conversation as it is now; no run begins in it until the caller's transaction ends. Raises RunBusy while one goes on.

    `take_lease` waits for the lock of the conversation's row; it comes for the lease first, so this only looks at the lease.
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
    held = RunLease.objects.select_for_update().filter(
        conversation_id=lease.conversation_id, run_id=lease.run_id, owner=lease.owner, epoch=lease.epoch
    )
    if not held.exists():
        raise LeaseLost()


def renew_leases(run_ids: Sequence[str]) -> set[str]:
    """Renew the leases of these runs of this process in one statement; the runs that it still holds.

    Only of runs that really go on: a lease that lost its run on the way must expire.
    """
    mine = RunLease.objects.filter(owner=OWNER, run_id__in=run_ids)
    mine.update(expires_at=timezone.now() + timedelta(seconds=settings.LEASE_SECONDS))
    return set(mine.values_list("run_id", flat=True))


def is_abandoned(lease: RunLease) -> bool:
    """Whether nobody works under the lease any more: it has expired, or its process on this machine is gone."""
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
    """End every run that nobody works on any more; their ids."""
    reaped = []
    for lease in RunLease.objects.select_related("run"):
        if is_abandoned(lease):
            with transaction.atomic():
                still = RunLease.objects.select_for_update().filter(
                    conversation_id=lease.conversation_id, run_id=lease.run_id, epoch=lease.epoch
                )
                if still.exists():
                    fail_abandoned(lease.run_id)
                    still.delete()
                    reaped.append(lease.run_id)
    return reaped


def fail_abandoned(run_id: str) -> None:
    """Set a run to failed with a reason that can be read, and end its stream for those who follow it."""
    run = Run.objects.select_for_update().filter(id=run_id, status__in=ACTIVE_STATUSES).first()
    if run is None:
        return
    error = error_payload(
        run_id,
        "stream_task_cancelled",
        "The server process that worked on this run ended before the run did. Steps that were stored are kept.",
        None,
        http_status=503,
    )
    run.status, run.stop_reason, run.completed_at = RunStatus.FAILED, "error", timezone.now()
    run.metadata = {**run.metadata, "error": error}
    run.save()
    run.steps.filter(status="pending").update(status="failed", stop_reason="error", error_data=error)
    _keep_inputs(run)
    last = RunEvent.objects.filter(run=run).order_by("-seq").values_list("seq", flat=True).first() or 0
    data = {"status": "failed", "stop_reason": "error", "usage": {}, "error": error, "duration_ms": 0}
    RunEvent.objects.create(run=run, seq=last + 1, type="RunEnded", data=data)


def _keep_inputs(run: Run) -> None:
    """Store what was sent, when the process died before the first step did: out of context, and not lost."""
    started = RunEvent.objects.filter(run=run, type="RunStarted").first()
    if started is None or run.messages.exists():
        return
    rows = [Message.from_data({**data, "step_id": None, "is_err": True}) for data in started.data["inputs"]]
    for row in rows:
        row.workspace_id, row.created_by_id = run.workspace_id, run.created_by_id
        row.text = searchable_text(row.content)
    Message.objects.bulk_create(rows)
