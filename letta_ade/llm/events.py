"""What a model sends while it replies, the same for every provider."""

from __future__ import annotations

from dataclasses import dataclass

from letta_ade.llm.messages import Reply


@dataclass(frozen=True, slots=True, kw_only=True)
class TextDelta:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningDelta:
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReasoningHidden:
    """The model reasoned out of sight; `data` is the provider's opaque blob, or None when it was omitted."""

    data: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallStarted:
    """`index` counts the calls of this reply from 0."""

    index: int
    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolCallDelta:
    """A piece of the JSON text of call `index`."""

    index: int
    id: str
    arguments: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplyEnded:
    """Always the last event; a stream without it was cut off."""

    reply: Reply


ChatEvent = TextDelta | ReasoningDelta | ReasoningHidden | ToolCallStarted | ToolCallDelta | ReplyEnded
