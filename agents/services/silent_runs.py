"""Runs that have told nothing for so long that nobody waits for them any more (spec/streaming.md §3)."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import transaction

from agents.models import RunLease
from agents.models.run import RunStatus
from agents.runtime.endings import error_payload
from agents.runtime.events import RunEnded
from agents.services.outside_ends import end_from_outside
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
    if await threads.run(_fail, run_id, error, stores_event=stream is None) and stream is not None:
        publish(stream, ended)


def _fail(run_id: str, error: dict[str, Any], *, stores_event: bool) -> bool:
    with transaction.atomic():
        # In the order in which a run that ends by itself takes them.
        lease = RunLease.objects.select_for_update().filter(run_id=run_id).first()
        has_ended = end_from_outside(
            run_id, status=RunStatus.FAILED, stop_reason="error", error=error, stores_event=stores_event
        )
        if has_ended and lease is not None:
            lease.delete()
    return has_ended
