"""What the rest of the product asks of a model: to chat, and to embed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from letta_ade.llm.events import ChatEvent
from letta_ade.llm.messages import ChatMessage, ToolSpec

ToolChoiceMode = Literal["auto", "required", "one", "none"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolChoice:
    """auto: the model decides. required: it must call some tool. one: it must call `name`. none: it may call nothing."""

    mode: ToolChoiceMode = "auto"
    name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One model call, before a provider gives it its own shape."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    #: False: the reply holds at most one call.
    parallel_tool_calls: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    #: none, minimal, low, medium, high or xhigh; None leaves it to the model.
    reasoning_effort: str | None = None
    #: Thinking budget for models that take one (Anthropic); None or 0 switches it off.
    thinking_tokens: int | None = None
    response_format: dict[str, Any] | None = None
    #: An opaque id of the caller that providers ask for.
    user: str | None = None


class ChatModel(Protocol):
    """A model that chats. It holds no state between calls; one object serves many runs at once."""

    @property
    def handle(self) -> str:
        """`provider/model`."""

    def payload(self, request: ChatRequest) -> dict[str, Any]:
        """The exact JSON body that `stream` sends; it is stored with the step and can be previewed."""

    def stream(self, payload: dict[str, Any]) -> AsyncGenerator[ChatEvent, None]:
        """Send the payload and yield what comes back; the last event is ReplyEnded.

        Closing the generator closes the connection. Raises ModelError; nothing is retried here.
        """


class Embedder(Protocol):
    """A model that embeds. Synchronous; never called inside a transaction."""

    @property
    def handle(self) -> str: ...

    @property
    def dimensions(self) -> int | None:
        """Length of its vectors; None until the first call told it."""

    def embed(self, texts: Sequence[str]) -> list[list[float]]:
        """One vector for each text, in order. Raises ModelError."""
