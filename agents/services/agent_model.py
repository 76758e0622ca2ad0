"""Which model an agent uses, with which settings and window."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.models import Agent
from agents.services.older_settings import LEAST_THINKING_TOKENS, NOTHING_SAID, OlderSettings
from letta_ade.core.errors import Invalid, Unprocessable
from letta_ade.llm import catalog
from letta_ade.llm.environment import split_handle
from letta_ade.llm.listing import ModelInfo
from letta_ade.llm.profiles import model_profile

#: Models of this kind refuse the weakest effort (spec/objects.md §5).
_NO_MINIMAL = "codex"
#: Settings that are objects, and are laid over each other field by field.
_NESTED = ("reasoning", "thinking", "thinking_config")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelChoice:
    handle: str
    #: As on the wire (spec/objects.md §6).
    settings: dict[str, Any]
    context_window_limit: int


def choose_model(
    *,
    handle: str | None,
    asked: Mapping[str, Any],
    window: int | None,
    older: OlderSettings = NOTHING_SAID,
    workspace_id: str | None = None,
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
    info = model_info(handle, workspace_id)
    wanted = {**older.today(provider_type=info.provider_type, model=info.name), **asked}
    return ModelChoice(
        handle=handle,
        settings=merge_settings(info.name, with_room(default_settings(info), wanted), wanted),
        context_window_limit=check_window(info, window),
    )


def change_model(
    agent: Agent,
    *,
    handle: str | None,
    asked: Mapping[str, Any],
    window: int | None,
    older: OlderSettings = NOTHING_SAID,
) -> ModelChoice | None:
    """What the agent has after a change, or None when nothing was asked.

    What is not asked for stays. Another model begins with its own defaults and window. Raises as `choose_model` does.
    """
    if handle is None and window is None and not asked and older == NOTHING_SAID:
        return None
    if handle is not None and handle != agent.model:
        return choose_model(
            handle=handle, asked=asked, older=older, window=window, workspace_id=agent.workspace_id
        )
    provider, name = split_handle(agent.model)
    provider_type = agent.model_settings.get("provider_type") or provider
    wanted = {**older.today(provider_type=provider_type, model=name), **asked}
    stays = window is None
    return ModelChoice(
        handle=agent.model,
        settings=merge_settings(name, agent.model_settings, wanted),
        context_window_limit=agent.context_window_limit
        if stays
        else check_window(model_info(agent.model, agent.workspace_id), window),
    )


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
            effort = {"reasoning_effort": _effort(info.name, profile.efforts)}
            parser = {"tool_call_parser": None} if info.provider_type == "sglang" else {}
            return {"response_format": None, "strict": False, "reasoning": effort, **parser}
        case "anthropic":
            return {
                "response_format": None,
                "strict": False,
                "thinking": {"type": switch, "budget_tokens": LEAST_THINKING_TOKENS},
                "effort": None,
                "verbosity": None,
            }
        case "google_ai" | "google_vertex":
            budget = LEAST_THINKING_TOKENS if can_think else 0
            return {
                "response_schema": None,
                "thinking_config": {"include_thoughts": can_think, "thinking_budget": budget},
            }
        case "zai" | "zai_coding":
            return {"response_format": None, "thinking": {"type": "enabled", "clear_thinking": False}}
        case _:
            return {"response_format": None}


def check_response_format(data: dict[str, Any] | None) -> dict[str, Any] | None:
    """The format itself. Raises Unprocessable for one that is none (spec/objects.md §6)."""
    match data:
        case None | {"type": "text" | "json_object"} | {"type": "json_schema", "json_schema": {}}:
            return data
        case {"type": "json_schema"}:
            raise Unprocessable("A response_format of type 'json_schema' needs the object json_schema.")
        case _:
            raise Unprocessable(
                "A response_format has the type 'text', 'json_object' or 'json_schema', "
                f"not {data.get('type')!r}."
            )


def _effort(model: str, efforts: tuple[str, ...]) -> str:
    # V1 said "minimal" for every model, also for those that take no effort; providers get it only where it means something.
    return "minimal" if (not efforts or "minimal" in efforts) and _NO_MINIMAL not in model else "medium"


def model_info(handle: str, workspace_id: str | None) -> ModelInfo:
    """The model. Raises Invalid for what is no handle, NotFound for an unknown one. May ask the provider."""
    if not split_handle(handle)[0]:
        raise Invalid(f"The model {handle!r} is not a handle; a handle has the form 'provider/model'.")
    return catalog.get_model_info(handle, workspace_id=workspace_id)


def check_window(info: ModelInfo, asked: int | None) -> int:
    """The window in tokens; None means the model's own. Raises Invalid for one that the model does not have."""
    if asked is None:
        return catalog.default_window(info)
    if not 0 < asked <= info.context_window:
        raise Invalid(
            f"context_window_limit must be between 1 and the {info.context_window} tokens of {info.handle!r}, not {asked}."
        )
    return asked


def with_room(defaults: dict[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The defaults without thinking where the reply that is asked for has no room for it; nobody asked for the thinking."""
    thinking, most = defaults.get("thinking") or {}, wanted.get("max_output_tokens")
    budget = thinking.get("budget_tokens")
    if budget and "thinking" not in wanted and isinstance(most, int) and most <= budget:
        return {**defaults, "thinking": {**thinking, "type": "disabled"}}
    return defaults


def merge_settings(model: str, settings: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """The settings with what is wanted laid over them; the provider's type is the model's, whatever a client says."""
    nested = {name: {**(settings.get(name) or {}), **wanted[name]} for name in _NESTED if wanted.get(name)}
    merged = {**settings, **wanted, **nested, "provider_type": settings.get("provider_type")}
    check_response_format(merged.get("response_format"))
    if (merged.get("reasoning") or {}).get("reasoning_effort") == "minimal" and _NO_MINIMAL in model:
        raise Invalid(f"The model {model!r} takes no reasoning effort 'minimal'; 'low' is its weakest.")
    budget, most = merged.get("thinking") or {}, merged.get("max_output_tokens")
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
