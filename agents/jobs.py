"""Jobs that keep runs in order, and tell of their ends."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.utils import timezone
from procrastinate import BaseRetryStrategy, JobContext, RetryDecision
from procrastinate.jobs import Job

from agents.models import RunEvent
from agents.services import asking, background_turns, callbacks, execution
from agents.services.approvals import PendingApproval
from agents.services.expiry import close_expired
from agents.services.leases import EXECUTE_RUN, RUN_QUEUE, RunBusy
from agents.services.run_ends import DELIVER_MESSAGE, GO_ON_WITH_MEMORY, SEND_CALLBACK
from letta_ade.core import threads
from letta_ade.core.jobs import app

logger = logging.getLogger(__name__)

_EVENTS_AT_ONCE = 20_000


# Jobs are asynchronous and hop to our own threads: procrastinate's would keep connections that nobody looks after.


@app.task(name=EXECUTE_RUN, queue=RUN_QUEUE)
async def execute_run(run_id: str) -> None:
    """Work on a run of the background until it ends. It is safe to run twice: the second finds nothing to do."""
    await execution.carry_out(run_id)


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="expire_requests")
async def expire_requests(timestamp: int) -> None:
    """Close the requests that nobody has answered in time, so that their agents take messages again."""
    for request_id in await threads.run(close_expired):
        logger.info("request %s expired", request_id)


@app.periodic(cron="7 * * * *")
@app.task(queueing_lock="forget_events")
async def forget_events(timestamp: int) -> None:
    """Delete the events of runs that nobody can resume any more.

    What a run said is in its messages; its events are only its stream.
    """
    while await threads.run(_forget_some):
        pass


def _forget_some() -> int:
    before = timezone.now() - timedelta(hours=settings.EVENT_RETENTION_HOURS)
    old = RunEvent.objects.filter(run__created_at__lt=before, run__completed_at__isnull=False)
    ids = list(old.values_list("id", flat=True)[:_EVENTS_AT_ONCE])
    deleted, _ = RunEvent.objects.filter(id__in=ids).delete()
    return deleted


class _AfterAPause(BaseRetryStrategy):
    """Again, also when a stopping worker broke it off. A callback that is given up raises nothing."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        tried = job.attempts + 1
        if tried >= settings.CALLBACK_TRIES:
            return None
        return RetryDecision(retry_in={"seconds": callbacks.pause_after(tried)})


@app.task(name=SEND_CALLBACK, retry=_AfterAPause(), pass_context=True)
async def send_callback(context: JobContext, run_id: str) -> None:
    """Tell the end of a run to the address that its request named."""
    await callbacks.send(run_id, attempt=context.job.attempts + 1)


@app.task(name=GO_ON_WITH_MEMORY)
async def go_on_with_memory(run_id: str) -> None:
    """Start the next background run when a turn was due while this one went on."""
    await threads.run(background_turns.go_on, run_id)


class _WhileBusy(BaseRetryStrategy):
    """Again while the reader of a message is busy; the pauses double up to a minute."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> RetryDecision | None:
        is_busy = isinstance(exception, (RunBusy, PendingApproval))
        if not is_busy or job.attempts >= settings.AGENT_MESSAGE_TRIES:
            return None
        return RetryDecision(retry_in={"seconds": min(2**job.attempts, 60)})


@app.task(name=DELIVER_MESSAGE, retry=_WhileBusy())
async def deliver_message(**letter: Any) -> None:
    """Deliver what one agent has written to another. Delivered twice, it is read once: its otid tells."""
    await asking.deliver(letter)
