"""Background memory by the SDK, plain and streamed; every answer is what the SDK's types say."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta
from letta_client.types import AgentState
from letta_client.types.agent_state import ManagedGroup
from letta_client.types.agents import LettaResponse, LettaStreamingResponse

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer, running_server
from tests.support.strict import validate

pytestmark = pytest.mark.slow
MODEL = "openai/gpt-4o-mini"


@pytest.fixture(scope="module")
def server(django_db_setup: None, provider: FakeOpenAI) -> Iterator[RunningServer]:
    environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.base_url, "ADE_JOB_WORKER": "1"}
    with running_server(environment) as running:
        yield running


def raw(value: Any) -> Any:
    """What came over the wire: the SDK keeps it as it is."""
    return value.to_dict(mode="json", exclude_unset=True)


@pytest.fixture
def group(client: Letta) -> Any:
    """The group of an agent whose background reads every turn."""
    made = client.agents.create(
        model=MODEL, memory_blocks=[{"label": "human", "value": "Name: Ada"}], enable_sleeptime=True
    )
    validate(AgentState, raw(made))
    assert made.managed_group is not None
    config = {"manager_type": "sleeptime", "sleeptime_agent_frequency": 1}
    changed = client.patch(
        f"/v1/groups/{made.managed_group.id}", cast_to=object, body={"manager_config": config}
    )
    validate(ManagedGroup, changed)
    return changed


def replies(provider: FakeOpenAI) -> None:
    """The answer of the agent, and what its background does then."""
    insert = FakeCall(
        name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea."}', id="a"
    )
    provider.replies.extend(
        [
            FakeReply(text="Good."),
            FakeReply(calls=(insert,)),
            FakeReply(calls=(FakeCall(name="memory_finish_edits", id="b"),)),
        ]
    )


def ended(client: Letta, run_id: str) -> Any:
    """The run after its end; its stream is read until then."""
    list(client.runs.messages.stream(run_id))
    return client.runs.retrieve(run_id)


@pytest.mark.parametrize("is_streamed", [False, True])
def test_the_reply_names_the_run_that_keeps_memory(
    client: Letta, provider: FakeOpenAI, group: Any, is_streamed: bool
) -> None:
    replies(provider)
    agent_id = group["manager_agent_id"]
    said: Any = {"agent_id": agent_id, "messages": [{"role": "user", "content": "I like tea."}]}
    if is_streamed:
        chunks = list(client.agents.messages.create(streaming=True, stream_tokens=True, **said))
        for chunk in chunks:
            validate(LettaStreamingResponse, raw(chunk))
        usage: Any = chunks[-1]
    else:
        answer = client.agents.messages.create(**said)
        validate(LettaResponse, raw(answer), extra=["message_type"])
        usage = answer.usage
    (run_id,) = usage.run_ids
    run = ended(client, run_id)
    assert (run.status, run.background, run.agent_id) == ("completed", True, group["agent_ids"][0])
    assert run.metadata["run_type"] == "sleeptime_agent_send_message_async"
    block = client.agents.blocks.retrieve("human", agent_id=agent_id)
    assert block.value == "Name: Ada\nLikes tea."
    state = client.agents.retrieve(agent_id, include=["agent.managed_group"])
    validate(AgentState, raw(state))
    assert state.managed_group is not None
    assert state.managed_group.turns_counter == 1
    assert state.managed_group.last_processed_message_id is not None


def test_the_background_is_switched_on_and_off_later(client: Letta, agent: Any) -> None:
    on = client.agents.update(agent.id, enable_sleeptime=True)
    validate(AgentState, raw(on))
    assert on.managed_group is not None
    (partner_id,) = on.managed_group.agent_ids
    assert client.agents.retrieve(partner_id).agent_type == "sleeptime_agent"
    off = client.agents.update(agent.id, enable_sleeptime=False)
    assert off.managed_group is None
    assert [each.id for each in client.agents.list()] == [agent.id]


def test_one_agent_asks_another(client: Letta, provider: FakeOpenAI) -> None:
    asker = client.agents.create(model=MODEL, tools=["send_message_to_agent_and_wait_for_reply"])
    other = client.agents.create(model=MODEL)
    question = f'{{"message": "How far?", "other_agent_id": "{other.id}"}}'
    call = FakeCall(name="send_message_to_agent_and_wait_for_reply", arguments=question, id="a")
    provider.replies.extend(
        [FakeReply(calls=(call,)), FakeReply(text="Ten miles."), FakeReply(text="It is ten miles.")]
    )
    answer = client.agents.messages.create(asker.id, messages=[{"role": "user", "content": "Ask."}])
    validate(LettaResponse, raw(answer), extra=["message_type"])
    kinds = [message.message_type for message in answer.messages]
    assert kinds == ["tool_call_message", "tool_return_message", "assistant_message"]
    returned: Any = answer.messages[1]
    assert (returned.status, "Ten miles." in returned.tool_return) == ("success", True)
    heard = [
        message
        for message in client.agents.messages.list(other.id)
        if message.message_type == "system_message"
    ]
    assert "How far?" in str(heard)
