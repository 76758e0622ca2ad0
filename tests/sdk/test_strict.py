"""The check that other tests lean on finds what is wrong."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client.types import AgentState
from letta_client.types.agents.letta_streaming_response import LettaStreamingResponse
from letta_client.types.agents.message import Message

from tests.support.strict import Mismatch, validate

PING: dict[str, Any] = {
    "message_type": "ping",
    "id": "ping-1",
    "date": "2026-03-01T09:14:02+00:00",
    "run_id": "run-1",
    "seq_id": None,
}
CALL = {**PING, "message_type": "tool_call_message", "tool_call": {"name": "look", "tool_call_id": "call_1"}}


def problems(kind: Any, raw: Any) -> list[str]:
    with pytest.raises(Mismatch) as caught:
        validate(kind, raw)
    return str(caught.value).split("\n{")[0].split("\n[")[0].splitlines()[1:]


@pytest.mark.parametrize("raw", [PING, CALL, {**CALL, "tool_calls": CALL["tool_call"]}])
def test_what_fits_passes(raw: dict[str, Any]) -> None:
    validate(LettaStreamingResponse, raw)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"message_type": "pong"}, "$.message_type: 'pong' is none of "),
        ({"message_type": None}, "$: has no message_type"),
        ({"id": 3}, "$.id: Input should be a valid string, got 3"),
        ({"id": None}, "$.id: Input should be a valid string, got None"),
        ({"date": "yesterday"}, "$.date: Input should be a valid datetime"),
        ({"date": 1772356442}, "$.date: Input should be a valid datetime"),
        ({"seq_id": "1"}, "$.seq_id: Input should be a valid integer, got '1'"),
        ({"seq_id": True}, "$.seq_id: Input should be a valid integer, got True"),
        ({"colour": "red"}, "$.colour: is no field of LettaPing"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, Any], problem: str) -> None:
    [found] = problems(LettaStreamingResponse, {**PING, **change})
    assert found.startswith(problem)


def test_a_missing_field_is_named_and_an_extra_one_can_be_allowed() -> None:
    assert problems(LettaStreamingResponse, {"message_type": "ping"}) == [
        "$.id: is required by LettaPing and missing",
        "$.date: is required by LettaPing and missing",
    ]
    validate(LettaStreamingResponse, {**PING, "colour": "red"}, extra=["colour"])


def test_what_is_inside_is_looked_at_too() -> None:
    message = {**PING, "message_type": "user_message"}
    assert problems(Message, {**message, "content": [{"type": "text", "text": 3}]}) == [
        "$.content[0].text: Input should be a valid string, got 3"
    ]
    [found] = problems(Message, {**message, "content": [{"type": "video", "text": "x"}]})
    assert found.startswith("$.content[0].type: 'video' is none of TextContent | ImageContent")
    assert problems(Message, {**message, "content": 5}) != []
    assert "$.id: is required by AgentState and missing" in problems(AgentState, {})
    assert problems(LettaStreamingResponse, [PING]) == ["$: has no message_type"]
