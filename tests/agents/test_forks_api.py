"""Forks over REST: what they begin with, what they share, and where none can be made."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from letta_client.types.conversation import Conversation as ClientConversation

from agents.models import Agent, Conversation, Message
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation, history_of
from letta_ade.core.ids import new_id
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from tests.support.api import Api
from tests.support.factories import make_caller, make_conversation, make_lease, make_message
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    draft = AgentDraft(model="demo/assistant", blocks=(BlockDraft(label="human", value="Name: Ada"),))
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
def default(agent: Agent) -> Conversation:
    """The agent's default conversation, in which four messages were said."""
    conversation = get_default_conversation(agent)
    for number, role in enumerate(["user", "assistant"] * 2, start=1):
        moment = NOON + timedelta(minutes=number)
        make_message(
            conversation=conversation, role=role, text=f"{number}", in_context=True, created_at=moment
        )
    return conversation


def fork(api: Api, conversation: Conversation, **query: Any) -> Conversation:
    answer = send(api, conversation, **query)
    assert answer.status_code == 200, answer.content
    validate(ClientConversation, answer.json(), extra=["isolated_block_ids", "hidden"])
    return Conversation.objects.get(id=answer.json()["id"])


def send(api: Api, conversation: Conversation, **query: Any) -> Any:
    words = "&".join(f"{name}={value}" for name, value in query.items())
    return api.post(f"/v1/conversations/{conversation.id}/fork?{words}")


def messages(conversation: Conversation) -> dict[str, Message]:
    """What is in context behind the system message, by its text."""
    entries = conversation.entries.filter(position__gt=0).order_by("position").select_related("message")
    return {entry.message.text: entry.message for entry in entries}


def texts(conversation: Conversation) -> list[str]:
    return list(messages(conversation))


def system_text(conversation: Conversation) -> str:
    text: str = conversation.entries.get(position=0).message.content[0]["text"]
    return text


def test_a_fork_has_the_same_messages_and_a_system_message_of_its_own(
    api: Api, agent: Agent, default: Conversation
) -> None:
    update_block(
        caller=make_caller(), block_id=agent.blocks.get().id, changes=BlockChanges(value="Name: Grace")
    )
    forked = fork(api, default)
    assert (forked.agent, forked.is_default, forked.forked_from) == (agent, False, default)
    assert messages(forked) == messages(default)
    assert "Name: Grace" in system_text(forked)
    assert f"CONVERSATION_ID: {forked.id}" in system_text(forked)
    assert "Name: Ada" in system_text(default)
    assert forked.last_message_at == NOON + timedelta(minutes=4)
    # The fork knows all that was said, so nothing is left to recall but the other system message.
    assert "- 1 earlier messages" in system_text(forked)


def test_a_fork_goes_as_far_as_it_is_told(api: Api, default: Conversation) -> None:
    assert texts(fork(api, default, message_id=messages(default)["2"].id)) == ["1", "2"]
    system = default.entries.get(position=0).message_id
    assert texts(fork(api, default, message_id=system)) == []


def test_the_history_of_a_fork_begins_with_its_system_message_and_stays_whole(
    api: Api, agent: Agent, default: Conversation
) -> None:
    forked = fork(api, default, message_id=messages(default)["2"].id)
    told = history_of(forked).order_by("created_at", "id")
    assert [message.role for message in told] == ["system", "user", "assistant"]
    forked.entries.filter(position=1).delete()
    assert [message.text for message in told][1:] == ["1", "2"]
    # Nothing of a fork is in its source.
    make_message(conversation=forked, text="other")
    assert not history_of(default).filter(text="other").exists()


def test_forks_of_forks(api: Api, default: Conversation) -> None:
    first = fork(api, default, message_id=messages(default)["3"].id)
    make_message(conversation=first, text="other", in_context=True)
    second = fork(api, first)
    assert texts(second) == ["1", "2", "3", "other"]
    third = fork(api, second, message_id=messages(default)["2"].id)
    assert texts(third) == ["1", "2"]
    assert {message.text for message in history_of(third)} >= {"1", "2"}


