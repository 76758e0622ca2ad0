"""A worker for runs of the background, in the loop of a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from agents.services.leases import RUN_QUEUE
from letta_ade.core.jobs import run_worker


@asynccontextmanager
async def run_queue_worker() -> AsyncIterator[None]:
    """Inside, queued runs are worked on."""
    task = asyncio.create_task(run_worker(name="test", queues={RUN_QUEUE: 10}))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
