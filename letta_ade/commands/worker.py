"""`ade worker`: a process that only works on jobs."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine

from django.conf import settings

from letta_ade.commands import serving
from letta_ade.commands.database import database, migrate
from letta_ade.commands.greeting import say


def run() -> None:
    """Work until a signal; running jobs get some seconds to finish."""
    serving.leave_on_signals()
    with database():
        migrate()
        from letta_ade.core.jobs import run_worker

        say(
            f"Working on the jobs of {'DATABASE_URL' if settings.DATABASE_URL else settings.DATA_DIR}. Ctrl-C stops."
        )
        asyncio.run(_until_signalled(run_worker))


async def _until_signalled(work: Callable[[], Coroutine[None, None, None]]) -> None:
    task = asyncio.ensure_future(work())
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        if not task.cancelled():
            raise
