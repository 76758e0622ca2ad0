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
from letta_ade.llm.messages import OmittedReasoningPart, Part, ReasoningPart, Reply, TextPart, ToolCall, Usage
from letta_ade.llm.providers.openai_request import CALL_ID_CHARACTERS
from letta_ade.llm.tokens import estimate_payload, estimate_text

_FINISH_REASONS = {"function_call": "tool_calls", "content_filter": "refusal"}
#: Both names are in use, and some servers send the same text under both.
_REASONING_FIELDS = ("reasoning_content", "reasoning")


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


@dataclass(slots=True)
class OpenAIReply:
    """Takes the chunks of one reply; `events` yields what each adds, `end` the last one."""

    payload: Mapping[str, Any]
    #: The model reasons out of sight; said once, before anything else of the reply (SDK: hidden reasoning comes first).
    hides_reasoning: bool = False
    #: Text and reasoning in the order they came, joined where the same kind goes on.
    said: list[tuple[str, list[str]]] = field(default_factory=list)
    calls: list[_Call] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    finish_reason: str | None = None
    is_refusal: bool = False
    has_hidden: bool = False
    head: dict[str, Any] = field(default_factory=dict)
    _by_index: dict[int, _Call] = field(default_factory=dict)

    def events(self, chunk: Mapping[str, Any]) -> Iterator[ChatEvent]:
        """What this chunk adds. ValueError when it is not a chunk of a chat completion."""
        if not isinstance(chunk, Mapping):
            raise ValueError(f"not a chat completion chunk: {str(chunk)[:200]}")
        for key in ("id", "model", "created", "system_fingerprint", "service_tier"):
            if chunk.get(key) is not None:
                self.head.setdefault(key, chunk[key])
        if isinstance(chunk.get("usage"), Mapping):
            self.usage = dict(chunk["usage"])
        choices = chunk.get("choices") or []
        if not choices:
            return
        choice = choices[0]
        # A server that does not stream sends the whole `message` where others send a `delta`.
        yield from self._delta(choice.get("delta") or choice.get("message") or {})
        self.finish_reason = choice.get("finish_reason") or self.finish_reason

    def end(self, request_id: str | None) -> ReplyEnded:
        """The whole reply; its usage is estimated, and marked so in `raw`, when the server sent none."""
        calls = tuple(
            ToolCall(id=call.id, name=call.name, arguments=call.arguments or "{}")
            for call in self.calls
            if call.index is not None
        )
        parts: list[Part] = [OmittedReasoningPart()] if self.has_hidden else []
        for kind, pieces in self.said:
            words = "".join(pieces)
            parts.append(TextPart(text=words) if kind == "text" else ReasoningPart(reasoning=words))
        return ReplyEnded(
            reply=Reply(
                parts=tuple(parts),
                tool_calls=calls,
                finish_reason=self._finish(),
                usage=self._usage(),
                raw=self._raw(),
                request_id=request_id,
            )
        )

    def _delta(self, delta: Mapping[str, Any]) -> Iterator[ChatEvent]:
        reasoning = next((delta[name] for name in _REASONING_FIELDS if isinstance(delta.get(name), str)), "")
        if reasoning:
            self._keep("reasoning", reasoning)
            yield ReasoningDelta(text=reasoning)
        refusal = delta.get("refusal")
        self.is_refusal = self.is_refusal or bool(refusal)
        if (
            self.hides_reasoning
            and not self._all("reasoning")
            and (delta.get("content") or delta.get("tool_calls"))
        ):
            self.hides_reasoning, self.has_hidden = False, True
            yield ReasoningHidden()
        for text in (delta.get("content"), refusal):
            if isinstance(text, str) and text:
                self._keep("text", text)
                yield TextDelta(text=text)
        for piece in delta.get("tool_calls") or ():
            yield from self._call_piece(piece)

    def _keep(self, kind: str, words: str) -> None:
        if not self.said or self.said[-1][0] != kind:
            self.said.append((kind, []))
        self.said[-1][1].append(words)

    def _all(self, kind: str) -> str:
        return "".join(word for said, words in self.said if said == kind for word in words)

    def _call_piece(self, piece: Mapping[str, Any]) -> Iterator[ChatEvent]:
        function = piece.get("function") or {}
        name, arguments = function.get("name") or "", function.get("arguments") or ""
        if not isinstance(arguments, str):
            arguments = json.dumps(arguments)
        call = self._call_for(piece, name)
        if call is None:
            return
        call.name = call.name or name
        call.arguments += arguments
        if not call.name:
            return
        if call.index is None:
            call.index = sum(other.index is not None for other in self.calls)
            yield ToolCallStarted(index=call.index, id=call.id, name=call.name)
            arguments = call.arguments
        if arguments:
            yield ToolCallDelta(index=call.index, id=call.id, arguments=arguments)

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

    def _usage(self) -> Usage:
        usage = self.usage
        if usage is None or not usage.get("prompt_tokens"):
            said = "".join(
                [self._all("reasoning"), self._all("text"), *(call.arguments for call in self.calls)]
            )
            return Usage(
                prompt_tokens=estimate_payload(self.payload),
                completion_tokens=(usage or {}).get("completion_tokens") or estimate_text(said),
            )
        prompt = usage.get("prompt_tokens_details") or {}
        completion = usage.get("completion_tokens_details") or {}
        cached = prompt.get("cached_tokens")
        return Usage(
            prompt_tokens=usage["prompt_tokens"],
            completion_tokens=usage.get("completion_tokens") or 0,
            cached_input_tokens=cached if cached is not None else usage.get("prompt_cache_hit_tokens"),
            cache_write_tokens=prompt.get("cache_write_tokens"),
            reasoning_tokens=completion.get("reasoning_tokens"),
        )

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
        raw = {"object": "chat.completion", **self.head, "choices": [choice], "usage": self.usage}
        return raw if self.usage else {**raw, "usage_is_estimated": True}


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
