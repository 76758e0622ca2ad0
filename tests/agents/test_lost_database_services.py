"""Runs whose database goes away at the worst moment: what is stored is stored once, and a run ends once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import OperationalError
from psycopg.errors import DeadlockDetected

from agents.models import Agent, Message, ProviderTrace, Run, RunLease, Step
from agents.runtime.events import RunEnded, StepStored
from agents.services import execution, journal, leases, opening, run_rows, single_writes, step_rows
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.llm.testing import ScriptedModel, gate, hang, installed, text, tool_call
from memory.models import Block, BlockVersion
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.runs import check_one_end, db, finish, lost_commits, request_to, roles, start

pytestmark = pytest.mark.django_db(transaction=True)

LINE = "Likes tea."


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(model=model.handle, blocks=(BlockDraft(label="human", value="Name: Ada"),))
    return create_agent(caller=make_caller(), draft=draft)


def failing(real: Callable[..., Any], error: Exception, times: int) -> Callable[..., Any]:
    """The function, but so many calls raise instead."""
    left = times

    def stand_in(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left >= 0:
            raise error
        return real(*arguments, **options)

    return stand_in


def lost() -> OperationalError:
    return OperationalError("the connection is lost")


@pytest.mark.parametrize("is_stored", [True, False], ids=["after the commit", "before the commit"])
async def test_a_step_whose_connection_is_lost_is_stored_once(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    model.add(tool_call("memory_insert", label="human", new_string=LINE), text("Noted."))
    # Both steps: the first goes on, the second ends the run.
    with lost_commits(single_writes, monkeypatch, is_stored=is_stored, times=2):
        started = await start(agent)
        events = await finish(started.run_id)
    run = await check_one_end(started.run_id)
    assert (run.status, run.stop_reason) == ("completed", "end_turn")
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant", "tool", "assistant"]
    assert (await db(lambda: Block.objects.get(agents=agent))).value == f"Name: Ada\n{LINE}"
    assert await db(BlockVersion.objects.count) == 2
    assert [event.number for event in events if isinstance(event, StepStored)] == [1, 2]
    assert len(model.payloads) == 2
    assert not await db(RunLease.objects.exists)


async def test_a_block_that_a_lost_step_made_can_be_made_again(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the run remembers of a step that was not stored would name a block that does not exist."""
    from tools.models import Tool

    def attach() -> None:
        tool = Tool.objects.get(workspace_id=agent.workspace_id, name="memory_rethink")
        agent.tool_links.get_or_create(tool=tool, defaults={"position": 50})

    await db(attach)
    model.add(tool_call("memory_rethink", label="plans", new_memory="Tea at four"), text("Noted."))
    with lost_commits(single_writes, monkeypatch, is_stored=False):
        started = await start(agent)
        await finish(started.run_id)
    assert (await db(lambda: Block.objects.get(agents=agent, label="plans"))).value == "Tea at four"


