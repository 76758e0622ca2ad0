"""What a killed process had stored and not told is told by whoever comes after it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents import streams
from agents.models import Agent, Message, Run, RunEvent, RunLease, Step
from agents.runtime.events import Event, RunEnded, RunResumed, RunStarted, StepStored
from agents.services import execution, leases, untold
from agents.services.agents import AgentDraft, create_agent
from letta_ade.llm.testing import ScriptedModel, hang, installed, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.runs import check_one_end, db, finish, roles, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(model=model.handle, blocks=(BlockDraft(label="human", value="Name: Ada"),))
    return create_agent(caller=make_caller(), draft=draft)


def stored(events: list[Event]) -> list[StepStored]:
    return [event for event in events if isinstance(event, StepStored)]


def forget(run_id: str, *types: str) -> None:
    """As a process leaves it that was killed before it had written these."""
    events = RunEvent.objects.filter(run_id=run_id)
    (events.filter(type__in=types) if types else events).delete()
    Run.objects.filter(id=run_id).update(completed_at=timezone.now() - timedelta(seconds=20))


async def ended_run(agent: Agent, model: ScriptedModel) -> tuple[str, list[Event]]:
    model.add(tool_call("memory_insert", label="human", new_string="Likes tea."), text("Noted."))
    started = await start(agent, "I like tea", background=True)
    await execution.carry_out(started.run_id)
    events = [event async for _, event in streams.follow(started.run_id)]
    await streams.flush()
    # What this process has in memory must not answer for the table.
    streams._hub().streams.clear()
    return started.run_id, events


async def test_the_end_of_a_run_is_told_when_its_process_died_before_it_could(
    agent: Agent, model: ScriptedModel
) -> None:
    run_id, before = await ended_run(agent, model)
    await db(lambda: forget(run_id, "RunEnded", "StepStored"))
    assert await db(untold.tell_lost_ends) == [run_id]
    after = await finish(run_id)
    for old, new in zip(stored(before), stored(after), strict=True):
        assert (new.messages, new.input_ids, new.number) == (old.messages, old.input_ids, old.number)
        assert new.usage == old.usage
    ended = after[-1]
    assert isinstance(ended, RunEnded)
    assert (ended.status, ended.stop_reason) == ("completed", "end_turn")
    assert ended.usage["step_count"] == 2
    await check_one_end(run_id)
    assert await db(untold.tell_lost_ends) == []


async def test_an_end_that_is_just_being_told_is_not_told_twice(agent: Agent, model: ScriptedModel) -> None:
    run_id, _ = await ended_run(agent, model)
    await db(lambda: forget(run_id, "RunEnded"))
    await db(lambda: Run.objects.filter(id=run_id).update(completed_at=timezone.now()))
    assert await db(untold.tell_lost_ends) == []


async def test_runs_that_ended_long_ago_are_not_looked_for(agent: Agent, model: ScriptedModel) -> None:
    """Their events are forgotten, which is no fault."""
    run_id, _ = await ended_run(agent, model)
    await db(lambda: forget(run_id))
    assert await db(lambda: untold.tell_lost_ends(timedelta(seconds=10))) == []
    old = timezone.now() - timedelta(hours=4)
    await db(lambda: Run.objects.filter(id=run_id).update(created_at=old))
    assert await db(untold.tell_lost_ends) == []


async def killed_between_two_steps(agent: Agent, model: ScriptedModel) -> str:
    """A run of the background whose process died in its second step, and had written no event at all."""
    called = asyncio.Event()

    def second(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return [hang()]

    model.add(tool_call("memory_insert", label="human", new_string="Likes tea."), second)
    started = await start(agent, "I like tea", background=True)
    job = asyncio.create_task(execution.carry_out(started.run_id))
    await called.wait()
    # Its beginning is written beside the call.
    while not await db(lambda: Step.objects.filter(run_id=started.run_id, status="pending").exists()):
        pass
    execution._active[started.run_id].token.request("lease_lost")
    await job
    await db(lambda: forget(started.run_id))
    return started.run_id


def leave_behind(run_id: str) -> None:
    past = timezone.now() - timedelta(seconds=1)
    RunLease.objects.filter(run_id=run_id).update(owner="elsewhere:1:x", expires_at=past)


async def test_a_run_that_is_taken_up_tells_the_steps_that_nobody_had_told(
    agent: Agent, model: ScriptedModel
) -> None:
    run_id = await killed_between_two_steps(agent, model)
    await db(lambda: leave_behind(run_id))
    assert await db(leases.reap_abandoned_runs) == []
    model.add(text("Noted."))
    await execution.carry_out(run_id)
    events = await finish(run_id)
    assert [type(event) for event in events[:3]] == [RunStarted, StepStored, RunResumed]
    said = [message["role"] for step in stored(events) for message in step.messages]
    assert said == ["user", "assistant", "tool", "assistant"]
    started = events[0]
    assert isinstance(started, RunStarted)
    assert [message["content"][0]["text"] for message in started.inputs] == ["I like tea"]
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant", "tool", "assistant"]
    await check_one_end(run_id)


async def test_a_run_that_is_failed_tells_the_steps_that_nobody_had_told(
    agent: Agent, model: ScriptedModel
) -> None:
    run_id = await killed_between_two_steps(agent, model)
    await db(lambda: leave_behind(run_id))
    await db(lambda: Run.objects.filter(id=run_id).update(background=False))
    assert await db(leases.reap_abandoned_runs) == [run_id]
    events = await finish(run_id)
    assert [type(event) for event in events] == [RunStarted, StepStored, RunEnded]
    await check_one_end(run_id)


async def test_the_input_of_a_run_whose_process_died_before_it_wrote_anything_is_kept(
    agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()

    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return [hang()]

    model.add(reply)
    started = await start(agent, "Do not lose me")
    await called.wait()
    execution._active[started.run_id].token.request("lease_lost")
    await streams.flush()
    await db(lambda: forget(started.run_id))
    await db(lambda: leave_behind(started.run_id))
    assert await db(leases.reap_abandoned_runs) == [started.run_id]
    kept = await db(lambda: Message.objects.get(run_id=started.run_id))
    assert (kept.text, kept.is_err) == ("Do not lose me", True)
    run = await check_one_end(started.run_id)
    assert run.request is None
