"""A websocket that gives up on a browser which does not read: the page connects again when it is back, and catches up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from channels.generic.websocket import AsyncWebsocketConsumer
from django.conf import settings

logger = logging.getLogger(__name__)

#: "Try again later": the page reconnects and catches up.
TRY_AGAIN = 1013
_DISCONNECT = {"type": "websocket.disconnect", "code": 1006}


class BrowserLeft(Exception):
    """The browser is gone, or has not read for too long."""


class PatientConsumer(AsyncWebsocketConsumer):
    """What a frame waits for is bounded in time, and with it everything that waits behind the frame.

    Sends belong into tasks (`spawn`), which end with the connection; a handler must not wait for the browser.
    """

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._has_left = asyncio.Event()

        async def receive_or_leave() -> Any:
            waiting = [asyncio.ensure_future(receive()), asyncio.ensure_future(self._has_left.wait())]
            try:
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                return waiting[0].result() if waiting[0].done() else _DISCONNECT
            finally:
                for each in waiting:
                    each.cancel()

        async def send_in_time(message: Any) -> None:
            try:
                async with asyncio.timeout(settings.SOCKET_PATIENCE_SECONDS):
                    await send(message)
            except (TimeoutError, OSError, RuntimeError) as error:
                # The last is how uvicorn says that it has closed the connection itself, for want of a pong.
                self._has_left.set()
                raise BrowserLeft(str(error)) from error

        try:
            await super().__call__(scope, receive_or_leave, send_in_time)
        except BrowserLeft:
            # While the connection was still being made.
            await self.disconnect(1006)

    async def disconnect(self, code: int) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this beside the connection, as long as it lasts; its failure closes the connection."""
        task = asyncio.create_task(self._guard(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _guard(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except BrowserLeft:
            pass
        except asyncio.CancelledError:
            raise
        except Exception:
            # Whatever failed, the page reconnects and is drawn anew.
            logger.exception("a websocket of %s failed", self.scope["path"])
            try:
                await self.close(TRY_AGAIN)
            except BrowserLeft:
                pass
