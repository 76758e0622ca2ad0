"""One reply as it arrives: the model's events become the run's, and what has arrived is kept in case the rest never does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import assert_never

from agents.runtime.events import (
    Event,
    ReasoningDelta,
    ReasoningHidden,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from letta_ade.core.ids import message_id_before, otid_at
from letta_ade.llm import events as model
from letta_ade.llm.messages import Part, ReasoningPart, Reply, TextPart


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyRules:
    """How the replies of a step are read."""

    #: Tool call ids of the context; a call that repeats one, or has none, gets an id of ours.
    used_ids: frozenset[str] = frozenset()
    #: False: the reply may hold one call; of more, the first one counts.
    is_parallel: bool = True
    #: Tools whose calls wait for somebody outside.
    waiting_names: frozenset[str] = frozenset()
    #: The heartbeat loop: text is what the agent says to itself, and it speaks through a tool.
    text_is_thought: bool = False


class ReplyStream:
    """Translates the events of one model call.

    Every change of kind (reasoning, text, calls) begins a new wire message; the k-th has the message's k-th otid, as the stored
    message will have when it is listed (spec/streaming.md §5). Calls that wait belong to a message of their own, the request.
    """

    def __init__(self, *, step_id: str, message_id: str, rules: ReplyRules = ReplyRules()) -> None:
        self.step_id = step_id
        self.message_id = message_id
        self._request_id = message_id_before(message_id)
        self._rules = rules
        self._used_ids = set(rules.used_ids)
        self.reply: Reply | None = None
        self.has_begun = False
        self._kind = ""
        self._index = -1
        self._names: dict[int, str] = {}
        self._ids: dict[int, str] = {}
        self._pieces: list[tuple[str, list[str]]] = []

    def partial_parts(self) -> tuple[Part, ...]:
        """The reasoning and text that were passed on so far; unfinished calls are not among them."""
        return tuple(self._partial_part(kind, "".join(pieces)) for kind, pieces in self._pieces)

    def translate(self, event: model.ChatEvent) -> Iterator[Event]:
        """The events of the run that a model event stands for."""
        match event:
            case model.TextDelta(text=text):
                if text and self._rules.text_is_thought:
                    yield self._thought("inner", text)
                elif text:
                    otid = self._otid("text")
                    self._keep("text", text)
                    yield TextDelta(step_id=self.step_id, message_id=self.message_id, otid=otid, text=text)
            case model.ReasoningDelta(text=text):
                if text:
                    yield self._thought("reasoning", text)
            case model.ReasoningHidden(data=data):
                yield ReasoningHidden(
                    step_id=self.step_id,
                    message_id=self.message_id,
                    otid=self._otid("hidden"),
                    state="redacted" if data else "omitted",
                    data=data,
                )
            case model.ToolCallStarted(index=index) if index > 0 and not self._rules.is_parallel:
                # The provider was asked for one call at most and gave more: the first one counts.
                pass
            case model.ToolCallStarted(index=index, id=call_id, name=name):
                self._ids[index], self._names[index] = self._fresh_id(call_id), name
                message_id, otid, is_request = self._place(name)
                yield ToolCallStarted(
                    step_id=self.step_id,
                    message_id=message_id,
                    otid=otid,
                    tool_call_id=self._ids[index],
                    name=name,
                    is_request=is_request,
                )
            case model.ToolCallDelta(index=index, arguments=arguments):
                if arguments and index in self._ids:
                    name = self._names[index]
                    message_id, otid, is_request = self._place(name)
                    yield ToolCallDelta(
                        step_id=self.step_id,
                        message_id=message_id,
                        otid=otid,
                        tool_call_id=self._ids[index],
                        name=name,
                        arguments=arguments,
                        is_request=is_request,
                    )
            case model.ReplyEnded(reply=reply):
                self.reply = self._as_read(reply)
            case _:
                assert_never(event)

    def _as_read(self, reply: Reply) -> Reply:
        calls = tuple(
            replace(call, id=self._ids.get(index) or self._fresh_id(call.id))
            for index, call in enumerate(reply.tool_calls)
            if index == 0 or self._rules.is_parallel
        )
        # An empty text says nothing, unless a provider has signed it.
        parts = tuple(
            part for part in reply.parts if not isinstance(part, TextPart) or part.text or part.signature
        )
        if self._rules.text_is_thought:
            parts = tuple(
                ReasoningPart(reasoning=part.text, is_native=False) if isinstance(part, TextPart) else part
                for part in parts
            )
        return replace(reply, tool_calls=calls, parts=parts)

    def _thought(self, kind: str, text: str) -> ReasoningDelta:
        otid = self._otid(kind)
        self._keep(kind, text)
        return ReasoningDelta(
            step_id=self.step_id,
            message_id=self.message_id,
            otid=otid,
            text=text,
            is_native=kind == "reasoning",
        )

    def _place(self, name: str) -> tuple[str, str, bool]:
        """Message id, otid and whether it waits, of a call of this tool."""
        self.has_begun = True
        if name in self._rules.waiting_names:
            return self._request_id, self._request_id, True
        return self.message_id, self._otid("calls"), False

    def _fresh_id(self, call_id: str) -> str:
        if not call_id or call_id in self._used_ids:
            call_id = f"call_{uuid.uuid4().hex[:24]}"
        self._used_ids.add(call_id)
        return call_id

    def _otid(self, kind: str) -> str:
        self.has_begun = True
        if kind != self._kind:
            self._kind = kind
            self._index += 1
        return otid_at(self.message_id, self._index)

    def _keep(self, kind: str, text: str) -> None:
        if not self._pieces or self._pieces[-1][0] != kind:
            self._pieces.append((kind, []))
        self._pieces[-1][1].append(text)

    def _partial_part(self, kind: str, text: str) -> Part:
        if kind == "text":
            return TextPart(text=text)
        return ReasoningPart(reasoning=text, is_native=kind == "reasoning")
