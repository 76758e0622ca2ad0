"""No agent waits for ever: a request is cancelled, or its agent changes while it waits (spec/agent-loop.md §6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Agent, ContextEntry, Conversation, Message, Run
from agents.services import execution, leases
from agents.services.agent_context import reset_messages
from agents.services.agent_tools import detach_tool, set_approval
from agents.services.agents import delete_agent
from agents.services.approvals import CANCELLED, PendingApproval
from agents.services.conversations import get_default_conversation
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.llm.testing import ScriptedModel, gate, hang, installed, text
from tests.support.approvals import (
    answers,
    asked,
    assert_talks,
    block_of,
    cancel,
    insert,
    make_careful_agent,
    no,
    replace,
    request_of,
    set_messages,
    status_of,
    yes,
)
from tests.support.factories import make_caller, make_conversation, make_message
from tests.support.sending import context_of, db, finish, roles, send, start, stored_of

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make_careful_agent(model)


# Cancelling.


async def test_a_cancel_closes_what_waits_and_the_agent_takes_messages_again(
    agent: Agent, model: ScriptedModel
) -> None:
    run = await asked(agent, model, text("Two."), insert(call_id="c1"), replace(call_id="c2"))
    request = await request_of(agent)
    assert await cancel(agent) == {run.run_id: "cancelled"}
    answer, tool = (await context_of(agent))[3:]
    assert answer.approvals == [no("c1", CANCELLED.reason)]
    assert [(each["tool_call_id"], each["status"], each["was_run"]) for each in tool.tool_returns] == [
        ("c2", "error", False),
        ("c1", "error", False),
    ]
    assert {each["text"] for each in tool.tool_returns} == {CANCELLED.returns}
    assert {(row.run_id, row.step_id) for row in (answer, tool)} == {(run.run_id, request.step_id)}
    assert await status_of(run.run_id) == ("cancelled", "cancelled")
    assert (await db(lambda: Agent.objects.get(id=agent.id))).last_stop_reason == "cancelled"
    assert await block_of(agent) == "Name: Ada"
    times = [message.created_at for message in await stored_of(agent)]
    assert times == sorted(set(times))
    await assert_talks(agent, model)


async def test_after_a_cancel_there_is_nothing_more_to_cancel(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    await cancel(agent)
    with pytest.raises(Conflict, match="nothing to cancel"):
        await cancel(agent)
    assert await cancel(agent, run_ids=[run.run_id]) == {run.run_id: "cancelled"}
    assert len(await context_of(agent)) == 4


async def test_an_answer_that_comes_after_the_cancel_runs_nothing(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    await cancel(agent)
    late = await send(agent, answers=answers(yes("c1")))
    assert late.run_id == run.run_id
    assert await block_of(agent) == "Name: Ada"
    model.add(text("As you wish."))
    assert (await send(agent, "Never mind.", answers=answers(yes("c1")))).stop_reason == "end_turn"


async def test_the_run_that_asked_can_be_named(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"))
    earlier = await send(agent, "Hello")
    run = await asked(agent, model)
    assert await cancel(agent, run_ids=[earlier.run_id]) == {earlier.run_id: "cancelled"}
    assert await status_of(earlier.run_id) == ("completed", "end_turn")
    await request_of(agent)
    assert await cancel(agent, run_ids=[run.run_id]) == {run.run_id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_cancel_of_one_conversation_leaves_what_waits_in_another(
    agent: Agent, model: ScriptedModel
) -> None:
    other = await db(lambda: make_conversation(agent=agent))
    first = await asked(agent, model)
    second = await asked(agent, model, insert(call_id="c2"), conversation_id=other.id)
    assert await cancel(agent, conversation_id=other.id) == {second.run_id: "cancelled"}
    await request_of(agent)
    assert await cancel(agent) == {first.run_id: "cancelled"}


async def test_while_a_run_goes_on_a_cancel_ends_it_and_not_what_waits_elsewhere(
    agent: Agent, model: ScriptedModel
) -> None:
    waiting = await asked(agent, model)
    other = await db(lambda: make_conversation(agent=agent))
    model.add([hang()])
    run_id = await start(agent, "Hi", conversation_id=other.id)
    assert await cancel(agent) == {run_id: "cancelled"}
    assert await status_of(waiting.run_id) == ("completed", "requires_approval")
    await request_of(agent)


async def test_what_waits_for_another_agent_is_not_found(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    other = await db(lambda: make_careful_agent(model))
    with pytest.raises(NotFound):
        await cancel(other, run_ids=[run.run_id])
    with pytest.raises(Conflict):
        await cancel(other)
    await request_of(agent)


async def test_a_request_whose_run_is_gone_can_be_closed(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    request = await request_of(agent)
    await db(lambda: Run.objects.filter(id=run.run_id).delete())
    assert await cancel(agent) == {request.id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_cancel_while_the_approved_tool_runs_keeps_the_answer(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    from agents.services import journal

    began, release = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> tuple[()]:
        began.set()
        await release.wait()
        return ()

    await asked(agent, model)
    monkeypatch.setattr(journal.DatabaseJournal, "execute", slow)
    run_id = await start(agent, "Hurry.", answers=answers(yes("c1")))
    await began.wait()
    assert await cancel(agent) == {run_id: "cancelled"}
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]
    kept = (await stored_of(agent))[-1]
    assert (kept.text, kept.is_err) == ("Hurry.", True)
    assert await block_of(agent) == "Name: Ada"
    monkeypatch.undo()
    await assert_talks(agent, model)


async def test_a_cancel_of_queued_answers_leaves_the_request_open(agent: Agent, model: ScriptedModel) -> None:
    asked_in = await asked(agent, model)
    run_id = await start(agent, answers=answers(yes("c1")), background=True)
    assert await cancel(agent) == {run_id: "cancelled"}
    await request_of(agent)
    assert await cancel(agent) == {asked_in.run_id: "cancelled"}
    await assert_talks(agent, model)


async def test_a_run_that_is_cancelled_too_late_leaves_nothing_waiting(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends in a request between the look at the runs and the stop."""
    release = asyncio.Event()
    model.add([gate(release), insert(call_id="c1")])
    run_id = await start(agent, "Hello")
    looked = execution._runs_to_cancel

    def look(*arguments: Any) -> dict[str, bool]:
        found = looked(*arguments)
        loop.call_soon_threadsafe(release.set)
        while Run.objects.filter(id=run_id, status="running").exists():
            pass
        return found

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(execution, "_runs_to_cancel", look)
    assert await cancel(agent) == {run_id: "cancelled"}
    assert await status_of(run_id) == ("cancelled", "cancelled")
    await assert_talks(agent, model)


