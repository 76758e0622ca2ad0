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


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    handle: str
    #: As on the wire (spec/objects.md §6).
    settings: dict[str, Any]
    context_window_limit: int


def choose_model(
    *, handle: str | None, asked: Mapping[str, Any], window: int | None, workspace_id: str | None = None
) -> ModelChoice:
    """The model of a new agent. Raises NotFound for an unknown handle, Invalid for a bad one or none at all.

    `workspace_id`: its own providers count, too. May ask the provider over HTTP, so it is called outside transactions.
    """
    handle = handle or catalog.default_handle()
    if handle is None:
        raise Invalid(
            f"An agent needs a model, for example {catalog.suggested_handle(workspace_id=workspace_id)!r}; "
            "LETTA_DEFAULT_LLM_HANDLE names the one for agents that ask for none."
        )
    info = _info(handle, workspace_id)
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
            context_window_limit=agent.context_window_limit
            if stays
            else _window(_info(agent.model, agent.workspace_id), window),
        )
    return choose_model(handle=handle, asked=asked or {}, window=window, workspace_id=agent.workspace_id)


def choose_embedding(handle: str | None, *, workspace_id: str | None = None) -> str | None:
    """The embedding model of an agent, or None: its archives are found by words then. Raises Invalid for an unknown one."""
    handle = handle or catalog.default_embedding_handle()
    return catalog.get_embedding_info(handle, workspace_id=workspace_id).handle if handle else None


def default_settings(info: ModelInfo) -> dict[str, Any]:
    """What an agent gets that only names its model."""
    settings: dict[str, Any] = {
        "provider_type": info.provider_type,
        "max_output_tokens": info.max_output_tokens,
        "parallel_tool_calls": True,
        "temperature": 1.0,
    }
    return settings | _special_settings(info)


def _special_settings(info: ModelInfo) -> dict[str, Any]:
    """What the settings of a provider's type hold beside those of all (spec/objects.md §6)."""
    profile = model_profile(info.base_model or info.name)
    can_think = profile.thinking != "none"
    switch = "enabled" if can_think else "disabled"
    match info.provider_type:
        case "openai" | "sglang":
            effort = {"reasoning_effort": _effort(profile.efforts)}
            parser = {"tool_call_parser": None} if info.provider_type == "sglang" else {}
            return {"response_format": None, "strict": False, "reasoning": effort, **parser}
        case "anthropic":
            return {
                "response_format": None,
                "strict": False,
                "thinking": {"type": switch, "budget_tokens": _THINKING_TOKENS},
                "effort": None,
                "verbosity": None,
            }
        case "google_ai" | "google_vertex":
            budget = {"include_thoughts": can_think, "thinking_budget": _THINKING_TOKENS if can_think else 0}
            return {"response_schema": None, "thinking_config": budget}
        case "zai" | "zai_coding":
            return {"response_format": None, "thinking": {"type": "enabled", "clear_thinking": False}}
        case _:
            return {"response_format": None}


def _effort(efforts: tuple[str, ...]) -> str:
    # V1 said "minimal" for every model, also for those that take no effort; providers get it only where it means something.
    return "minimal" if not efforts or "minimal" in efforts else "medium"


def _info(handle: str, workspace_id: str | None) -> ModelInfo:
    if not split_handle(handle)[0]:
        raise Invalid(f"The model {handle!r} is not a handle; a handle has the form 'provider/model'.")
    return catalog.get_model_info(handle, workspace_id=workspace_id)


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
