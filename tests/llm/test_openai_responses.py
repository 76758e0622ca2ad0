"""OpenAI's Responses API, with the real SDK against a local server that speaks the format."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from letta_ade.llm.chat_models import make_chat_model
from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.errors import ModelBadRequest, ModelConnection, ModelError, ModelRateLimited
from letta_ade.llm.events import ReasoningDelta, ReasoningHidden, TextDelta, ToolCallDelta, ToolCallStarted
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    ReasoningPart,
    SummarizedReasoningPart,
    TextPart,
    ToolCall,
    ToolReturn,
    Usage,
    part_from_data,
    part_to_data,
)
from letta_ade.llm.providers import openai_responses
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_responses import OpenAIResponses
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
from tests.support.fake_openai import FakeOpenAI, named_frame
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")


def model(fake: FakeOpenAI, name: str = "gpt-5.1") -> OpenAIResponses:
    config = provider(
        "openai", OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=fake.base_url, ADE_OPENAI_API="responses"
    )
    return OpenAIResponses(config=config, model=name)


def real(name: str = "gpt-5.1") -> OpenAIResponses:
    """For payloads only: the tests call nobody there."""
    return OpenAIResponses(config=provider("openai", OPENAI_API_KEY="sk-test"), model=name)


@pytest.mark.parametrize(
    ("name", "environment", "kind"),
    [
        ("gpt-5.1", {}, OpenAIResponses),
        ("o3", {}, OpenAIResponses),
        ("gpt-4o", {}, OpenAIChat),
        ("gpt-5-chat-latest", {}, OpenAIChat),
        ("gpt-5.1", {"OPENAI_BASE_URL": "http://127.0.0.1:1"}, OpenAIChat),
        (
            "gpt-5.1",
            {"OPENAI_BASE_URL": "http://127.0.0.1:1", "ADE_OPENAI_API": "responses"},
            OpenAIResponses,
        ),
        ("gpt-4o", {"ADE_OPENAI_API": "responses"}, OpenAIResponses),
        ("gpt-5.1", {"ADE_OPENAI_API": "chat"}, OpenAIChat),
    ],
)
def test_reasoning_models_of_openai_itself_are_asked_there_unless_the_operator_says_otherwise(
    name: str, environment: dict[str, str], kind: type
) -> None:
    assert type(make_chat_model(provider("openai", OPENAI_API_KEY="k", **environment), name)) is kind


def test_another_provider_is_never_asked_there() -> None:
    config = provider("vllm", VLLM_API_BASE="http://127.0.0.1:1", ADE_OPENAI_API="responses")
    assert type(make_chat_model(config, "gpt-oss-120b")) is OpenAIChat


async def test_the_summary_is_streamed_and_the_encrypted_reasoning_kept(fake_openai: FakeOpenAI) -> None:
    usage = {
        "input_tokens": 70,
        "output_tokens": 30,
        "input_tokens_details": {"cached_tokens": 64, "cache_write_tokens": 0},
        "output_tokens_details": {"reasoning_tokens": 20},
    }
    fake_openai.enqueue(
        FakeReply(reasoning="First this.\n\nThen that.", signature="blob", text="One two.", usage=usage)
    )
    chat = model(fake_openai)
    payload = chat.payload(asking())
    events = await events_of(chat, payload)
    reply = ended(events)
    assert fake_openai.received[0].path == "/v1/responses"
    assert fake_openai.bodies == [payload]
    assert reasoning_of(events) == "First this.\n\nThen that."
    assert text_of(events) == "One two."
    thought = SummarizedReasoningPart(
        id="rs_1",
        summary=({"index": 0, "text": "First this."}, {"index": 1, "text": "Then that."}),
        encrypted_content="blob",
    )
    assert reply.parts == (thought, TextPart(text="One two."))
    assert thought.text == reasoning_of(events)
    assert part_from_data(json.loads(json.dumps(part_to_data(thought)))) == thought
    assert (reply.finish_reason, reply.request_id) == ("stop", "req_fake_openai")
    assert reply.usage == Usage(
        prompt_tokens=70,
        completion_tokens=30,
        cached_input_tokens=64,
        cache_write_tokens=0,
        reasoning_tokens=20,
    )


async def test_what_the_server_does_not_count_is_not_reported_as_zero(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="Hi.", usage={"input_tokens": 5, "output_tokens": 1}))
    usage = (await reply_of(model(fake_openai), asking())).usage
    assert usage == Usage(prompt_tokens=5, completion_tokens=1)


async def test_the_stored_reply_does_not_repeat_the_request(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="Hi."))
    reply = await reply_of(model(fake_openai), asking(tools=(CLOCK,)))
    assert reply.raw["output"][0]["content"][0]["text"] == "Hi."
    assert not {"instructions", "tools"} & reply.raw.keys()


async def test_reasoning_without_a_summary_is_told_as_hidden(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(signature="blob", text="Yes."))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking()))
    assert events[0] == ReasoningHidden()
    assert ended(events).parts[0] == SummarizedReasoningPart(id="rs_1", encrypted_content="blob")


async def test_parallel_calls_keep_their_order_and_arguments(fake_openai: FakeOpenAI) -> None:
    calls = (
        FakeCall(name="weather", arguments='{"place": "Rome"}', id="call_a"),
        FakeCall(name="clock", arguments="{}", id="call_b"),
    )
    fake_openai.enqueue(FakeReply(reasoning="Hm.", calls=calls))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK), parallel_tool_calls=True)))
    reply = ended(events)
    assert reply.tool_calls == (
        ToolCall(id="call_a", name="weather", arguments='{"place": "Rome"}'),
        ToolCall(id="call_b", name="clock", arguments="{}"),
    )
    assert reply.finish_reason == "tool_calls"
    starts = [event for event in events if isinstance(event, ToolCallStarted)]
    assert [(start.index, start.id) for start in starts] == [(0, "call_a"), (1, "call_b")]
    pieces = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == 0]
    assert len(pieces) > 1
    assert "".join(pieces) == '{"place": "Rome"}'


async def test_without_parallel_calls_only_the_first_call_counts(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(calls=(FakeCall(name="weather", id="a"), FakeCall(name="clock", id="b"))))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK), parallel_tool_calls=False)))
    assert [call.id for call in ended(events).tool_calls] == ["a"]
    assert not any(isinstance(event, ToolCallStarted | ToolCallDelta) and event.id == "b" for event in events)


async def test_a_call_id_that_was_used_before_is_replaced(fake_openai: FakeOpenAI) -> None:
    messages = (
        user("Time?"),
        assistant("", ToolCall(id="call_a", name="clock", arguments="{}")),
        returned(ToolReturn(tool_call_id="call_a", text="9")),
    )
    fake_openai.enqueue(FakeReply(calls=(FakeCall(name="clock", id="call_a"),)))
    reply = await reply_of(model(fake_openai), ChatRequest(messages=messages, tools=(CLOCK,)))
    assert reply.tool_calls[0].id not in ("", "call_a")


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "refusal")]
)
async def test_a_reply_that_is_not_whole_says_why(fake_openai: FakeOpenAI, reason: str, finish: str) -> None:
    fake_openai.enqueue(FakeReply(text="Half of", finish_reason=reason))
    reply = await reply_of(model(fake_openai), asking())
    assert (reply.text, reply.finish_reason) == ("Half of", finish)


async def test_a_refusal_is_text_and_a_reason(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(redacted="I cannot help with that."))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking()))
    assert text_of(events) == "I cannot help with that."
    assert ended(events).finish_reason == "refusal"


async def test_log_probabilities_are_collected(fake_openai: FakeOpenAI) -> None:
    token = {"token": "Hi", "logprob": -0.1, "top_logprobs": []}
    item = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi"}]}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
    events = (
        {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}},
        {**delta, "logprobs": [token]},
        {"type": "response.output_item.done", "output_index": 0, "item": item},
        {"type": "response.completed", "response": {"status": "completed", "output": [item]}},
    )
    fake_openai.enqueue(FakeReply(frames=tuple(named_frame(event) for event in events)))
    reply = await reply_of(model(fake_openai, "gpt-4o"), asking(return_logprobs=True, top_logprobs=2))
    assert reply.logprobs == {"content": [token], "refusal": None}
    assert fake_openai.bodies[0]["top_logprobs"] == 2
    assert reply.usage.prompt_tokens > 0


async def test_a_server_that_does_not_stream_is_understood(fake_openai: FakeOpenAI) -> None:
    output = [
        {"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": "Hm."}]},
        {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Hi."}]},
        {"type": "function_call", "id": "f", "call_id": "c", "name": "clock", "arguments": "{}"},
    ]
    body = {"object": "response", "status": "completed", "error": None, "output": output}
    fake_openai.enqueue(FakeReply(frames=(json.dumps(body).encode(),), content_type="application/json"))
    chat = model(fake_openai)
    events = await events_of(chat, chat.payload(asking(tools=(CLOCK,))))
    assert [event for event in events[:-1] if isinstance(event, ReasoningDelta | TextDelta)] == [
        ReasoningDelta(text="Hm."),
        TextDelta(text="Hi."),
    ]
    assert ended(events).tool_calls == (ToolCall(id="c", name="clock", arguments="{}"),)


def test_a_conversation_is_written_as_items_and_the_reasoning_goes_before_what_came_of_it() -> None:
    image = ImagePart(source={"type": "base64", "media_type": "image/png", "data": "AAAA", "detail": "low"})
    thought = SummarizedReasoningPart(
        id="rs_1", summary=({"index": 0, "text": "Hm."},), encrypted_content="b"
    )
    long_id = "call_0123456789012345678901234567"
    messages = (
        system("Be kind."),
        system("Be short."),
        ChatMessage(role="user", parts=(TextPart(text="Look"), image)),
        assistant(
            "I look.",
            ToolCall(id=long_id, name="weather", arguments=""),
            parts=(ReasoningPart(reasoning="of another provider", signature="s"), thought),
        ),
        returned(ToolReturn(tool_call_id=long_id, text="sunny")),
        system("It is late."),
        assistant(parts=(thought,)),
        ChatMessage(role="approval"),
    )
    payload = real().payload(ChatRequest(messages=messages))
    assert payload["instructions"] == "Be kind.\n\nBe short."
    assert payload["input"] == [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "Look"},
                {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
            ],
        },
        {
            "type": "reasoning",
            "id": "rs_1",
            "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "b",
        },
        {"role": "assistant", "content": "I look."},
        {"type": "function_call", "call_id": long_id[:29], "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": long_id[:29], "output": "sunny"},
        {"role": "developer", "content": "It is late."},
    ]


def test_a_request_for_a_reasoning_model_holds_these_fields() -> None:
    request = asking(
        tools=(WEATHER,),
        parallel_tool_calls=True,
        max_output_tokens=99,
        temperature=0.5,
        reasoning_effort="high",
        verbosity="low",
        strict=True,
        user="user-1",
        response_format={"type": "json_schema", "json_schema": {"schema": {"type": "object"}}},
    )
    payload = real().payload(request)
    assert payload | {"input": []} == {
        "model": "gpt-5.1",
        "stream": True,
        "store": False,
        "instructions": "Be kind.",
        "input": [],
        "tools": [
            {
                "type": "function",
                "name": "weather",
                "description": "Tell the weather",
                "parameters": {**WEATHER.parameters, "additionalProperties": False},
                "strict": True,
            }
        ],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "max_output_tokens": 99,
        "reasoning": {"summary": "auto", "effort": "high"},
        "include": ["reasoning.encrypted_content"],
        "text": {
            "format": {"type": "json_schema", "name": "response", "schema": {"type": "object"}},
            "verbosity": "low",
        },
        "safety_identifier": "user-1",
    }


def test_a_model_that_does_not_reason_keeps_its_sampling() -> None:
    payload = real("gpt-4o").payload(asking(temperature=0.5, reasoning_effort="high", verbosity="low"))
    assert payload["temperature"] == 0.5
    assert not {"reasoning", "include", "text"} & payload.keys()


@pytest.mark.parametrize(
    ("asked", "sent"), [("none", "none"), ("minimal", "low"), ("xhigh", "high"), (None, None)]
)
def test_the_effort_sent_is_the_nearest_that_the_model_accepts(asked: str | None, sent: str | None) -> None:
    assert real().payload(asking(tools=(CLOCK,), reasoning_effort=asked))["reasoning"].get("effort") == sent


@pytest.mark.parametrize(
    ("choice", "wire"),
    [
        (ToolChoice(), "auto"),
        (ToolChoice(mode="required"), "required"),
        (ToolChoice(mode="none"), "none"),
        (ToolChoice(mode="one", name="clock"), {"type": "function", "name": "clock"}),
    ],
)
def test_tool_choice_has_these_forms(choice: ToolChoice, wire: Any) -> None:
    assert real().payload(asking(tools=(WEATHER, CLOCK), tool_choice=choice))["tool_choice"] == wire


def test_a_tool_that_is_not_asked_to_be_strict_says_so() -> None:
    (tool,) = real().payload(asking(tools=(CLOCK,)))["tools"]
    assert tool["strict"] is False
    assert "tool_choice" not in real().payload(asking())


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_plain_formats_need_no_schema(kind: str) -> None:
    assert real().payload(asking(response_format={"type": kind}))["text"] == {"format": {"type": kind}}


@pytest.mark.parametrize(
    ("event", "kind"),
    [
        ({"type": "error", "code": "rate_limit_exceeded", "message": "Why."}, ModelRateLimited),
        ({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "Why."}}, ModelRateLimited),
        (
            {"type": "response.failed", "response": {"error": {"code": "invalid_prompt", "message": "Why."}}},
            ModelBadRequest,
        ),
    ],
)
async def test_a_failure_in_the_middle_comes_after_what_was_said(
    fake_openai: FakeOpenAI, event: dict[str, Any], kind: type[ModelError]
) -> None:
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"}
    start = {"type": "response.output_item.added", "output_index": 0, "item": {"type": "message", "id": "m"}}
    # In one piece, so that the failure is read together with what came before it.
    frames = b"".join(named_frame(each) for each in (start, delta, event))
    fake_openai.enqueue(FakeReply(frames=(frames,)))
    chat = model(fake_openai)
    stream = chat.stream(chat.payload(asking()))
    assert await anext(stream) == TextDelta(text="Hi")
    with pytest.raises(kind) as caught:
        await anext(stream)
    assert caught.value.detail == "Why."
    assert caught.value.request_id == "req_fake_openai"


async def test_a_stream_that_ends_before_the_response_does_is_a_broken_connection(
    fake_openai: FakeOpenAI,
) -> None:
    fake_openai.enqueue(FakeReply(text="Half of", is_unfinished=True))
    with pytest.raises(ModelConnection):
        await reply_of(model(fake_openai), asking())


def thinking_turn() -> ChatRequest:
    thought = SummarizedReasoningPart(id="rs_1", encrypted_content="of somebody else")
    messages = (user("Hi"), assistant("Hello.", parts=(thought,)), user("And?"))
    return ChatRequest(messages=messages, reasoning_effort="low")


async def test_reasoning_of_another_organisation_does_not_lock_the_agent_out(fake_openai: FakeOpenAI) -> None:
    error = {"message": "The encrypted content could not be verified.", "code": "invalid_encrypted_content"}
    fake_openai.enqueue(FakeReply(status=400, error={"error": error}), FakeReply(text="Fine."))
    reply = await reply_of(model(fake_openai), thinking_turn())
    assert reply.text == "Fine."
    first, second = fake_openai.bodies
    assert any(item.get("type") == "reasoning" for item in first["input"])
    assert second == {**first, "input": [item for item in first["input"] if item.get("type") != "reasoning"]}


async def test_an_organisation_that_gets_no_summaries_is_asked_without_from_then_on(
    fake_openai: FakeOpenAI,
) -> None:
    error = "Your organization must be verified to generate reasoning summaries."
    fake_openai.enqueue(FakeReply(status=400, error=error), FakeReply(text="Fine."), FakeReply(text="Again."))
    chat = model(fake_openai)
    assert (await reply_of(chat, thinking_turn())).text == "Fine."
    assert (await reply_of(chat, thinking_turn())).text == "Again."
    assert [body["reasoning"] for body in fake_openai.bodies] == [
        {"summary": "auto", "effort": "low"},
        {"effort": "low"},
        {"effort": "low"},
    ]
    openai_responses._unsummarised.clear()


async def test_another_refusal_is_not_sent_again(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(status=400, error="No."))
    with pytest.raises(ModelBadRequest):
        await reply_of(model(fake_openai), thinking_turn())
    assert len(fake_openai.bodies) == 1


async def test_closing_the_stream_closes_the_connection(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="a b c d e f", hang_after=4))
    chat = model(fake_openai)
    stream = chat.stream(chat.payload(asking()))
    await anext(stream)
    await stream.aclose()
    assert await asyncio.to_thread(fake_openai.disconnected.acquire, timeout=5)
