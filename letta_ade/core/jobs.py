"""Work that may outlive a request: procrastinate's queue in our PostgreSQL."""

from __future__ import annotations

import asyncio
import logging

from django.conf import settings
from procrastinate import PsycopgConnector
from procrastinate.contrib.django import app

logger = logging.getLogger(__name__)

__all__ = ["app", "run_worker"]


async def run_worker(*, concurrency: int = 4, name: str = "worker", wait: bool = True) -> None:
    """Work on jobs until cancelled, or, without `wait`, until none is left. Signals stay with the server; running jobs get some seconds to finish."""
    database = settings.DATABASES["default"]
    connector = PsycopgConnector(
        kwargs={
            "dbname": database["NAME"],
            "user": database["USER"] or None,
            "password": database["PASSWORD"] or None,
            "host": database["HOST"] or None,
            "port": database["PORT"] or None,
        },
        min_size=1,
        max_size=4,
    )
    worker_app = app.with_connector(connector)
    async with worker_app.open_async():
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
