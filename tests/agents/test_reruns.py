"""Edited messages are run again in a fork: what it begins with, what it sends, and what the conversation keeps."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import pytest

from agents.models import Agent, Conversation, Message
from agents.services.agents import AgentDraft, create_agent
from agents.services.reruns import Rerun, rerun_edited
from agents.streams import follow
from letta_ade.core.errors import AdeError, Forbidden, Invalid, NotFound
from letta_ade.core.ids import new_id
from letta_ade.llm.messages import ImagePart, TextPart
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.factories import make_caller, make_conversation, make_message
from tests.support.sending import db, finish, said, start

pytestmark = pytest.mark.django_db(transaction=True)

_DOT = "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"
IMAGE = ImagePart(source={"type": "base64", "media_type": "image/gif", "data": _DOT})


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(name="tea-notes", model=model.handle, initial_messages=())
    return create_agent(caller=make_caller(), draft=draft)


def words_in_context(conversation: Conversation) -> list[str]:
    entries = conversation.entries.order_by("position").select_related("message")
    return [entry.message.text for entry in entries][1:]


async def message_of(agent: Agent, words: str) -> Message:
    return await db(lambda: agent.messages.get(text=words))


async def rerun(message: Message, words: str, role: Literal["editor", "viewer"] = "editor") -> Rerun:
    caller = await db(lambda: make_caller(role=role))
    return await rerun_edited(
        caller=caller,
        agent_id=message.agent_id,
        conversation_id=message.conversation_id,
        message_id=message.id,
        text=words,
    )


async def talk(agent: Agent, model: ScriptedModel) -> Conversation:
    """Two turns in the default conversation."""
    model.add(text("One answer."), text("Another answer."))
    for words in ("First words.", "Second words."):
        async for _ in follow(await start(agent, words)):
            pass
    return await db(lambda: agent.conversations.get(is_default=True))


async def test_the_edited_text_is_sent_in_a_fork_that_ends_before_the_message(
    agent: Agent, model: ScriptedModel
) -> None:
    source = await talk(agent, model)
    kept = await db(lambda: words_in_context(source))
    model.add(text("A better answer."))
    done = await rerun(await message_of(agent, "Second words."), "Better words.")
    assert (await finish(done.run_id)).stop_reason == "end_turn"
    assert await db(lambda: words_in_context(done.fork)) == [
        "First words.",
        "One answer.",
        "Better words.",
        "A better answer.",
    ]
    assert done.fork.forked_from_id == source.id
    assert await db(lambda: words_in_context(source)) == kept


async def test_the_very_first_message_can_be_edited_too(agent: Agent, model: ScriptedModel) -> None:
    await talk(agent, model)
    model.add(text("Hello to you."))
    done = await rerun(await message_of(agent, "First words."), "Hello.")
    await finish(done.run_id)
    assert await db(lambda: words_in_context(done.fork)) == ["Hello.", "Hello to you."]


async def test_images_and_the_role_go_with_the_edited_text(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("A dot."), text("Still a dot."))
    asked = said("What is this?")
    async for _ in follow(await start(agent, type(asked)(role="user", content=(*asked.content, IMAGE)))):
        pass
    done = await rerun(await message_of(agent, "What is this?"), "And now?")
    await finish(done.run_id)
    sent = model.requests[-1].messages[-1]
    assert sent.role == "user"
    assert sent.parts == (TextPart(text="And now?"), IMAGE)


@pytest.mark.parametrize(
    ("words", "typed", "refused"),
    [
        ("One answer.", "Mine.", Invalid),
        ("Second words.", "", Invalid),
        ("Hidden words.", "Shown.", Invalid),
    ],
    ids=["of the agent", "empty", "not in context"],
)
async def test_what_cannot_be_run_again_leaves_no_fork(
    agent: Agent, model: ScriptedModel, words: str, typed: str, refused: type[AdeError]
) -> None:
    source = await talk(agent, model)
    await db(lambda: make_message(conversation=source, text="Hidden words."))
    with pytest.raises(refused):
        await rerun(await message_of(agent, words), typed)
    assert await db(agent.conversations.count) == 1


async def test_a_run_that_cannot_start_leaves_no_fork(agent: Agent, model: ScriptedModel) -> None:
    source = await talk(agent, model)
    await db(lambda: Agent.objects.filter(id=agent.id).update(model="gone/away"))
    with pytest.raises(AdeError):
        await rerun(await message_of(agent, "Second words."), "Better words.")
    forks = await db(lambda: list(Conversation.objects.filter(forked_from=source, deleted_at=None)))
    assert forks == []


async def test_who_may_not_edit_and_who_asks_for_another_conversation_is_refused(
    agent: Agent, model: ScriptedModel
) -> None:
    await talk(agent, model)
    message = await message_of(agent, "First words.")
    with pytest.raises(Forbidden):
        await rerun(message, "Mine.", role="viewer")
    message.conversation_id = (await db(make_conversation)).id
    with pytest.raises(NotFound):
        await rerun(message, "Mine.")
    gone = await message_of(agent, "First words.")
    gone.id = new_id("message")
    with pytest.raises(NotFound):
        await rerun(gone, "Mine.")
