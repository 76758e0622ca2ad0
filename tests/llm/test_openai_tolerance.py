"""Servers that speak OpenAI's format loosely, as many local ones do."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_ade.llm.events import ChatEvent, ToolCallStarted
from letta_ade.llm.messages import Reply, TextPart, ToolCall, ToolReturn
from letta_ade.llm.providers.openai import OpenAIChat
from tests.llm.support import CLOCK, WEATHER, asking, assistant, ended, events_of, provider, returned, user
from tests.support.fake_openai import FakeOpenAI, frame
from tests.support.fake_provider import FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")

DONE = b"data: [DONE]\n\n"


async def streamed(
    fake: FakeOpenAI, *deltas: dict[str, Any], messages: Any = None, **fields: Any
) -> list[ChatEvent]:
    """The events for a stream of these deltas; `finish` ends it, `last` are the frames after them."""
    finish, last = fields.pop("finish", "stop"), fields.pop("last", (DONE,))
    frames = [frame({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    if finish:
        frames.append(frame({"choices": [{"index": 0, "delta": {}, "finish_reason": finish}]}))
    fake.enqueue(FakeReply(frames=(*frames, *last)))
    chat = OpenAIChat(config=provider("vllm", VLLM_API_BASE=fake.url), model="local")
    request = asking(tools=(WEATHER, CLOCK), parallel_tool_calls=fields.pop("parallel", True))
    if messages:
        request = request.__class__(messages=messages, tools=request.tools, parallel_tool_calls=True)
    return await events_of(chat, chat.payload(request))


def whole_call(name: str, arguments: Any = "{}", **fields: Any) -> dict[str, Any]:
    return {"function": {"name": name, "arguments": arguments}, **fields}


def called(reply: Reply) -> list[tuple[str, str]]:
    return [(call.name, call.arguments) for call in reply.tool_calls]


async def test_a_server_without_a_key_is_sent_a_placeholder(fake_openai: FakeOpenAI) -> None:
    await streamed(fake_openai, {"content": "Hi"})
    assert fake_openai.received[0].headers["authorization"] == "Bearer not-needed"


async def test_missing_usage_is_estimated_and_marked(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"content": "Hello you"}))
    assert reply.usage.prompt_tokens > 20
    assert reply.usage.completion_tokens == 3
    assert reply.usage.cached_input_tokens is None
    assert reply.raw["usage_is_estimated"] is True


async def test_calls_without_ids_get_ids_of_our_own(fake_openai: FakeOpenAI) -> None:
    deltas = ({"tool_calls": [whole_call("weather", index=0), whole_call("clock", index=1)]},)
    ids = [call.id for call in ended(await streamed(fake_openai, *deltas)).tool_calls]
    assert len(set(ids)) == 2
    assert all(call_id.startswith("call_") and len(call_id) == 29 for call_id in ids)


async def test_calls_with_the_same_id_are_told_apart(fake_openai: FakeOpenAI) -> None:
    first, second = whole_call("weather", index=0, id="call_0"), whole_call("clock", index=1, id="call_0")
    ids = [call.id for call in ended(await streamed(fake_openai, {"tool_calls": [first, second]})).tool_calls]
    assert ids[0] == "call_0"
    assert ids[1] != "call_0"


async def test_an_id_that_the_conversation_already_used_is_replaced(fake_openai: FakeOpenAI) -> None:
    messages = (
        user("Time?"),
        assistant("", ToolCall(id="call_0", name="clock", arguments="{}")),
        returned(ToolReturn(tool_call_id="call_0", text="9")),
    )
    deltas = ({"tool_calls": [whole_call("clock", index=0, id="call_0")]},)
    reply = ended(await streamed(fake_openai, *deltas, messages=messages))
    assert reply.tool_calls[0].id != "call_0"


async def test_whole_calls_under_one_index_are_told_apart_by_their_ids(fake_openai: FakeOpenAI) -> None:
    first, second = (
        whole_call("weather", '{"place":"A"}', index=0, id="a"),
        whole_call("clock", index=0, id="b"),
    )
    reply = ended(await streamed(fake_openai, {"tool_calls": [first]}, {"tool_calls": [second]}))
    assert called(reply) == [("weather", '{"place":"A"}'), ("clock", "{}")]


async def test_whole_calls_without_index_and_id_are_told_apart(fake_openai: FakeOpenAI) -> None:
    deltas = ({"tool_calls": [whole_call("weather", '{"place":"A"}')]}, {"tool_calls": [whole_call("clock")]})
    assert called(ended(await streamed(fake_openai, *deltas))) == [
        ("weather", '{"place":"A"}'),
        ("clock", "{}"),
    ]


async def test_pieces_that_repeat_name_and_id_belong_to_one_call(fake_openai: FakeOpenAI) -> None:
    pieces = [
        {"tool_calls": [whole_call("weather", text, index=0, id="a")]} for text in ('{"pl', 'ace":"', 'A"}')
    ]
    events = await streamed(fake_openai, *pieces)
    assert called(ended(events)) == [("weather", '{"place":"A"}')]
    assert sum(isinstance(event, ToolCallStarted) for event in events) == 1


async def test_arguments_sent_as_an_object_become_their_text(fake_openai: FakeOpenAI) -> None:
    reply = ended(
        await streamed(fake_openai, {"tool_calls": [whole_call("weather", {"place": "A"}, index=0)]})
    )
    assert json.loads(reply.tool_calls[0].arguments) == {"place": "A"}


async def test_a_call_without_arguments_has_an_empty_object(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"tool_calls": [whole_call("clock", "", index=0)]}))
    assert called(reply) == [("clock", "{}")]


@pytest.mark.parametrize("field", ["reasoning_content", "reasoning"])
async def test_reasoning_is_read_under_either_name(fake_openai: FakeOpenAI, field: str) -> None:
    events = await streamed(fake_openai, {field: "Hm. "}, {"content": "Yes"})
    assert [part.type for part in ended(events).parts] == ["reasoning", "text"]


async def test_reasoning_sent_under_both_names_counts_once(fake_openai: FakeOpenAI) -> None:
    reply = ended(
        await streamed(fake_openai, {"reasoning_content": "Hm", "reasoning": "Hm"}, {"content": "Yes"})
    )
    assert reply.raw["choices"][0]["message"]["reasoning_content"] == "Hm"


async def test_reasoning_between_texts_keeps_its_place(fake_openai: FakeOpenAI) -> None:
    reply = ended(
        await streamed(
            fake_openai, {"content": "One. "}, {"reasoning": "Hm"}, {"reasoning": "m"}, {"content": "Two."}
        )
    )
    assert [part.type for part in reply.parts] == ["text", "reasoning", "text"]
    assert reply.text == "One. Two."


async def test_a_call_that_never_gets_a_name_is_left_out(fake_openai: FakeOpenAI) -> None:
    nameless = {"index": 0, "id": "a", "function": {"arguments": "{}"}}
    events = await streamed(fake_openai, {"tool_calls": [nameless, whole_call("clock", index=1, id="b")]})
    assert called(ended(events)) == [("clock", "{}")]
    assert [event.index for event in events if isinstance(event, ToolCallStarted)] == [0]


async def test_no_finish_reason_is_fine_when_the_end_is_announced(fake_openai: FakeOpenAI) -> None:
    assert ended(await streamed(fake_openai, {"content": "Hi"}, finish=None)).finish_reason == "stop"


async def test_no_announced_end_is_fine_when_a_reason_was_given(fake_openai: FakeOpenAI) -> None:
    assert (
        ended(await streamed(fake_openai, {"content": "Hi"}, finish="length", last=())).finish_reason
        == "length"
    )


async def test_a_call_that_ends_with_stop_is_still_a_call(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"tool_calls": [whole_call("clock", index=0)]}, finish="stop"))
    assert reply.finish_reason == "tool_calls"


@pytest.mark.parametrize(
    ("wire", "ours"), [("content_filter", "refusal"), ("length", "length"), ("odd", "odd")]
)
async def test_finish_reasons_have_our_words(fake_openai: FakeOpenAI, wire: str, ours: str) -> None:
    assert ended(await streamed(fake_openai, {"content": "x"}, finish=wire)).finish_reason == ours


async def test_a_refusal_is_text_and_says_so(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"refusal": "I will not."}))
    assert (reply.text, reply.finish_reason) == ("I will not.", "refusal")


async def test_comments_and_blank_lines_in_the_stream_are_skipped(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"content": "Hi"}, last=(b": waiting\n\n", b"\n", DONE)))
    assert reply.text == "Hi"


async def test_an_empty_reply_is_handed_on_as_one(fake_openai: FakeOpenAI) -> None:
    reply = ended(await streamed(fake_openai, {"role": "assistant", "content": ""}))
    assert (reply.parts, reply.tool_calls) == ((), ())


async def test_a_server_that_does_not_stream_is_understood(fake_openai: FakeOpenAI) -> None:
    message = {"role": "assistant", "content": "Hi", "tool_calls": [whole_call("clock", id="a")]}
    body = {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": 3}}
    fake_openai.enqueue(FakeReply(frames=(json.dumps(body).encode(),), content_type="application/json"))
    chat = OpenAIChat(config=provider("vllm", VLLM_API_BASE=fake_openai.url), model="local")
    reply = ended(await events_of(chat, chat.payload(asking())))
    assert reply.parts == (TextPart(text="Hi"),)
    assert called(reply) == [("clock", "{}")]
    assert reply.usage.prompt_tokens == 3
