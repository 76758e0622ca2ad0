"""Runs that have told nothing for so long that nobody waits for them any more (spec/streaming.md §3)."""

from __future__ import annotations

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from agents.event_rows import append_event
from agents.models import Run, RunLease
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.runtime.endings import error_payload
from agents.runtime.events import RunEnded
from agents.streams import publish, stream_here
from letta_ade.core import threads


async def end_silent_run(run_id: str) -> None:
    """Fail the run with a reason that can be read, and end its stream for all who read it; nothing if it has ended.

    Its lease is taken away: the process that works on it, if it still does, finds that out at the next renewal and stops.
    """
    minutes = round(settings.STREAM_SILENCE_SECONDS / 60)
    message = f"The run told nothing for {minutes} minutes and was ended. Steps that were stored are kept."
    error = error_payload(run_id, "stream_incomplete", message, None, http_status=504)
    ended = RunEnded(status=RunStatus.FAILED, stop_reason="error", error=error)
    stream = stream_here(run_id)
    if await threads.run(_fail, run_id, ended, stores_event=stream is None) and stream is not None:
        publish(stream, ended)


def _fail(run_id: str, ended: RunEnded, *, stores_event: bool) -> bool:
    with transaction.atomic():
        # In the order in which a run that ends by itself takes them.
        lease = RunLease.objects.select_for_update().filter(run_id=run_id).first()
        run = Run.objects.select_for_update().filter(id=run_id, status__in=ACTIVE_STATUSES).first()
        if run is None:
            return False
        run.status, run.stop_reason, run.completed_at = ended.status, ended.stop_reason, timezone.now()
        run.metadata = {**run.metadata, "error": ended.error}
        run.save()
        run.steps.filter(status="pending").update(
            status="failed", stop_reason=ended.stop_reason, error_data=ended.error
        )
        if lease is not None:
            lease.delete()
        if stores_event:
            append_event(run_id, ended)
    return True
