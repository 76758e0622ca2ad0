"""The queue: which jobs a worker knows, and what becomes of those whose worker has died."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from procrastinate.contrib.django.models import ProcrastinateJob

from letta_ade.cli import ROOT
from letta_ade.core import threads
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
    wanted = {"agents.jobs.forget_events", "letta_ade.core.jobs.requeue_stalled_jobs"}
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
