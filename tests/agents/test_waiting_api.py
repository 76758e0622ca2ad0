"""The list of everything that waits, over REST."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from agents.models import Conversation
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import make_agent, make_conversation, make_lease, make_message, make_workspace
from tests.support.waiting import NOON, make_request

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


def found(api: Api, **query: Any) -> list[str]:
    answer = api.get("/v1/approvals/", **query)
    assert answer.status_code == 200, answer.content
    return [each["id"] for each in answer.json()]


def test_a_request_is_told_with_its_calls_and_whom_they_wait_for(api: Api, settings: Any) -> None:
    settings.REQUEST_EXPIRY_HOURS = 1
    request = make_request("clock", "shell")
    assert request.step is not None
    make_message(
        conversation=request.conversation,
        role="assistant",
        step=request.step,
        tool_calls=[{"id": "call_9", "name": "free", "arguments": "{}"}],
    )
    [body] = api.get("/v1/approvals/").json()
    assert body == {
        "id": request.id,
        "agent_id": request.agent_id,
        "agent_name": request.agent.name,
        "conversation_id": request.conversation_id,
        "run_id": request.run_id,
        "step_id": request.step_id,
        "created_at": "2026-03-01T12:00:00Z",
        "expires_at": "2026-03-01T13:00:00Z",
        "tool_calls": [
            {"tool_call_id": "call_0", "name": "clock", "arguments": "{}", "waits_for": "approval"},
            {"tool_call_id": "call_1", "name": "shell", "arguments": "{}", "waits_for": "client"},
        ],
        "put_off": ["free"],
    }


def test_requests_are_filtered(api: Api) -> None:
    first, second, both = (
        make_request("clock"),
        make_request("shell", minutes=1),
        make_request("shell", "clock", minutes=2),
    )
    assert found(api) == [both.id, second.id, first.id]
    assert found(api, order="asc") == [first.id, second.id, both.id]
    assert found(api, waits_for="approval") == [both.id, first.id]
    assert found(api, waits_for="client") == [both.id, second.id]
    assert found(api, agent_id=first.agent_id) == [first.id]
    assert found(api, conversation_id=second.conversation_id) == [second.id]
    assert found(api, agent_id=new_id("agent")) == []
    assert api.get("/v1/approvals/", waits_for="nobody").status_code == 422
    assert api.get("/v1/approvals/", limit=0).status_code == 422


def test_pages_follow_each_other_also_when_a_request_is_answered_meanwhile(api: Api) -> None:
    requests = [make_request("clock", minutes=minute) for minute in range(5)]
    newest = [request.id for request in reversed(requests)]
    assert found(api, limit=2) == newest[:2]
    make_message(conversation=requests[3].conversation, role="approval", approvals=[], in_context=True)
    assert found(api, limit=2, after=newest[1]) == newest[2:4]
    assert found(api, limit=2, before=newest[4]) == newest[2:4]
    assert found(api, after=newest[4]) == []
    assert api.get("/v1/approvals/", after=new_id("message")).status_code == 404


def test_only_what_waits_is_told(api: Api) -> None:
    answered, left, going_on, deleted = (make_request("clock") for _ in range(4))
    make_message(conversation=answered.conversation, role="approval", approvals=[], in_context=True)
    left.conversation.entries.all().delete()
    make_lease(going_on.conversation)
    Conversation.objects.filter(id=deleted.conversation_id).update(deleted_at=NOON)
    foreign = make_agent(workspace=make_workspace())
    make_request("clock", conversation=make_conversation(agent=foreign))
    assert found(api) == []


def test_a_list_costs_the_same_however_long_it_is(api: Api) -> None:
    def cost(**query: Any) -> int:
        with CaptureQueriesContext(connection) as asked:
            found(api, **query)
        return len(asked)

    make_request("clock")
    before = [cost(), cost(waits_for="approval")]
    for minute in range(9):
        make_request("clock", "shell", minutes=minute)
    assert [cost(), cost(waits_for="approval")] == before == [2, 3]
