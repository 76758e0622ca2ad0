"""Which model an agent uses, with which settings and window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.models import Agent
from letta_ade.core.errors import Invalid
from letta_ade.llm import catalog
from letta_ade.llm.environment import split_handle
from letta_ade.llm.listing import ModelInfo
from letta_ade.llm.profiles import model_profile

_THINKING_TOKENS = 1024
#: Providers whose settings name a reasoning effort.
_EFFORT_TYPES = ("openai", "sglang")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    handle: str
    #: As on the wire (spec/objects.md §6).
    settings: dict[str, Any]
    context_window_limit: int


def choose_model(*, handle: str | None, asked: Mapping[str, Any], window: int | None) -> ModelChoice:
    """The model of a new agent. Raises NotFound for an unknown handle, Invalid for a bad one or none at all.

    May ask the provider over HTTP, so it is called outside transactions.
    """
    handle = handle or catalog.default_handle()
    if handle is None:
        raise Invalid(
            f"An agent needs a model, for example {catalog.suggested_handle()!r}; "
            "LETTA_DEFAULT_LLM_HANDLE names the one for agents that ask for none."
        )
    info = _info(handle)
    return ModelChoice(
        handle=handle,
        settings=_merge(default_settings(info), asked),
        context_window_limit=_window(info, window),
    )


def change_model(
    agent: Agent, *, handle: str | None, asked: Mapping[str, Any] | None, window: int | None
) -> ModelChoice:
    """What the agent has after a change; what is None stays. Another model begins with its own defaults and window."""
    if handle is None or handle == agent.model:
        stays = window is None
        return ModelChoice(
            handle=agent.model,
            settings=_merge(agent.model_settings, asked or {}),
            context_window_limit=agent.context_window_limit if stays else _window(_info(agent.model), window),
        )
    return choose_model(handle=handle, asked=asked or {}, window=window)


def choose_embedding(handle: str | None) -> str | None:
    """The embedding model of an agent, or None: its archives are found by words then. Raises Invalid for an unknown one."""
    handle = handle or catalog.default_embedding_handle()
    return catalog.get_embedding_info(handle).handle if handle else None


def default_settings(info: ModelInfo) -> dict[str, Any]:
    """What an agent gets that only names its model."""
    settings: dict[str, Any] = {
        "provider_type": info.provider_type,
        "max_output_tokens": info.max_output_tokens,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "response_format": None,
    }
    profile = model_profile(info.name)
    if info.provider_type in _EFFORT_TYPES:
        settings |= {"strict": False, "reasoning": {"reasoning_effort": _effort(profile.efforts)}}
    elif info.provider_type == "anthropic":
        thinks = profile.thinking != "none"
        settings |= {
            "strict": False,
            "thinking": {"type": "enabled" if thinks else "disabled", "budget_tokens": _THINKING_TOKENS},
            "effort": None,
            "verbosity": None,
        }
    return settings


def _effort(efforts: tuple[str, ...]) -> str:
    # V1 said "minimal" for every model, also for those that take no effort; providers get it only where it means something.
    return "minimal" if not efforts or "minimal" in efforts else "medium"


def _info(handle: str) -> ModelInfo:
    if not split_handle(handle)[0]:
        raise Invalid(f"The model {handle!r} is not a handle; a handle has the form 'provider/model'.")
    return catalog.get_model_info(handle)


def _window(info: ModelInfo, asked: int | None) -> int:
    if asked is None:
        return catalog.default_window(info)
    if not 0 < asked <= info.context_window:
        raise Invalid(
            f"context_window_limit must be between 1 and the {info.context_window} tokens of {info.handle!r}, not {asked}."
        )
    return asked


def _merge(settings: Mapping[str, Any], asked: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with what was asked laid over them; the provider's type is the model's, whatever a client says."""
    merged = {**settings, **asked, "provider_type": settings.get("provider_type")}
    budget = merged.get("thinking") or {}
    most = merged.get("max_output_tokens")
    if (
        budget.get("type") == "enabled"
        and isinstance(most, int)
        and isinstance(budget.get("budget_tokens"), int)
        and budget["budget_tokens"] >= most
    ):
        raise Invalid(
            f"The thinking budget of {budget['budget_tokens']} tokens must be below max_output_tokens, which is {most}."
        )
    return merged
