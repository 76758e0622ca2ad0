"""Runs that tell nothing any more are ended, wherever they were going on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from agents.event_rows import Unwritten, write_events
from agents.models import Run, RunEvent, RunLease
from agents.runtime.events import RunEnded, StepStarted
from agents.services.silent_runs import end_silent_run
from agents.streams import following
from letta_ade.core import threads
from tests.support.factories import make_run, make_step

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def run() -> Run:
    """A run of another process, in its first step."""
    made = make_run(status="running", stop_reason=None)
    step = make_step(run=made, status="pending")
    begun = StepStarted(step_id=step.id, number=1, message_id="message-1")
    write_events([Unwritten(made.id, 1, begun, "")])
    later = timezone.now() + timedelta(minutes=1)
    RunLease.objects.create(conversation=made.conversation, run=made, owner="another", expires_at=later)
    return made


async def test_a_silent_run_of_another_process_is_failed_and_its_stream_ends(run: Run) -> None:
    await end_silent_run(run.id)
    async with following(run.id, after=1) as follower:
        [(_, ended)] = await follower.next() or []
    await threads.run(run.refresh_from_db)
    assert (run.status, run.stop_reason) == ("failed", "error")
    assert isinstance(ended, RunEnded)
    assert ended.error is not None
    assert ended.error == run.metadata["error"]
    assert ended.error["error_type"] == "stream_incomplete"
    assert "30 minutes" in ended.error["message"]
    step = await threads.run(run.steps.get)
    assert (step.status, step.error_data) == ("failed", ended.error)
    assert not await threads.run(RunLease.objects.exists)


async def test_a_run_that_has_ended_meanwhile_is_left_alone(run: Run) -> None:
    now = timezone.now()
    await threads.run(Run.objects.update, status="completed", stop_reason="end_turn", completed_at=now)
    await end_silent_run(run.id)
    await threads.run(run.refresh_from_db)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    assert await threads.run(RunEvent.objects.count) == 1
