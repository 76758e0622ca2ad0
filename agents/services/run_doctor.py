"""What is known about a run that does not come to its end: who holds it, since when, what it waits for, what it said last."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.conf import settings

from agents.models import Run, RunEvent, RunLease
from agents.services import leases
from agents.services.waiting import Waiting, load_waiting
from letta_ade.accounts.auth import Caller

Holder = Literal["queue", "here", "elsewhere", "nobody"]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldBy:
    """The lease of a run that goes on."""

    holder: Holder
    #: The process, as it names itself; empty for the queue.
    owner: str
    #: How many have held the conversation for this run, this one included.
    epoch: int
    renewed_at: datetime
    expires_at: datetime
    #: Its process is gone, or has not been heard of for too long.
    is_abandoned: bool
    #: Somebody wants the run to stop.
    is_stop_requested: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunHealth:
    lease: HeldBy | None
    #: The run's own request, which nobody has answered.
    waiting: Waiting | None
    #: Number and type of the last event in the table; None when there is none, or it is forgotten.
    last_event: tuple[int, str] | None
    #: How many processes have died over it.
    attempts: int


def examine(*, caller: Caller, run: Run) -> RunHealth:
    """What is known of the run, which the caller has."""
    caller.check("read")
    events = RunEvent.objects.filter(run=run).order_by("-seq")
    waiting = load_waiting(run.conversation) if run.stop_reason == "requires_approval" else None
    return RunHealth(
        lease=None if run.has_ended else _held_by(run),
        waiting=waiting if waiting is not None and waiting.run_id == run.id else None,
        last_event=events.values_list("seq", "type").first(),
        attempts=run.attempts,
    )


def _held_by(run: Run) -> HeldBy | None:
    lease = RunLease.objects.filter(run=run).first()
    if lease is None:
        return None
    is_queued = lease.owner == leases.QUEUE
    is_abandoned = leases.is_abandoned(lease)
    holder: Holder = "queue" if is_queued else "here" if lease.owner == leases.OWNER else "elsewhere"
    span = timedelta(seconds=settings.LEASE_SECONDS * (4 if is_queued else 1))
    return HeldBy(
        holder="nobody" if is_abandoned else holder,
        owner="" if is_queued else lease.owner,
        epoch=lease.epoch,
        renewed_at=lease.expires_at - span,
        expires_at=lease.expires_at,
        is_abandoned=is_abandoned,
        is_stop_requested=lease.is_stop_requested,
    )
