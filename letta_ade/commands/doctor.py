"""`ade doctor`: looks at what the server needs; each line says what is wrong and what to do."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import stat
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from django.conf import settings

from letta_ade.commands import serving
from letta_ade.commands.database import database, pending_migrations
from letta_ade.core.data_folder import make_data_dir
from letta_ade.core.errors import AdeError

_LITTLE_DISK = 1024**3


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One line of the report."""

    topic: str
    state: Literal["ok", "warn", "bad"]
    text: str


def run() -> int:
    """Print all findings; 1 when something is bad, else 0."""
    findings: list[Finding] = []
    for check in (_python, _data_folder, _disk, _database, _providers, _port, _sandbox):
        for finding in _safely(check):
            print(f"{finding.state:4}  {finding.topic:12} {finding.text}", flush=True)
            findings.append(finding)
    bad = sum(finding.state == "bad" for finding in findings)
    print(f"\n{bad} problem{'' if bad == 1 else 's'} to solve." if bad else "\nAll is well.")
    return 1 if bad else 0


def _safely(check: Callable[[], Iterator[Finding]]) -> Iterator[Finding]:
    """What a check raises is its finding."""
    topic = check.__name__.strip("_").replace("_", " ")
    try:
        yield from check()
    except AdeError as error:
        yield Finding(topic=topic, state="bad", text=error.message)
    except OSError as error:
        yield Finding(topic=topic, state="bad", text=f"{error.filename or ''} {error.strerror}".strip())


def _python() -> Iterator[Finding]:
    version = platform.python_version()
    yield Finding(topic="python", state="ok", text=f"{version} at {sys.executable}")


def _data_folder() -> Iterator[Finding]:
    folder = settings.DATA_DIR
    make_data_dir(folder)
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        yield Finding(
            topic="data folder", state="bad", text=f"{folder} cannot be written; ADE_DATA_DIR names another."
        )
        return
    yield Finding(topic="data folder", state="ok", text=str(folder))
    for name in ("secret.key", "postgres/password"):
        file = folder / name
        if file.exists() and stat.S_IMODE(file.stat().st_mode) & 0o077:
            yield Finding(
                topic="data folder", state="bad", text=f"{file} can be read by others: chmod 600 it."
            )


def _disk() -> Iterator[Finding]:
    free = shutil.disk_usage(settings.DATA_DIR).free
    text = f"{free / 1024**3:.1f} GB free"
    yield Finding(topic="disk", state="ok" if free > _LITTLE_DISK else "warn", text=text)


def _database() -> Iterator[Finding]:
    with database():
        from django.db import Error, connection

        try:
            with connection.cursor() as cursor:
                cursor.execute("SHOW server_version")
                version = str(cursor.fetchone()[0]).split(" ", 1)[0]
                cursor.execute(
                    "SELECT max(default_version) FROM pg_available_extensions WHERE name = 'vector'"
                )
                pgvector = cursor.fetchone()[0]
            missing, unknown = pending_migrations()
        except Error as error:
            text = f"DATABASE_URL does not answer: {str(error).strip().splitlines()[0]}"
            yield Finding(topic="database", state="bad", text=text)
            return
    where = "by DATABASE_URL" if settings.DATABASE_URL else "embedded"
    major = int(version.split(".", 1)[0])
    state: Literal["ok", "bad"] = "ok" if major >= 16 else "bad"
    yield Finding(
        topic="database",
        state=state,
        text=f"PostgreSQL {version}, {where}{'' if major >= 16 else '; 16 or newer is needed'}",
    )
    if pgvector:
        yield Finding(topic="pgvector", state="ok", text=pgvector)
    else:
        yield Finding(
            topic="pgvector", state="bad", text="not installed on that server; install the extension 'vector'"
        )
    if unknown:
        yield Finding(
            topic="migrations", state="bad", text="the database was used by a newer release; start that one"
        )
    elif missing:
        yield Finding(
            topic="migrations", state="warn", text=f"{len(missing)} to do; the next start does them"
        )
    else:
        yield Finding(topic="migrations", state="ok", text="nothing to do")


def _providers() -> Iterator[Finding]:
    from letta_ade.llm import catalog

    found = [source for source in catalog.describe_environment() if source.source != "built in"]
    for source in found:
        yield Finding(topic="providers", state="ok", text=f"{source.name} ({source.source})")
    if not found:
        text = "none but the built-in demo; set a key such as OPENAI_API_KEY or ANTHROPIC_API_KEY"
        yield Finding(topic="providers", state="warn", text=text)


def _port() -> Iterator[Finding]:
    address = f"{settings.PORT} on {settings.HOST}"
    try:
        for listener in serving.open_sockets(settings.HOST, settings.PORT):
            listener.close()
    except socket.gaierror:
        yield Finding(topic="port", state="bad", text=f"there is no host {settings.HOST!r} to listen on")
    except OSError as error:
        text = f"{address} is taken or not allowed ({error.strerror}); fine if ade is up, else choose another by --port"
        yield Finding(topic="port", state="warn", text=text)
    else:
        yield Finding(topic="port", state="ok", text=f"{address} is free")


def _sandbox() -> Iterator[Finding]:
    from tools.sandbox.current import isolation_now, shut_down_sandbox

    try:
        found = isolation_now()
    finally:
        shut_down_sandbox()
    what = f" ({', '.join(found.active)})" if found.active else ""
    state: Literal["ok", "warn"] = "ok" if found.state == "full" else "warn"
    yield Finding(topic="sandbox", state=state, text=f"{found.summary}{what}")
    for each in found.missing if state == "warn" else ():
        yield Finding(topic="sandbox", state="warn", text=f"without {each}")
    if found.state in {"full", "partial"} and not found.has_network:
        text = "tools get no network: it needs namespaces, or Landlock 4 (Linux 6.7)"
        yield Finding(topic="sandbox", state="warn", text=text)
    for language, problem in found.languages.items():
        if problem is not None:
            yield Finding(topic="sandbox", state="warn", text=f"no tools in {language}: {problem}")