async def test_a_step_that_loses_against_another_transaction_is_stored_when_that_is_over(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlock = OperationalError("deadlock detected")
    deadlock.__cause__ = DeadlockDetected()
    monkeypatch.setattr(journal, "insert_messages", failing(step_rows.insert_messages, deadlock, times=2))
    model.add(text("Hi."))
    started = await start(agent)
    await finish(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"


async def test_the_beginning_of_a_step_is_written_when_the_database_is_back(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal, "insert_step", failing(step_rows.insert_step, lost(), times=2))
    model.add(text("Hi."))
    started = await start(agent)
    await finish(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"
    assert await db(lambda: list(Step.objects.values_list("status", flat=True))) == ["success"]
    assert await db(ProviderTrace.objects.count) == 1


async def test_a_step_whose_beginning_could_not_be_written_is_stored_whole(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATABASE_PATIENCE_SECONDS = 0
    monkeypatch.setattr(journal, "insert_step", failing(step_rows.insert_step, lost(), times=1))
    model.add(text("Hi."))
    started = await start(agent)
    await finish(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"
    assert await db(lambda: list(Step.objects.values_list("status", flat=True))) == ["success"]
    assert await db(ProviderTrace.objects.count) == 1


async def test_a_database_that_stays_away_fails_the_run_and_the_input_is_kept(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    settings.DATABASE_PATIENCE_SECONDS = 0
    monkeypatch.setattr(journal, "_said_rows", failing(journal._said_rows, lost(), times=1))
    model.add(text("Never stored."), text("Here I am."))
    started = await start(agent, "Do not lose me")
    events = await finish(started.run_id)
    run = await check_one_end(started.run_id)
    assert (run.status, run.stop_reason) == ("failed", "error")
    assert run.metadata["error"]["message"] == "The server failed while it worked on this run."
    assert isinstance(events[-1], RunEnded)
    kept = await db(lambda: Message.objects.get(role="user"))
    assert kept.is_err
    await finish((await start(agent)).run_id)
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant"]


async def test_an_end_is_told_when_it_is_stored_and_not_before(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries = asyncio.Semaphore(0)
    is_back = False
    loop = asyncio.get_running_loop()
    real = run_rows.lock_lease

    def lock_lease(lease: RunLease) -> bool:
        loop.call_soon_threadsafe(tries.release)
        if not is_back:
            raise lost()
        return real(lease)

    monkeypatch.setattr(run_rows, "lock_lease", lock_lease)
    monkeypatch.setattr(threads, "_LONGEST_PAUSE", 0.05)
    model.add(hang())
    started = await start(agent)
    cancelling = asyncio.create_task(
        execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id, run_ids=[started.run_id])
    )
    ending = asyncio.create_task(finish(started.run_id))
    for _ in range(3):
        await tries.acquire()
    assert not ending.done()
    assert (await db(lambda: Run.objects.get(id=started.run_id))).status == "running"
    is_back = True
    assert isinstance((await ending)[-1], RunEnded)
    assert await cancelling == {started.run_id: "cancelled"}
    assert (await check_one_end(started.run_id)).status == "cancelled"


@pytest.mark.parametrize("is_stored", [True, False], ids=["after the commit", "before the commit"])
@pytest.mark.parametrize("background", [False, True])
async def test_a_request_whose_connection_is_lost_becomes_one_run(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, is_stored: bool, background: bool
) -> None:
    model.add(text("Hi."))
    with lost_commits(opening, monkeypatch, is_stored=is_stored):
        started = await start(agent, background=background)
    if background:
        await execution.carry_out(started.run_id)
    await finish(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"
    assert await db(Run.objects.count) == 1
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant"]


@pytest.mark.parametrize("is_stored", [True, False], ids=["after the commit", "before the commit"])
async def test_a_queued_run_is_taken_up_although_the_answer_was_lost(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch, is_stored: bool
) -> None:
    model.add(text("Hi."))
    started = await start(agent, background=True)
    with lost_commits(leases, monkeypatch, is_stored=is_stored):
        await execution.carry_out(started.run_id)
    assert (await check_one_end(started.run_id)).status == "completed"


async def test_two_jobs_of_one_run_do_not_disturb_each_other(agent: Agent, model: ScriptedModel) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()

    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return [gate(go_on), text("Hi.")]

    model.add(reply)
    started = await start(agent, background=True)
    first = asyncio.create_task(execution.carry_out(started.run_id))
    await asyncio.sleep(0)
    await execution.carry_out(started.run_id)  # while the first one takes it up
    await called.wait()
    await execution.carry_out(started.run_id)
    go_on.set()
    await first
    assert (await check_one_end(started.run_id)).status == "completed"
    assert len(model.payloads) == 1


async def test_stops_are_heard_again_after_the_database_was_away(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from letta_ade.core import notices

    monkeypatch.setattr(notices, "_DEAF_SECONDS", 0.01)
    monkeypatch.setattr(leases, "wanted_to_stop", failing(leases.wanted_to_stop, lost(), times=3))
    model.add(hang())
    started = await start(agent)
    watching = asyncio.create_task(execution.watch_stops())
    # As another process asks for it; no notice comes, since nobody listens.
    assert await db(lambda: leases.ask_to_stop(started.run_id))
    await finish(started.run_id)
    watching.cancel()
    assert (await check_one_end(started.run_id)).status == "cancelled"


def test_a_retried_opening_is_still_one_request(agent: Agent, model: ScriptedModel) -> None:
    """The run that the first try left is the one that the second try gives."""
    first = opening.Opening(make_caller(), request_to(agent, background=True))
    started = first.queue()
    assert first.queue() == started
    assert Run.objects.count() == 1
