"""What a process does beside answering requests: it works on jobs, hears other processes, and watches over leases."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Coroutine
from typing import Any

from django.conf import settings

from agents.services import execution
from agents.services.leases import RUN_QUEUE
from letta_ade.core import jobs, notices, nudges
from tools.sandbox.current import close_sandbox


class Background:
    """The tasks of one process. `stop` ends its runs as well, with a reason or by handing them over."""

    def __init__(self) -> None:
        self._worker: asyncio.Task[None] | None = None
        self._watchers: list[asyncio.Task[None]] = []

    def start(self, *, name: str, works_on_jobs: bool) -> None:
        """Begin; on the serving loop. `name` is how the workers are called in the queue."""
        self._watchers = [
            _task(work)
            for work in (notices.listen(), nudges.relay(), execution.watch_stops(), execution.watch_leases())
        ]
        if works_on_jobs:
            queues = {jobs.DEFAULT_QUEUE: 4, RUN_QUEUE: settings.BACKGROUND_RUNS}
            self._worker = _task(jobs.run_worker(name=name, queues=queues))

    async def wait(self) -> None:
        """Until the worker ends, which it does when it is cancelled. To cancel this wait does not cancel the worker.

        It would wait for its jobs, and so for the runs that are to be handed over first.
        """
        if self._worker is not None:
            await asyncio.wait({self._worker})

    async def end_runs(self) -> None:
        """End every run with a reason, so that its readers hear it, and take up no other."""
        if self._worker is not None:
            self._worker.cancel()
        await execution.close(is_final=True)

    async def stop(self) -> None:
        """End everything."""
        await self.end_runs()
        tasks = [*self._watchers, *([self._worker] if self._worker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await close_sandbox()


def _task(work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
    # A context of its own: one made inside a request dies with the request's thread context.
    return asyncio.get_running_loop().create_task(work, context=contextvars.Context())
