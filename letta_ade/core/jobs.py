"""Work that may outlive a request: procrastinate's queue in our PostgreSQL."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from procrastinate import App, PsycopgConnector
from procrastinate.contrib.django import app

from letta_ade.core.database import connection_parameters

logger = logging.getLogger(__name__)

__all__ = ["app", "run_worker"]


async def run_worker(*, concurrency: int = 4, name: str = "worker", wait: bool = True) -> None:
    """Work on jobs until cancelled, or, without `wait`, until none is left.

    Signals stay with the server; running jobs get some seconds to finish.
    """
    connector = PsycopgConnector(kwargs=connection_parameters(), min_size=1, max_size=4)
    worker_app = app.with_connector(connector)
    async with _opened(worker_app):
        try:
            await worker_app.run_worker_async(
                concurrency=concurrency,
                name=name,
                wait=wait,
                install_signal_handlers=False,
                listen_notify=True,
                delete_jobs="successful",
                shutdown_graceful_timeout=5,
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
