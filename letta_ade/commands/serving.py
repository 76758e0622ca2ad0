"""The two servers that can carry the application, started and stopped alike."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

APPLICATION = "letta_ade.asgi:application"
#: SIGTERM promises ten seconds: open answers get three, the application's own end has its limit, then we leave.
GRACE_SECONDS = 3
LAST_RESORT_SECONDS = 9.5
#: A connection that takes nothing for so long is dropped, and with it what waits for it.
STALLED_SECONDS = 300


def open_sockets(host: str, port: int) -> list[socket.socket]:
    """Bound sockets, one for each address of the host; raises OSError. Bound now, nobody can take the port later."""
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            listener = socket.socket(family, kind, protocol)
            sockets.append(listener)
            if os.name == "posix":
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):  # accepted connections inherit it
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, STALLED_SECONDS * 1000)
            if family == socket.AF_INET6:
                listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            chosen = sockets[0].getsockname()[1] if port == 0 and len(sockets) > 1 else address[1]
            listener.bind((address[0], chosen, *address[2:]))
    except OSError:
        for listener in sockets:
            listener.close()
        raise
    return sockets


def leave_on_signals() -> None:
    """SIGTERM, SIGINT and a closed terminal end the program through its `finally` blocks, at any moment."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(0)

    def pass_on(number: int, frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGTERM)

    signal.signal(signal.SIGTERM, leave)
    signal.signal(signal.SIGINT, leave)
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, pass_on)


def leave_for_certain() -> None:
    """Whatever hangs, the process ends in time."""

    def end() -> None:
        sys.stderr.write("ade: something did not stop in time; leaving without it.\n")
        os._exit(1)

    timer = threading.Timer(LAST_RESORT_SECONDS, end)
    timer.daemon = True
    timer.start()


def serve_with_uvicorn(sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
    """Serve until a signal; returns, or raises SystemExit, after the application's own shutdown."""
    import uvicorn

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets=sockets)
            if self.started:
                on_ready()

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            # Runs end first: their streams then say why and close, instead of being cut after the grace.
            from letta_ade.asgi import application

            await application.end_runs()
            await super().shutdown(sockets=sockets)

        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            if not self.should_exit:
                leave_for_certain()
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        APPLICATION,
        ws="websockets-sansio",
        ws_per_message_deflate=False,  # token frames are small: deflating each costs more than it saves
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        # accounts/auth.py judges forwarding headers; rewritten here, they would hide the real caller from it.
        proxy_headers=False,
        # SDK clients keep connections for a while: closing first would race with their next request.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    logging.getLogger("uvicorn.error").addFilter(_is_news)
    Server(config).run(sockets)


def _is_news(record: logging.LogRecord) -> bool:
    """Streams that are still open when we leave are cut; that is no error."""
    is_cut = record.exc_info is not None and record.exc_info[0] is asyncio.CancelledError
    return not is_cut and not record.getMessage().startswith("Cancel ")


def serve_with_daphne(sockets: list[socket.socket], on_ready: Callable[[], None]) -> None:
    """The same with Daphne, which has no lifespan of its own: we speak that part of ASGI for it."""
    from daphne.server import Server  # first: it chooses Twisted's reactor
    from django.utils.module_loading import import_string
    from twisted.internet import defer
    from twisted.internet import reactor as installed

    reactor: Any = installed  # a module that stands in for an object
    application = import_string(APPLICATION.replace(":", "."))
    lifespan = Lifespan(application)
    for listener in sockets:
        listener.listen(2048)
        listener.setblocking(False)
    server = Server(
        application,
        endpoints=[f"fd:fileno={listener.detach()}" for listener in sockets],  # Twisted closes them
        signal_handlers=False,
        server_name="",
        websocket_max_message_size=16 * 2**20,
        websocket_max_frame_size=16 * 2**20,
    )
    failures: list[BaseException] = []

    async def start() -> None:
        try:
            await lifespan.start()
            on_ready()
        except BaseException as error:
            failures.append(error)
            reactor.stop()

    async def end() -> None:
        # The application first, so that open streams still hear how their runs ended.
        try:
            await lifespan.stop()
        finally:
            reactor.stop()

    def stop(number: int, frame: FrameType | None) -> None:
        if reactor.running and not getattr(stop, "called", False):
            stop.called = True  # type: ignore[attr-defined]  # a flag beside the function it belongs to
            leave_for_certain()
            reactor.callFromThread(lambda: defer.ensureDeferred(_as_deferred(end())))

    reactor.callWhenRunning(lambda: defer.ensureDeferred(_as_deferred(start())))
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    server.run()
    if failures:
        raise failures[0]


async def _as_deferred(work: Any) -> None:
    """Run a coroutine as a task of the loop below the reactor, so that asyncio's own calls work in it."""
    from twisted.internet import defer

    await defer.Deferred.fromFuture(asyncio.ensure_future(work))


class Lifespan:
    """The application's start and end, driven as the ASGI specification says."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self.application = application
        self.inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.answers: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Raises RuntimeError when the application says that it cannot start."""
        scope = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        self.task = asyncio.ensure_future(self._drive(scope))
        await self._ask("startup")

    async def stop(self) -> None:
        if self.task is not None and not self.task.done():
            await self._ask("shutdown")

    async def _drive(self, scope: dict[str, Any]) -> None:
        try:
            await self.application(scope, self.inbox.get, self.answers.put)
        except Exception as error:
            await self.answers.put({"type": "lifespan.failed", "message": str(error)})

    async def _ask(self, what: str) -> None:
        await self.inbox.put({"type": f"lifespan.{what}"})
        answer = await self.answers.get()
        if answer["type"] != f"lifespan.{what}.complete":
            raise RuntimeError(answer.get("message") or f"The application did not finish its {what}.")