async def test_an_answer_that_has_just_come_is_not_closed(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    release = asyncio.Event()
    model.add([gate(release), text("ok")])

    from agents.services.approvals import close_request

    answering = await start(agent, answers=answers(yes("c1")))
    conversation = await db(lambda: get_default_conversation(agent))
    caller = await db(make_caller)
    with pytest.raises(leases.RunBusy):
        await db(lambda: close_request(caller=caller, conversation=conversation))
    release.set()
    await finish(answering)
    assert not await db(lambda: close_request(caller=caller, conversation=conversation))
    assert await status_of(run.run_id) == ("completed", "requires_approval")


# Changes of the agent while it waits.


async def test_a_reset_forgets_what_waits(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    await db(lambda: reset_messages(caller=make_caller(), agent_id=agent.id))
    assert await context_of(agent) == []
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c1")))
    with pytest.raises(Conflict):
        await cancel(agent)
    await assert_talks(agent, model)


@pytest.mark.parametrize("kept", [(), (0,), (0, 1), (1,)], ids=["nothing", "user", "user and calls", "calls"])
async def test_a_context_without_the_request_does_not_wait(
    agent: Agent, model: ScriptedModel, kept: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in kept))
    await assert_talks(agent, model)


@pytest.mark.parametrize("order", [(2, 0, 1), (0, 2, 1), (2, 1, 0)])
async def test_a_context_that_does_not_end_with_the_request_does_not_wait(
    agent: Agent, model: ScriptedModel, order: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in order))
    await assert_talks(agent, model)


@pytest.mark.parametrize("kept", [(2,), (0, 2), (1, 2)], ids=["alone", "with the user", "with its calls"])
async def test_a_request_that_is_left_at_the_end_can_be_answered_or_closed(
    agent: Agent, model: ScriptedModel, kept: tuple[int, ...]
) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))
    messages = await context_of(agent)
    await set_messages(agent, *(messages[place].id for place in kept))
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    assert (await send(agent, answers=answers(yes("c1")))).stop_reason == "end_turn"
    await set_messages(agent, messages[2].id)
    await cancel(agent)
    await assert_talks(agent, model)


async def test_a_tool_that_is_detached_meanwhile_does_not_run(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model, insert(call_id="c1"), replace(call_id="c2"))

    def detach() -> None:
        for tool in agent.tools.filter(name__in=["memory_insert", "memory_replace"]):
            detach_tool(caller=make_caller(), agent_id=agent.id, tool_id=tool.id)

    await db(detach)
    model.add(text("I cannot."))
    assert (await send(agent, answers=answers(yes("c1")))).stop_reason == "end_turn"
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert [each["status"] for each in tool.tool_returns] == ["error", "error"]
    assert await block_of(agent) == "Name: Ada"
    await assert_talks(agent, model)


async def test_a_rule_that_is_lifted_meanwhile_leaves_the_request_as_it_is(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    await db(
        lambda: set_approval(
            caller=make_caller(), agent_id=agent.id, tool_name="memory_insert", requires_approval=False
        )
    )
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    await send(agent, answers=answers(yes("c1")))
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_an_agent_that_waits_can_be_deleted(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    await db(lambda: delete_agent(caller=make_caller(), agent_id=agent.id))
    assert not await db(Message.objects.exists)
    with pytest.raises(NotFound):
        await send(agent, answers=answers(yes("c1")))
    with pytest.raises(NotFound):
        await cancel(agent)


# What is found.


async def test_only_a_request_at_the_end_of_a_context_waits(agent: Agent, model: ScriptedModel) -> None:
    from agents.services.approvals import waiting_entries

    def waiting() -> list[str]:
        return [entry.message_id for entry in waiting_entries([agent.id, other.id])]

    other = await db(lambda: make_careful_agent(model))
    assert await db(waiting) == []
    await asked(agent, model)
    await asked(other, model, insert(call_id="c2"))
    requests = [(await request_of(each)).id for each in (agent, other)]
    assert sorted(await db(waiting)) == sorted(requests)
    model.add(text("ok"))
    await send(agent, answers=answers(yes("c1")))
    assert await db(waiting) == [requests[1]]
    # An answer is of the same role and waits for nobody.
    last = (await context_of(agent))[2]

    def shorten() -> None:
        conversation: Conversation = get_default_conversation(agent)
        place = ContextEntry.objects.get(conversation=conversation, message=last).position
        conversation.entries.filter(position__gt=place).delete()

    await db(shorten)
    assert await db(waiting) == [requests[1]]
    await db(lambda: make_message(conversation=get_default_conversation(other), in_context=True))
    assert await db(waiting) == []
