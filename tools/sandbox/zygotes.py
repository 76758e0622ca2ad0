"""The zygotes of this process: started when they are first needed, started again when they have died."""

from __future__ import annotations

import array
import logging
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from django.conf import settings

from tools.sandbox import place
from tools.sandbox.inside import frames, removal

logger = logging.getLogger(__name__)

#: Accounts of calls when the server is root: those that systemd gives to nobody for long. One of them for each call.
FIRST_USER, USERS = 61_184, 4_000
_START_SECONDS = 20.0
_STOP_SECONDS = 3.0
#: Of the names of their folders.
_PREFIX = "ade-sandbox-"
#: What a zygote complains of, in its folder.
_LOG = "log"


class ZygoteFailed(Exception):
    """A zygote does not start in this way; the text says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a zygote has found to confine calls with."""

    landlock: int
    seccomp: bool
    private_root: bool
    pid_namespace: bool
    user_drop: bool
    is_root: bool
    is_bubblewrapped: bool
    #: How calls with a network are kept to the proxy: namespace, landlock; none: there is no network.
    net: str
    #: Where the proxy is inside a network namespace.
    port: int | None
    #: Why another way to start was not taken.
    refusals: tuple[str, ...] = ()

    @property
    def is_enough(self) -> bool:
        """Whether strangers' code may run: kept from files and sockets, and not as root."""
        is_kept = self.landlock > 0 or (self.private_root and self.pid_namespace)
        return self.seccomp and is_kept and (self.user_drop or not self.is_root)


@dataclass(frozen=True, slots=True, kw_only=True)
class Folders:
    """Where the sandbox keeps things."""

    #: Environments of requirements, by hash.
    environments: Path

    @classmethod
    def make(cls) -> Folders:
        """The folders, made if they are new. Raises OSError."""
        environments = settings.DATA_DIR / "environments"
        environments.mkdir(parents=True, exist_ok=True)
        return cls(environments=environments)


