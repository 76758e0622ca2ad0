"""The model of an agent on the wire: its settings, and the two configurations of older clients (spec/objects.md §5, §6)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from agents.services.older_settings import OlderSettings
from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import Body

Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
#: Settings that cannot be empty: null says nothing about them.
_NEVER_EMPTY = (
    "max_output_tokens",
    "temperature",
    "parallel_tool_calls",
    "strict",
    "reasoning",
    "thinking",
)


class _Open(BaseModel):
    """An object whose other fields are kept as they came: each provider has some of its own."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())


class Reasoning(_Open):
    reasoning_effort: Effort


class Thinking(_Open):
    type: Literal["enabled", "disabled"] | None = None
    budget_tokens: int | None = Field(default=None, ge=0)


class ModelSettings(_Open):
    """What is asked of a model; what is not sent stays, or is the model's default."""

    max_output_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0)
    parallel_tool_calls: bool | None = None
    strict: bool | None = None
    reasoning: Reasoning | None = None
    thinking: Thinking | None = None
    effort: Literal["low", "medium", "high", "max", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    response_format: dict[str, Any] | None = None

    def asked(self) -> dict[str, Any]:
        """The settings that were sent."""
        sent = self.model_dump(exclude_unset=True)
        return {name: value for name, value in sent.items() if not (value is None and name in _NEVER_EMPTY)}


class LlmConfigInput(Body):
    """Deprecated: a model and its settings in one."""

    model: str | None = None
    model_endpoint_type: str | None = None
    handle: str | None = None
    provider_name: str | None = None
    context_window: int | None = None
    temperature: float | None = Field(default=None, ge=0)
    max_tokens: int | None = Field(default=None, ge=1)
    enable_reasoner: bool | None = None
    reasoning_effort: Effort | None = None
    max_reasoning_tokens: int | None = Field(default=None, ge=0)
    effort: Literal["low", "medium", "high", "max", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    frequency_penalty: float | None = None
    parallel_tool_calls: bool | None = None
    response_format: dict[str, Any] | None = None
    strict: bool | None = None

    def model_handle(self) -> str:
        """The handle of the model. Raises Unprocessable where none is named."""
        return _handle(self.handle, self.provider_name or self.model_endpoint_type, self.model, "llm_config")

    def older(self) -> OlderSettings:
        """The settings in it."""
        return OlderSettings(
            max_tokens=self.max_tokens,
            max_reasoning_tokens=self.max_reasoning_tokens,
            reasons=self.enable_reasoner,
            reasoning_effort=self.reasoning_effort,
            temperature=self.temperature,
            parallel_tool_calls=self.parallel_tool_calls,
            strict=self.strict,
            effort=self.effort,
            verbosity=self.verbosity,
            frequency_penalty=self.frequency_penalty,
            response_format=self.response_format,
        )


class EmbeddingConfigInput(Body):
    """Deprecated: an embedding model. Only its handle is looked at: the rest is the provider's."""

    embedding_model: str | None = None
    embedding_endpoint_type: str | None = None
    handle: str | None = None

    def model_handle(self) -> str:
        """The handle of the model. Raises Unprocessable where none is named."""
        return _handle(self.handle, self.embedding_endpoint_type, self.embedding_model, "embedding_config")


def _handle(handle: str | None, provider: str | None, model: str | None, what: str) -> str:
    if handle:
        return handle
    if provider and model:
        return f"{provider}/{model}"
    raise Unprocessable(f"{what} names no model: it needs a handle, or the names of provider and model.")
