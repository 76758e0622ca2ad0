"""Messages taken out of a context and brought back, over REST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from agents.models import Agent, Conversation, Message
from agents.services.agents import AgentDraft, create_agent
from agents.services.approvals import find_pending
from agents.services.context import load_context
from agents.services.conversations import get_default_conversation
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import (
    local_workspace,
    make_caller,
    make_conversation,
    make_lease,
    make_message,
)

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(model="demo/assistant"))


@pytest.fixture
def conversation(agent: Agent) -> Conversation:
    return get_default_conversation(agent)


@pytest.fixture
def said(conversation: Conversation) -> list[Message]:
    return [say(conversation, number) for number in range(5)]


def say(conversation: Conversation, number: int, **fields: Any) -> Message:
    moment = NOON + timedelta(minutes=number)
    return make_message(
        conversation=conversation, text=f"{number}", in_context=True, **({"created_at": moment} | fields)
    )


def send(api: Api, message: Message, verb: str) -> Any:
    return api.post(f"/v1/conversations/{message.conversation_id}/messages/{message.id}/{verb}")


def texts(conversation: Conversation) -> list[str]:
    entries = conversation.entries.filter(position__gt=0).order_by("position").select_related("message")
    return [entry.message.text for entry in entries]


def test_a_hidden_message_leaves_the_context_and_stays_in_the_history(
    api: Api, conversation: Conversation, said: list[Message]
) -> None:
    answer = send(api, said[2], "hide")
    assert answer.status_code == 200
    ids = answer.json()["in_context_message_ids"]
    assert ids[1:] == [message.id for message in said if message is not said[2]]
    assert texts(conversation) == ["0", "1", "3", "4"]
    assert send(api, said[2], "hide").json()["in_context_message_ids"] == ids
    assert Message.objects.filter(id=said[2].id).exists()


def test_it_comes_back_to_its_place(api: Api, conversation: Conversation, said: list[Message]) -> None:
    for message in (said[0], said[2], said[1], said[4]):
        send(api, message, "hide")
    assert texts(conversation) == ["3"]
    # What is said meanwhile takes the places at the end.
    say(conversation, 5)
    say(conversation, 6)
    for message in (said[4], said[1], said[2], said[0]):
        answer = send(api, message, "unhide")
        assert answer.status_code == 200
    assert texts(conversation) == ["0", "1", "2", "3", "4", "5", "6"]
    ids = answer.json()["in_context_message_ids"]
    assert send(api, said[0], "unhide").json()["in_context_message_ids"] == ids
    assert conversation.entries.get(position=0).message.role == "system"


def test_the_last_message_comes_back_to_the_end(
    api: Api, conversation: Conversation, said: list[Message]
) -> None:
    send(api, said[4], "hide")
    send(api, said[4], "unhide")
    assert texts(conversation) == ["0", "1", "2", "3", "4"]


def test_it_comes_back_behind_the_summary_of_what_was_before(
    api: Api, conversation: Conversation, said: list[Message]
) -> None:
    conversation.entries.filter(position__gt=0).delete()
    say(conversation, 9, role="summary")
    make_entry(conversation, said[4])
    send(api, said[3], "unhide")
    assert texts(conversation) == ["9", "3", "4"]


def make_entry(conversation: Conversation, message: Message) -> None:
    conversation.entries.create(message=message, position=conversation.entries.count() + 1)


def test_a_request_that_is_hidden_does_not_wait_any_more(api: Api, conversation: Conversation) -> None:
    say(conversation, 0)
    call = {"id": "call_1", "name": "buy", "arguments": "{}"}
    request = say(conversation, 1, role="approval", content=[], tool_calls=[call])
    assert find_pending(load_context(conversation)) is not None
    send(api, request, "hide")
    assert find_pending(load_context(conversation)) is None
    send(api, request, "unhide")
    assert find_pending(load_context(conversation)) is not None


def test_the_system_message_cannot_be_hidden(api: Api, conversation: Conversation) -> None:
    answer = send(api, conversation.entries.get(position=0).message, "hide")
    assert answer.status_code == 400
    assert "cannot be hidden" in answer.json()["detail"]
    assert conversation.entries.filter(position=0).exists()


def test_the_message_of_a_failed_step_never_comes_into_context(api: Api, conversation: Conversation) -> None:
    failed = make_message(conversation=conversation, is_err=True)
    answer = send(api, failed, "unhide")
    assert answer.status_code == 400
    assert "failed" in answer.json()["detail"]


@pytest.mark.parametrize("verb", ["hide", "unhide"])
def test_nothing_is_edited_while_a_run_goes_on(
    api: Api, conversation: Conversation, said: list[Message], verb: str
) -> None:
    lease = make_lease(conversation)
    answer = send(api, said[0], verb)
    assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)
    assert len(texts(conversation)) == 5


@pytest.mark.parametrize("verb", ["hide", "unhide"])
def test_unknown_messages_and_readers(
    api: Api, agent: Agent, conversation: Conversation, said: list[Message], verb: str
) -> None:
    url = f"/v1/conversations/{conversation.id}/messages"
    elsewhere = make_message(conversation=make_conversation(agent=agent), in_context=True)
    for message_id in (elsewhere.id, new_id("message")):
        assert api.post(f"{url}/{message_id}/{verb}").status_code == 404
    assert api.post(f"{url}/message-1/{verb}").status_code == 422
    default = f"/v1/conversations/default/messages/{said[0].id}/{verb}"
    assert api.post(default).status_code == 400
    assert api.post(f"{default}?agent_id={agent.id}").status_code == 200
    key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
    assert send(Api(Authorization=f"Bearer {key}"), said[0], verb).status_code == 403
