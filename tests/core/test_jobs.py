"""The queue: which jobs a worker knows, and what becomes of those whose worker has died."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob

from letta_ade.cli import ROOT
from letta_ade.core import jobs, threads
from letta_ade.core.jobs import app, requeue_stalled_jobs, run_worker

done: list[str] = []

_TELL = """
import letta_ade.asgi
from letta_ade.core.jobs import app
print(*app.tasks)
print(*(each.task.name for each in app.periodic_registry.periodic_tasks.values()))
"""


@app.task(name="tests.note")
async def note(words: str) -> None:
    done.append(words)


def test_a_serving_process_knows_the_jobs_of_every_app() -> None:
    """In a process of its own: here the tests themselves have imported them."""
    said = subprocess.run(
        [sys.executable, "-c", _TELL],
        capture_output=True,
        text=True,
        check=True,
        cwd=ROOT,
        env=os.environ,
    )
    known, periodic = (line.split() for line in said.stdout.splitlines())
    wanted = {
        "agents.jobs.expire_requests",
        "agents.jobs.forget_events",
        "letta_ade.core.jobs.requeue_stalled_jobs",
    }
    assert wanted | {"agents.execute_run", "send_callback"} <= set(known)
    assert wanted == set(periodic)


@pytest.mark.django_db(transaction=True)
async def test_a_job_of_a_dead_worker_is_done_by_another() -> None:
    done.clear()

    def abandoned() -> None:
        note.defer(words="again")
        # As a killed worker leaves it, once its row is gone.
        ProcrastinateJob.objects.filter(task_name="tests.note").update(status="doing", worker=None)
        requeue_stalled_jobs.configure(queueing_lock="of a test").defer(timestamp=0)

    await threads.run(abandoned)
    await run_worker(wait=False)
    await run_worker(wait=False)
    assert done == ["again"]


@pytest.mark.django_db(transaction=True)
async def test_a_job_whose_twin_waits_already_does_not_keep_others_from_being_done_again() -> None:
    done.clear()

    def abandoned() -> None:
        for words in ("first", "second"):
            note.configure(queueing_lock="same" if words == "first" else None).defer(words=words)
        ProcrastinateJob.objects.filter(task_name="tests.note").update(status="doing", worker=None)
        note.configure(queueing_lock="same", schedule_in={"hours": 1}).defer(words="twin")
        requeue_stalled_jobs.configure(queueing_lock="of a test").defer(timestamp=0)

    await threads.run(abandoned)
    await run_worker(wait=False)
    await run_worker(wait=False)
    assert done == ["second"]
    left = ProcrastinateJob.objects.filter(task_name="tests.note", queueing_lock="same")
    assert await threads.run(lambda: [job.args["words"] for job in left]) == ["twin"]
    await threads.run(left.delete)


@pytest.mark.django_db(transaction=True)
async def test_a_worker_goes_on_after_its_connections_were_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "_RESTART_SECONDS", 0.01)
    done.clear()
    # A queue of its own: workers of other tests must not take the job.
    working = asyncio.create_task(run_worker(name="cut", queues={"cut": 1}))

    def wait_for_worker() -> list[int]:
        """The server's ends of what listens for jobs."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%%'"
            )
            return [pid for (pid,) in cursor.fetchall()]

    def cut_all() -> None:
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid() AND backend_type = 'client backend'"
            )

    for words in ("before", "after"):
        while not await threads.run(wait_for_worker):
            assert not working.done()
        await threads.run(lambda: note.configure(queue="cut").defer(words=words))  # noqa: B023 (run at once)
        while words not in done:
            assert not working.done()
            await asyncio.sleep(0.01)  # another task's work
        await threads.run(cut_all)
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
    assert done == ["before", "after"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turns", [*range(12), 20, 40, 80])
async def test_a_worker_that_is_told_twice_while_it_starts_ends(
    turns: int, caplog: pytest.LogCaptureFixture
) -> None:
    """The process that stops tells it to end its runs first, and once more when all ends."""
    working = asyncio.create_task(run_worker(name="early", queues={"early": 1}))
    for _ in range(turns):
        await asyncio.sleep(0)  # other tasks' turns, not time
    working.cancel()
    for _ in range(3):
        await asyncio.sleep(0)
    working.cancel()
    done_, _pending = await asyncio.wait({working}, timeout=20)
    assert done_, "the worker never ended"
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == []
