"""Compactions through the SDK: in a stream, in a plain answer, asked for, and not told to who did not ask."""

from __future__ import annotations

import json
from typing import Any

import pytest
from letta_client import Letta
from letta_client.types.agents import EventMessage, SummaryMessage
from letta_client.types.agents.letta_response import LettaResponse
from letta_client.types.conversations import CompactionResponse

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.strict import validate
from tests.support.wire import Wire

pytestmark = pytest.mark.slow

FULL = {"prompt_tokens": 125_000, "completion_tokens": 7, "total_tokens": 125_007}


@pytest.fixture
def told(client: Letta, agent: Any, provider: FakeOpenAI) -> Any:
    """An agent that has said something before."""
    client.agents.update(agent.id, compaction_settings={"mode": "all", "model": "openai/gpt-4o-mini"})
    for number in range(3):
        provider.replies.append(FakeReply(text=f"Answer {number}."))
        client.agents.messages.create(agent.id, input=f"Number {number}: " + "tea " * 3000)
    return agent


def fill(provider: FakeOpenAI) -> None:
    """The next answer comes from a full context, and its summary is written."""
    provider.replies.append(FakeReply(text="Hi.", usage=FULL))
    provider.replies.append(FakeReply(text="They counted."))


@pytest.mark.parametrize("stream_tokens", [False, True])
def test_a_stream_tells_of_a_compaction_to_who_asks(
    told: Any, wire: Wire, provider: FakeOpenAI, stream_tokens: bool
) -> None:
    fill(provider)
    # The union of the SDK's streams does not name these two types; they are read by their own.
    stream = wire.stream(include_compaction_messages=True, stream_tokens=stream_tokens)
    kinds = [each for each in stream.types if each != "ping"]
    assert list(dict.fromkeys(kinds)) == [
        "assistant_message",
        "event_message",
        "summary_message",
        "stop_reason",
        "usage_statistics",
    ]
    [event] = [json.loads(data) for _, data in stream.frames if b'"event_message"' in data]
    validate(EventMessage, event)
    assert event["event_data"]["trigger"] == "post_step_context_check"
    assert event["event_data"]["context_token_estimate"] >= 125_000
    [summary] = [json.loads(data) for _, data in stream.frames if b'"summary_message"' in data]
    validate(SummaryMessage, summary)
    assert summary["summary"] == "They counted."
    stats = summary["compaction_stats"]
    assert stats["context_tokens_after"] < stats["context_tokens_before"]
    assert stats["messages_count_after"] == 2


def test_the_sdk_reads_a_stream_with_a_compaction_to_its_end(
    told: Any, client: Letta, provider: FakeOpenAI
) -> None:
    fill(provider)
    stream = client.agents.messages.create(
        told.id, input="Hello", streaming=True, include_compaction_messages=True
    )
    kinds = [getattr(each, "message_type", None) for each in stream]
    assert kinds[-2:] == ["stop_reason", "usage_statistics"]
    assert {"event_message", "summary_message"} <= set(kinds)


def test_who_does_not_ask_is_told_nothing(told: Any, wire: Wire, provider: FakeOpenAI) -> None:
    fill(provider)
    stream = wire.stream()
    stream.check()
    assert not {"event_message", "summary_message", "user_message"} & set(stream.types)


def test_a_plain_answer_holds_the_same(told: Any, client: Letta, wire: Wire, provider: FakeOpenAI) -> None:
    fill(provider)
    body = {"input": "Hello", "include_compaction_messages": True}
    raw = wire.client.post(wire.path, json=body).raise_for_status().json()
    validate(LettaResponse, raw)
    kinds = [each["message_type"] for each in raw["messages"]]
    assert kinds == ["assistant_message", "event_message", "summary_message"]
    assert raw["stop_reason"]["stop_reason"] == "end_turn"
    listed = [each.message_type for each in client.agents.messages.list(told.id, order="asc")]
    assert listed[-1] == "user_message"


def test_agents_and_conversations_are_compacted_on_request(
    told: Any, client: Letta, wire: Wire, provider: FakeOpenAI
) -> None:
    provider.replies.append(FakeReply(text="They counted."))
    done = client.agents.messages.compact(told.id)
    assert isinstance(done, CompactionResponse)
    assert (done.summary, done.num_messages_before, done.num_messages_after) == ("They counted.", 7, 2)
    again = client.conversations.messages.compact("default", agent_id=told.id)
    assert (again.num_messages_before, again.num_messages_after) == (2, 2)
    provider.replies.append(FakeReply(text="Tea."))
    answer = client.agents.messages.create(told.id, input="What did we speak of?")
    assert answer.stop_reason.stop_reason == "end_turn"
    assert "They counted." in json.dumps(provider.received[-1].body)


def test_settings_come_back_as_the_sdk_reads_them(client: Letta, agent: Any, wire: Wire) -> None:
    settings: Any = {
        "mode": "self_compact_all",
        "model": "openai/gpt-4o-mini",
        "clip_chars": 1000,
        "model_settings": {"provider_type": "openai", "temperature": 0.2},
    }
    changed = client.agents.update(agent.id, compaction_settings=settings)
    assert changed.compaction_settings is not None
    assert (changed.compaction_settings.mode, changed.compaction_settings.clip_chars) == (
        "self_compact_all",
        1000,
    )
