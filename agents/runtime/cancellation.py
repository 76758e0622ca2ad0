"""Stopping a run at any moment in which it waits for somebody else, and never in the middle of a write."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

#: handover: this process ends and another one will go on with the run.
StopCause = Literal["cancelled", "shutdown", "handover", "lease_lost"]


class RunStopped(Exception):
    """The run was told to stop; `cause` says by whom."""

    def __init__(self, cause: StopCause) -> None:
        super().__init__(cause)
        self.cause = cause


class CancelToken:
    """Held by the run and by whoever may stop it. Not thread-safe: both live on the serving loop."""

    def __init__(self) -> None:
        self.cause: StopCause | None = None
        self._task: asyncio.Task[object] | None = None

    def request(self, cause: StopCause) -> None:
        """Stop at the next chance: at once when the run waits in a `cancellable` section. The first cause stays."""
        if self.cause is None:
            self.cause = cause
            if self._task is not None:
                self._task.cancel()

    def check(self) -> None:
        """Raise RunStopped when a stop was requested."""
        if self.cause is not None:
            raise RunStopped(self.cause)

    @contextmanager
    def cancellable(self) -> Iterator[None]:
        """A section that a stop may interrupt: what runs inside is thrown out of its await."""
        self.check()
        self._task = asyncio.current_task()
        assert self._task is not None, "a run is always a task"
        try:
            yield
        except asyncio.CancelledError:
            if self.cause is None:
                raise
            self._task.uncancel()
            raise RunStopped(self.cause) from None
        finally:
            self._task = None
        # Whoever swallowed the interruption has not swallowed the request.
        self.check()
