"""The one way from the event loop to the database: a bounded pool, a connection for each of its threads."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from django.conf import settings
from django.db import close_old_connections, connections

P = ParamSpec("P")
R = TypeVar("R")

_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
#: The loop that serves; sync code on a pool thread needs it to reach websockets (`core/nudges.py`).
_serving_loop: asyncio.AbstractEventLoop | None = None


def pool() -> ThreadPoolExecutor:
    """The pool, made on first use. Also handed to asgiref, so that ninja's hops use the same threads."""
    global _pool
    with _lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(max_workers=settings.DATABASE_THREADS, thread_name_prefix="db")
        return _pool


def serving_loop() -> asyncio.AbstractEventLoop | None:
    """The event loop that last called `run`, or None in a process without one."""
    return _serving_loop


async def run(fn: Callable[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R:
    """Run synchronous code on a thread of the pool and return what it returns.

    Each call starts and ends with `close_old_connections()`: after PostgreSQL dropped a connection, every use of it
    fails until that is called.
    """
    global _serving_loop
    loop = asyncio.get_running_loop()
    _serving_loop = loop
    context = contextvars.copy_context()
    call = partial(fn, *args, **kwargs)
    return await loop.run_in_executor(pool(), lambda: context.run(_with_fresh_connection, call))


def _with_fresh_connection(call: Callable[[], R]) -> R:
    # Inside a transaction (tests that wrap a whole test in one) the connection must be left alone.
    if not any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
        close_old_connections()
    try:
        return call()
    finally:
        if not any(connection.in_atomic_block for connection in connections.all(initialized_only=True)):
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
