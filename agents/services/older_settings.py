"""Model settings under the names that older clients give them, turned into those of today (spec/agent-loop.md §8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from letta_ade.llm.profiles import model_profile

LEAST_THINKING_TOKENS = 1024
#: Providers whose settings name a reasoning effort.
EFFORT_TYPES = ("openai", "sglang")
#: Fields that only the settings of these providers have.
_OWN_FIELDS: Mapping[str, tuple[str, ...]] = {
    "openai": ("strict", "verbosity", "frequency_penalty"),
    "sglang": ("strict", "verbosity", "frequency_penalty"),
    "anthropic": ("strict", "verbosity", "effort"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class OlderSettings:
    """What was asked for; None means that nothing was said."""

    max_tokens: int | None = None
    max_reasoning_tokens: int | None = None
    #: `reasoning` and `enable_reasoner`.
    reasons: bool | None = None
    reasoning_effort: str | None = None
    temperature: float | None = None
    parallel_tool_calls: bool | None = None
    strict: bool | None = None
    effort: str | None = None
    verbosity: str | None = None
    frequency_penalty: float | None = None
    response_format: dict[str, Any] | None = None

    def today(self, *, provider_type: str, model: str) -> dict[str, Any]:
        """The settings of a model of that provider that say the same; what the model cannot do is left out."""
        said: dict[str, Any] = {
            "max_output_tokens": self.max_tokens,
            "temperature": self.temperature,
            "parallel_tool_calls": self.parallel_tool_calls,
            "response_format": self.response_format,
            **{name: getattr(self, name) for name in _OWN_FIELDS.get(provider_type, ())},
        }
        if provider_type in EFFORT_TYPES:
            effort = self.reasoning_effort or self._effort(model)
            said["reasoning"] = {"reasoning_effort": effort} if effort else None
        elif provider_type == "anthropic" and model_profile(model).thinking != "none":
            said["thinking"] = self._thinking()
        return {name: value for name, value in said.items() if value is not None}

    def _effort(self, model: str) -> str | None:
        efforts = model_profile(model).efforts
        if self.reasons is None or not efforts:
            return None
        # None of these models can be kept from reasoning altogether.
        return "medium" if self.reasons else efforts[0]

    def _thinking(self) -> dict[str, Any] | None:
        if self.reasons is False:
            return {"type": "disabled"}
        if self.max_reasoning_tokens:
            return {
                "type": "enabled",
                "budget_tokens": max(LEAST_THINKING_TOKENS, self.max_reasoning_tokens),
            }
        return {"type": "enabled"} if self.reasons else None


NOTHING_SAID = OlderSettings()
