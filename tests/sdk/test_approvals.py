"""Approvals and tools of the client by the SDK, plain and streamed; every answer is what the SDK's types say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import letta_client
import pytest
from letta_client import Letta
from letta_client.types import AgentState
from letta_client.types.agents import LettaResponse, LettaStreamingResponse, Message

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.strict import validate

pytestmark = pytest.mark.slow

SHELL: Any = {
    "name": "shell",
    "description": "Run a command.",
    "parameters": {"type": "object", "properties": {"command": {"type": "string"}}, "required": ["command"]},
}
#: Ways to send a request and to get its messages and its stop reason.
Send = Callable[..., tuple[list[Any], str]]


def insert(words: str = "Likes tea.", call_id: str = "call_1") -> FakeCall:
    arguments = f'{{"label": "human", "new_string": "{words}"}}'
    return FakeCall(name="memory_insert", arguments=arguments, id=call_id)


def raw(value: Any) -> Any:
    """What came over the wire: the SDK keeps it as it is."""
    return value.to_dict(mode="json", exclude_unset=True)


@pytest.fixture
def careful(client: Letta, agent: Any) -> Any:
    """The agent, whose memory tool asks first."""
    client.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=True)
    return agent


@pytest.fixture(params=["plain", "steps", "tokens"])
def send(request: pytest.FixtureRequest, client: Letta) -> Send:
    def plain(agent_id: str, **fields: Any) -> tuple[list[Any], str]:
        answer = client.agents.messages.create(agent_id=agent_id, **fields)
        validate(LettaResponse, raw(answer), extra=["message_type"])
        return list(answer.messages), answer.stop_reason.stop_reason

    def streamed(agent_id: str, **fields: Any) -> tuple[list[Any], str]:
        is_tokens = request.param == "tokens"
        chunks = list(
            client.agents.messages.create(
                agent_id=agent_id, streaming=True, stream_tokens=is_tokens, **fields
            )
        )
        for chunk in chunks:
            validate(LettaStreamingResponse, raw(chunk))
        assert [chunk.message_type for chunk in chunks[-2:]] == ["stop_reason", "usage_statistics"]
        return [chunk for chunk in chunks[:-2] if chunk.message_type != "ping"], chunks[-2].stop_reason

    return plain if request.param == "plain" else streamed


def kinds(messages: list[Any]) -> list[str]:
    """The kinds of message, one for each message of a stream that came in pieces."""
    return list(dict.fromkeys(message.message_type for message in messages))


def waiting_calls(messages: list[Any]) -> dict[str, str]:
    """The calls that wait, with their arguments put together."""
    calls: dict[str, str] = {}
    for message in messages:
        if message.message_type == "approval_request_message":
            listed = message.tool_calls if isinstance(message.tool_calls, list) else [message.tool_calls]
            for call in listed:
                calls[call.tool_call_id] = calls.get(call.tool_call_id, "") + (call.arguments or "")
    return calls


def listed(client: Letta, agent_id: str) -> list[Any]:
    found = list(client.agents.messages.list(agent_id))
    for message in found:
        validate(Message, raw(message))
    return found


def human(client: Letta, agent_id: str) -> str:
    return client.agents.blocks.retrieve("human", agent_id=agent_id).value


def test_a_call_is_approved(client: Letta, careful: Any, provider: FakeOpenAI, send: Send) -> None:
    provider.replies.append(FakeReply(calls=(insert(),)))
    messages, reason = send(careful.id, messages=[{"role": "user", "content": "I like tea."}])
    assert (reason, kinds(messages)) == ("requires_approval", ["approval_request_message"])
    assert waiting_calls(messages) == {"call_1": insert().arguments}
    assert messages[0].id == messages[0].otid
    provider.replies.append(FakeReply(text="Noted."))
    answer: Any = {
        "type": "approval",
        "approvals": [{"type": "approval", "tool_call_id": "call_1", "approve": True}],
    }
    messages, reason = send(careful.id, messages=[answer])
    assert (reason, kinds(messages)) == ("end_turn", ["tool_return_message", "assistant_message"])
    assert messages[0].status == "success"
    assert human(client, careful.id) == "Name: Ada\nLikes tea."
    told = listed(client, careful.id)[-5:]
    assert [message.message_type for message in told] == [
        "user_message",
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert told[2].approvals[0].approve is True


def test_a_call_is_denied_with_a_reason(
    client: Letta, careful: Any, provider: FakeOpenAI, send: Send
) -> None:
    provider.replies.append(FakeReply(calls=(insert(),)))
    send(careful.id, input="I like tea.")
    provider.replies.append(FakeReply(text="Coffee then."))
    item = {"type": "approval", "tool_call_id": "call_1", "approve": False, "reason": "It is coffee."}
    messages, reason = send(careful.id, messages=[{"type": "approval", "approvals": [item]}])
    assert (reason, messages[0].status) == ("end_turn", "error")
    assert "It is coffee." in messages[0].tool_return
    assert human(client, careful.id) == "Name: Ada"


@pytest.mark.parametrize("kind", ["approval", "tool_return"])
def test_a_tool_of_the_client_is_called_and_its_return_sent(
    client: Letta, agent: Any, provider: FakeOpenAI, send: Send, kind: str
) -> None:
    call = FakeCall(name="shell", arguments='{"command": "ls"}', id="call_1")
    provider.replies.append(FakeReply(text="I look. ", calls=(call,)))
    messages, reason = send(agent.id, input="List my files.", client_tools=[SHELL])
    assert (reason, kinds(messages)) == (
        "requires_approval",
        ["assistant_message", "approval_request_message"],
    )
    assert waiting_calls(messages) == {"call_1": '{"command": "ls"}'}
    provider.replies.append(FakeReply(text="There is notes.txt."))
    returned: Any = {
        "type": "tool",
        "tool_call_id": "call_1",
        "tool_return": "notes.txt",
        "status": "success",
        "stdout": ["notes.txt"],
    }
    field = "tool_returns" if kind == "tool_return" else "approvals"
    messages, reason = send(agent.id, messages=[{"type": kind, field: [returned]}], client_tools=[SHELL])
    assert (reason, kinds(messages)) == ("end_turn", ["tool_return_message", "assistant_message"])
    assert (messages[0].tool_return, messages[0].stdout) == ("notes.txt", ["notes.txt"])
    assert [each["function"]["name"] for each in provider.received[-1].body["tools"]].count("shell") == 1
    answer = next(
        each for each in listed(client, agent.id) if each.message_type == "approval_response_message"
    )
    assert answer.approvals[0].tool_return == "notes.txt"


def test_answers_of_both_kinds_come_together_and_more_may_be_said(
    client: Letta, careful: Any, provider: FakeOpenAI, send: Send
) -> None:
    calls = (
        FakeCall(name="conversation_search", arguments='{"query": "tea"}', id="call_1"),
        insert(call_id="call_2"),
        FakeCall(name="shell", arguments='{"command": "ls"}', id="call_3"),
    )
    provider.replies.append(FakeReply(calls=calls))
    messages, _ = send(careful.id, input="Do it all.", client_tools=[SHELL])
    assert kinds(messages) == ["tool_call_message", "approval_request_message"]
    assert list(waiting_calls(messages)) == ["call_2", "call_3"]
    provider.replies.append(FakeReply(text="All done."))
    parts: Any = {
        "type": "tool",
        "tool_call_id": "call_3",
        "tool_return": [{"type": "text", "text": "notes.txt"}],
        "status": "error",
    }
    yes: Any = {"type": "approval", "tool_call_id": "call_2", "approve": True}
    messages, reason = send(
        careful.id,
        messages=[
            {"type": "approval", "approvals": [parts, yes]},
            {"role": "user", "content": "Be brief."},
        ],
        client_tools=[SHELL],
    )
    assert (reason, kinds(messages)) == ("end_turn", ["tool_return_message", "assistant_message"])
    assert [(each.tool_call_id, each.status) for each in messages[0].tool_returns] == [
        ("call_1", "success"),
        ("call_2", "success"),
        ("call_3", "error"),
    ]
    sent = provider.received[-1].body["messages"]
    assert [message["role"] for message in sent[-5:]] == ["assistant", "tool", "tool", "tool", "user"]
    assert [call["id"] for call in sent[-5]["tool_calls"]] == [each["tool_call_id"] for each in sent[-4:-1]]


def test_while_it_waits_the_sdk_raises_a_conflict_once(
    client: Letta, careful: Any, provider: FakeOpenAI, send: Send
) -> None:
    provider.replies.append(FakeReply(calls=(insert(),)))
    messages, _ = send(careful.id, input="I like tea.")
    with pytest.raises(letta_client.ConflictError) as refused:
        send(careful.id, input="Hurry.")
    body: Any = refused.value.body
    assert body["detail"]["code"] == "PENDING_APPROVAL"
    assert body["detail"]["pending_request_id"] == messages[-1].id
    assert refused.value.response.headers["x-should-retry"] == "false"
    item: Any = {"type": "approval", "tool_call_id": "call_9", "approve": True}
    with pytest.raises(letta_client.BadRequestError):
        send(careful.id, messages=[{"type": "approval", "approvals": [item]}])


def test_the_older_form_names_the_request(
    client: Letta, careful: Any, provider: FakeOpenAI, send: Send
) -> None:
    provider.replies.append(FakeReply(calls=(insert(),)))
    messages, _ = send(careful.id, input="I like tea.")
    provider.replies.append(FakeReply(text="Noted."))
    answer: Any = {"type": "approval", "approve": True, "approval_request_id": messages[-1].id}
    _, reason = send(careful.id, messages=[answer])
    assert reason == "end_turn"
    assert human(client, careful.id) == "Name: Ada\nLikes tea."


def test_what_waits_is_shown_and_can_be_cancelled(client: Letta, careful: Any, provider: FakeOpenAI) -> None:
    provider.replies.append(FakeReply(calls=(insert(),)))
    asked = client.agents.messages.create(agent_id=careful.id, input="I like tea.")
    shown = client.agents.retrieve(careful.id, include=["agent.pending_approval"])
    validate(AgentState, raw(shown))
    assert shown.pending_approval is not None
    assert shown.pending_approval.id == asked.messages[-1].id
    run_id = asked.messages[-1].run_id
    assert client.agents.messages.cancel(careful.id) == {run_id: "cancelled"}
    assert client.runs.retrieve(str(run_id)).status == "cancelled"
    assert [message.message_type for message in listed(client, careful.id)[-2:]] == [
        "approval_response_message",
        "tool_return_message",
    ]
    provider.replies.append(FakeReply(text="Here I am."))
    again = client.agents.messages.create(agent_id=careful.id, input="Still there?")
    assert again.stop_reason.stop_reason == "end_turn"


def test_everything_that_waits_is_one_list(client: Letta, agent: Any, provider: FakeOpenAI) -> None:
    def waiting(**params: Any) -> list[dict[str, Any]]:
        return client.get("/v1/approvals/", cast_to=list[dict[str, Any]], options={"params": params})

    provider.replies.append(FakeReply(calls=(FakeCall(name="shell", arguments="{}", id="call_1"),)))
    client.agents.messages.create(agent.id, input="List the files.", client_tools=[SHELL])
    [request] = waiting(waits_for="client")
    asked = client.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval
    assert asked is not None
    assert (request["id"], request["agent_id"]) == (asked.id, agent.id)
    assert waiting(waits_for="approval") == []
    client.agents.messages.cancel(agent.id)
    assert waiting() == []
