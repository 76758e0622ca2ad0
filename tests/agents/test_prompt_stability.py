"""What stays the same from one request to the next, so that providers can cache it, and what changes it (agent-loop.md §2.2)."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest
from django.db import connection, transaction
from django.utils import timezone

from agents import streams
from agents.models import Agent, Message
from agents.services import execution
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_tools import attach_tool, detach_tool, set_approval
from agents.services.agents import AgentChanges, AgentDraft, create_agent, update_agent
from agents.services.conversations import get_default_conversation
from agents.services.leases import keep_runs_out
from agents.services.run_requests import InputMessage, RunRequest
from agents.services.system_message import write_system_message
from letta_ade.core import threads
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from memory.services.passages import PassageDraft, insert_passages
from tests.support.factories import (
    make_agent,
    make_archive,
    make_block,
    make_caller,
    make_message,
    make_tool,
)
from tests.support.locks import somebody_waits

R = TypeVar("R")


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        model=model.handle,
        blocks=(BlockDraft(label="human", value="Name: Ada"), BlockDraft(label="persona", value="Kind.")),
        tool_names=("archival_memory_insert", "memory_rethink"),
    )
    return create_agent(caller=make_caller(), draft=draft)


def block_of(agent: Agent) -> Block:
    return agent.blocks.get(label="human")


def change_block(**changes: Any) -> Callable[[Agent], object]:
    return lambda agent: update_block(
        caller=make_caller(), block_id=block_of(agent).id, changes=BlockChanges(**changes)
    )


def change_agent(**changes: Any) -> Callable[[Agent], object]:
    return lambda agent: update_agent(
        caller=make_caller(), agent_id=agent.id, changes=AgentChanges(**changes)
    )


def insert_passage(agent: Agent) -> None:
    archive = make_archive(agent=agent)
    draft = PassageDraft(text="Rosa is a cat.", tags=("pets",))
    insert_passages(caller=make_caller(), archive=archive, drafts=[draft], vectors=None)


def attach_another_tool(agent: Agent) -> None:
    attach_tool(caller=make_caller(), agent_id=agent.id, tool_id=make_tool(name="roll_dice").id)


REBUILDS: dict[str, Callable[[Agent], object]] = {
    "value of a block": change_block(value="Name: Grace"),
    "description of a block": change_block(description="About her."),
    "label of a block": change_block(label="person"),
    "limit of a block": change_block(limit=500),
    "a block becomes read-only": change_block(read_only=True),
    "a block is attached": lambda agent: attach_block(
        caller=make_caller(), agent_id=agent.id, block_id=make_block(label="notes").id
    ),
    "a block is detached": lambda agent: detach_block(
        caller=make_caller(), agent_id=agent.id, block_id=block_of(agent).id
    ),
    "the instructions": change_agent(system="Be brief."),
    "tool rules that say something": change_agent(
        tool_rules=({"type": "exit_loop", "tool_name": "memory_insert"},)
    ),
    "a passage in an archive": insert_passage,
}
LEAVES: dict[str, Callable[[Agent], object]] = {
    "nothing": lambda agent: None,
    "the same value of a block": change_block(value="Name: Ada"),
    "tags of a block": change_block(tags=("t",)),
    "metadata of a block": change_block(metadata={"a": 1}),
    "a block of nobody": lambda agent: make_block(label="notes"),
    "a block of another agent": lambda agent: make_block(agent=make_agent(), label="notes"),
    "name and tags": change_agent(name="Grace", tags=("a",), description="x", metadata={"a": 1}),
    "settings of the model": change_agent(model_settings={"temperature": 0.1}, context_window_limit=9000),
    "the time zone": change_agent(timezone="Europe/Oslo"),
    "a tool is attached": attach_another_tool,
    "a tool is detached": lambda agent: detach_tool(
        caller=make_caller(), agent_id=agent.id, tool_id=agent.tools.get(name="memory_rethink").id
    ),
    "a rule that says nothing to the model": lambda agent: set_approval(
        caller=make_caller(), agent_id=agent.id, tool_name="memory_insert", requires_approval=True
    ),
    "a message": lambda agent: make_message(conversation=get_default_conversation(agent)),
    "an empty archive": lambda agent: make_archive(agent=agent),
}


def is_rebuilt(agent: Agent) -> bool:
    """Whether the next run writes a new text."""
    fresh = Agent.objects.get(id=agent.id)
    with transaction.atomic():
        written = write_system_message(agent=fresh, conversation=get_default_conversation(fresh))
    return written.new_text is not None


@pytest.mark.django_db
@pytest.mark.parametrize("change", REBUILDS.values(), ids=REBUILDS)
def test_the_system_message_is_compiled_anew_once_after(
    agent: Agent, change: Callable[[Agent], object]
) -> None:
    change(agent)
    assert is_rebuilt(agent)
    assert not is_rebuilt(agent)


@pytest.mark.django_db
@pytest.mark.parametrize("change", LEAVES.values(), ids=LEAVES)
def test_the_system_message_stands_as_it_was_after(agent: Agent, change: Callable[[Agent], object]) -> None:
    before = Message.objects.get(role="system").content
    change(agent)
    assert not is_rebuilt(agent)
    assert Message.objects.get(role="system").content == before


@pytest.mark.django_db
def test_a_change_brings_the_text_but_not_another_time(agent: Agent) -> None:
    def time_line() -> str:
        lines = Message.objects.get(role="system").content[0]["text"].splitlines()
        return next(line for line in lines if line.startswith("- Memory last compiled"))

    conversation = get_default_conversation(agent)
    conversation.compiled_at = timezone.now().replace(year=2020)
    conversation.save()
    change_block(value="one")(agent)
    assert is_rebuilt(agent)
    assert "- Memory last compiled: 2020-" in time_line()


async def db(fn: Callable[[], R]) -> R:
    return await threads.run(fn)


async def start(agent: Agent, words: str) -> str:
    message = InputMessage(role="user", content=(TextPart(text=words),))
    request = RunRequest(agent_id=agent.id, messages=(message,))
    started = await execution.start_run(caller=await db(make_caller), request=request)
    return started.run_id


async def ask(agent: Agent, words: str = "Hello") -> None:
    run_id = await start(agent, words)
    assert [event async for _, event in streams.follow(run_id)]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ended_runs")
async def test_requests_of_an_idle_agent_begin_with_the_same_bytes(
    agent: Agent, model: ScriptedModel
) -> None:
    await db(lambda: insert_passage(agent))
    model.add(text("one"), tool_call("conversation_search", query="x"), text("two"), text("three"))
    for words in ("a", "b", "c"):
        await ask(agent, words)
    first, *later = model.payloads
    for payload in later:
        for part in ("tools", "model", "tool_choice"):
            assert json.dumps(payload[part]) == json.dumps(first[part])
        assert json.dumps(payload["messages"][0]) == json.dumps(first["messages"][0])
    for before, after in zip(model.payloads, model.payloads[1:], strict=False):
        assert after["messages"][: len(before["messages"])] == before["messages"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ended_runs")
async def test_requests_of_a_heartbeat_agent_begin_with_the_same_bytes(model: ScriptedModel) -> None:
    def make() -> Agent:
        draft = AgentDraft(
            model=model.handle,
            agent_type="memgpt_agent",
            blocks=(BlockDraft(label="human", value="Name: Ada"),),
            timezone="Europe/Oslo",
        )
        return create_agent(caller=make_caller(), draft=draft)

    agent = await db(make)
    look = tool_call("conversation_search", query="x", request_heartbeat=True)
    for words in ("a", "b", "c"):
        model.add([text("I look. "), look], tool_call("no_such_tool"), [text("Now. "), look])
        model.add(tool_call("send_message", message=words))
        await ask(agent, words)
    assert len(model.payloads) == 12
    names = [tool["name"] for tool in model.payloads[0]["tools"]]
    assert names == sorted(names)
    for before, after in zip(model.payloads, model.payloads[1:], strict=False):
        assert json.dumps(after["tools"]) == json.dumps(before["tools"])
        assert json.dumps(after["tool_choice"]) == json.dumps(before["tool_choice"])
        assert after["messages"][: len(before["messages"])] == before["messages"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.usefixtures("ended_runs")
async def test_a_run_that_comes_while_the_context_is_changed_waits_and_sees_the_change(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("one"), text("two"))
    await ask(agent, "Forget this.")
    is_held, may_go = threading.Event(), threading.Event()

    def clear() -> None:
        try:
            with transaction.atomic():
                conversation = keep_runs_out(get_default_conversation(agent))
                is_held.set()
                may_go.wait(30)
                conversation.entries.filter(position__gt=0).delete()
        finally:
            connection.close()

    changing = asyncio.create_task(asyncio.to_thread(clear))
    await asyncio.to_thread(is_held.wait, 30)
    starting = asyncio.create_task(start(agent, "Hello again."))
    while not await db(somebody_waits):
        assert not starting.done()
    may_go.set()
    await changing
    run_id = await starting
    assert [event async for _, event in streams.follow(run_id)]
    said = json.dumps(model.payloads[-1]["messages"])
    assert "Hello again." in said
    assert "Forget this." not in said
