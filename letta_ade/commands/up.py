"""`ade up`: one process with web pages, API, runs, jobs and, unless told otherwise, its own database."""

from __future__ import annotations

import errno
import json
import os
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

if sys.platform != "win32":
    import fcntl

from django.conf import settings

from letta_ade.commands import serving
from letta_ade.commands.database import CommandFailed, database, migrate
from letta_ade.commands.greeting import display_url, greet
from letta_ade.core.data_folder import make_data_dir

SERVERS = ("uvicorn", "daphne")


def run() -> None:
    """Serve until a signal. Raises CommandFailed with a sentence for everything that stands in the way."""
    _check_choices()
    serving.leave_on_signals()
    make_data_dir(settings.DATA_DIR)
    with _only_one(settings.DATA_DIR / "up.lock") as note:
        sockets = _take_port(settings.HOST, settings.PORT)
        port = sockets[0].getsockname()[1]
        settings.PORT = port
        url = display_url(settings.HOST, port)
        note(url)
        with database():
            migrate()
            serve = serving.serve_with_daphne if settings.SERVER == "daphne" else serving.serve_with_uvicorn
            try:
                serve(sockets, lambda: greet(url))
            finally:
                for listener in sockets:
                    listener.close()


def _check_choices() -> None:
    if settings.SERVER not in SERVERS:
        raise CommandFailed(f"ADE_SERVER must be uvicorn or daphne, not {settings.SERVER!r}.")
    if settings.WORKERS > 1 and not settings.REDIS_URL:
        raise CommandFailed(
            f"{settings.WORKERS} web processes need Redis to share their live streams: set REDIS_URL. "
            "One process needs nothing."
        )
    if settings.WORKERS > 1:
        raise CommandFailed(
            "This release serves from one web process. Start it without --workers, and add "
            "`ade worker` processes for jobs and background runs."
        )


def _take_port(host: str, port: int) -> list[socket.socket]:
    try:
        return serving.open_sockets(host, port)
    except socket.gaierror:
        raise CommandFailed(f"There is no host {host!r} to listen on.") from None
    except OSError as error:
        match error.errno:
            case errno.EADDRINUSE:
                sentence = (
                    f"Port {port} on {host} is taken by another program. "
                    f"Stop that one, or choose another port: ade up --port {port + 1}"
                )
            case errno.EACCES:
                sentence = f"Port {port} is reserved for root. Choose one above 1023: ade up --port 8283"
            case errno.EADDRNOTAVAIL:
                sentence = f"{host} is not an address of this machine."
            case _:
                sentence = f"Port {port} on {host} cannot be used: {error.strerror}."
        raise CommandFailed(sentence) from None


@contextmanager
def _only_one(path: Path) -> Iterator[Callable[[str], None]]:
    """Hold the data folder's lock, and get a function that notes our address in it; or name who holds it."""
    if sys.platform == "win32":  # no flock there; the port still tells two apart
        yield lambda url: None
        return
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandFailed(_name_the_first(path)) from None

        def note(url: str) -> None:
            os.ftruncate(handle, 0)
            os.pwrite(handle, json.dumps({"pid": os.getpid(), "url": url}).encode(), 0)

        note("")
        yield note
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def _name_the_first(path: Path) -> str:
    try:
        first = json.loads(path.read_text())
    except ValueError:  # it is just starting or stopping
        first = {}
    at = f" at {first['url']}" if first.get("url") else ""
    process = f" (process {first['pid']})" if first.get("pid") else ""
    return (
        f"ade is already running on the data folder {path.parent}{at}{process}. "
        "Use that one, stop it, or name another folder with ADE_DATA_DIR."
    )
