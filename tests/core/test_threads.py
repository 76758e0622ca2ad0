"""The way to the database: connections that were cut, failures that pass, and work that waits for others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import psycopg
import pytest
from django.conf import settings
from django.db import InterfaceError, OperationalError, connection

from letta_ade.core import database, threads
from letta_ade.core.database import connection_parameters, is_away, may_pass

pytestmark = pytest.mark.django_db(transaction=True)


def backend() -> int:
    """The server's end of this thread's connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return int(cursor.fetchone()[0])


def cut(pid: int) -> None:
    """End a connection as an administrator or a dying server does, and wait until it is gone."""
    with psycopg.connect(**connection_parameters(), autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


async def on_each_thread(work: Callable[[], int], count: int) -> list[int]:
    """Run it on so many threads of the pool at once."""
    together = threading.Barrier(count)

    def one() -> int:
        together.wait(10)
        return work()

    return await asyncio.gather(*(threads.run(one) for _ in range(count)))


async def test_connections_that_were_cut_while_they_were_idle_fail_nobody() -> None:
    pids = await on_each_thread(backend, 4)
    assert len(set(pids)) == 4
    for pid in pids:
        await asyncio.to_thread(cut, pid)
    assert not set(await on_each_thread(backend, 4)) & set(pids)


async def test_connections_last_while_nobody_cuts_them() -> None:
    every_thread = settings.DATABASE_THREADS
    before = await on_each_thread(backend, every_thread)
    assert set(await on_each_thread(backend, every_thread)) == set(before)


async def test_a_connection_that_is_cut_at_work_fails_once() -> None:
    def cut_myself() -> int:
        cut(backend())
        return backend()

    with pytest.raises(OperationalError) as failure:
        await threads.run(cut_myself)
    assert is_away(failure.value)
    assert await threads.run(backend)


async def test_insisting_tries_again_until_it_works_or_patience_ends() -> None:
    tries = 0

    def fail_twice() -> str:
        nonlocal tries
        tries += 1
        if tries < 3:
            raise OperationalError("the connection is lost")
        return "done"

    assert await threads.insist(fail_twice, patience=None) == "done"
    tries = 0
    with pytest.raises(OperationalError):
        await threads.insist(fail_twice, patience=0)
    assert tries == 1


async def test_insisting_does_not_repeat_what_will_not_pass() -> None:
    tries = 0

    def fail() -> None:
        nonlocal tries
        tries += 1
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await threads.insist(fail, patience=None)
    assert tries == 1


@pytest.mark.parametrize(
    ("error", "cause", "away", "passing"),
    [
        (OperationalError("consuming input failed"), None, True, True),
        (InterfaceError("connection already closed"), None, True, True),
        (OperationalError("terminating"), psycopg.errors.AdminShutdown(), True, True),
        (OperationalError("starting up"), psycopg.errors.CannotConnectNow(), True, True),
        (OperationalError("too many"), psycopg.errors.TooManyConnections(), True, True),
        (OperationalError("broken"), psycopg.errors.ConnectionFailure(), True, True),
        (OperationalError("deadlock"), psycopg.errors.DeadlockDetected(), False, True),
        (OperationalError("full"), psycopg.errors.DiskFull(), False, False),
        (ValueError("no"), None, False, False),
    ],
)
def test_what_may_pass(error: Exception, cause: Exception | None, away: bool, passing: bool) -> None:
    error.__cause__ = cause
    assert (is_away(error), may_pass(error)) == (away, passing)


async def test_work_that_waits_for_others_keeps_nobody_from_the_database(settings: object) -> None:
    """More of it than the pool has threads; and it has a connection while it works."""
    go_on = threading.Event()
    pids: list[int] = []

    def wait() -> None:
        pids.append(backend())
        assert go_on.wait(20)

    waiting = [asyncio.create_task(threads.run_outside(wait)) for _ in range(20)]
    while len(pids) < 20:
        await threads.run(backend)
    go_on.set()
    await asyncio.gather(*waiting)
    assert len(set(pids)) == 20

    def left() -> int:
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", [pids])
            return int(cursor.fetchone()[0])

    # These threads keep no connection.
    while await threads.run(left):
        pass


async def test_work_that_waits_for_others_is_left_alone_when_it_is_cancelled() -> None:
    begun, go_on, done = threading.Event(), threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        assert go_on.wait(20)
        done.set()

    task = asyncio.create_task(threads.run_outside(wait))
    await asyncio.to_thread(begun.wait, 20)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not done.is_set()
    go_on.set()
    assert await asyncio.to_thread(done.wait, 20)


async def test_what_such_work_raises_arrives() -> None:
    def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await threads.run_outside(fail)


def test_a_connection_in_use_is_not_taken_for_a_cut_one() -> None:
    pid = backend()
    database.drop_if_cut(connection)
    assert backend() == pid
