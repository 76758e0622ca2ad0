"""The whole server as a process of its own, on a free port, with the database and the data folder of the test session."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlencode

from django.conf import settings

_STOP_SECONDS = 15

_SERVE = """
import socket, sys
from letta_ade.commands.serving import serve_with_uvicorn
serve_with_uvicorn([socket.socket(fileno=int(sys.argv[1]))], lambda: None)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """Where it is and the process that serves it."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}"


@contextmanager
def running_server(environment: Mapping[str, str] | None = None) -> Iterator[RunningServer]:
    """A server that answers as soon as it can: the socket is bound before it starts, so the first request just waits.

    Tests that use it need committed rows (`transaction=True`): it is another process. `environment` adds to the server's own.
    """
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(128)
        port = listener.getsockname()[1]
        process = subprocess.Popen(
            [sys.executable, "-c", _SERVE, str(listener.fileno())],
            pass_fds=[listener.fileno()],
            env={**os.environ, **_environment(port), **(environment or {})},
        )
    try:
        yield RunningServer(port=port, process=process)
    finally:
        process.terminate()
        try:
            process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_until_quiet(seconds: float = 5.0) -> None:
    """Until every run has ended and its last event is stored: a server that still writes would deadlock with the tables' flush."""
    from agents.models import Run

    deadline = time.monotonic() + seconds
    while Run.objects.exclude(events__type="RunEnded").exists() and time.monotonic() < deadline:
        time.sleep(0.01)  # the event is another process's commit


def _environment(port: int) -> dict[str, str]:
    return {
        "DATABASE_URL": _database_url(),
        "ADE_DATA_DIR": str(settings.DATA_DIR),
        "ADE_PORT": str(port),
        "ADE_JOB_WORKER": "0",
        "ADE_DEMO_WORD_PAUSE_MS": "0",
        "ADE_LOG_LEVEL": "ERROR",
    }


def _database_url() -> str:
    """The database of this test session as a URL; pytest-django has put its name into the settings."""
    database = settings.DATABASES["default"]
    query = urlencode({"host": database["HOST"]}) if database["HOST"].startswith("/") else ""
    host = "" if query else database["HOST"]
    place = f"{host}:{database['PORT']}" if database["PORT"] else host
    login = database["USER"] + (f":{database['PASSWORD']}" if database["PASSWORD"] else "")
    return f"postgresql://{login}@{place}/{database['NAME']}" + (f"?{query}" if query else "")
