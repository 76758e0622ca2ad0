"""Work that may outlive a request: procrastinate's queue in our PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from asgiref.sync import ThreadSensitiveContext
from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.contrib.django import app
from procrastinate.exceptions import UniqueViolation
from procrastinate.jobs import Status

from letta_ade.core import threads
from letta_ade.core.database import connection_parameters

logger = logging.getLogger(__name__)

__all__ = ["DEFAULT_QUEUE", "app", "run_worker"]

#: Where a job waits that names no queue.
DEFAULT_QUEUE = "default"
#: A worker waits so long for a connection before it ends and starts again.
_CONNECTION_SECONDS = 5.0
_RESTART_SECONDS = 1.0


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="requeue_stalled_jobs", pass_context=True)
async def requeue_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Give the jobs of a worker that has died to the others; the worker's sign of life tells."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs():
        logger.warning("job %s (%s) was abandoned by its worker and is done again", job.id, job.task_name)
        try:
            await manager.retry_job(job)
        except UniqueViolation:
            # Somebody has queued the same again already.
            await manager.finish_job(job, status=Status.ABORTED, delete_job=True)


async def run_worker(
    *, name: str = "worker", queues: Mapping[str, int] | None = None, wait: bool = True
) -> None:
    """Work on the jobs of these queues until cancelled, whatever happens to the database; without `wait`, until none is left.

    `queues`: how many jobs of each may run at once; without it, a few of the default one. Signals stay with the
    server; running jobs get some seconds to finish.
    """

    async def work() -> None:
        connector = PsycopgConnector(
            kwargs=connection_parameters(), min_size=1, max_size=4, timeout=_CONNECTION_SECONDS
        )
        worker_app = app.with_connector(connector)
        # Periodic jobs are deferred through Django's connection: on our threads, one that broke is dropped.
        on_our_threads = ThreadSensitiveContext(executor=threads.pool())
        async with _opened(worker_app), on_our_threads, asyncio.TaskGroup() as workers:
            for queue, concurrency in (queues or {DEFAULT_QUEUE: 4}).items():
                work_on = partial(_work_on, worker_app, queue, concurrency, name=name, wait=wait)
                workers.create_task(
                    _again_and_again(work_on, f"the worker of {queue}") if wait else work_on()
                )

    try:
        await (_again_and_again(work, "the job worker") if wait else work())
    except asyncio.CancelledError:
        logger.debug("the job worker was told to stop")
        raise


async def _work_on(worker_app: App, queue: str, concurrency: int, *, name: str, wait: bool) -> None:
    await worker_app.run_worker_async(
        concurrency=concurrency,
        name=f"{name}-{queue}",
        queues=[queue],
        wait=wait,
        install_signal_handlers=False,
        listen_notify=True,
        delete_jobs="successful",
        shutdown_graceful_timeout=5,
    )


async def _again_and_again(work: Callable[[], Awaitable[None]], what: str) -> None:
    """Until cancelled. A worker ends, with or without an error, when it loses the database."""
    task = asyncio.current_task()
    assert task is not None, "a coroutine is run by a task"
    while True:
        try:
            await work()
            reason = "it has ended"
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        if task.cancelling():
            # What it did to end failed, and its error took the place of the cancellation.
            raise asyncio.CancelledError
        logger.warning("%s starts again: %s", what, reason)
        await asyncio.sleep(_RESTART_SECONDS)


@asynccontextmanager
async def _opened(worker_app: App) -> AsyncIterator[None]:
    """The app with its connections; cancelled while they open, it waits for them and closes them.

    psycopg's pool would otherwise leave a task behind that takes no cancellation, and the process would never end.
    """
    opening = asyncio.ensure_future(_open(worker_app))
    try:
        await asyncio.shield(opening)
        yield
    finally:
        await _to_its_end(_closed(opening, worker_app))


async def _closed(opening: asyncio.Future[None], worker_app: App) -> None:
    await opening
    await worker_app.close_async()


async def _to_its_end(work: Coroutine[Any, Any, None]) -> None:
    """Wait for this work, however often the wait is cancelled; a cancellation counts when it is over."""
    task, is_cancelled = asyncio.ensure_future(work), False
    while not task.done():
        try:
            await asyncio.wait({task})
        except asyncio.CancelledError:
            is_cancelled = True
    task.result()
    if is_cancelled:
        raise asyncio.CancelledError


async def _open(worker_app: App) -> None:
    await worker_app.open_async()
