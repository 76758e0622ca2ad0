"""The sandbox of this process."""

from __future__ import annotations

import asyncio
import threading

from django.conf import settings

from tools.sandbox import e2b
from tools.sandbox.local import LocalSandbox
from tools.sandbox.port import Isolation, Sandbox

_lock = threading.Lock()
_local: LocalSandbox | None = None


def sandbox() -> Sandbox:
    """The sandbox in which tools of this server run. Nothing is started before the first call."""
    return e2b.E2bSandbox() if settings.SANDBOX == "e2b" else _local_sandbox()


async def isolation() -> Isolation:
    """What stands between a tool and this server. Starts what is needed to find out."""
    return await asyncio.to_thread(isolation_now)


def isolation_now() -> Isolation:
    """The same for a thread without an event loop."""
    return e2b.isolation() if settings.SANDBOX == "e2b" else _local_sandbox().isolation()


async def close_sandbox() -> None:
    """End every call and all that was started. The next call would start anew."""
    await asyncio.to_thread(shut_down_sandbox)


def shut_down_sandbox() -> None:
    """The same for a thread without an event loop."""
    global _local
    with _lock:
        ended, _local = _local, None
    if ended is not None:
        ended.shut_down()


def _local_sandbox() -> LocalSandbox:
    global _local
    with _lock:
        if _local is None:
            _local = LocalSandbox()
        return _local
