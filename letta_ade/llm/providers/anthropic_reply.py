"""A streamed reply of Anthropic's messages API, folded into our events and one reply."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

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

_FINISH_REASONS = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
}


@dataclass(slots=True)
class _Block:
    """One content block while it grows."""

    type: str
    pieces: list[str] = field(default_factory=list)
    signature: str = ""
    data: str = ""
    id: str = ""
    name: str = ""
    #: Position among the calls of the reply; -1 for a call beyond the one that was allowed.
    call_index: int = -1

    @property
    def text(self) -> str:
        """Its text, its thinking, or the JSON of its input."""
        return "".join(self.pieces)


@dataclass(slots=True)
class AnthropicReply:
    """Takes the events of one reply; `events` gives what each adds, `end` the last one."""

    payload: Mapping[str, Any]
    is_ended: bool = False
    blocks: dict[int, _Block] = field(default_factory=dict)
    message: dict[str, Any] = field(default_factory=dict)
    usage: dict[str, Any] = field(default_factory=dict)
    stop_reason: str | None = None

    def events(self, chunk: Mapping[str, Any]) -> list[ChatEvent]:
        """What this event of the stream adds. KeyError and the like when it has another shape."""
        return list(self._read(chunk))

    def _read(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        match chunk["type"]:
            case "message_start":
                self.message = {
                    key: value for key, value in chunk["message"].items() if key not in ("content", "usage")
                }
                self._count(chunk["message"].get("usage"))
            case "content_block_start":
                yield from self._start(chunk["index"], chunk["content_block"])
            case "content_block_delta":
                yield from self._grow(self.blocks[chunk["index"]], chunk["delta"])
            case "content_block_stop":
                yield from self._stop(self.blocks[chunk["index"]])
            case "message_delta":
                self.stop_reason = chunk["delta"].get("stop_reason") or self.stop_reason
                self._count(chunk.get("usage"))
            case "message_stop":
                self.is_ended = True
            case "message":
                # A proxy that does not stream sends the whole message.
                yield from self._whole(chunk)

    def end(self, request_id: str | None) -> ReplyEnded:
        """The whole reply, its parts in the order they came."""
        ordered = [self.blocks[index] for index in sorted(self.blocks)]
        parts = [part for block in ordered if (part := _part(block)) is not None]
        calls = [block for block in ordered if block.call_index >= 0]
        reason = self.stop_reason or "end_turn"
        content = [data for block in ordered if (data := _raw(block)) is not None]
        return ReplyEnded(
            reply=Reply(
                parts=tuple(parts),
                tool_calls=tuple(
                    ToolCall(id=block.id, name=block.name, arguments=block.text or "{}") for block in calls
                ),
                finish_reason="tool_calls" if calls else _FINISH_REASONS.get(reason, reason),
                usage=self._usage(),
                raw={
                    **self.message,
                    "content": content,
                    "stop_reason": self.stop_reason,
                    "usage": self.usage,
                },
                request_id=request_id,
            )
        )

    def _start(self, index: int, content: Mapping[str, Any]) -> Iterator[ChatEvent]:
        block = self.blocks[index] = _Block(type=content["type"])
        match block.type:
            case "tool_use":
                block.id, block.name = content["id"], content["name"]
                block.data = json.dumps(content["input"]) if content.get("input") else ""
                calls = sum(other.call_index >= 0 for other in self.blocks.values())
                if calls and (self.payload.get("tool_choice") or {}).get("disable_parallel_tool_use"):
                    return
                block.call_index = calls
                yield ToolCallStarted(index=calls, id=block.id, name=block.name)
            case "redacted_thinking":
                block.data = content["data"]
                yield ReasoningHidden(data=block.data)
            case "text" if content.get("text"):
                yield from self._grow(block, {"type": "text_delta", "text": content["text"]})
            case "thinking" if content.get("thinking"):
                yield from self._grow(block, {"type": "thinking_delta", "thinking": content["thinking"]})

    def _grow(self, block: _Block, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
        match delta["type"]:
            case "text_delta" if delta["text"]:
                block.pieces.append(delta["text"])
                yield TextDelta(text=delta["text"])
            case "thinking_delta" if delta["thinking"]:
                block.pieces.append(delta["thinking"])
                yield ReasoningDelta(text=delta["thinking"])
            case "signature_delta":
                block.signature += delta["signature"]
            case "input_json_delta" if delta["partial_json"]:
                block.pieces.append(delta["partial_json"])
                if block.call_index >= 0:
                    yield ToolCallDelta(index=block.call_index, id=block.id, arguments=delta["partial_json"])

    def _stop(self, block: _Block) -> Iterator[ChatEvent]:
        if block.type == "tool_use" and block.data and not block.pieces:
            # The whole input came with the start of the block, as some compatible servers send it.
            yield from self._grow(block, {"type": "input_json_delta", "partial_json": block.data})
        elif block.type == "thinking" and block.signature and not block.pieces:
            yield ReasoningHidden()

    def _whole(self, message: Mapping[str, Any]) -> Iterator[ChatEvent]:
        yield from self._read({"type": "message_start", "message": message})
        for index, content in enumerate(message["content"]):
            yield from self._start(index, content)
            self.blocks[index].signature = content.get("signature", "")
            yield from self._stop(self.blocks[index])
        self.stop_reason = message.get("stop_reason")
        self.is_ended = True

    def _count(self, usage: Mapping[str, Any] | None) -> None:
        # Counts are cumulative, and a later event leaves out what it has nothing new about.
        self.usage.update({key: value for key, value in (usage or {}).items() if value is not None})

    def _usage(self) -> Usage:
        read, written = (
            self.usage.get("cache_read_input_tokens"),
            self.usage.get("cache_creation_input_tokens"),
        )
        return Usage(
            prompt_tokens=self.usage.get("input_tokens", 0) + (read or 0) + (written or 0),
            completion_tokens=self.usage.get("output_tokens", 0),
            cached_input_tokens=read,
            cache_write_tokens=written,
            reasoning_tokens=(self.usage.get("output_tokens_details") or {}).get("thinking_tokens"),
        )


def _part(block: _Block) -> Part | None:
    match block.type:
        case "text" if block.text:
            return TextPart(text=block.text)
        case "thinking" if block.text:
            return ReasoningPart(reasoning=block.text, signature=block.signature or None)
        case "thinking":
            return OmittedReasoningPart(signature=block.signature or None)
        case "redacted_thinking":
            return RedactedReasoningPart(data=block.data)
        case _:
            return None


def _raw(block: _Block) -> dict[str, Any] | None:
    match block.type:
        case "text":
            return {"type": "text", "text": block.text}
        case "thinking":
            return {"type": "thinking", "thinking": block.text, "signature": block.signature}
        case "redacted_thinking":
            return {"type": "redacted_thinking", "data": block.data}
        case "tool_use":
            return {"type": "tool_use", "id": block.id, "name": block.name, "input_json": block.text}
        case _:
            return {"type": block.type}
