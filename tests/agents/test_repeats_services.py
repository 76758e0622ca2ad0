"""Requests that are sent twice, and wishes to stop, at the worst moment."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Agent, Run, RunLease
from agents.runtime.events import RunEnded
from agents.services import execution, leases
from agents.services.agents import AgentDraft, create_agent
from agents.services.opening import OpenedRun, Opening, StartedRun
from letta_ade.core import notices
from letta_ade.llm import catalog
from letta_ade.llm.scripting import Piece
from letta_ade.llm.testing import ScriptedModel, hang, installed, text, tool_call
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


SAME: dict[str, dict[str, Any]] = {
    "its otid": {"otid": "o1"},
    "its words, from a client that repeats": {
        "is_retry": True,
        "fingerprint": "f1",
        "request_config": {"fingerprint": "f1"},
    },
}


@pytest.mark.parametrize("has_ended", [False, True])
@pytest.mark.parametrize("same", SAME)
@pytest.mark.parametrize("method", ["open", "queue"])
def test_a_twin_that_was_quicker_is_found(
    agent: Agent, monkeypatch: pytest.MonkeyPatch, same: str, method: str, has_ended: bool
) -> None:
    """Both were checked before either had begun; to check one may take seconds, when a provider is asked for its models."""
    request = request_to(agent, **SAME[same])
    real = catalog.get_chat_model
    twins: list[StartedRun] = []

    def get_chat_model(*arguments: Any, **options: Any) -> Any:
        if not twins:
            twins.append(StartedRun(run_id="", agent_id="", conversation_id=""))
            twins[0] = Opening(make_caller(), request).queue()
            if has_ended:
                RunLease.objects.all().delete()
                Run.objects.update(status="completed", completed_at="2999-01-01T00:00:00Z")
        return real(*arguments, **options)

    monkeypatch.setattr(catalog, "get_chat_model", get_chat_model)
    found = getattr(Opening(make_caller(), request), method)()
    assert isinstance(found, StartedRun)
    assert (found.run_id, found.is_repeat) == (twins[0].run_id, True)
    assert Run.objects.count() == 1
    assert RunLease.objects.count() == (0 if has_ended else 1)


def test_the_same_words_again_are_no_repeat_when_nobody_says_so(agent: Agent) -> None:
    fields: dict[str, Any] = {**SAME["its words, from a client that repeats"], "is_retry": False}
    Opening(make_caller(), request_to(agent, **fields)).queue()
    with pytest.raises(leases.RunBusy):
        Opening(make_caller(), request_to(agent, **fields)).queue()


async def test_a_wish_to_stop_that_comes_before_the_run_is_here_is_not_lost(
    agent: Agent, model: ScriptedModel
) -> None:
    """Another process finds the run in the table as soon as that is committed, which is before its task exists."""
    model.add(hang())
    caller = await db(make_caller)
    opened = await db(Opening(caller, request_to(agent)).open)
    assert isinstance(opened, OpenedRun)
    run_id = opened.open_run.run.id
    watching = asyncio.create_task(execution.watch_stops())
    await asyncio.sleep(0)
    ear = notices._ear()
    for subscription in ear.subscriptions[leases.STOP_TOPIC]:
        subscription.hear({"run_id": run_id})
    await asyncio.sleep(0)
    execution._launch(opened)
    await finish(run_id)
    watching.cancel()
    assert (await check_one_end(run_id)).status == "cancelled"
    assert model.payloads == []


@pytest.mark.parametrize("background", [False, True])
async def test_what_opens_while_the_server_stops_ends_or_is_handed_over(
    agent: Agent, model: ScriptedModel, background: bool
) -> None:
    model.add(hang())
    await execution.close(is_final=True)
    started = await start(agent, "Too late", background=background)
    if background:
        await execution.carry_out(started.run_id)
        run = await db(lambda: Run.objects.get(id=started.run_id))
        assert (run.attempts, run.has_ended) == (0, False)
        assert (await db(RunLease.objects.get)).owner == leases.QUEUE
    else:
        await finish(started.run_id)
        run = await check_one_end(started.run_id)
        assert (run.status, run.metadata["error"]["error_type"]) == ("failed", "stream_task_cancelled")
    assert model.payloads == []


async def test_a_run_that_is_cancelled_at_any_moment_ends_once(agent: Agent, model: ScriptedModel) -> None:
    """Later and later within a turn of two steps, until the run has ended when the wish comes."""

    def reply(payload: dict[str, Any]) -> Piece:
        if payload["messages"][-1]["role"] == "tool":
            return text("one two three")
        return tool_call("memory_insert", label="human", new_string="A line.")

    model.add(*[reply] * 100)
    caller = await db(make_caller)
    statuses = []
    for moment in [*range(30), 10_000]:
        started = await start(agent)
        for _ in range(moment):
            if (active := execution._active.get(started.run_id)) is None:
                break
            # Another turn of the loop, or a moment for the threads that write.
            await asyncio.wait({active.task}, timeout=0.0002)
        if (active := execution._active.get(started.run_id)) is not None:
            active.token.request("cancelled")
        told = await execution.cancel_runs(caller=caller, agent_id=agent.id, run_ids=[started.run_id])
        assert told == {started.run_id: "cancelled"}
        events = await finish(started.run_id)
        run = await check_one_end(started.run_id)
        assert isinstance(events[-1], RunEnded)
        assert events[-1].status == run.status
        statuses.append(run.status)
    assert (statuses[0], statuses[-1]) == ("cancelled", "completed")
    kinds = await db(lambda: roles(agent))
    # Whatever was cut off, every call has its return behind it.
    calls = [place for place, kind in enumerate(kinds) if kind == "tool"]
    assert all(kinds[place - 1] == "assistant" for place in calls)
