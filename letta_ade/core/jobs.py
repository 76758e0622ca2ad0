"""Work that may outlive a request: procrastinate's queue in our PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from procrastinate import App, JobContext, PsycopgConnector
from procrastinate.contrib.django import app

from letta_ade.core.database import connection_parameters

logger = logging.getLogger(__name__)

__all__ = ["DEFAULT_QUEUE", "app", "run_worker"]

#: Where a job waits that names no queue.
DEFAULT_QUEUE = "default"


@app.periodic(cron="* * * * *")
@app.task(queueing_lock="requeue_stalled_jobs", pass_context=True)
async def requeue_stalled_jobs(context: JobContext, timestamp: int) -> None:
    """Give the jobs of a worker that has died to the others; the worker's sign of life tells."""
    manager = context.app.job_manager
    for job in await manager.get_stalled_jobs():
        logger.warning("job %s (%s) was abandoned by its worker and is done again", job.id, job.task_name)
        await manager.retry_job(job)


async def run_worker(
    *, name: str = "worker", queues: Mapping[str, int] | None = None, wait: bool = True
) -> None:
    """Work on the jobs of these queues until cancelled, or, without `wait`, until none is left.

    `queues`: how many jobs of each may run at once; without it, a few of the default one. Signals stay with the
    server; running jobs get some seconds to finish.
    """
    connector = PsycopgConnector(kwargs=connection_parameters(), min_size=1, max_size=4)
    worker_app = app.with_connector(connector)
    async with _opened(worker_app):
        try:
            async with asyncio.TaskGroup() as workers:
                for queue, concurrency in (queues or {DEFAULT_QUEUE: 4}).items():
                    workers.create_task(
                        worker_app.run_worker_async(
                            concurrency=concurrency,
                            name=f"{name}-{queue}",
                            queues=[queue],
                            wait=wait,
                            install_signal_handlers=False,
                            listen_notify=True,
                            delete_jobs="successful",
                            shutdown_graceful_timeout=5,
                        )
                    )
        except asyncio.CancelledError:
            logger.debug("the job worker was told to stop")
            raise


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
        await opening
        await worker_app.close_async()


async def _open(worker_app: App) -> None:
    await worker_app.open_async()
