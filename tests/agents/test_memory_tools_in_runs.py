"""Memory tools in whole runs: what they do to an agent's blocks is known to later calls, steps and requests."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import pytest

from agents import streams
from agents.models import Agent, Message
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from agents.services.block_pins import pin_block, unpin_block
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from memory.models import Block, Passage
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller

pytestmark = pytest.mark.django_db(transaction=True)
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
        blocks=(BlockDraft(label="human", value="Name: Ada"), BlockDraft(label="scratch", value="old")),
        tool_names=("memory", "memory_apply_patch", "store_memories", "search_memory"),
        include_base_tool_rules=False,
    )
    return create_agent(caller=make_caller(), draft=draft)


async def db(fn: Callable[[], R]) -> R:
    return await threads.run(fn)


async def ask(agent: Agent, words: str = "Hello") -> None:
    message = InputMessage(role="user", content=(TextPart(text=words),))
    request = RunRequest(agent_id=agent.id, messages=(message,))
    started = await execution.start_run(caller=await db(make_caller), request=request)
    assert [event async for _, event in streams.follow(started.run_id)]


async def returns() -> list[Any]:
    rows = await db(lambda: list(Message.objects.filter(role="tool").order_by("created_at")))
    return [each["text"] for row in rows for each in row.tool_returns]


async def test_a_block_taken_away_is_gone_for_the_next_call_and_from_the_next_prompt(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(
        [
            tool_call("memory", command="delete", path="/memories/scratch"),
            tool_call("memory", command="insert", path="scratch", insert_text="x"),
        ],
        tool_call("memory", command="insert", path="scratch", insert_text="x"),
        text("Done"),
        text("Yes"),
    )
    await ask(agent)
    deleted, same_reply, next_step = await returns()
    assert deleted.startswith("Deleted")
    assert "Your blocks are: 'human'." in same_reply
    assert "Your blocks are: 'human'." in next_step
    assert (await db(lambda: Block.objects.get(label="scratch"))).value == "old"
    await ask(agent)
    first, later = (json.dumps(model.payloads[at]["messages"][0]) for at in (0, 3))
    assert "<scratch>" in first
    assert "<scratch>" not in later


async def test_a_renamed_block_is_known_by_its_new_label_only(agent: Agent, model: ScriptedModel) -> None:
    model.add(
        tool_call(
            "memory_apply_patch",
            patch="*** Update Block: human\n*** Move to: person\n-Name: Ada\n+Name: Grace",
        ),
        tool_call("memory", command="insert", path="person", insert_text="Likes tea"),
        tool_call("memory", command="insert", path="human", insert_text="x"),
        text("Done"),
    )
    await ask(agent)
    _, inserted, refused = await returns()
    assert inserted == "Name: Grace\nLikes tea"
    assert "You have no memory block 'human'. Your blocks are: 'scratch', 'person'." in refused


async def test_a_failed_call_leaves_the_labels_as_they_were(agent: Agent, model: ScriptedModel) -> None:
    model.add(
        tool_call("memory_apply_patch", patch="*** Delete Block: scratch\n*** Update Block: human\n-gone"),
        tool_call("memory", command="insert", path="scratch", insert_text="new"),
        text("Done"),
    )
    await ask(agent)
    refused, inserted = await returns()
    assert "does not fit" in refused
    assert inserted == "old\nnew"


async def test_the_transcript_of_the_request_is_stored_in_its_first_step(
    agent: Agent, model: ScriptedModel
) -> None:
    chunk = {"start_index": 1, "end_index": 1, "context": "A cat.", "tags": ["pets"]}
    model.add(
        tool_call("store_memories", chunks=[chunk]),
        tool_call("search_memory"),
        text("Done"),
    )
    await ask(agent, "0. user: Hello.\n1. user: My cat is Rosa.")
    passage = await db(Passage.objects.get)
    assert (passage.text, passage.tags) == ("A cat.\n\nuser: My cat is Rosa.", ["pets"])
    _, found = await returns()
    assert [hit["content"] for hit in json.loads(found)["archival"]] == [passage.text]


async def test_an_edit_of_a_pinned_block_is_stored_and_the_agent_is_told_what_it_goes_on_seeing(
    agent: Agent, model: ScriptedModel
) -> None:
    human = await db(lambda: Block.objects.get(label="human"))
    await db(lambda: pin_block(caller=make_caller(), conversation_id=agent.id, block_id=human.id))
    model.add(
        tool_call("memory", command="insert", path="human", insert_text="Likes tea."),
        tool_call("memory", command="str_replace", path="human", old_string="Coffee", new_string="Tea"),
        text("Done"),
        text("Yes"),
    )
    await ask(agent)
    inserted, failed = await returns()
    assert "Saved as version 2 of 'human'. This conversation is pinned to version 1" in inserted
    assert "You are shown version 1 of the block" in failed
    assert "Likes tea." in failed
    assert "Likes tea." in (await db(lambda: Block.objects.get(label="human"))).value
    await ask(agent)
    assert "Likes tea." not in json.dumps(model.payloads[3]["messages"][0])
    await db(lambda: unpin_block(caller=make_caller(), conversation_id=agent.id, block_id=human.id))
    model.add(text("Yes"))
    await ask(agent)
    assert "Likes tea." in json.dumps(model.payloads[4]["messages"][0])


async def test_tools_say_nothing_of_pins_where_there_are_none(agent: Agent, model: ScriptedModel) -> None:
    model.add(
        tool_call("memory", command="insert", path="human", insert_text="Likes tea."),
        tool_call("memory", command="str_replace", path="human", old_string="Coffee", new_string="Tea"),
        text("Done"),
    )
    await ask(agent)
    assert "pinned" not in " ".join(await returns())
