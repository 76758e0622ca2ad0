"""An agent at the wire: the bytes that its routes send, and what they say with short names for ids."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
from letta_client.types.agents.message import Message

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.strict import validate
from tests.support.transcripts import Transcript, record

USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
NOTE = FakeCall(name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea."}', id="call_1")
SEARCH = FakeCall(name="conversation_search", arguments='{"query": "tea"}', id="call_2")


class Wire:
    """An agent, and the bytes that its routes send."""

    def __init__(self, url: str, agent: Any) -> None:
        self.agent = agent
        self.client = httpx.Client(base_url=f"{url}/v1", timeout=30)

    @property
    def path(self) -> str:
        return f"/agents/{self.agent.id}/messages"

    def stream(self, **body: Any) -> Transcript:
        return record(self.client, self.path, {"input": "I like tea.", "streaming": True, **body})

    def resume(self, run_id: str, **body: Any) -> Transcript:
        return record(self.client, f"/runs/{run_id}/stream", body or None)

    def stored(self, run_id: str) -> list[dict[str, Any]]:
        """What the run has said, as lists have it."""
        listed = self.client.get(self.path).raise_for_status().json()
        for message in listed:
            validate(Message, message)
        return [
            message
            for message in listed
            if message["run_id"] == run_id
            and message["message_type"] not in ("user_message", "system_message")
        ]

    @contextmanager
    def open_stream(self, **body: Any) -> Iterator[Callable[[bytes], bytes]]:
        """A stream that is read in parts: the function reads until the mark, or to the end for b""."""
        asked = {"input": "I like tea.", "streaming": True, "stream_tokens": True, **body}
        with self.client.stream("POST", self.path, json=asked) as answer:
            pieces, read = answer.iter_raw(), b""

            def until(mark: bytes) -> bytes:
                nonlocal read
                while not mark or mark not in read:
                    if (piece := next(pieces, None)) is None:
                        break
                    read += piece
                return read

            yield until


# What the messages of a transcript look like with short names; a message that is not given fields has nulls.


def told(kind: str, message: int, k: int, *, step: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"message-{message}",
        "date": "date",
        "name": None,
        "message_type": kind,
        "otid": f"message-{message}.{k}",
        "sender_id": None,
        "step_id": f"step-{step}",
        "is_err": None,
        "seq_id": None,
        "run_id": "run-1",
        **fields,
    }


def said(content: str, message: int, k: int, **fields: Any) -> dict[str, Any]:
    return told("assistant_message", message, k, content=content, **fields)


def thought(
    reasoning: str, message: int, k: int, *, signature: str | None = None, **fields: Any
) -> dict[str, Any]:
    return told(
        "reasoning_message",
        message,
        k,
        source="reasoner_model",
        reasoning=reasoning,
        signature=signature,
        **fields,
    )


def piece(message: int, k: int, *, call: dict[str, str], **fields: Any) -> dict[str, Any]:
    return told("tool_call_message", message, k, tool_call=call, tool_calls=call, **fields)


def calls(message: int, k: int, *made: FakeCall, **fields: Any) -> dict[str, Any]:
    listed = [{"name": call.name, "arguments": call.arguments, "tool_call_id": call.id} for call in made]
    return told("tool_call_message", message, k, tool_call=listed[0], tool_calls=listed, **fields)


def returns(message: int, *returned: tuple[str, str], **fields: Any) -> dict[str, Any]:
    listed = [
        {
            "type": "tool",
            "tool_call_id": call_id,
            "status": "success",
            "tool_return": text,
            "stdout": None,
            "stderr": None,
        }
        for call_id, text in returned
    ]
    first: dict[str, Any] = {key: value for key, value in listed[0].items() if key != "type"}
    return told("tool_return_message", message, 0, **first, tool_returns=listed, **fields)


PING = {
    "id": "ping",
    "date": "date",
    "name": None,
    "message_type": "ping",
    "otid": None,
    "sender_id": None,
    "step_id": None,
    "is_err": None,
    "seq_id": None,
    "run_id": "run-1",
}


def ending(reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    counted = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "total_tokens": 107,
        "step_count": 1,
        "run_ids": None,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "context_tokens": 107,
    }
    return [
        {"message_type": "stop_reason", "stop_reason": reason},
        {"message_type": "usage_statistics", **counted, **usage},
    ]


def without(messages: list[dict[str, Any]], *fields: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if key not in fields} for message in messages]


def background_run(wire: Wire, provider: FakeOpenAI) -> Transcript:
    """The numbered stream of a run of two steps, which a reader can come back to."""
    provider.enqueue(
        FakeReply(reasoning="Hm, hm.", text="One moment.", calls=(NOTE, SEARCH), usage=USAGE),
        FakeReply(text="All noted.", usage=USAGE),
    )
    stream = wire.stream(stream_tokens=True, background=True)
    stream.check()
    return stream