def test_a_message_that_is_hidden_in_a_fork_is_not_in_its_forks(api: Api, default: Conversation) -> None:
    first = fork(api, default)
    hidden = messages(first)["2"]
    answer = api.post(f"/v1/conversations/{first.id}/messages/{hidden.id}/hide")
    assert answer.status_code == 200
    second = fork(api, first)
    assert texts(second) == ["1", "3", "4"]
    assert texts(default) == ["1", "2", "3", "4"]
    refused = send(api, first, message_id=hidden.id)
    assert refused.status_code == 400
    assert "not in the context" in refused.json()["detail"]
    # The second fork has never had it.
    assert send(api, second, message_id=hidden.id).status_code == 404


def test_isolated_blocks_are_copied_and_the_settings_taken_over(api: Api, agent: Agent) -> None:
    made = api.post(
        f"/v1/conversations/?agent_id={agent.id}",
        {
            "isolated_block_labels": ["human"],
            "summary": "Tea",
            "model": "demo/assistant",
            "model_settings": {"temperature": 0.2},
            "context_window_limit": 9000,
        },
    ).json()
    (copy_id,) = made["isolated_block_ids"]
    update_block(caller=make_caller(), block_id=copy_id, changes=BlockChanges(value="Name: Grace"))
    answer = send(api, Conversation.objects.get(id=made["id"]), hidden="true").json()
    (own_id,) = answer["isolated_block_ids"]
    assert own_id not in (copy_id, agent.blocks.get().id)
    assert Block.objects.get(id=own_id).value == "Name: Grace"
    kept = ("summary", "model", "model_settings", "context_window_limit")
    assert [answer[name] for name in kept] == [made[name] for name in kept]
    assert answer["hidden"] is True
    update_block(caller=make_caller(), block_id=own_id, changes=BlockChanges(value="Name: Lin"))
    assert Block.objects.get(id=copy_id).value == "Name: Grace"


def test_a_request_that_waits_stays_behind(api: Api, default: Conversation) -> None:
    call = {"id": "call_1", "name": "buy", "arguments": "{}"}
    request = make_message(
        conversation=default, role="approval", content=[], text="", tool_calls=[call], in_context=True
    )
    assert texts(fork(api, default)) == ["1", "2", "3", "4"]
    assert texts(fork(api, default, message_id=request.id)) == ["1", "2", "3", "4"]


def test_a_running_conversation_can_be_forked(api: Api, default: Conversation) -> None:
    make_lease(default)
    assert texts(fork(api, default)) == ["1", "2", "3", "4"]


def test_what_a_fork_shares_outlives_the_reset_of_its_source(api: Api, default: Conversation) -> None:
    forked = fork(api, default)
    hidden = messages(forked)["2"]
    api.post(f"/v1/conversations/{forked.id}/messages/{hidden.id}/hide")
    api.patch(f"/v1/agents/{default.agent_id}/reset-messages")
    assert texts(default) == []
    assert texts(forked) == ["1", "3", "4"]
    assert history_of(forked).filter(text="2").exists()


def test_a_reset_fork_has_nothing_left_of_its_source(api: Api, default: Conversation) -> None:
    forked = fork(api, default)
    make_message(conversation=forked, text="other", in_context=True)
    answer = api.patch(f"/v1/conversations/{forked.id}/reset-messages")
    assert answer.status_code == 200
    assert answer.json()["in_context_message_ids"] == [forked.entries.get().message_id]
    assert [message.role for message in history_of(forked)] == ["system"]
    assert texts(default) == ["1", "2", "3", "4"]
    lease = make_lease(forked)
    answer = api.patch(f"/v1/conversations/{forked.id}/reset-messages")
    assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)


def test_messages_of_elsewhere_are_not_found(api: Api, agent: Agent, default: Conversation) -> None:
    beside = make_conversation(agent=agent)
    other = make_message(conversation=beside, in_context=True)
    foreign = make_message(in_context=True)
    for message_id in (other.id, foreign.id, new_id("message"), "message-1"):
        answer = send(api, default, message_id=message_id)
        assert (answer.status_code, message_id in answer.json()["detail"]) == (404, True)
    assert Conversation.objects.filter(forked_from=default).count() == 0
