"""The model that tests write themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from letta_ade.llm.errors import ModelOverloaded
from letta_ade.llm.events import ReasoningHidden, TextDelta, ToolCallDelta, ToolCallStarted
from letta_ade.llm.messages import ReasoningPart, TextPart, ToolCall, Usage
from letta_ade.llm.scripting import Piece
from letta_ade.llm.testing import (
    ScriptedModel,
    ending,
    error,
    gate,
    hang,
    hidden_reasoning,
    reasoning,
    text,
    tool_call,
)
from tests.llm.support import WEATHER, asking, ended, events_of, reply_of, text_of


async def test_replies_come_in_order_and_word_by_word() -> None:
    model = ScriptedModel([text("One two  three."), text("Four.")])
    events = await events_of(model, model.payload(asking()))
    assert [event.text for event in events if isinstance(event, TextDelta)] == ["One ", "two  ", "three."]
    assert text_of(events) == "One two  three."
    assert (await reply_of(model, asking())).text == "Four."
    assert model.finished == 2


async def test_a_reply_may_have_several_pieces() -> None:
    pieces: list[Piece] = [
        reasoning("Hm.", signature="s"),
        tool_call("weather", place="Rome", call_id="a"),
        tool_call("clock"),
    ]
    model = ScriptedModel([pieces])
    events = await events_of(model, model.payload(asking()))
    reply = ended(events)
    assert reply.parts == (ReasoningPart(reasoning="Hm.", signature="s"),)
    assert reply.tool_calls[0] == ToolCall(id="a", name="weather", arguments='{"place": "Rome"}')
    assert reply.finish_reason == "tool_calls"
    starts = [event.index for event in events if isinstance(event, ToolCallStarted)]
    deltas = [event.arguments for event in events if isinstance(event, ToolCallDelta) and event.index == 0]
    assert starts == [0, 1]
    assert "".join(deltas) == '{"place": "Rome"}'


async def test_arguments_may_be_wrong_on_purpose() -> None:
    model = ScriptedModel([tool_call("weather", json_text="{oops")])
    assert (await reply_of(model, asking())).tool_calls[0].arguments == "{oops"


async def test_an_error_breaks_the_reply_off() -> None:
    model = ScriptedModel([[text("Half"), error(ModelOverloaded("busy", detail="why"))], text("Again")])
    stream = model.stream(model.payload(asking()))
    assert await anext(stream) == TextDelta(text="Half")
    with pytest.raises(ModelOverloaded, match="busy"):
        await anext(stream)
    assert (await reply_of(model, asking())).text == "Again"
    assert (model.finished, model.broken_off) == (1, 1)


async def test_a_gate_holds_the_reply_until_it_is_opened() -> None:
    opened = asyncio.Event()
    model = ScriptedModel([[text("Before "), gate(opened), text("after")]])
    stream = model.stream(model.payload(asking()))
    assert await anext(stream) == TextDelta(text="Before ")
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    assert not waiting.done()
    opened.set()
    assert await waiting == TextDelta(text="after")
    await stream.aclose()


async def test_a_hanging_reply_ends_when_it_is_closed() -> None:
    model = ScriptedModel([[text("x"), hang()]])
    stream = model.stream(model.payload(asking()))
    await anext(stream)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert model.broken_off == 1


async def test_requests_and_payloads_are_kept() -> None:
    model = ScriptedModel([text("x")])
    request = asking(tools=(WEATHER,), reasoning_effort="low")
    await reply_of(model, request)
    assert model.requests == [request]
    (payload,) = model.payloads
    assert payload["model"] == "scripted"
    assert payload["tools"][0]["name"] == "weather"
    assert payload["messages"][-1]["parts"][0]["text"] == "Hello"


async def test_a_reply_may_depend_on_what_was_asked() -> None:
    def echo(payload: dict[str, Any]) -> Any:
        return [
            text(payload["messages"][-1]["parts"][0]["text"]),
            ending("length", usage=Usage(prompt_tokens=5)),
        ]

    reply = await reply_of(ScriptedModel([echo]), asking("Say this"))
    assert (reply.text, reply.finish_reason, reply.usage.prompt_tokens) == ("Say this", "length", 5)


async def test_hidden_reasoning_and_an_empty_reply_can_be_written() -> None:
    model = ScriptedModel([hidden_reasoning("blob"), []])
    assert ReasoningHidden(data="blob") in await events_of(model, model.payload(asking()))
    assert (await reply_of(model, asking())).parts == ()


async def test_a_script_that_is_used_up_says_so() -> None:
    with pytest.raises(AssertionError, match="no reply left"):
        await reply_of(ScriptedModel(), asking())


async def test_more_replies_can_be_added() -> None:
    model = ScriptedModel()
    model.add(text("Later"))
    assert (await reply_of(model, asking())).parts == (TextPart(text="Later"),)
