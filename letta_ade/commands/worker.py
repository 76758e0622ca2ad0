"""`ade worker`: a process that only works on jobs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from types import FrameType

from django.conf import settings

from letta_ade.commands import serving
from letta_ade.commands.database import database, migrate
from letta_ade.commands.greeting import say


def run() -> None:
    """Work until a signal; running jobs get some seconds to finish."""
    serving.leave_on_signals()
    with database():
        migrate()
        stop = StopRequest()
        say(
            f"Working on the jobs of {'DATABASE_URL' if settings.DATABASE_URL else settings.DATA_DIR}. Ctrl-C stops."
        )
        asyncio.run(stop.run(_work))


async def _work() -> None:
    from letta_ade.background import Background
    from letta_ade.llm.providers.clients import close_clients

    background = Background()
    background.start(name="worker", works_on_jobs=True)
    try:
        await background.wait()
    finally:
        await background.stop()
        await close_clients()


class StopRequest:
    """A signal that may arrive before, while or after the loop starts, and is never lost or fatal to it."""

    def __init__(self) -> None:
        self._is_asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        signal.signal(signal.SIGTERM, self._ask)
        signal.signal(signal.SIGINT, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if not self._is_asked:
            serving.leave_for_certain()
        self._is_asked = True
        if self._loop is not None and self._task is not None:
            self._loop.call_soon_threadsafe(self._task.cancel)

    async def run(self, work: Callable[[], Coroutine[None, None, None]]) -> None:
        """The work, until it ends or the signal comes."""
        self._loop = asyncio.get_running_loop()
        self._task = asyncio.ensure_future(work())
        if self._is_asked:
            self._task.cancel()
        await asyncio.wait({self._task})
        self._loop = None
        if not self._task.cancelled():
            self._task.result()
