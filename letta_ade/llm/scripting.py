"""Replies written by hand and played as a model would stream them; the demonstration and the tests share it."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import uuid4

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.events import (
    ChatEvent,
    ReasoningDelta,
    ReasoningHidden,
    ReplyEnded,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from letta_ade.llm.messages import (
    OmittedReasoningPart,
    Part,
    ReasoningPart,
    RedactedReasoningPart,
    Reply,
    TextPart,
    ToolCall,
    Usage,
)
from letta_ade.llm.tokens import estimate_payload, estimate_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Say:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Think:
    text: str
    signature: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Hide:
    """Reasoning out of sight; with `data` it is a redacted blob."""

    data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A tool call; `arguments` is the JSON text, which may be wrong on purpose. Without an id one is made."""

    name: str
    arguments: str
    id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fail:
    """The stream ends here with this error."""

    error: Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The stream waits here: for the event, or for ever (until it is closed) without one."""

    event: asyncio.Event | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How the reply ends, where the plain end will not do."""

    finish_reason: str | None = None
    usage: Usage | None = None
    logprobs: dict[str, Any] | None = None


Piece = Say | Think | Hide | Call | Fail | Wait | End

#: Whole words with the blanks after them, so that joining the pieces gives the text back.
_WORDS = re.compile(r"\s*\S+\s*")


async def play(
    pieces: Sequence[Piece], *, payload: dict[str, Any], word_seconds: float = 0
) -> AsyncGenerator[ChatEvent, None]:
    """Stream the pieces, texts word by word with a pause after each, and end the reply unless a piece failed it."""
    folded = _Fold(payload)
    for piece in pieces:
        match piece:
            case Fail():
                raise piece.error
            case Wait():
                await (piece.event or asyncio.Event()).wait()
            case _:
                for event in folded.take(piece):
                    yield event
                    await asyncio.sleep(word_seconds)
    yield ReplyEnded(reply=folded.reply())


def request_data(request: ChatRequest, *, model: str) -> dict[str, Any]:
    """The request as a JSON body of its own shape, for models that have no provider's; empty fields are left out."""
    data: dict[str, Any] = json.loads(json.dumps(asdict(request)))
    data["messages"] = _without_empty(data["messages"])
    return {"model": model, **{key: value for key, value in data.items() if value is not None}}


def _without_empty(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {key: _without_empty(item) for key, item in value.items()}
        return {key: item for key, item in kept.items() if item is not None and item != []}
    return [_without_empty(item) for item in value] if isinstance(value, list) else value


def words(text: str) -> Iterator[str]:
    """The text in words, blanks included."""
    return (
        (match.group() for match in _WORDS.finditer(text)) if text.strip() else iter([text] if text else [])
    )


class _Fold:
    """The reply that the pieces add up to."""

    def __init__(self, payload: dict[str, Any]) -> None:
        self._payload = payload
        self._parts: list[Part] = []
        self._calls: list[ToolCall] = []
        self._end = End()

    def take(self, piece: Say | Think | Hide | Call | End) -> Iterator[ChatEvent]:
        match piece:
            case Say():
                self._parts.append(TextPart(text=piece.text))
                yield from (TextDelta(text=word) for word in words(piece.text))
            case Think():
                self._parts.append(ReasoningPart(reasoning=piece.text, signature=piece.signature))
                yield from (ReasoningDelta(text=word) for word in words(piece.text))
            case Hide():
                self._parts.append(
                    OmittedReasoningPart() if piece.data is None else RedactedReasoningPart(data=piece.data)
                )
                yield ReasoningHidden(data=piece.data)
            case Call():
                call = ToolCall(
                    id=piece.id or f"call_{uuid4().hex[:24]}", name=piece.name, arguments=piece.arguments
                )
                index = len(self._calls)
                self._calls.append(call)
                yield ToolCallStarted(index=index, id=call.id, name=call.name)
                for word in words(call.arguments):
                    yield ToolCallDelta(index=index, id=call.id, arguments=word)
            case End():
                self._end = piece

    def reply(self) -> Reply:
        said = "".join(
            part.text if isinstance(part, TextPart) else part.reasoning
            for part in self._parts
            if isinstance(part, TextPart | ReasoningPart)
        )
        calls = "".join(call.name + call.arguments for call in self._calls)
        usage = self._end.usage or Usage(
            prompt_tokens=estimate_payload(self._payload),
            completion_tokens=max(1, estimate_text(said) + estimate_text(calls)),
        )
        reason = self._end.finish_reason or ("tool_calls" if self._calls else "stop")
        raw = {
            "content": [asdict(part) for part in self._parts],
            "tool_calls": [asdict(call) for call in self._calls],
            "finish_reason": reason,
        }
        return Reply(
            parts=tuple(self._parts),
            tool_calls=tuple(self._calls),
            finish_reason=reason,
            usage=usage,
            raw=raw,
            logprobs=self._end.logprobs,
        )
