"""Answers that are sent again, with more beside them, in the background, or to an agent that forgets (spec/agent-loop.md §6)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents import streams
from agents.models import Agent, Run, RunLease
from agents.services import execution, leases
from agents.services.approvals import PendingApproval
from agents.services.conversations import get_default_conversation
from letta_ade.core.errors import Invalid
from letta_ade.llm.errors import ModelBadRequest
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, installed, text, tool_call
from tests.support.approvals import (
    SHELL,
    answers,
    asked,
    assert_talks,
    block_of,
    insert,
    make_careful_agent,
    replace,
    returned,
    status_of,
    yes,
)
from tests.support.sending import context_of, db, finish, roles, said, send, start, stored_of
from tests.support.workers import run_queue_worker

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make_careful_agent(model)


# What is said beside the answers, and answers that are sent again.


async def test_what_is_said_beside_the_answers_is_heard_after_them(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    await send(agent, said("And", otid="o1"), said("hurry."), answers=answers(yes("c1")))
    assert roles(await context_of(agent)) == [
        "user",
        "approval",
        "approval",
        "tool",
        "user",
        "user",
        "assistant",
    ]
    sent = model.payloads[-1]["messages"]
    assert [message["role"] for message in sent[-3:]] == ["tool", "user", "user"]


async def test_the_same_answers_again_give_the_same_run_and_run_nothing_again(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    first = await send(agent, answers=answers(yes("c1")))
    for background in (False, True):
        again = await send(agent, answers=answers(yes("c1")), background=background)
        assert again.run_id == first.run_id
        assert [type(event) for event in again.events] == [type(event) for event in first.events]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    assert await db(Run.objects.count) == 2


async def test_a_repeat_with_something_new_beside_it_says_the_new(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    model.add(text("ok"), text("I hurry."))
    first = await send(agent, answers=answers(yes("c1")))
    again = await send(agent, "Hurry.", answers=answers(yes("c1")))
    assert again.run_id != first.run_id
    assert roles(await context_of(agent))[-3:] == ["assistant", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_answers_are_still_known_ten_messages_later_and_not_much_longer(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(*(text("ok") for _ in range(6)))
    first = await send(agent, answers=answers(yes("c1")))
    for _ in range(3):
        await send(agent, "More")
    assert (await send(agent, answers=answers(yes("c1")))).run_id == first.run_id
    await send(agent, "More")
    await send(agent, "More")
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c1")))


async def test_an_answer_that_has_just_left_the_context_is_still_known(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add(text("ok"))
    first = await send(agent, answers=answers(yes("c1")))
    conversation = await db(lambda: get_default_conversation(agent))
    await db(lambda: conversation.entries.filter(position__gt=0).delete())
    assert (await send(agent, answers=answers(yes("c1")))).run_id == first.run_id
    with pytest.raises(Invalid):
        await send(agent, answers=answers(yes("c9")))


async def test_a_repeat_after_the_model_failed_lets_the_run_go_on(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))], text("Done."))
    failed = await send(agent, answers=answers(yes("c1")))
    assert failed.end.status == "failed"
    again = await send(agent, answers=answers(yes("c1")))
    assert again.run_id != failed.run_id
    assert again.stop_reason == "end_turn"
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    assert model.payloads[-1]["messages"][-1]["role"] == "tool"


async def test_a_repeat_after_the_failure_was_talked_over_is_only_a_repeat(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))], text("Never mind."))
    failed = await send(agent, answers=answers(yes("c1")))
    await send(agent, "Well?")
    assert (await send(agent, answers=answers(yes("c1")))).run_id == failed.run_id


async def test_what_was_said_beside_answers_to_a_model_that_failed_is_kept(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    model.add([error(ModelBadRequest("no"))])
    await send(agent, "Hurry.", answers=answers(yes("c1")))
    kept = (await stored_of(agent))[-1]
    assert (kept.role, kept.text, kept.is_err) == ("user", "Hurry.", True)
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]


async def test_the_same_answers_while_they_are_worked_on_are_told_of_the_run(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    release = asyncio.Event()
    model.add([gate(release), text("ok")])
    run_id = await start(agent, answers=answers(yes("c1"), otid="o1"))
    with pytest.raises(leases.RunBusy) as busy:
        await start(agent, answers=answers(yes("c1")))
    assert busy.value.data["run_id"] == run_id
    # With an otid it is known as a repeat.
    assert await start(agent, answers=answers(yes("c1"), otid="o1")) == run_id
    release.set()
    await finish(run_id)


# In the background.


async def test_answers_are_worked_on_in_the_background(agent: Agent, model: ScriptedModel) -> None:
    async with run_queue_worker():
        model.add(insert(call_id="c1"))
        run = await send(agent, "Hello", background=True)
        assert run.stop_reason == "requires_approval"
        model.add(text("Done."))
        run = await send(agent, "Hurry.", answers=answers(yes("c1")), background=True)
    assert run.stop_reason == "end_turn"
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_tools_of_the_client_are_offered_in_the_background(agent: Agent, model: ScriptedModel) -> None:
    async with run_queue_worker():
        model.add(tool_call("shell", call_id="c1"))
        run = await send(agent, "Hello", background=True, client_tools=(SHELL,))
        assert run.stop_reason == "requires_approval"
        model.add(text("Done."))
        run = await send(agent, answers=answers(returned("c1")), background=True, client_tools=(SHELL,))
    assert run.stop_reason == "end_turn"
    assert "shell" in {tool.name for tool in model.requests[-1].tools}


@pytest.mark.parametrize("words", [(), ("Hurry.",)], ids=["alone", "with words"])
async def test_a_worker_goes_on_after_the_answers_that_another_one_stored(
    agent: Agent, model: ScriptedModel, words: tuple[str, ...]
) -> None:
    await asked(agent, model)
    is_called = asyncio.Event()

    def reply(payload: Any) -> Any:
        is_called.set()
        return [hang()]

    model.add(reply)
    run_id = await start(agent, *words, answers=answers(yes("c1")), background=True)
    working = asyncio.create_task(execution.carry_out(run_id))
    await is_called.wait()
    assert roles(await context_of(agent))[-1] == "tool"
    # The server stops: it hands the run over.
    await execution.stop_all()
    await working
    model.add(text("Done."))
    await execution.carry_out(run_id)
    assert await status_of(run_id) == ("completed", "end_turn")
    expected = ["user", "approval", "approval", "tool", *(["user"] if words else []), "assistant"]
    assert roles(await context_of(agent)) == expected
    assert await block_of(agent) == "Name: Ada\nLikes tea."


async def test_a_worker_goes_on_however_long_ago_the_answers_were_stored(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    is_called = asyncio.Event()

    def reply(payload: Any) -> Any:
        is_called.set()
        return [hang()]

    model.add(*(replace(call_id=f"more{number}") for number in range(6)), reply)
    run_id = await start(agent, answers=answers(yes("c1")), background=True)
    working = asyncio.create_task(execution.carry_out(run_id))
    await is_called.wait()
    await execution.stop_all()
    await working
    model.add(text("Done."))
    await execution.carry_out(run_id)
    assert await status_of(run_id) == ("completed", "end_turn")
    assert len(await context_of(agent)) == 17


async def test_what_was_said_beside_the_answers_outlives_a_process_that_dies(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model)
    is_called = asyncio.Event()

    def reply(payload: Any) -> Any:
        is_called.set()
        return [hang()]

    model.add(reply)
    run_id = await start(agent, "Hurry.", answers=answers(yes("c1")))
    await is_called.wait()
    await streams.flush()
    host = leases.OWNER.rsplit(":", 2)[0]
    # No process has this number: it is over the kernel's limit.
    await db(lambda: RunLease.objects.update(owner=f"{host}:4194305:gone"))
    assert await db(leases.reap_abandoned_runs) == [run_id]
    kept = [message.text for message in await stored_of(agent) if message.is_err]
    assert kept == ["Hurry."]
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool"]
    # The process was not dead after all: it finds that the run is no longer its own.
    await execution.stop_all()
    assert await status_of(run_id) == ("failed", "error")
    assert [message.text for message in await stored_of(agent) if message.is_err] == kept
    await assert_talks(agent, model)


# Agents that forget after each request.


async def test_an_agent_that_forgets_does_not_forget_what_waits(model: ScriptedModel) -> None:
    agent = await db(lambda: make_careful_agent(model, message_buffer_autoclear=True))
    model.add(text("Hi"))
    await send(agent, "Xylophone")
    await asked(agent, model)
    assert "Xylophone" not in json.dumps(model.payloads[-1]["messages"])
    with pytest.raises(PendingApproval):
        await send(agent, "Hurry")
    model.add(text("ok"))
    await send(agent, "Hurry", answers=answers(yes("c1")))
    assert roles(await context_of(agent)) == ["user", "approval", "approval", "tool", "user", "assistant"]
    assert await block_of(agent) == "Name: Ada\nLikes tea."
    model.add(text("Anew"))
    await send(agent, "Later")
    assert roles(await context_of(agent)) == ["user", "assistant"]
