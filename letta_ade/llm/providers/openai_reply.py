"""A streamed chat completion, folded into our events and one reply; forgiving, because many servers speak it loosely."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
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
from letta_ade.llm.messages import OmittedReasoningPart, Part, ReasoningPart, Reply, TextPart, ToolCall
from letta_ade.llm.providers.call_ids import CALL_ID_CHARACTERS
from letta_ade.llm.providers.call_tags import CallTags
from letta_ade.llm.providers.openai_usage import read_usage
from letta_ade.llm.providers.thought_tags import ThoughtTags

_FINISH_REASONS = {
    "function_call": "tool_calls",
    "content_filter": "refusal",
    "max_tokens": "length",
    "model_length": "length",
    "end_turn": "stop",
    "eos": "stop",
}
_HEAD_FIELDS = ("id", "model", "created", "system_fingerprint", "service_tier")


@dataclass(slots=True)
class _Call:
    id: str
    #: The id as the server wrote it, by which later pieces are recognised.
    wire_id: str
    name: str = ""
    arguments: str = ""
    #: Position among the calls that have a name; None before it has one.
    index: int | None = None
    is_dropped: bool = False
    signature: str | None = None


@dataclass(slots=True)
class OpenAIReply:
    """Takes the chunks of one reply; `events` gives what each adds, `end` the last ones."""

    payload: Mapping[str, Any]
    #: The model reasons out of sight; said once, before anything else of the reply (SDK: hidden reasoning comes first).
    hides_reasoning: bool = False
    #: None where no reasoning, and no call, is ever written into the text.
    tags: ThoughtTags | None = None
    call_tags: CallTags | None = None
    #: The server leaves thoughts out of `completion_tokens`.
    counts_thoughts_apart: bool = False
    #: Text and reasoning in the order they came, joined where the same kind goes on.
    said: list[tuple[str, list[str]]] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    is_refusal: bool = False
    has_hidden: bool = False
    head: dict[str, Any] = field(default_factory=dict)
    logprobs: dict[str, list[Any]] = field(default_factory=dict)
    _by_index: dict[int, _Call] = field(default_factory=dict)

    def events(self, chunk: Any) -> list[ChatEvent]:
        """What this chunk adds. ValueError when it is not a chunk of a chat completion."""
        if not isinstance(chunk, dict):
            raise ValueError(f"not a chat completion chunk: {str(chunk)[:200]}")
        usage = chunk.get("usage")
        if usage or not self.head:
            self._keep_head(chunk, usage)
        choices = chunk.get("choices")
        if not choices:
            return []
        choice = choices[0]
        found: list[ChatEvent] = []
        # A server that does not stream sends the whole `message` where others send a `delta`.
        if delta := choice.get("delta") or choice.get("message"):
            self._read_delta(delta, found)
        if reason := choice.get("finish_reason"):
            self.finish_reason = reason
        if logprobs := choice.get("logprobs"):
            for kind, tokens in logprobs.items():
                if isinstance(tokens, list):
                    self.logprobs.setdefault(kind, []).extend(tokens)
        return found

    def end(self, request_id: str | None) -> list[ChatEvent]:
        """What was held back, and the whole reply; its usage is estimated, and marked so in `raw`, when the server sent none."""
        found: list[ChatEvent] = []
        for held, words in self.tags.rest() if self.tags is not None else ():
            self._say(held, words, found)
        self._end_call_tags(found)
        calls = tuple(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}", signature=call.signature)
            for call in self.calls
            if call.index is not None
        )
        parts: list[Part] = [OmittedReasoningPart()] if self.has_hidden else []
        for kind, pieces in self.said:
            words = "".join(pieces)
            parts.append(TextPart(text=words) if kind == "text" else ReasoningPart(reasoning=words))
        said = "".join([word for _, words in self.said for word in words] + [c.arguments for c in self.calls])
        reply = Reply(
            parts=tuple(parts),
            tool_calls=calls,
            finish_reason=self._finish(),
            usage=read_usage(
                self.usage, payload=self.payload, said=said, counts_thoughts_apart=self.counts_thoughts_apart
            ),
            raw=self._raw(),
            request_id=request_id,
            logprobs={"content": None, "refusal": None, **self.logprobs} if self.logprobs else None,
        )
        return [*found, ReplyEnded(reply=reply)]

    def _end_call_tags(self, found: list[ChatEvent]) -> None:
        text, calls = self.call_tags.rest() if self.call_tags is not None else ("", [])
        self.call_tags = None
        self._say("text", text, found)
        for name, arguments in calls:
            self._call_piece({"function": {"name": name, "arguments": arguments}}, found)

    def _keep_head(self, chunk: Mapping[str, Any], usage: Any) -> None:
        for key in _HEAD_FIELDS:
            if chunk.get(key) is not None:
                self.head.setdefault(key, chunk[key])
        if isinstance(usage, dict):
            self.usage = usage

    def _read_delta(self, delta: Mapping[str, Any], found: list[ChatEvent]) -> None:
        # Both names are in use, and some servers send the same text under both.
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if isinstance(reasoning, str) and reasoning:
            self._say("reasoning", reasoning, found)
        content = delta.get("content")
        calls = delta.get("tool_calls")
        if self.hides_reasoning and (content or calls):
            self._tell_hidden(found)
        if content:
            if isinstance(content, str):
                self._read_text(content, delta, found)
            else:
                self._read_pieces(content, found)
        if refusal := delta.get("refusal"):
            self.is_refusal = True
            self._say("text", refusal, found)
        for piece in calls or ():
            self._call_piece(piece, found)

    def _tell_hidden(self, found: list[ChatEvent]) -> None:
        self.hides_reasoning = False
        if not any(kind == "reasoning" for kind, _ in self.said):
            self.has_hidden = True
            found.append(ReasoningHidden())

    def _read_text(self, text: str, delta: Mapping[str, Any], found: list[ChatEvent]) -> None:
        tags = self.tags
        if tags is not None and tags.is_past and "extra_content" in delta and _is_marked_thought(delta):
            # Gemini thinks again, after it has said something.
            tags = self.tags = ThoughtTags()
        if tags is None or tags.is_past:
            self._say("text", text, found)
        else:
            for kind, words in tags.take(text):
                self._say(kind, words, found)

    def _read_pieces(self, content: Any, found: list[ChatEvent]) -> None:
        """Mistral's reasoning models send lists of typed pieces, thinking itself a list of texts."""
        for piece in content:
            if piece["type"] == "thinking":
                for thought in piece["thinking"]:
                    self._say("reasoning", thought["text"], found)
            elif piece["type"] == "text":
                self._say("text", piece["text"], found)

    def _say(self, kind: str, words: str, found: list[ChatEvent]) -> None:
        if not isinstance(words, str):
            raise ValueError(f"not a text: {str(words)[:200]}")
        if kind == "text" and self.call_tags is not None:
            words = self.call_tags.take(words)
        if not words:
            return
        said = self.said
        if said and said[-1][0] == kind:
            said[-1][1].append(words)
        else:
            said.append((kind, [words]))
        found.append(TextDelta(text=words) if kind == "text" else ReasoningDelta(text=words))

    def _call_piece(self, piece: Mapping[str, Any], found: list[ChatEvent]) -> None:
        function = piece.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        call = self._call_for(piece, name)
        if call is None:
            return
        call.name = call.name or name
        call.arguments += arguments
        call.signature = call.signature or _signature(piece)
        if not call.name:
            return
        if call.index is None:
            call.index = sum(other.index is not None for other in self.calls)
            found.append(ToolCallStarted(index=call.index, id=call.id, name=call.name))
            arguments = call.arguments
        if arguments:
            found.append(ToolCallDelta(index=call.index, id=call.id, arguments=arguments))

    def _call_for(self, piece: Mapping[str, Any], name: str) -> _Call | None:
        """The call that this piece belongs to; None when it belongs to one more call than was allowed."""
        wire_id = piece.get("id") or ""
        index = piece.get("index")
        if not isinstance(index, int):
            # Whole calls without an index: a piece that names a tool starts the next call.
            index = len(self._by_index) - (0 if name or wire_id or not self._by_index else 1)
        known = self._by_index.get(index)
        if known is not None and self._starts_another(known, wire_id, name):
            # Several whole calls, all under the same index.
            index = max(self._by_index) + 1
            known = None
        if known is None:
            known = _Call(id=self._fresh_id(wire_id), wire_id=wire_id)
            self._by_index[index] = known
            if self.calls and self.payload.get("parallel_tool_calls") is False:
                # Asked for one call at most and got more: the first counts. The others are read and dropped.
                known.is_dropped = True
            else:
                self.calls.append(known)
        return None if known.is_dropped else known

    def _starts_another(self, known: _Call, wire_id: str, name: str) -> bool:
        if wire_id and known.wire_id:
            return wire_id != known.wire_id
        return bool(name and known.name and known.arguments and _is_json(known.arguments))

    def _fresh_id(self, wire_id: str) -> str:
        """The server's id, or one of ours when it has none, or one that this conversation already used."""
        taken = {call.id[:CALL_ID_CHARACTERS] for call in self.calls} | set(
            _used_call_ids(self.payload.get("messages", ()))
        )
        short = wire_id[:CALL_ID_CHARACTERS]
        return wire_id if wire_id and short not in taken else f"call_{uuid4().hex[:24]}"

    def _finish(self) -> str:
        if self.is_refusal:
            return "refusal"
        reason = self.finish_reason or "stop"
        # Some servers end a forced call with "stop".
        if self.calls and reason == "stop":
            return "tool_calls"
        return _FINISH_REASONS.get(reason, reason)

    def _all(self, kind: str) -> str:
        return "".join(word for said, words in self.said if said == kind for word in words)

    def _raw(self) -> dict[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": self._all("text") or None}
        if reasoning := self._all("reasoning"):
            message["reasoning_content"] = reasoning
        if self.calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.calls
            ]
        choice = {"index": 0, "message": message, "finish_reason": self.finish_reason}
        if self.logprobs:
            choice["logprobs"] = self.logprobs
        raw = {"object": "chat.completion", **self.head, "choices": [choice], "usage": self.usage}
        return raw if self.usage else {**raw, "usage_is_estimated": True}


def _is_marked_thought(delta: Mapping[str, Any]) -> bool:
    marks = delta["extra_content"]
    return isinstance(marks, dict) and any(
        isinstance(mark, dict) and mark.get("thought") is True for mark in marks.values()
    )


def _signature(piece: Mapping[str, Any]) -> str | None:
    """Gemini signs its calls, under `google` or `vertex`, and wants the signature back."""
    marks = piece.get("extra_content")
    if not isinstance(marks, dict):
        return None
    signatures = (mark.get("thought_signature") for mark in marks.values() if isinstance(mark, dict))
    return next((signature for signature in signatures if isinstance(signature, str)), None)


def _used_call_ids(messages: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for message in messages:
        for call in message.get("tool_calls") or ():
            yield call["id"]


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True
