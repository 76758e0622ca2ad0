"""The embedded PostgreSQL: one server for each data folder, shared by every process that uses it."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from psycopg import pq

from letta_ade.core import postgres_engine as engine
from letta_ade.core.postgres_place import Place, PostgresFailed, locate

__all__ = ["EmbeddedPostgres", "PostgresFailed", "acquire"]

logger = logging.getLogger(__name__)

#: How long the watcher sleeps between two looks at whether it should go on.
WATCH_SECONDS = 0.5


class _Hold:
    """One user's share of a server: an open lock, and the process if this user started it."""

    def __init__(self, place: Place, users: int, options: Mapping[str, str]) -> None:
        self.place = place
        self.users = users
        self.options = options
        self.owner_pid = os.getpid()
        self.child: subprocess.Popen[bytes] | None = None
        self.released = threading.Event()
        self.wake, self._waker = os.pipe()
        self._watcher = threading.Thread(target=self._watch, name="postgres-watch", daemon=True)

    def begin(self) -> None:
        """From now on the server is kept running."""
        self._watcher.start()

    def close(self) -> None:
        """Let go of what the system gave us."""
        for handle in (self.users, self.wake, self._waker):
            os.close(handle)

    def ensure_running(self) -> None:
        started = engine.start(self.place, options=self.options)
        if started is not None:
            if self.child is not None:
                self.child.wait()
            self.child = started

    def _watch(self) -> None:
        """Start the server again whenever it dies while we use it."""
        complaint = ""
        while not self.released.is_set():
            pid = engine.postmaster_pid(self.place)
            if pid is not None and not engine.wait_for_exit(self.place, pid, WATCH_SECONDS, wake=self.wake):
                continue
            if self.released.is_set():  # we stopped it; even its folder may be gone by now
                return
            try:
                with _start_lock(self.place.folder):
                    if self.released.is_set():
                        return
                    if engine.ping(self.place) != pq.Ping.OK:
                        logger.warning("PostgreSQL has ended by itself; starting it again.")
                        self.ensure_running()
                complaint = ""
            except PostgresFailed as error:
                if error.message != complaint:
                    logger.error("%s", error.message)
                complaint = error.message
            self.released.wait(WATCH_SECONDS)

    def leave(self) -> None:
        """Give the share back; the last one stops the server."""
        if self.released.is_set() or os.getpid() != self.owner_pid:
            return
        with _start_lock(self.place.folder):
            self.released.set()
            try:
                fcntl.flock(self.users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if self.child is not None:
                    # Somebody else uses it and will stop it; Popen complains of a child nobody waits for.
                    self.child.returncode = 0
            else:
                engine.stop(self.place, self.child)
            finally:
                fcntl.flock(self.users, fcntl.LOCK_UN)  # a forked child may still have it open
        os.write(self._waker, b".")
        self._watcher.join(timeout=2)  # left alone, it would run into the end of the interpreter
        self.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedPostgres:
    """A share of a running server; `release()` it when done."""

    data_dir: Path
    url: str = field(repr=False)  # a DATABASE_URL; it holds the password
    _hold: _Hold = field(repr=False)

    def release(self) -> None:
        """Give the share back; the server stops with its last user. Calling it twice does nothing more."""
        self._hold.leave()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


def acquire(data_dir: Path, *, options: Mapping[str, str] | None = None) -> EmbeddedPostgres:
    """A share of this data folder's server, which is made, started or recovered when necessary.

    Args:
        data_dir: made when missing. Nothing above it is changed.
        options: server settings on top of ours, such as `{"fsync": "off"}`, if this call starts the server.

    Raises:
        PostgresFailed: with a sentence that says what is wrong and what to do.
    """
    data_dir = data_dir.expanduser().resolve()
    place = locate(data_dir)
    with _start_lock(place.folder):
        hold = _Hold(place, _open_lock(place.folder / "users.lock"), options or {})
        try:
            fcntl.flock(hold.users, fcntl.LOCK_SH)
            engine.initialise(place)
            password = engine.read_or_make_password(place)
            hold.ensure_running()
        except BaseException:
            hold.close()
            raise
    hold.begin()
    url = (
        f"postgresql://{engine.USER}:{password}@/{engine.DATABASE}?host={quote(str(place.sockets), safe='')}"
    )
    return EmbeddedPostgres(data_dir=data_dir, url=url, _hold=hold)


def _open_lock(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PostgresFailed(f"The data folder cannot be used: {path}: {error.strerror}.") from error


@contextmanager
def _start_lock(folder: Path) -> Iterator[None]:
    """Starting, stopping and counting happen one at a time, over all processes."""
    handle = _open_lock(folder / "start.lock")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
