"""Estimates of tokens before a call."""

from __future__ import annotations

import pytest

from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    OmittedReasoningPart,
    ReasoningPart,
    ToolCall,
    ToolReturn,
)
from letta_ade.llm.tokens import (
    estimate_json,
    estimate_messages,
    estimate_payload,
    estimate_text,
    estimate_tools,
    learn_factor,
)
from tests.llm.support import WEATHER, assistant, returned, system, user


def test_a_text_takes_a_token_for_four_bytes() -> None:
    assert estimate_text("") == 0
    assert estimate_text("abcd" * 10) == 10
    assert estimate_text("abcde") == 2
    assert estimate_text("日本語") == 3


def test_json_takes_twice_as_many() -> None:
    text = '{"place": "Rome"}'
    assert estimate_text(text) == 9
    assert estimate_json({"place": "Rome"}) == 8


def test_a_factor_stretches_the_estimate() -> None:
    assert estimate_text("abcd" * 10, factor=1.5) == 15
    assert estimate_messages([user("abcd")], factor=2) == 10


def test_a_conversation_counts_all_that_is_sent() -> None:
    call = ToolCall(id="a", name="weather", arguments='{"place": "Rome"}')
    messages = [
        system("abcd" * 10),
        user("abcd" * 5),
        assistant("abcd", call, parts=(ReasoningPart(reasoning="abcd"), OmittedReasoningPart())),
        returned(ToolReturn(tool_call_id="a", text="sunny day")),
    ]
    assert estimate_messages(messages) == 4 * 4 + 10 + 5 + 1 + 1 + (2 + 9) + 3


def test_an_image_takes_a_middling_number() -> None:
    image = ChatMessage(role="user", parts=(ImagePart(source={"type": "base64", "data": "A" * 100_000}),))
    assert 500 < estimate_messages([image]) < 2000


def test_tools_count_as_json() -> None:
    assert estimate_tools([WEATHER]) > len(str(WEATHER.parameters)) / 2
    assert estimate_tools([]) == 0


def test_a_payload_counts_its_messages_and_tools() -> None:
    payload = {"model": "x", "messages": [{"role": "user", "content": "abcd" * 100}]}
    assert 100 < estimate_payload(payload) < 120
    assert estimate_payload({**payload, "tools": [{"name": "x" * 100}]}) > estimate_payload(payload) + 50


def test_the_factor_moves_towards_what_was_counted() -> None:
    assert learn_factor(1.0, estimated=100, counted=200) == pytest.approx(1.2)
    assert learn_factor(1.0, estimated=0, counted=200) == 1.0
    assert learn_factor(4.0, estimated=1, counted=10_000) == 4.0
