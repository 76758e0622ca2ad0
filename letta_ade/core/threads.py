"""The ways from the event loop to synchronous code: a bounded pool for the database, a connection for each of its threads.

And other threads for what waits for servers of others: sixteen silent ones must not keep everybody from the database.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import close_old_connections, connections

from letta_ade.core.database import drop_if_cut, may_pass

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")

#: Pauses between two tries while the database is away; they double.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0

_lock = threading.Lock()
_pool: _Pool | None = None
#: Room for threads that wait for servers of others, by loop: a server has one, a test run has many.
_rooms: WeakKeyDictionary[asyncio.AbstractEventLoop, asyncio.Semaphore] = WeakKeyDictionary()
#: The loop that serves; sync code on a pool thread needs it to reach websockets (`core/nudges.py`).
_serving_loop: asyncio.AbstractEventLoop | None = None


def pool() -> ThreadPoolExecutor:
    """The pool, made on first use. Also handed to asgiref, so that ninja's hops use the same threads."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = _Pool(max_workers=settings.DATABASE_THREADS, thread_name_prefix="db")
        return _pool


def serving_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that last called `run`, or None in a process without one."""
    return _serving_loop


async def run(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run synchronous code on a thread of the pool and return what it returns."""
    global _serving_loop
    loop = asyncio.get_running_loop()
    _serving_loop = loop
    context = contextvars.copy_context()
    call = partial(fn, *args, **kwargs)
    return await loop.run_in_executor(pool(), lambda: context.run(call))


async def run_outside(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """The same for code that waits for a server of others, on a thread of its own.

    Cancelled, it is left alone there; neither anybody else nor the end of the process waits for it.
    """
    loop = asyncio.get_running_loop()
    room = _rooms.setdefault(loop, asyncio.Semaphore(settings.OUTSIDE_THREADS))
    await room.acquire()
    done: Future[R] = Future()
    done.set_running_or_notify_cancel()
    context = contextvars.copy_context()

    def work() -> None:
        try:
            done.set_result(context.run(_with_fresh_connection, partial(fn, *args, **kwargs)))
        except BaseException as error:
            done.set_exception(error)
        finally:
            connections.close_all()
            if not loop.is_closed():
                loop.call_soon_threadsafe(room.release)

    threading.Thread(target=work, name="outside", daemon=True).start()
    return await asyncio.wrap_future(done)


async def insist(fn: Callable[..., R], /, *args: Any, patience: float | None, is_outside: bool = False) -> R:
    """`run` (or `run_outside`), and again while the database is away or the work loses against another transaction.

    `fn` is safe to run again, also when its first try was stored and only the answer was lost. After `patience` seconds the failure
    is raised; None: never.
    """
    began, pause, is_news = time.monotonic(), _FIRST_PAUSE, True
    while True:
        try:
            return await (run_outside(fn, *args) if is_outside else run(fn, *args))
        except Exception as error:
            if not may_pass(error) or (patience is not None and time.monotonic() - began > patience):
                raise
            level = logging.WARNING if is_news else logging.DEBUG
            logger.log(level, "%s is tried again: %s", getattr(fn, "__name__", fn), error)
        await asyncio.sleep(pause)
        pause, is_news = min(pause * 2, _LONGEST_PAUSE), False


class _Pool(ThreadPoolExecutor):
    """Threads whose every call, ours or asgiref's, finds a connection that works, or none."""

    def submit(self, fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        return super().submit(_with_fresh_connection, partial(fn, *args, **kwargs))


def _with_fresh_connection(call: Callable[[], R]) -> R:
    _freshen()
    try:
        return call()
    finally:
        _freshen()


def _freshen() -> None:
    """Drop a broken connection of this thread: after PostgreSQL ended it, every use of it would fail."""
    opened = connections.all(initialized_only=True)
    # Inside a transaction (tests that wrap a whole test in one) the connection must be left alone.
    if not any(connection.in_atomic_block for connection in opened):
        for connection in opened:
            drop_if_cut(connection)
        close_old_connections()


def shut_down() -> None:
    """Close the connection of every thread and end the pool. Called once, when the server stops."""
    global _pool
    with _lock:
        pool_now, _pool = _pool, None
    if pool_now is not None:
        for _ in range(settings.DATABASE_THREADS):
            pool_now.submit(connections.close_all)
        pool_now.shutdown(wait=True)