class Zygote:
    """One zygote, with the descriptors by which it is told what to do."""

    def __init__(self, *, process: subprocess.Popen[bytes], control: socket.socket, folder: Path) -> None:
        self._process, self._control, self._folder = process, control, folder
        self._lock = threading.Lock()
        self.facts: Facts
        #: Where connections of calls arrive, in their network namespace.
        self.listener: socket.socket | None = None

    @property
    def pid(self) -> int:
        """Of the process that was started: bubblewrap's, where that is around it."""
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def fork(self, ends: Sequence[int]) -> None:
        """Start a call with these descriptors. Raises OSError when the zygote has died."""
        with self._lock:
            self._control.sendmsg(
                [b"c"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", ends).tobytes())]
            )

    def close(self) -> None:
        """End it and every call in it."""
        self._control.close()
        if self.listener is not None:
            self.listener.close()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        removal.remove(os.fspath(self._folder))

    def settle(self, order: dict[str, Any], *, is_bubblewrapped: bool) -> None:
        """Tell it what to be and hear what it is. Raises ZygoteFailed."""
        self._control.settimeout(_START_SECONDS)
        try:
            self._control.sendall(frames.pack(order))
            data, ends, _, _ = socket.recv_fds(self._control, 65536, 1)
            if ends:
                self.listener = socket.socket(fileno=ends[0])
            rest = bytearray(data)

            def receive(size: int) -> bytes:
                if not rest:
                    return self._control.recv(size)
                part = bytes(rest[:size])
                del rest[:size]
                return part

            told, _ = frames.read(receive)
        except (OSError, EOFError, ValueError) as error:
            raise ZygoteFailed(self._last_words() or str(error)) from error
        if "failed" in told:
            raise ZygoteFailed(told["failed"])
        self._control.settimeout(None)
        self.facts = Facts(is_bubblewrapped=is_bubblewrapped, **told)

    def _last_words(self) -> str:
        try:
            self._process.wait(1)
        except subprocess.TimeoutExpired:
            return "it does not answer"
        lines = (self._folder / _LOG).read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"it ended with {self._process.returncode}"


def start(*, network: bool, folders: Folders) -> Zygote:
    """A zygote in the best surroundings that this machine gives. Raises ZygoteFailed when none works."""
    clear_up()
    refusals: list[str] = []
    for way in _ways():
        try:
            zygote = _start(way, network=network, folders=folders)
        except ZygoteFailed as error:
            logger.info("the sandbox does not start with %s: %s", way, error)
            refusals.append(f"{way}: {error}")
            continue
        if refusals:
            fields = {name: getattr(zygote.facts, name) for name in Facts.__slots__}
            zygote.facts = Facts(**{**fields, "refusals": tuple(refusals)})
        return zygote
    raise ZygoteFailed("; ".join(refusals))


def _ways() -> list[str]:
    ways = ["plain"]
    if sys.platform == "linux" and "namespaces" not in settings.SANDBOX_WITHOUT:
        ways.insert(0, "namespaces")
        if place.bubblewrap_program():
            ways.insert(0, "bubblewrap")
    return ways


def _start(way: str, *, network: bool, folders: Folders) -> Zygote:
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
    folder.chmod(0o711)  # calls of other accounts pass through it to their own
    ours, theirs = socket.socketpair()
    command = place.zygote_command(theirs.fileno())
    if way == "bubblewrap":
        bubblewrap = place.bubblewrap_program()
        assert bubblewrap is not None, "it is one of the ways"
        command = place.wrapped(command, bubblewrap=bubblewrap, environments=os.fspath(folders.environments))
    staging = folder / "root"
    staging.mkdir()
    proc = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY) if os.path.isdir("/proc") else None
    try:
        with (folder / _LOG).open("wb") as log:
            _lock(
                log.fileno()
            )  # held until the zygote and all its keepers have ended: it is their stderr too
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                pass_fds=[theirs.fileno(), *([proc] if proc is not None else [])],
                cwd="/",
                env={"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"},
                start_new_session=True,
            )
        zygote = Zygote(process=process, control=ours, folder=folder)
        order = _order(way, network=network, folder=folder, folders=folders, proc=proc)
        try:
            zygote.settle(order, is_bubblewrapped=way == "bubblewrap")
        except ZygoteFailed:
            zygote.close()
            raise
        return zygote
    except OSError as error:
        ours.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise ZygoteFailed(f"{error.strerror or error}") from error
    finally:
        theirs.close()
        if proc is not None:
            os.close(proc)


def clear_up() -> None:
    """Remove the folders of zygotes that have ended without their server, which was killed."""
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        try:
            if folder.lstat().st_uid != os.geteuid():
                continue
            with (folder / _LOG).open("rb") as log:
                _lock(log.fileno())
        except OSError:
            continue  # it lives, or has just begun
        removal.remove(os.fspath(folder))


def _lock(descriptor: int) -> None:
    import fcntl  # not on Windows, where there is no sandbox either

    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _order(way: str, *, network: bool, folder: Path, folders: Folders, proc: int | None) -> dict[str, Any]:
    root = None
    if way == "namespaces":
        view = place.view(os.fspath(folders.environments))
        root = {"readable": view.readable, "links": view.links}
    return {
        "proc": proc,
        "network": network,
        "root": root,
        "staging": os.fspath(folder / "root"),
        "tmp_base": os.fspath(folder),
        "is_wrapped": way == "bubblewrap",
        "readable": place.readable_paths(),
        "landlock": "landlock" not in settings.SANDBOX_WITHOUT,
        "seccomp": "seccomp" not in settings.SANDBOX_WITHOUT,
        "first_user": FIRST_USER,
        "other_processes": _processes_of_this_user(),
    }


def _processes_of_this_user() -> int:
    """How many threads run as this user: the limit of processes counts them too."""
    count = 0
    for entry in Path("/proc").glob("[0-9]*") if sys.platform == "linux" else ():
        try:
            if entry.stat().st_uid == os.geteuid():
                count += len(os.listdir(entry / "task"))
        except OSError:
            continue  # it has ended, or hides
    return count
