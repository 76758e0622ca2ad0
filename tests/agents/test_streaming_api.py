"""Whatever a model says, the pieces of a stream add up to the stored message: same ids, same otids, same words."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.api.streaming import Format, Translator
from agents.api.wire import wire_messages
from agents.models import Message
from agents.runtime.events import Event, RunStarted, ToolCallDelta, ToolCallStarted
from agents.runtime.reply_stream import ReplyStream
from letta_ade.core.ids import new_id
from letta_ade.llm.messages import part_to_data
from letta_ade.llm.scripting import Call, Hide, Piece, Say, Think, play

words = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
spoken = st.one_of(
    st.builds(Say, text=words),
    st.builds(Think, text=words),
    st.builds(Hide, data=st.sampled_from([None, "blob"])),
)
calls = st.lists(
    st.builds(
        Call, name=st.sampled_from(["one", "two"]), arguments=st.sampled_from(["{}", '{"a": "b c"}', ""])
    ),
    max_size=3,
)


async def stream(pieces: list[Piece]) -> tuple[list[dict[str, Any]], Message]:
    """What a token stream sends for a reply, and the message that is stored of it."""
    message_id = new_id("message")
    reply_stream = ReplyStream(step_id="step-1", message_id=message_id)
    translator = Translator("run-1", Format(stream_tokens=True))
    sent = [
        message
        async for model_event in play(pieces, payload={})
        for event in reply_stream.translate(model_event)
        for message in translator.messages(event)
    ]
    reply = reply_stream.reply
    assert reply is not None
    message = Message(
        id=message_id,
        role="assistant",
        content=[part_to_data(part) for part in reply.parts],
        tool_calls=[
            {"id": call.id, "name": call.name, "arguments": call.arguments} for call in reply.tool_calls
        ],
        created_at=datetime.now(UTC),
    )
    return sent, message


def added_up(messages: list[dict[str, Any]]) -> dict[tuple[str, str, str], Any]:
    found: dict[tuple[str, str, str], Any] = {}
    for message in messages:
        key = (message["message_type"], message["id"], message["otid"])
        listed = message.get("tool_calls")
        if listed is not None:
            into = found.setdefault(key, {})
            for call in listed if isinstance(listed, list) else [listed]:
                name, arguments = into.get(call["tool_call_id"], ("", ""))
                into[call["tool_call_id"]] = (
                    name or call.get("name", ""),
                    arguments + call.get("arguments", ""),
                )
        elif message["message_type"] == "hidden_reasoning_message":
            found[key] = [*found.get(key, []), (message["state"], message["hidden_reasoning"])]
        else:
            found[key] = found.get(key, "") + (message.get("content") or message.get("reasoning") or "")
    return found


@settings(deadline=None)
@given(said=st.lists(spoken, max_size=6), called=calls)
def test_pieces_add_up_to_the_stored_message(said: list[Piece], called: list[Piece]) -> None:
    sent, stored = asyncio.run(stream([*said, *called]))
    assert added_up(sent) == added_up(wire_messages(stored))


def test_a_call_of_anthropics_names_itself_with_each_piece() -> None:
    """Also for a reader that comes in the middle, to whom the run has not said its model."""
    started = RunStarted(
        run_id="run-1",
        agent_id="agent-1",
        conversation_id="conv-1",
        model="anthropic/claude-sonnet-4-5",
        started_at="2026-03-01T09:14:02+00:00",
        caller_name="Ada",
        inputs=[],
    )
    common: dict[str, Any] = {
        "step_id": "step-1",
        "message_id": new_id("message"),
        "otid": "o",
        "tool_call_id": "call_1",
    }
    events: list[Event] = [
        ToolCallStarted(**common, name="look"),
        ToolCallDelta(**common, name="look", arguments='{"a": '),
        ToolCallDelta(**common, name="look", arguments="1}"),
    ]
    early = Translator("run-1", Format(stream_tokens=True))
    assert early.messages(started) == []
    late = Translator("run-1", Format(stream_tokens=True, model=started.model))
    for translator in (early, late):
        chunks = [message for event in events for message in translator.messages(event)]
        assert [chunk["tool_call"] for chunk in chunks] == [
            {"name": "look", "tool_call_id": "call_1"},
            {"name": "look", "arguments": '{"a": ', "tool_call_id": "call_1"},
            {"name": "look", "arguments": "1}", "tool_call_id": "call_1"},
        ]


def test_a_call_names_itself_first_and_its_id_always() -> None:
    sent, _ = asyncio.run(stream([Call(name="look", arguments='{"a": 1}', id="call_1")]))
    assert [chunk["tool_call"] for chunk in sent] == [
        {"name": "look", "tool_call_id": "call_1"},
        *({"arguments": piece, "tool_call_id": "call_1"} for piece in ('{"a": ', "1}")),
    ]
    assert all(chunk["tool_calls"] == chunk["tool_call"] for chunk in sent)
