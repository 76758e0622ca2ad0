"""OpenAI's chat completions, with the real SDK against a local server that speaks the format."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from letta_ade.llm.client import ToolChoice
from letta_ade.llm.events import ReasoningHidden, ToolCallDelta, ToolCallStarted
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    OmittedReasoningPart,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolReturn,
    Usage,
)
from letta_ade.llm.providers.openai import OpenAIChat
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
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")


def model(fake: FakeOpenAI, name: str = "gpt-4o-mini", *, base_url: str | None = None) -> OpenAIChat:
    config = provider("openai", OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=base_url or fake.base_url)
    return OpenAIChat(config=config, model=name)


def real(name: str) -> OpenAIChat:
    """For payloads only: the tests call nobody there."""
    return OpenAIChat(config=provider("openai", OPENAI_API_KEY="sk-test"), model=name)


async def test_text_is_streamed_and_the_reply_holds_all_of_it(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="One two three.", usage={"prompt_tokens": 7, "completion_tokens": 3}))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking()))
    reply = ended(events)
    assert text_of(events) == "One two three."
    assert reply.parts == (TextPart(text="One two three."),)
    assert reply.finish_reason == "stop"
    assert reply.usage == Usage(prompt_tokens=7, completion_tokens=3)
    assert reply.request_id == "req_fake_openai"
    assert reply.raw["choices"][0]["message"]["content"] == "One two three."


async def test_the_payload_is_sent_exactly_as_it_was_shown(fake_openai: FakeOpenAI) -> None:
    chat = model(fake_openai)
    payload = chat.payload(asking(tools=(WEATHER,), temperature=0.3, max_output_tokens=50, user="user-1"))
    await events_of(chat, payload)
    assert fake_openai.bodies == [payload]
    assert fake_openai.received[0].headers["authorization"] == "Bearer sk-test"


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
async def test_the_base_url_may_end_with_the_version_or_not(fake_openai: FakeOpenAI, suffix: str) -> None:
    reply = await reply_of(model(fake_openai, base_url=fake_openai.url + suffix), asking())
    assert reply.text
    assert fake_openai.received[0].path == "/v1/chat/completions"


async def test_reasoning_is_streamed_before_the_text(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(reasoning="Let me see. ", text="Yes."))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking()))
    assert reasoning_of(events) == "Let me see. "
    assert ended(events).parts == (ReasoningPart(reasoning="Let me see. "), TextPart(text="Yes."))


async def test_reasoning_out_of_sight_is_told_first(fake_openai: FakeOpenAI) -> None:
    details = {
        "prompt_tokens_details": {"cached_tokens": 5},
        "completion_tokens_details": {"reasoning_tokens": 9},
    }
    fake_openai.enqueue(FakeReply(text="Yes it is.", usage=details))
    chat = model(fake_openai, "o4-mini")
    events = await events_of(chat, chat.payload(asking()))
    reply = ended(events)
    assert events[0] == ReasoningHidden()
    assert events.count(ReasoningHidden()) == 1
    assert reply.parts == (OmittedReasoningPart(), TextPart(text="Yes it is."))
    assert (reply.usage.cached_input_tokens, reply.usage.reasoning_tokens) == (5, 9)


@pytest.mark.parametrize(("name", "effort"), [("gpt-4o", "high"), ("gpt-5.1", None), ("gpt-5.6-sol", "none")])
async def test_a_model_that_does_not_reason_hides_nothing(
    fake_openai: FakeOpenAI, name: str, effort: str | None
) -> None:
    reply = await reply_of(model(fake_openai, name), asking(reasoning_effort=effort))
    assert [part.type for part in reply.parts] == ["text"]


async def test_parallel_tool_calls_keep_their_order_and_arguments(fake_openai: FakeOpenAI) -> None:
    calls = (
        FakeCall(name="weather", arguments='{"place": "Rome"}', id="call_a"),
        FakeCall(name="clock", arguments="{}", id="call_b"),
    )
    fake_openai.enqueue(FakeReply(calls=calls))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK), parallel_tool_calls=True)))
    reply = ended(events)
    assert reply.tool_calls == (
        ToolCall(id="call_a", name="weather", arguments='{"place": "Rome"}'),
        ToolCall(id="call_b", name="clock", arguments="{}"),
    )
    assert reply.finish_reason == "tool_calls"
    starts = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [(start.index, start.id, start.name) for start in starts] == [
        (0, "call_a", "weather"),
        (1, "call_b", "clock"),
    ]
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == 0]
    assert len(pieces) > 1
    assert "".join(pieces) == '{"place": "Rome"}'


async def test_without_parallel_calls_only_the_first_call_counts(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(calls=(FakeCall(name="weather", id="a"), FakeCall(name="clock", id="b"))))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK), parallel_tool_calls=False)))
    assert [call.id for call in ended(events).tool_calls] == ["a"]
    assert not any(isinstance(event, ToolCallStarted | ToolCallDelta) and event.id == "b" for event in events)


async def test_closing_the_stream_closes_the_connection(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="a b c d e f", hang_after=3))
    chat = model(fake_openai)
    stream = chat.stream(chat.payload(asking()))
    await anext(stream)
    await stream.aclose()
    assert await asyncio.to_thread(fake_openai.disconnected.acquire, timeout=5)


async def test_a_cancelled_task_closes_the_connection_of_a_hanging_model(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="a b c", hang_after=1))
    task = asyncio.create_task(reply_of(model(fake_openai), asking()))
    assert await asyncio.to_thread(fake_openai.streaming.acquire, timeout=5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await asyncio.to_thread(fake_openai.disconnected.acquire, timeout=5)


def test_a_conversation_is_written_in_the_format_of_the_provider(fake_openai: FakeOpenAI) -> None:
    long_id = "toolu_01ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    image = ImagePart(source={"type": "base64", "media_type": "image/png", "data": "AAAA", "detail": "low"})
    messages = (
        system("Be kind."),
        ChatMessage(role="summary", parts=(TextPart(text="Before: nothing."),)),
        ChatMessage(role="user", parts=(TextPart(text="Look"), image), name="Ada"),
        assistant(
            "I look.",
            ToolCall(id=long_id, name="weather", arguments=""),
            parts=(ReasoningPart(reasoning="Hm"),),
        ),
        returned(ToolReturn(tool_call_id=long_id, text="sunny")),
        assistant(parts=(ReasoningPart(reasoning="only this"),)),
        ChatMessage(role="approval"),
    )
    payload = model(fake_openai).payload(asking().__class__(messages=messages))
    call = {"id": long_id[:29], "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    assert payload["messages"] == [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Before: nothing."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Look"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"}},
            ],
            "name": "Ada",
        },
        {"role": "assistant", "content": "I look.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": long_id[:29], "content": "sunny"},
    ]


def test_a_plain_request_to_openai_holds_these_fields() -> None:
    payload = real("gpt-4o-mini").payload(
        asking(
            tools=(WEATHER,), parallel_tool_calls=True, max_output_tokens=99, temperature=0.5, user="user-1"
        )
    )
    assert payload | {"messages": []} == {
        "model": "gpt-4o-mini",
        "messages": [],
        "stream": True,
        "stream_options": {"include_usage": True},
        "tools": [
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "description": "Tell the weather",
                    "parameters": WEATHER.parameters,
                },
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_completion_tokens": 99,
        "temperature": 0.5,
        "user": "user-1",
    }


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), "auto"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="one", name="clock"), {"type": "function", "function": {"name": "clock"}}),
    ],
)
def test_tool_choice_has_these_forms(choice: ToolChoice, wire: Any) -> None:
    assert real("gpt-4o").payload(asking(tools=(WEATHER, CLOCK), tool_choice=choice))["tool_choice"] == wire


def test_openrouter_is_asked_for_any_tool_instead_of_one() -> None:
    chat = OpenAIChat(config=provider("openrouter", OPENROUTER_API_KEY="k"), model="meta/llama")
    choice = ToolChoice(mode="one", name="clock")
    assert chat.payload(asking(tools=(CLOCK,), tool_choice=choice))["tool_choice"] == "required"


def test_without_tools_no_field_of_tools_is_sent() -> None:
    assert not {"tools", "tool_choice", "parallel_tool_calls"} & real("gpt-4o").payload(asking()).keys()


@pytest.mark.parametrize("name", ["o1", "o3-mini", "o4-mini", "gpt-5", "gpt-5-mini", "gpt-6-sol"])
def test_reasoning_models_get_their_only_temperature(name: str) -> None:
    assert real(name).payload(asking(temperature=0.2))["temperature"] == 1.0


@pytest.mark.parametrize(
    ("name", "asked", "sent"),
    [
        ("gpt-5", "minimal", "minimal"),
        ("gpt-5", "xhigh", "high"),
        ("o3-mini", "minimal", "low"),
        ("gpt-5.1", "minimal", "low"),
        ("gpt-5", "none", None),
        ("gpt-5", None, None),
        ("gpt-4o-mini", "minimal", None),
    ],
)
def test_the_effort_sent_is_the_nearest_that_the_model_accepts(
    name: str, asked: str | None, sent: str | None
) -> None:
    assert real(name).payload(asking(reasoning_effort=asked)).get("reasoning_effort") == sent


@pytest.mark.parametrize(("name", "sent"), [("gpt-5.4", None), ("gpt-5.6-luna", "none"), ("gpt-5", "high")])
def test_beside_tools_some_models_take_no_effort(name: str, sent: str | None) -> None:
    payload = real(name).payload(asking(tools=(CLOCK,), reasoning_effort="high"))
    assert payload.get("reasoning_effort") == sent


def test_other_servers_get_the_older_field_for_the_length() -> None:
    vllm = OpenAIChat(config=provider("vllm", VLLM_API_BASE="http://127.0.0.1:1"), model="qwen3")
    assert vllm.payload(asking(max_output_tokens=9))["max_tokens"] == 9
    proxy = provider("openai", OPENAI_API_KEY="k", OPENAI_BASE_URL="http://127.0.0.1:1")
    assert OpenAIChat(config=proxy, model="gpt-4o").payload(asking(max_output_tokens=9))["max_tokens"] == 9
    assert (
        OpenAIChat(config=proxy, model="o3").payload(asking(max_output_tokens=9))["max_completion_tokens"]
        == 9
    )


def test_a_schema_without_a_name_gets_one() -> None:
    asked = {"type": "json_schema", "json_schema": {"schema": {"type": "object"}}}
    sent = real("gpt-4o").payload(asking(response_format=asked))["response_format"]
    assert sent == {"type": "json_schema", "json_schema": {"name": "response", "schema": {"type": "object"}}}


def test_deepseek_gets_the_reasoning_of_the_running_turn_back() -> None:
    chat = OpenAIChat(config=provider("deepseek", DEEPSEEK_API_KEY="k"), model="deepseek-reasoner")
    old = assistant("Hi.", parts=(ReasoningPart(reasoning="old"),))
    new = assistant(
        "", ToolCall(id="a", name="clock", arguments="{}"), parts=(ReasoningPart(reasoning="new"),)
    )
    messages = (user("Hello"), old, user("Time?"), new, returned(ToolReturn(tool_call_id="a", text="9")))
    sent = chat.payload(asking().__class__(messages=messages))["messages"]
    assert [message.get("reasoning_content") for message in sent] == [None, None, None, "new", None]
