"""Streams as they went over the wire: recorded, checked against what every stream promises, and told with short names for their ids."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import httpx
import letta_client
from letta_client import AsyncLetta, Letta
from letta_client.types.agents.letta_streaming_response import LettaStreamingResponse

from tests.support.strict import validate

_FRAME = re.compile(rb"(event: error\n)?data: ([^\n]*)\n\n")
_DATE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00")
_ID = re.compile(r"(message|step|run|ping)-([0-9a-f-]{36})")
_ENDS = ("stop_reason", "usage_statistics", "error_message")

Message = dict[str, Any]


@dataclass(frozen=True)
class Transcript:
    """The bytes of one stream, from its first to its last."""

    raw: bytes

    @cached_property
    def frames(self) -> list[tuple[str, bytes]]:
        """(event name or "", data) of each; nothing else is between them."""
        found = list(_FRAME.finditer(self.raw))
        assert b"".join(each[0] for each in found) == self.raw, "there is more than frames of one line"
        return [("error" if each[1] else "", each[2]) for each in found]

    @cached_property
    def messages(self) -> list[Message]:
        """Everything but [DONE]."""
        return [json.loads(data) for _, data in self.frames if data != b"[DONE]"]

    @property
    def types(self) -> list[str]:
        return [message["message_type"] for message in self.messages]

    @property
    def run_id(self) -> str:
        return str(self.messages[0]["run_id"])

    def of(self, *types: str) -> list[Message]:
        """The messages of these types."""
        return [message for message in self.messages if message["message_type"] in types]

    def check(self, *, has_pings: bool = True) -> None:
        """What every stream promises, and that the real client reads it to its end."""
        assert [data for _, data in self.frames].index(b"[DONE]") == len(self.frames) - 1, (
            "one end, at the end"
        )
        for (name, _), message in zip(self.frames, self.messages, strict=False):
            assert (name == "error") == (message["message_type"] == "error_message")
            validate(LettaStreamingResponse, message)
        kinds = self.types
        assert (kinds[0] == "ping") == has_pings
        assert tuple(kinds[-2:]) in (_ENDS[:2], _ENDS[::2])
        assert not set(kinds[:-2]) & set(_ENDS), "nothing ends twice"
        assert len({message["run_id"] for message in self.messages if message.get("run_id")}) <= 1
        # A ping repeats the number of the last message.
        numbers = [each["seq_id"] for each in self.messages if each.get("seq_id") is not None]
        own = [
            each["seq_id"] for each in self.messages if each.get("seq_id") and each["message_type"] != "ping"
        ]
        assert numbers == sorted(numbers)
        assert own == sorted(set(own))
        self._check_clients()

    def _check_clients(self) -> None:
        error = next(iter(self.of("error_message")), None)
        told = [message for message in self.messages if message is not error]
        for read, raised in (self._read_sync(), self._read_async()):
            assert [type(each).__name__ for each in read] == [_CLASSES[each["message_type"]] for each in told]
            assert raised == error

    def _read_sync(self) -> tuple[list[Any], Any]:
        read: list[Any] = []
        with Letta(base_url="http://replay", http_client=httpx.Client(transport=self._transport())) as client:
            try:
                for each in client.runs.messages.stream("run-1"):
                    read.append(each)
            except letta_client.APIStatusError as error:
                return read, error.body
        return read, None

    def _read_async(self) -> tuple[list[Any], Any]:
        async def run() -> tuple[list[Any], Any]:
            read: list[Any] = []
            http_client = httpx.AsyncClient(transport=self._transport())
            async with AsyncLetta(base_url="http://replay", http_client=http_client) as client:
                try:
                    async for each in await client.runs.messages.stream("run-1"):
                        read.append(each)
                except letta_client.APIStatusError as error:
                    return read, error.body
            return read, None

        return asyncio.run(run())

    def _transport(self) -> httpx.MockTransport:
        headers = {"content-type": "text/event-stream; charset=utf-8"}
        return httpx.MockTransport(lambda request: httpx.Response(200, headers=headers, content=self.raw))

    def named(self) -> list[Message]:
        """The messages with short names: run-1, step-2, message-3; "message-3.1" is the otid of that message's second kind."""
        names = Names()
        return [names.message(message) for message in self.messages]


#: What the client makes of each type.
_CLASSES = {
    "ping": "LettaPing",
    "assistant_message": "AssistantMessage",
    "reasoning_message": "ReasoningMessage",
    "hidden_reasoning_message": "HiddenReasoningMessage",
    "tool_call_message": "ToolCallMessage",
    "tool_return_message": "ToolReturnMessage",
    "approval_request_message": "ApprovalRequestMessage",
    "stop_reason": "LettaStopReason",
    "usage_statistics": "LettaUsageStatistics",
}


class Names:
    """Short names for ids, in the order in which they appear."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}
        #: Message UUIDs without their last seven bits.
        self._bases: dict[int, str] = {}

    def message(self, message: Mapping[str, Any]) -> Message:
        """The message with its ids named and its date checked; a number is "n"."""
        named = {key: self._value(value) for key, value in message.items()}
        if "date" in named:
            assert _DATE.fullmatch(named["date"]), named["date"]
            named["date"] = "date"
        if named.get("otid") is not None and not str(named["otid"]).startswith("message-"):
            number = UUID(named["otid"]).int
            named["otid"] = f"{self._bases[number & ~0x7F]}.{number & 0x7F}"
        if isinstance(named.get("seq_id"), int):
            named["seq_id"] = "n"
        return named

    def _value(self, value: Any) -> Any:
        found = _ID.fullmatch(value) if isinstance(value, str) else None
        if found is None:
            return value
        kind = found[1]
        if kind == "ping":
            return "ping"
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[value] = f"{kind}-{self._counts[kind]}"
            if kind == "message":
                self._bases.setdefault(UUID(found[2]).int & ~0x7F, self._names[value])
        return self._names[value]


def record(client: httpx.Client, path: str, body: Any, **options: Any) -> Transcript:
    """The stream that answers this request, whole."""
    with client.stream("POST", path, json=body, **options) as answer:
        answer_bytes = answer.read()
        assert answer.status_code == 200, answer_bytes
        assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["cache-control"] == "no-cache"
        assert answer.headers["x-accel-buffering"] == "no"
        assert "content-encoding" not in answer.headers
    return Transcript(answer_bytes)


def added_up(messages: Iterable[Mapping[str, Any]]) -> dict[tuple[str, str], dict[str, str]]:
    """Pieces put together by id and otid, as clients do it; whole messages stay what they are."""
    found: dict[tuple[str, str], dict[str, str]] = {}
    for message in messages:
        into = found.setdefault((message["id"], message["otid"]), {"type": message["message_type"]})
        calls = message.get("tool_calls")
        for call in calls if isinstance(calls, list) else [calls] if calls else []:
            key = f"call {call['tool_call_id']}"
            into[key] = into.get(key, "") + (call.get("arguments") or "")
            into.setdefault(f"name {call['tool_call_id']}", call.get("name") or "")
        for field in ("content", "reasoning", "hidden_reasoning", "tool_return", "state"):
            if message.get(field):
                into[field] = into.get(field, "") + message[field]
    return found
