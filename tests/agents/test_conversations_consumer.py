"""The workbench's websocket and the conversations of an agent: each page hears its own, and of the others only their names."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agents.models import Agent, Conversation
from agents.services.agent_conversations import (
    ConversationChanges,
    ConversationDraft,
    create_conversation,
    delete_conversation,
    update_conversation,
)
from agents.services.agents import AgentDraft, create_agent
from agents.services.history_edits import hide_message, show_message
from agents.streams import follow
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, gate, installed, text
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from tests.agents.test_workbench_consumer import close_code, open_socket, ready, until
from tests.support.factories import make_agent, make_caller, make_conversation
from tests.support.sending import start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    blocks = (BlockDraft(label="human", value="Nothing yet."),)
    draft = AgentDraft(name="tea-notes", model=model.handle, blocks=blocks)
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
def tea(agent: Agent) -> Conversation:
    draft = ConversationDraft(summary="Tea", isolated_block_labels=("human",))
    return create_conversation(caller=make_caller(), agent_id=agent.id, draft=draft)


async def test_a_page_does_not_receive_the_run_of_another_conversation(
    agent: Agent, tea: Conversation, model: ScriptedModel
) -> None:
    going_on = asyncio.Event()
    model.add([text("A secret of the default one. "), gate(going_on), text("More.")], text("Tea is served."))
    default, named = open_socket(agent.id), open_socket(agent.id, conversation_id=tea.id)
    await ready(default)
    heard = await ready(named)
    first = await start(agent, "Ask the default one.")
    told = await until(default, "A secret of the default one.")
    late = open_socket(agent.id, conversation_id=tea.id)
    heard += await ready(late)
    going_on.set()
    told = await until(default, f'{first}" data-phase="completed"', told)
    second = await start(agent, "Ask for tea.", conversation_id=tea.id)
    heard = await until(named, f'{second}" data-phase="completed"', heard)
    assert "Tea is served." in heard
    for words in ("A secret", "Ask the default one", first):
        assert words not in heard
    for words in ("Tea is served", "Ask for tea", second):
        assert words not in told
    for socket in (default, named, late):
        await socket.disconnect()


async def test_a_page_of_a_conversation_that_is_not_there_is_told_so(agent: Agent) -> None:
    other = await threads.run(lambda: make_conversation(agent=make_agent()))
    for conversation_id in (new_id("conversation"), other.id):
        assert await close_code(open_socket(agent.id, conversation_id=conversation_id)) == 4404


async def test_a_new_name_reaches_the_pages_of_the_agent(agent: Agent, tea: Conversation) -> None:
    default, named = open_socket(agent.id), open_socket(agent.id, conversation_id=tea.id)
    await ready(default)
    await ready(named)
    caller = await threads.run(make_caller)
    changes = ConversationChanges(summary="Coffee")
    await threads.run(update_conversation, caller=caller, conversation_id=tea.id, changes=changes)
    assert '<h2 class="vh">Coffee</h2>' in await until(named, 'id="part-conversation"')
    told = await until(default, 'title="Coffee"')
    assert '<h2 class="vh">Default conversation</h2>' in told
    for socket in (default, named):
        await socket.disconnect()


async def test_a_page_of_a_deleted_conversation_is_closed(agent: Agent, tea: Conversation) -> None:
    socket = open_socket(agent.id, conversation_id=tea.id)
    await ready(socket)
    caller = await threads.run(make_caller)
    await threads.run(delete_conversation, caller=caller, conversation_id=tea.id)
    while (answer := await socket.receive_output(timeout=10))["type"] != "websocket.close":
        pass
    assert answer["code"] == 4404


async def test_a_hidden_message_is_marked_on_every_page_and_nothing_else_is(
    agent: Agent, tea: Conversation, model: ScriptedModel
) -> None:
    model.add(text("Noted."))
    async for _ in follow(await start(agent, "Forget this.", conversation_id=tea.id)):
        pass
    socket = open_socket(agent.id, conversation_id=tea.id)
    await until(socket, 'id="runline"', await ready(socket))
    message = await threads.run(lambda: tea.messages.get(role="user"))
    caller = await threads.run(make_caller)
    for change, place in ((hide_message, "hidden"), (show_message, "in")):
        await threads.run(change, caller=caller, conversation_id=tea.id, message_id=message.id)
        frames = await until(socket, f'data-place="{place}" hx-swap-oob="outerHTML"')
        assert frames.count('hx-swap-oob="outerHTML"') == 1
        assert f'id="place-{message.id}" class="msg-place" data-place="{place}" hx-swap-oob' in frames
    await socket.disconnect()


async def test_a_write_to_its_own_copy_of_a_block_reaches_its_page(agent: Agent, tea: Conversation) -> None:
    socket = open_socket(agent.id, conversation_id=tea.id)
    await ready(socket)
    block = await threads.run(lambda: tea.block_links.select_related("block").get().block)
    caller = await threads.run(make_caller)
    changes = BlockChanges(value="Nothing yet.\nLikes rain.")
    await threads.run(update_block, caller=caller, block_id=block.id, changes=changes)
    assert f'<article id="block-{block.id}"' in await until(socket, "Likes rain.")
    await socket.disconnect()
