"""Anthropic's messages API, with the real SDK against a local server that speaks the format."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.events import ReasoningHidden, ToolCallDelta, ToolCallStarted
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    OmittedReasoningPart,
    ReasoningPart,
    RedactedReasoningPart,
    TextPart,
    ToolCall,
    ToolReturn,
    Usage,
)
from letta_ade.llm.providers.anthropic import AnthropicChat
from tests.llm.support import (
    CLOCK,
    WEATHER,
    asking,
    assistant,
    ended,
    events_of,
    provider,
    reasoning_of,
    reply_of,
    returned,
    system,
    text_of,
    user,
)
from tests.support.fake_anthropic import FakeAnthropic, frame
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")

CACHED = {"type": "ephemeral"}


def model(
    fake: FakeAnthropic, name: str = "claude-haiku-4-5", *, base_url: str | None = None
) -> AnthropicChat:
    config = provider("anthropic", ANTHROPIC_API_KEY="sk-ant", ANTHROPIC_BASE_URL=base_url or fake.url)
    return AnthropicChat(config=config, model=name)


def real(name: str = "claude-haiku-4-5") -> AnthropicChat:
    """For payloads only: the tests call nobody there."""
    return AnthropicChat(config=provider("anthropic", ANTHROPIC_API_KEY="sk-ant"), model=name)


async def test_text_is_streamed_and_usage_counts_the_cache(fake_anthropic: FakeAnthropic) -> None:
    usage = {
        "input_tokens": 10,
        "cache_read_input_tokens": 200,
        "cache_creation_input_tokens": 30,
        "output_tokens": 4,
    }
    fake_anthropic.enqueue(FakeReply(text="One two.", usage=usage))
    chat = model(fake_anthropic)
    events = await events_of(chat, chat.payload(asking()))
    reply = ended(events)
    assert text_of(events) == "One two."
    assert reply.parts == (TextPart(text="One two."),)
    assert (reply.finish_reason, reply.request_id) == ("stop", "req_fake_anthropic")
    assert reply.usage == Usage(
        prompt_tokens=240, completion_tokens=4, cached_input_tokens=200, cache_write_tokens=30
    )
    assert reply.raw["content"] == [{"type": "text", "text": "One two."}]


async def test_the_payload_is_sent_exactly_as_it_was_shown(fake_anthropic: FakeAnthropic) -> None:
    chat = model(fake_anthropic)
    payload = chat.payload(asking(tools=(WEATHER,), user="user-1"))
    await events_of(chat, payload)
    assert fake_anthropic.bodies == [payload]


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_with_the_version_or_not(
    fake_anthropic: FakeAnthropic, suffix: str
) -> None:
    assert (await reply_of(model(fake_anthropic, base_url=fake_anthropic.url + suffix), asking())).text
    assert fake_anthropic.received[0].path == "/v1/messages"


async def test_a_proxy_finds_the_key_in_both_headers(fake_anthropic: FakeAnthropic) -> None:
    await reply_of(model(fake_anthropic), asking())
    headers = fake_anthropic.received[0].headers
    assert (headers["authorization"], headers["x-api-key"]) == ("Bearer sk-ant", "sk-ant")


async def test_thinking_keeps_its_signature(fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.enqueue(
        FakeReply(reasoning="Let me see. ", signature="sig-1", redacted="blob", text="Yes.")
    )
    chat = model(fake_anthropic)
    events = await events_of(chat, chat.payload(asking(thinking_tokens=2000)))
    assert reasoning_of(events) == "Let me see. "
    assert ReasoningHidden(data="blob") in events
    assert ended(events).parts == (
        ReasoningPart(reasoning="Let me see. ", signature="sig-1"),
        RedactedReasoningPart(data="blob"),
        TextPart(text="Yes."),
    )


async def test_thinking_that_is_kept_back_leaves_its_signature(fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.enqueue(FakeReply(signature="sig-1", text="Yes."))
    chat = model(fake_anthropic)
    events = await events_of(chat, chat.payload(asking()))
    assert events[0] == ReasoningHidden()
    assert ended(events).parts[0] == OmittedReasoningPart(signature="sig-1")


async def test_parallel_tool_calls_keep_their_order_and_arguments(fake_anthropic: FakeAnthropic) -> None:
    calls = (
        FakeCall(name="weather", arguments='{"place": "Rome"}', id="a"),
        FakeCall(name="clock", arguments="", id="b"),
    )
    fake_anthropic.enqueue(FakeReply(text="I look.", calls=calls))
    chat = model(fake_anthropic)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK), parallel_tool_calls=True)))
    reply = ended(events)
    assert reply.tool_calls == (
        ToolCall(id="a", name="weather", arguments='{"place": "Rome"}'),
        ToolCall(id="b", name="clock", arguments="{}"),
    )
    assert reply.finish_reason == "tool_calls"
    starts = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [(start.index, start.name) for start in starts] == [(0, "weather"), (1, "clock")]
    assert sum(isinstance(event, ToolCallDelta) for event in events) > 1


async def test_without_parallel_calls_only_the_first_call_counts(fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.enqueue(
        FakeReply(calls=(FakeCall(name="weather", id="a"), FakeCall(name="clock", id="b")))
    )
    chat = model(fake_anthropic)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK))))
    assert [call.id for call in ended(events).tool_calls] == ["a"]
    assert not any(isinstance(event, ToolCallStarted | ToolCallDelta) and event.id == "b" for event in events)


async def test_input_that_comes_with_the_start_of_a_call_is_read(fake_anthropic: FakeAnthropic) -> None:
    start = {"type": "tool_use", "id": "a", "name": "weather", "input": {"place": "Rome"}}
    events = (
        {"type": "message_start", "message": {"id": "m", "usage": {"input_tokens": 1, "output_tokens": 1}}},
        {"type": "content_block_start", "index": 0, "content_block": start},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
        {"type": "message_stop"},
    )
    fake_anthropic.enqueue(FakeReply(frames=tuple(frame(event) for event in events)))
    reply = await reply_of(model(fake_anthropic), asking(tools=(WEATHER,)))
    assert json.loads(reply.tool_calls[0].arguments) == {"place": "Rome"}


async def test_a_proxy_that_does_not_stream_is_understood(fake_anthropic: FakeAnthropic) -> None:
    content = [{"type": "text", "text": "Hi"}, {"type": "tool_use", "id": "a", "name": "clock", "input": {}}]
    body = {"type": "message", "content": content, "stop_reason": "tool_use", "usage": {"input_tokens": 3}}
    fake_anthropic.enqueue(FakeReply(frames=(json.dumps(body).encode(),), content_type="application/json"))
    reply = await reply_of(model(fake_anthropic), asking())
    assert reply.text == "Hi"
    assert reply.tool_calls == (ToolCall(id="a", name="clock", arguments="{}"),)


@pytest.mark.parametrize(
    ("wire", "ours"),
    [
        ("max_tokens", "length"),
        ("refusal", "refusal"),
        ("stop_sequence", "stop"),
        ("pause_turn", "pause_turn"),
    ],
)
async def test_finish_reasons_have_our_words(fake_anthropic: FakeAnthropic, wire: str, ours: str) -> None:
    fake_anthropic.enqueue(FakeReply(text="x", finish_reason=wire))
    assert (await reply_of(model(fake_anthropic), asking())).finish_reason == ours


async def test_closing_the_stream_closes_the_connection(fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.enqueue(FakeReply(text="a b c d e f", hang_after=5))
    chat = model(fake_anthropic)
    stream = chat.stream(chat.payload(asking()))
    await anext(stream)
    await stream.aclose()
    assert await asyncio.to_thread(fake_anthropic.disconnected.acquire, timeout=5)


def test_a_plain_request_holds_these_fields() -> None:
    request = asking(tools=(CLOCK, WEATHER), parallel_tool_calls=True, max_output_tokens=99, user="user-1")
    assert real().payload(request) == {
        "model": "claude-haiku-4-5",
        "max_tokens": 99,
        "stream": True,
        "system": [{"type": "text", "text": "Be kind.", "cache_control": CACHED}],
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hello", "cache_control": CACHED}]}
        ],
        "tools": [
            {"name": "clock", "description": "Tell the time", "input_schema": CLOCK.parameters},
            {
                "name": "weather",
                "description": "Tell the weather",
                "input_schema": WEATHER.parameters,
                "cache_control": CACHED,
            },
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": False},
        "metadata": {"user_id": "user-1"},
    }


def test_a_conversation_alternates_and_returns_stand_before_what_is_said_next() -> None:
    image = ImagePart(source={"type": "base64", "media_type": "image/png", "data": "AAAA", "detail": "low"})
    messages = (
        system("Be kind."),
        system("Be brief."),
        assistant("Welcome."),
        ChatMessage(role="user", parts=(TextPart(text="Look"), image)),
        assistant("I look.", ToolCall(id="call/1", name="weather", arguments="{broken")),
        returned(
            ToolReturn(tool_call_id="call/1", text="no place", is_error=True),
            ToolReturn(tool_call_id="call_2", text="fine"),
        ),
        user("And now?"),
    )
    payload = real().payload(ChatRequest(messages=messages))
    assert [block["text"] for block in payload["system"]] == ["Be kind.", "Be brief."]
    assert payload["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "(Earlier messages are not shown.)"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "Welcome."}]},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "I look."},
                {"type": "tool_use", "id": "call_1", "name": "weather", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "call_1", "content": "no place", "is_error": True},
                {"type": "tool_result", "tool_use_id": "call_2", "content": "fine"},
                {"type": "text", "text": "And now?", "cache_control": CACHED},
            ],
        },
    ]


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), {"type": "auto", "disable_parallel_tool_use": True}),
        (ToolChoice(mode="required"), {"type": "any", "disable_parallel_tool_use": True}),
        (
            ToolChoice(mode="one", name="clock"),
            {"type": "tool", "name": "clock", "disable_parallel_tool_use": True},
        ),
        (ToolChoice(mode="none"), {"type": "none"}),
    ],
)
def test_tool_choice_has_these_forms(choice: ToolChoice, wire: dict[str, Any]) -> None:
    assert real().payload(asking(tools=(CLOCK,), tool_choice=choice))["tool_choice"] == wire


@pytest.mark.parametrize("name", ["claude-haiku-4-5", "claude-opus-4-8"])
@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        (ToolChoice(mode="required"), "any"),
        (ToolChoice(mode="one", name="clock"), "tool"),
    ],
)
def test_what_a_rule_forces_is_forced_without_thinking(name: str, choice: ToolChoice, sent: str) -> None:
    payload = real(name).payload(asking(tools=(CLOCK,), tool_choice=choice, thinking_tokens=2000))
    assert payload["tool_choice"]["type"] == sent
    assert "thinking" not in payload


def test_a_loop_that_forces_every_call_lets_the_model_think() -> None:
    choice = ToolChoice(mode="required", forces_by_rule=False)
    payload = real().payload(asking(tools=(CLOCK,), tool_choice=choice, thinking_tokens=2000))
    assert payload["tool_choice"]["type"] == "auto"
    assert payload["thinking"]["budget_tokens"] == 2000
    without = real().payload(asking(tools=(CLOCK,), tool_choice=choice))
    assert without["tool_choice"]["type"] == "any"


def test_after_a_forced_call_the_turn_goes_on_without_thinking() -> None:
    thought = ReasoningPart(reasoning="Hm", signature="sig")
    messages = (
        user("Time?"),
        assistant("", ToolCall(id="a", name="clock", arguments="{}"), parts=(thought,)),
        returned(ToolReturn(tool_call_id="a", text="9")),
        assistant("", ToolCall(id="b", name="clock", arguments="{}")),
        returned(ToolReturn(tool_call_id="b", text="10")),
    )
    payload = real().payload(ChatRequest(messages=messages, tools=(CLOCK,), thinking_tokens=2000))
    assert "thinking" not in payload
    assert "thinking" not in str(payload["messages"])


def test_thinking_has_a_budget_and_room_for_the_answer() -> None:
    payload = real().payload(asking(thinking_tokens=500, max_output_tokens=1000, temperature=0.3))
    assert payload["thinking"] == {"type": "enabled", "budget_tokens": 1024}
    assert payload["max_tokens"] == 2024
    assert "temperature" not in payload


@pytest.mark.parametrize(
    ("tokens", "asked", "effort"),
    [
        (1024, None, "low"),
        (8000, None, "medium"),
        (30000, None, "high"),
        (1024, "xhigh", "xhigh"),
        (1024, "minimal", "low"),
    ],
)
def test_newer_models_think_as_they_see_fit(tokens: int, asked: str | None, effort: str) -> None:
    payload = real("claude-sonnet-5-5").payload(asking(thinking_tokens=tokens, reasoning_effort=asked))
    assert payload["thinking"] == {"type": "adaptive", "display": "summarized"}
    assert payload["output_config"] == {"effort": effort}


def test_a_model_that_cannot_think_is_not_asked_to() -> None:
    assert "thinking" not in real("claude-3-haiku-20240307").payload(asking(thinking_tokens=2000))


def test_thinking_is_replayed_to_a_model_that_thinks_and_only_when_signed() -> None:
    thought = (
        ReasoningPart(reasoning="a", signature="s"),
        RedactedReasoningPart(data="blob"),
        OmittedReasoningPart(signature="o"),
        ReasoningPart(reasoning="foreign"),
    )
    messages = (
        user("Time?"),
        assistant("", ToolCall(id="a", name="clock", arguments="{}"), parts=thought),
        returned(ToolReturn(tool_call_id="a", text="9")),
    )
    thinking = real().payload(ChatRequest(messages=messages, thinking_tokens=1024))
    assert thinking["messages"][1]["content"][:-1] == [
        {"type": "thinking", "thinking": "a", "signature": "s"},
        {"type": "redacted_thinking", "data": "blob"},
        {"type": "thinking", "thinking": "", "signature": "o"},
    ]
    plain = real().payload(ChatRequest(messages=messages))
    assert [block["type"] for block in plain["messages"][1]["content"]] == ["tool_use"]


def test_a_turn_that_began_without_thinking_ends_without_it() -> None:
    call = assistant("", ToolCall(id="a", name="clock", arguments="{}"))
    messages = (user("Time?"), call, returned(ToolReturn(tool_call_id="a", text="9")))
    assert "thinking" not in real().payload(ChatRequest(messages=messages, thinking_tokens=1024))


async def test_a_temperature_needs_the_older_version_of_the_protocol(fake_anthropic: FakeAnthropic) -> None:
    chat = model(fake_anthropic, "claude-sonnet-4-6")
    await reply_of(chat, asking(temperature=0.2))
    await reply_of(chat, asking(temperature=1.0))
    versions = [request.headers["anthropic-version"] for request in fake_anthropic.received]
    assert [body.get("temperature") for body in fake_anthropic.bodies] == [0.2, None]
    assert versions[0] == "2023-06-01"
    assert versions[1] > versions[0]
    assert "temperature" not in real("claude-opus-4-7").payload(asking(temperature=0.2))


ANSWER = {"type": "object", "properties": {"answer": {"type": "string"}}}


def asked_format(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}


def test_a_schema_for_the_answer_is_passed_on_closed() -> None:
    payload = real().payload(asking(response_format=asked_format(ANSWER)))
    closed = {**ANSWER, "additionalProperties": False}
    assert payload["output_config"] == {"format": {"type": "json_schema", "schema": closed}}
    assert len(payload["system"]) == 1


@pytest.mark.parametrize(
    ("name", "response_format", "word"),
    [
        ("claude-3-5-haiku", asked_format(ANSWER), json.dumps(ANSWER)),
        ("claude-haiku-4-5", asked_format({"type": "object"}), json.dumps({"type": "object"})),
        ("claude-haiku-4-5", {"type": "json_object"}, "JSON"),
    ],
)
def test_what_has_no_field_is_asked_in_words(name: str, response_format: dict[str, Any], word: str) -> None:
    payload = real(name).payload(asking(response_format=response_format))
    assert "output_config" not in payload
    assert word in payload["system"][1]["text"]
    plain = real(name).payload(asking(response_format={"type": "text"}))
    assert len(plain["system"]) == 1


@pytest.mark.parametrize(
    ("name", "asked", "sent"),
    [
        ("claude-opus-4-5", "high", "high"),
        ("claude-opus-4-5", "max", "high"),
        ("claude-opus-4-6", "max", "max"),
        ("claude-opus-4-8", "xhigh", "xhigh"),
        ("claude-haiku-4-5", "high", None),
        ("claude-opus-4-5", None, None),
    ],
)
def test_the_effort_sent_is_the_nearest_that_the_model_accepts(
    name: str, asked: str | None, sent: str | None
) -> None:
    assert real(name).payload(asking(effort=asked)).get("output_config", {}).get("effort") == sent


def test_an_effort_that_was_asked_for_wins_over_the_budget() -> None:
    payload = real("claude-opus-4-8").payload(asking(effort="max", thinking_tokens=1024))
    assert (payload["thinking"]["type"], payload["output_config"]) == ("adaptive", {"effort": "max"})


def test_minimax_gets_the_thinking_of_its_models_back() -> None:
    thought = ReasoningPart(reasoning="Hm", signature="sig")
    messages = (user("Hi"), assistant("Hello.", parts=(thought,)), user("And?"))
    minimax = AnthropicChat(config=provider("minimax", MINIMAX_API_KEY="k"), model="MiniMax-M2")
    sent = minimax.payload(ChatRequest(messages=messages))["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["thinking", "text"]
    sent = real().payload(ChatRequest(messages=messages))["messages"][1]["content"]
    assert [block["type"] for block in sent] == ["text"]


def test_the_default_limit_of_a_reply_is_small() -> None:
    assert real().payload(asking())["max_tokens"] == 4096
