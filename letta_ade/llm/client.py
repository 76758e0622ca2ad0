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
    #: Anthropic's models cannot be forced while they think. True: a rule forces this call, so that it goes without
    #: thinking. False: the loop forces every call (heartbeat), so that the model keeps thinking and is only asked.
    forces_by_rule: bool = True

    @property
    def is_forced(self) -> bool:
        return self.mode in ("required", "one")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatRequest:
    """One model call, before a provider gives it its own shape."""

    messages: tuple[ChatMessage, ...]
    tools: tuple[ToolSpec, ...] = ()
    tool_choice: ToolChoice = ToolChoice()
    #: False: the reply holds at most one call.
    parallel_tool_calls: bool = False
    #: Tool schemas in the strict form, where the provider knows it: the arguments then fit the schema.
    strict: bool = False
    max_output_tokens: int | None = None
    temperature: float | None = None
    frequency_penalty: float | None = None
    #: none, minimal, low, medium, high or xhigh; None leaves it to the model.
    reasoning_effort: str | None = None
    #: Thinking budget for models that take one (Anthropic, Gemini); None or 0 switches it off at Anthropic, 0 at Gemini.
    thinking_tokens: int | None = None
    #: Whether Gemini sends its thoughts along.
    shows_thoughts: bool = True
    #: For providers with a plain switch (Z.ai); None leaves it to the model.
    thinks: bool | None = None
    #: How much Anthropic's newer models spend on a reply: low, medium, high, xhigh or max.
    effort: str | None = None
    #: low, medium or high, for models that know it (GPT-5 and later).
    verbosity: str | None = None
    #: `{"type": "text"}`, `{"type": "json_object"}` or `{"type": "json_schema", "json_schema": {"name"?, "schema"}}`.
    response_format: dict[str, Any] | None = None
    #: Log probabilities in `Reply.logprobs`, with so many alternatives for each token; not every model gives them.
    return_logprobs: bool = False
    top_logprobs: int | None = None
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
