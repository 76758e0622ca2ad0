"""One reply as it arrives: the model's events become the run's, and what has arrived is kept in case the rest never does."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import assert_never

from agents.runtime.events import (
    Event,
    ReasoningDelta,
    ReasoningHidden,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from letta_ade.core.ids import otid_at
from letta_ade.llm import events as model
from letta_ade.llm.messages import Part, ReasoningPart, Reply, TextPart


class ReplyStream:
    """Translates the events of one model call.

    Every change of kind (reasoning, text, calls) begins a new wire message; the k-th has the message's k-th otid, as the stored
    message will have when it is listed (spec/streaming.md §5).
    """

    def __init__(
        self,
        *,
        step_id: str,
        message_id: str,
        used_ids: frozenset[str] = frozenset(),
        is_parallel: bool = True,
    ) -> None:
        """`used_ids`: tool call ids of the context; a call that repeats one, or has none, gets an id of ours."""
        self.step_id = step_id
        self.message_id = message_id
        self._used_ids = set(used_ids)
        self._is_parallel = is_parallel
        self.reply: Reply | None = None
        self._kind = ""
        self._index = -1
        self._names: dict[int, str] = {}
        self._ids: dict[int, str] = {}
        self._pieces: list[tuple[str, list[str]]] = []

    @property
    def has_begun(self) -> bool:
        """Whether anything of the reply was passed on."""
        return self._index >= 0

    def partial_parts(self) -> tuple[Part, ...]:
        """The reasoning and text that were passed on so far; unfinished calls are not among them."""
        return tuple(
            TextPart(text="".join(pieces)) if kind == "text" else ReasoningPart(reasoning="".join(pieces))
            for kind, pieces in self._pieces
            if kind in {"text", "reasoning"}
        )

    def translate(self, event: model.ChatEvent) -> Iterator[Event]:
        """The events of the run that a model event stands for."""
        match event:
            case model.TextDelta(text=text):
                if text:
                    otid = self._otid("text")
                    self._keep("text", text)
                    yield TextDelta(step_id=self.step_id, message_id=self.message_id, otid=otid, text=text)
            case model.ReasoningDelta(text=text):
                if text:
                    otid = self._otid("reasoning")
                    self._keep("reasoning", text)
                    yield ReasoningDelta(
                        step_id=self.step_id, message_id=self.message_id, otid=otid, text=text
                    )
            case model.ReasoningHidden(data=data):
                yield ReasoningHidden(
                    step_id=self.step_id,
                    message_id=self.message_id,
                    otid=self._otid("hidden"),
                    state="redacted" if data else "omitted",
                    data=data,
                )
            case model.ToolCallStarted(index=index) if index > 0 and not self._is_parallel:
                # The provider was asked for one call at most and gave more: the first one counts.
                pass
            case model.ToolCallStarted(index=index, id=call_id, name=name):
                call_id = self._fresh_id(call_id)
                self._ids[index], self._names[index] = call_id, name
                yield ToolCallStarted(
                    step_id=self.step_id,
                    message_id=self.message_id,
                    otid=self._otid("calls"),
                    tool_call_id=call_id,
                    name=name,
                )
            case model.ToolCallDelta(index=index, arguments=arguments):
                if arguments and index in self._ids:
                    yield ToolCallDelta(
                        step_id=self.step_id,
                        message_id=self.message_id,
                        otid=self._otid("calls"),
                        tool_call_id=self._ids[index],
                        name=self._names[index],
                        arguments=arguments,
                    )
            case model.ReplyEnded(reply=reply):
                calls = tuple(
                    replace(call, id=self._ids.get(index) or self._fresh_id(call.id))
                    for index, call in enumerate(reply.tool_calls)
                    if index == 0 or self._is_parallel
                )
                self.reply = replace(reply, tool_calls=calls)
            case _:
                assert_never(event)

    def _fresh_id(self, call_id: str) -> str:
        if not call_id or call_id in self._used_ids:
            call_id = f"call_{uuid.uuid4().hex[:24]}"
        self._used_ids.add(call_id)
        return call_id

    def _otid(self, kind: str) -> str:
        if kind != self._kind:
            self._kind = kind
            self._index += 1
        return otid_at(self.message_id, self._index)

    def _keep(self, kind: str, text: str) -> None:
        if not self._pieces or self._pieces[-1][0] != kind:
            self._pieces.append((kind, []))
        self._pieces[-1][1].append(text)
