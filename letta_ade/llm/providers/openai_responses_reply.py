"""A streamed reply of OpenAI's Responses API, folded into our events and one reply."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from letta_ade.llm.events import (
    ChatEvent,
    ReasoningDelta,
    ReasoningHidden,
    ReplyEnded,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from letta_ade.llm.messages import Part, Reply, SummarizedReasoningPart, TextPart, ToolCall, Usage
from letta_ade.llm.providers.call_ids import short_call_id
from letta_ade.llm.providers.openai_responses_request import used_call_ids
from letta_ade.llm.tokens import estimate_payload, estimate_text

_INCOMPLETE = {"max_output_tokens": "length", "content_filter": "refusal"}
#: Events that end a reply; the last one holds all of it.
_ENDS = ("response.completed", "response.incomplete")
#: What a response repeats of its request; the step has that already.
_ECHOES = ("instructions", "tools", "text", "metadata")


@dataclass(slots=True)
class _Item:
    """One item of the output while it grows."""

    type: str
    id: str = ""
    #: The text of a message, the arguments of a call, the summary of reasoning: pieces by the part they belong to.
    parts: dict[int, list[str]] = field(default_factory=dict)
    encrypted: str | None = None
    call_id: str = ""
    name: str = ""
    #: Position among the calls of the reply; -1 for a call beyond the one that was allowed.
    call_index: int = -1
    is_done: bool = False

    @property
    def text(self) -> str:
        return "".join(piece for at in sorted(self.parts) for piece in self.parts[at])

    def add(self, at: int, piece: str) -> None:
        self.parts.setdefault(at, []).append(piece)


@dataclass(slots=True)
class ResponsesReply:
    """Takes the events of one reply; `events` gives what each adds, `end` the last one."""

    payload: Mapping[str, Any]
    items: dict[int, _Item] = field(default_factory=dict)
    #: The response as the last event told it; None while it goes on.
    response: dict[str, Any] | None = None
    logprobs: list[Any] = field(default_factory=list)
    is_refusal: bool = False

    def events(self, chunk: Mapping[str, Any]) -> list[ChatEvent]:
        """What this event of the stream adds. KeyError and the like when it has another shape."""
        return list(self._read(chunk))

    def end(self, request_id: str | None) -> ReplyEnded:
        """The whole reply, its parts in the order they came; its usage is estimated when the server sent none."""
        assert self.response is not None, "the reply has not ended"
        ordered = [self.items[index] for index in sorted(self.items)]
        calls = [item for item in ordered if item.call_index >= 0]
        return ReplyEnded(
            reply=Reply(
                parts=tuple(part for item in ordered if (part := _part(item)) is not None),
                tool_calls=tuple(
                    ToolCall(id=item.call_id, name=item.name, arguments=item.text or "{}") for item in calls
                ),
                finish_reason=self._finish(has_calls=bool(calls)),
                usage=self._usage(),
                raw=self.response,
                request_id=request_id,
                logprobs={"content": self.logprobs, "refusal": None} if self.logprobs else None,
            )
        )

    def _read(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        match chunk["type"]:
            case "response.output_text.delta":
                self.logprobs += chunk.get("logprobs") or ()
                yield from self._say(chunk)
            case "response.refusal.delta":
                self.is_refusal = True
                yield from self._say(chunk)
            case "response.function_call_arguments.delta":
                item = self.items[chunk["output_index"]]
                item.add(0, chunk["delta"])
                if item.call_index >= 0 and chunk["delta"]:
                    yield ToolCallDelta(index=item.call_index, id=item.call_id, arguments=chunk["delta"])
            case "response.reasoning_summary_text.delta":
                yield from self._summarise(
                    self.items[chunk["output_index"]], chunk["summary_index"], chunk["delta"]
                )
            case "response.output_item.added":
                yield from self._start(chunk["output_index"], chunk["item"])
            case "response.output_item.done":
                yield from self._finish_item(chunk["output_index"], chunk["item"])
            case kind if kind in _ENDS:
                yield from self._finish_response(chunk["response"])
            case "response.created" | "response.in_progress":
                pass
            case str():
                # Ends of pieces that were told before, and kinds of output that nobody asked for.
                pass
            case other:
                raise ValueError(f"not an event of a response: {other!r}")

    def _start(self, index: int, content: Mapping[str, Any]) -> Iterator[ChatEvent]:
        item = self.items[index] = _Item(type=content["type"], id=content.get("id") or "")
        if item.type == "function_call":
            item.call_id = self._fresh_id(content["call_id"])
            item.name = content["name"]
            calls = sum(other.call_index >= 0 for other in self.items.values())
            if calls and self.payload.get("parallel_tool_calls") is False:
                return
            item.call_index = calls
            yield ToolCallStarted(index=calls, id=item.call_id, name=item.name)

    def _say(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        if delta := chunk["delta"]:
            self.items[chunk["output_index"]].add(chunk["content_index"], delta)
            yield TextDelta(text=delta)

    def _summarise(self, item: _Item, at: int, delta: str) -> Iterator[ChatEvent]:
        if delta:
            # Each part is a paragraph of its own (`messages.summary_text`).
            gap = "\n\n" if item.parts and at not in item.parts else ""
            item.add(at, delta)
            yield ReasoningDelta(text=gap + delta)

    def _finish_item(self, index: int, content: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """The item as a whole; what was not streamed of it is told now."""
        if index not in self.items:
            yield from self._start(index, content)
        item = self.items[index]
        if item.is_done:
            return
        item.is_done = True
        match item.type:
            case "message" if not item.parts:
                for at, part in enumerate(content.get("content") or ()):
                    self.is_refusal = self.is_refusal or part["type"] == "refusal"
                    said = {"output_index": index, "content_index": at, "delta": _said(part)}
                    yield from self._say(said)
            case "function_call" if not item.parts and (arguments := content.get("arguments")):
                item.add(0, arguments)
                if item.call_index >= 0:
                    yield ToolCallDelta(index=item.call_index, id=item.call_id, arguments=arguments)
            case "reasoning":
                item.id = content.get("id") or item.id
                item.encrypted = content.get("encrypted_content")
                if not item.parts:
                    for at, part in enumerate(content.get("summary") or ()):
                        yield from self._summarise(item, at, part["text"])
                if not item.parts:
                    yield ReasoningHidden()

    def _finish_response(self, response: Mapping[str, Any]) -> Iterator[ChatEvent]:
        for index, content in enumerate(response.get("output") or ()):
            # A server that does not stream, or that left the last events out.
            yield from self._finish_item(index, content)
        self.response = {key: value for key, value in response.items() if key not in _ECHOES}

    def _finish(self, *, has_calls: bool) -> str:
        assert self.response is not None, "the reply has not ended"
        if self.response.get("status") == "incomplete":
            reason = (self.response.get("incomplete_details") or {}).get("reason") or "incomplete"
            return _INCOMPLETE.get(reason, reason)
        if self.is_refusal:
            return "refusal"
        return "tool_calls" if has_calls else "stop"

    def _fresh_id(self, call_id: str) -> str:
        """The server's id, or one of ours when this conversation already used it."""
        taken = used_call_ids(self.payload.get("input", ())) | {
            short_call_id(item.call_id) for item in self.items.values() if item.call_id
        }
        return call_id if call_id and short_call_id(call_id) not in taken else f"call_{uuid4().hex[:24]}"

    def _usage(self) -> Usage:
        usage = (self.response or {}).get("usage") or {}
        if not usage.get("input_tokens"):
            said = "".join(item.text for item in self.items.values())
            return Usage(prompt_tokens=estimate_payload(self.payload), completion_tokens=estimate_text(said))
        read = usage.get("input_tokens_details") or {}
        written = usage.get("output_tokens_details") or {}
        return Usage(
            prompt_tokens=usage["input_tokens"],
            completion_tokens=usage.get("output_tokens") or 0,
            cached_input_tokens=read.get("cached_tokens"),
            cache_write_tokens=read.get("cache_write_tokens"),
            reasoning_tokens=written.get("reasoning_tokens"),
        )


def failure_in(chunk: Any) -> Mapping[str, Any] | None:
    """What the event says of a failure, as the body of an error; None for every other event."""
    if not isinstance(chunk, Mapping):
        return None
    match chunk.get("type"):
        case "error":
            return chunk
        case "response.failed":
            error = (chunk.get("response") or {}).get("error")
            return error or {"message": "The response failed."}
        case _:
            return None


def _part(item: _Item) -> Part | None:
    match item.type:
        case "message" if text := item.text:
            return TextPart(text=text)
        case "reasoning":
            summary = tuple(
                {"index": at, "text": "".join(item.parts[at])} for at in sorted(item.parts) if item.parts[at]
            )
            return SummarizedReasoningPart(id=item.id, summary=summary, encrypted_content=item.encrypted)
        case _:
            return None


def _said(part: Mapping[str, Any]) -> str:
    return part.get("text") or part.get("refusal") or ""
