"""Jobs that keep runs in order, worked on by a real worker."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.jobs import forget_events
from agents.models import Run, RunEvent
from letta_ade.core import threads
from letta_ade.core.jobs import run_worker
from tests.support.factories import make_run

pytestmark = pytest.mark.django_db(transaction=True)

#: A worker defers periodic jobs by itself when a minute begins; under another lock ours does not collide with them.
MINE = "of a test"


def event_of_a_run(*, hours_ago: int, has_ended: bool = True) -> RunEvent:
    run = make_run(status="completed" if has_ended else "running")
    then = timezone.now() - timedelta(hours=hours_ago)
    Run.objects.filter(id=run.id).update(created_at=then, completed_at=then if has_ended else None)
    return RunEvent.objects.create(run=run, seq=1, type="StepStarted", data={})


async def test_a_worker_forgets_the_events_of_old_runs_and_no_others() -> None:
    await threads.run(event_of_a_run, hours_ago=4)
    kept = [
        await threads.run(event_of_a_run, hours_ago=2),
        await threads.run(event_of_a_run, hours_ago=9, has_ended=False),
    ]
    await threads.run(lambda: forget_events.configure(queueing_lock=MINE).defer(timestamp=0))
    await run_worker(wait=False)
    left = await threads.run(lambda: set(RunEvent.objects.values_list("id", flat=True)))
    assert left == {event.id for event in kept}
