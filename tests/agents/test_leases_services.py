"""Who may work on a run, and what becomes of runs whose process is gone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateJob

from agents.models import Agent, Message, Run, RunLease
from agents.runtime.events import RunEnded
from agents.services import execution, leases
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from agents.services.opening import Opening
from agents.services.run_requests import AnswersInput
from letta_ade.llm.testing import ScriptedModel, gate, hang, installed, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.runs import check_one_end, db, finish, request_to, roles, start

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


def once_called(called: asyncio.Event, *pieces: Any) -> Callable[[dict[str, Any]], list[Any]]:
    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return list(pieces)

    return reply


def lease_of(run_id: str, **fields: Any) -> RunLease:
    """The lease, with these values from now on."""
    RunLease.objects.filter(run_id=run_id).update(**fields)
    return RunLease.objects.get(run_id=run_id)


def gone() -> dict[str, Any]:
    """The values of a lease whose process has died."""
    return {"owner": "elsewhere:1:x", "expires_at": timezone.now() - timedelta(seconds=1)}


async def test_a_run_that_goes_on_here_is_not_abandoned_because_nobody_could_renew_its_lease(
    agent: Agent, model: ScriptedModel
) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()
    model.add(once_called(called, gate(go_on), text("Still here.")))
    started = await start(agent)
    await called.wait()
    await db(lambda: lease_of(started.run_id, expires_at=timezone.now() - timedelta(minutes=1)))
    assert await db(leases.reap_abandoned_runs) == []
    with pytest.raises(leases.RunBusy):
        await start(agent, "Me too")
    go_on.set()
    await finish(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"


async def test_a_lease_that_was_renewed_meanwhile_is_left_alone(agent: Agent, model: ScriptedModel) -> None:
    started = await start(agent, background=True)
    lease = await db(lambda: lease_of(started.run_id, **gone()))
    await db(lambda: lease_of(started.run_id, expires_at=timezone.now() + timedelta(minutes=1)))
    assert not await db(lambda: leases._take_from_the_dead(lease))
    assert (await db(lambda: Run.objects.get(id=started.run_id))).attempts == 0


async def test_the_third_death_ends_a_run_of_the_background(agent: Agent, model: ScriptedModel) -> None:
    started = await start(agent, "Kill them all", background=True)
    for attempts in (1, 2):
        await db(lambda: lease_of(started.run_id, **gone()))
        assert await db(leases.reap_abandoned_runs) == []
        assert (await db(lambda: Run.objects.get(id=started.run_id))).attempts == attempts
    await db(lambda: lease_of(started.run_id, **gone()))
    assert await db(leases.reap_abandoned_runs) == [started.run_id]
    run = await check_one_end(started.run_id)
    assert run.status == "failed"
    assert run.metadata["error"]["message"].startswith(
        "3 server processes ended while they worked on this run."
    )
    assert (await db(lambda: Message.objects.get(run=run))).is_err


async def test_a_run_that_somebody_wanted_to_stop_is_not_taken_up_again(
    agent: Agent, model: ScriptedModel
) -> None:
    started = await start(agent, background=True)
    await db(lambda: lease_of(started.run_id, is_stop_requested=True, **gone()))
    assert await db(leases.reap_abandoned_runs) == [started.run_id]
    assert (await check_one_end(started.run_id)).status == "cancelled"
    assert not await db(RunLease.objects.exists)


async def test_an_end_that_somebody_else_has_written_is_not_told_twice(
    agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, hang()))
    started = await start(agent)
    await called.wait()
    await db(lambda: lease_of(started.run_id, **gone()))
    assert await db(leases.reap_abandoned_runs) == [started.run_id]
    active = execution._active[started.run_id]
    active.token.request("cancelled")
    await asyncio.wait({active.task})
    assert (await check_one_end(started.run_id)).status == "failed"
    # Readers of this process hear the end that is in the table.
    ended = (await finish(started.run_id))[-1]
    assert isinstance(ended, RunEnded)
    assert ended.status == "failed"


async def test_a_wish_to_stop_that_comes_while_a_run_is_handed_over_is_kept(
    agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, hang()))
    started = await start(agent, background=True)
    job = asyncio.create_task(execution.carry_out(started.run_id))
    await called.wait()
    await db(lambda: lease_of(started.run_id, is_stop_requested=True))
    await execution.stop_all()
    await job
    assert (await check_one_end(started.run_id)).status == "cancelled"


async def test_a_run_that_is_cancelled_while_it_is_handed_over_ends(
    agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, hang()))
    started = await start(agent, background=True)
    job = asyncio.create_task(execution.carry_out(started.run_id))
    await called.wait()
    stopping = asyncio.create_task(execution.stop_all())
    await asyncio.sleep(0)
    cancelled = await execution.cancel_runs(
        caller=await db(make_caller), agent_id=agent.id, run_ids=[started.run_id]
    )
    await asyncio.gather(stopping, job)
    assert cancelled == {started.run_id: "cancelled"}
    assert (await check_one_end(started.run_id)).status == "cancelled"


async def test_a_run_that_is_handed_over_goes_on_where_it_stood(agent: Agent, model: ScriptedModel) -> None:
    called = asyncio.Event()
    model.add(tool_call("memory_insert", label="human", new_string="Likes tea."), once_called(called, hang()))
    started = await start(agent, background=True)
    job = asyncio.create_task(execution.carry_out(started.run_id))
    await called.wait()
    await execution.stop_all()
    await job
    model.add(text("Noted."))
    await execution.carry_out(started.run_id)
    run = await check_one_end(started.run_id)
    assert (run.status, run.attempts) == ("completed", 0)
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant", "tool", "assistant"]


async def test_answers_that_were_stored_are_not_missed_when_their_run_is_taken_up(
    agent: Agent, model: ScriptedModel
) -> None:
    agent.tool_rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    await db(agent.save)
    model.add(tool_call("memory_insert", call_id="call_1", label="human", new_string="Likes tea."))
    await finish((await start(agent)).run_id)
    called = asyncio.Event()
    model.add(once_called(called, hang()))
    answers = AnswersInput(items=({"type": "approval", "tool_call_id": "call_1", "approve": True},))
    request = request_to(agent, "And cake", answers=answers, background=True)
    started = await execution.start_run(caller=await db(make_caller), request=request)
    job = asyncio.create_task(execution.carry_out(started.run_id))
    await called.wait()
    await execution.stop_all()
    await job
    model.add(text("Noted."))
    await execution.carry_out(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"
    assert await db(lambda: roles(agent)) == [
        *("system", "user", "approval"),
        *("approval", "tool", "user", "assistant"),
    ]


async def test_a_run_whose_job_was_lost_gets_another(agent: Agent, model: ScriptedModel) -> None:
    lost = await start(agent, background=True)
    # As a worker leaves it that died between fetching the job and taking up the run.
    await db(lambda: ProcrastinateJob.objects.filter(queueing_lock=lost.run_id).update(status="doing"))
    other = await db(lambda: create_agent(caller=make_caller(), draft=AgentDraft(model=model.handle)))
    waiting = await start(other, background=True)
    await db(leases.queue_lost_jobs)
    await db(leases.queue_lost_jobs)
    for run_id in (lost.run_id, waiting.run_id):
        todo = ProcrastinateJob.objects.filter(status="todo", queueing_lock=run_id)
        assert await db(todo.count) == 1


def test_a_run_that_will_be_taken_up_keeps_others_out(agent: Agent, model: ScriptedModel) -> None:
    started = Opening(make_caller(), request_to(agent, background=True)).queue()
    lease_of(started.run_id, **gone())
    with transaction.atomic(), pytest.raises(leases.RunBusy) as busy:
        leases.keep_runs_out(get_default_conversation(agent))
    assert busy.value.data["run_id"] == started.run_id


def test_who_finds_the_conversation_free_after_all_takes_it(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run that was in the way ends while one looks for it, and another is as quick."""
    first = Opening(make_caller(), request_to(agent, background=True)).queue()
    looks = 0
    real = leases._lock_holder

    def lock_holder(conversation_id: str) -> RunLease | None:
        nonlocal looks
        looks += 1
        if looks == 1:
            return None  # it has ended, and the third one has begun before we insert
        RunLease.objects.all().delete()
        return real(conversation_id)

    monkeypatch.setattr(leases, "_lock_holder", lock_holder)
    second = Opening(make_caller(), request_to(agent, "Me too", background=True)).queue()
    assert looks == 2
    assert second.run_id != first.run_id
    assert RunLease.objects.get().run_id == second.run_id
