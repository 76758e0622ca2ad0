"""What an agent waits for, as the agent itself tells when it is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from letta_client.types.agents import ApprovalRequestMessage
from pytest_django import DjangoAssertNumQueries

from agents.models import Conversation, Message
from tests.support.api import Api
from tests.support.factories import attach_block, make_block, make_conversation, make_message
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

ASKED = {"include": ["agent.pending_approval"]}
CALLS = [
    {"id": "call_1", "name": "clock", "arguments": '{"zone": "UTC"}'},
    {"id": "call_2", "name": "clock", "arguments": "{}"},
]


@pytest.fixture
def api() -> Api:
    return Api()


def make_request(conversation: Conversation, **fields: Any) -> Message:
    """A system message, a word of the user, and a request with two calls."""
    now = timezone.now()
    for role in ("system", "user"):
        make_message(conversation=conversation, role=role, in_context=True, created_at=now)
    values: dict[str, Any] = {"content": [], "tool_calls": CALLS, "created_at": now + timedelta(seconds=1)}
    return make_message(conversation=conversation, role="approval", in_context=True, **(values | fields))


def pending_of(api: Api, agent_id: str, **query: Any) -> Any:
    return api.get(f"/v1/agents/{agent_id}", **query).json()["pending_approval"]


def test_the_request_that_waits_is_the_one_of_the_list_of_messages(api: Api) -> None:
    thought = {"type": "reasoning", "reasoning": "Hm.", "signature": None, "is_native": True}
    request = make_request(make_conversation(), content=[thought])
    pending = pending_of(api, request.agent_id, **ASKED)
    validate(ApprovalRequestMessage, pending)
    assert pending["id"] == request.id
    assert [call["tool_call_id"] for call in pending["tool_calls"]] == ["call_1", "call_2"]
    assert pending["tool_call"] == pending["tool_calls"][0]


def test_it_is_told_only_when_it_is_asked_for(api: Api) -> None:
    request = make_request(make_conversation())
    assert pending_of(api, request.agent_id) is None
    assert pending_of(api, request.agent_id, include=["agent.tools"]) is None


def test_an_agent_that_waits_for_nothing_has_none(api: Api) -> None:
    conversation = make_conversation()
    assert pending_of(api, conversation.agent_id, **ASKED) is None
    make_message(conversation=conversation, in_context=True)
    assert pending_of(api, conversation.agent_id, **ASKED) is None


def test_an_answered_request_does_not_wait(api: Api) -> None:
    conversation = make_conversation()
    make_request(conversation)
    approvals = [{"type": "approval", "tool_call_id": "call_1", "approve": True, "reason": None}]
    make_message(conversation=conversation, role="approval", content=[], approvals=approvals, in_context=True)
    assert pending_of(api, conversation.agent_id, **ASKED) is None


def test_what_another_conversation_waits_for_is_not_the_agents(api: Api) -> None:
    main = make_conversation()
    make_request(make_conversation(agent=main.agent))
    assert pending_of(api, main.agent_id, **ASKED) is None


def test_a_list_tells_it_with_one_more_query(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    waiting = [make_request(make_conversation()) for _ in range(3)]
    idle = make_conversation()
    block = make_block()
    for agent in (waiting[0].agent, idle.agent):
        attach_block(agent, block)
    with django_assert_num_queries(3):
        listed = api.get("/v1/agents/", **ASKED).json()
    assert {each["id"]: each["pending_approval"] and each["pending_approval"]["id"] for each in listed} == {
        **{request.agent_id: request.id for request in waiting},
        idle.agent_id: None,
    }
    of_block = api.get(f"/v1/blocks/{block.id}/agents", **ASKED).json()
    assert [bool(each["pending_approval"]) for each in of_block] == [False, True]
