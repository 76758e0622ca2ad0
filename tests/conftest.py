"""A database of its own for every session, no network but loopback, nothing of the caller's environment."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings

from letta_ade.core import postgres
from letta_ade.llm.environment import PROVIDER_VARIABLES
from tests.support import network

#: Nothing here outlives the session, so nothing needs to survive a power cut.
FAST = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "shared_buffers": "128MB",
}
#: What a developer may have set for real use; here it would decide what a test sees.
CLEARED_PREFIXES = ("ADE_", "LETTA_", "PG")
CLEARED_NAMES = ("ACCEPTABLE_ORIGINS", "GLOBAL_MAX_CONTEXT_WINDOW_LIMIT", "TOOL_SANDBOX_TIMEOUT", "REDIS_URL")
PROXIES = ("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy")

embedded_key = pytest.StashKey[postgres.EmbeddedPostgres]()
folder_key = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "letta_ade.settings"
    if "PYTEST_XDIST_WORKER" not in os.environ:  # a worker inherits all of this
        _clear_environment()
        folder = Path(tempfile.mkdtemp(prefix="ade-tests-"))
        folder.chmod(0o711)  # root's PostgreSQL runs as another account, which must get in
        config.stash[folder_key] = folder
        os.environ["ADE_DATA_DIR"] = str(folder / "data")
        if not os.environ.get("DATABASE_URL"):
            embedded = postgres.acquire(folder / "data", options=FAST)
            config.stash[embedded_key] = embedded
            os.environ["DATABASE_URL"] = embedded.url
            os.environ["ADE_TEST_EMBEDDED"] = "1"
    # Loads them now that the environment is complete; pytest-django sets Django up only then.
    assert settings.DATABASES
    network.forbid()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep together what shares a process, when that is asked for (`--dist loadgroup`, as `./ade test` does)."""
    if config.getvalue("dist") != "loadgroup":
        return None
    from tests.support.scheduling import ByPlace

    return ByPlace(config, log)


def pytest_unconfigure(config: pytest.Config) -> None:
    if embedded := config.stash.get(embedded_key, None):
        embedded.release()
    if folder := config.stash.get(folder_key, None):
        shutil.rmtree(folder, ignore_errors=True)


def _clear_environment() -> None:
    for name in list(os.environ):
        if (
            name.startswith(CLEARED_PREFIXES)
            or name in CLEARED_NAMES
            or name in PROVIDER_VARIABLES
            or name.lower() in PROXIES
        ):
            del os.environ[name]


@pytest.fixture(scope="session")
def django_db_keepdb(request: pytest.FixtureRequest) -> bool:
    """Our own server goes away whole; its databases, held open by idle threads, need no dropping."""
    return "ADE_TEST_EMBEDDED" in os.environ or bool(request.config.getvalue("reuse_db"))


@pytest.fixture
def reachable_tmp_path() -> Iterator[Path]:
    """A temporary folder that other accounts may pass through; pytest's own is closed to them."""
    folder = Path(tempfile.mkdtemp(prefix="ade-test-"))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def fresh_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has guessed a password or a key yet."""
    # Its package has models, which must not load before Django is set up; this module does not need them.
    from letta_ade.accounts import attempts

    monkeypatch.setattr(attempts, "passwords", attempts.PasswordAttempts())
    monkeypatch.setattr(attempts, "keys", attempts.KeyAttempts())


@pytest.fixture(scope="session", autouse=True)
def patient_flush() -> Iterator[None]:
    """Empty the tables again where PostgreSQL stopped that: a request for which nobody waits any more still read them.

    The two locked in different orders, and one of both had to give way; the reader ends, so the next try meets nobody.
    """
    from django.db import OperationalError
    from django.db.backends.postgresql.operations import DatabaseOperations
    from psycopg.errors import DeadlockDetected

    flush = DatabaseOperations.execute_sql_flush

    def flush_again(operations: DatabaseOperations, statements: list[str]) -> None:
        for _ in range(3):
            try:
                return flush(operations, statements)
            except OperationalError as error:
                if not isinstance(error.__cause__, DeadlockDetected):
                    raise
        return flush(operations, statements)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", flush_again)
        yield
