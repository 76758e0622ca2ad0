"""Which model a conversation uses: its agent's, or one of its own, with settings and a window laid over the agent's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agents.models import Agent, Conversation
from agents.services.agent_model import (
    ModelChoice,
    check_window,
    default_settings,
    merge_settings,
    model_info,
    with_room,
)
from letta_ade.llm.environment import split_handle
from letta_ade.llm.listing import ModelInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelOverride:
    """What a conversation has instead of its agent's; None leaves the agent's."""

    handle: str | None = None
    settings: dict[str, Any] | None = None
    #: Tokens.
    window: int | None = None


def check_override(
    agent: Agent, *, handle: str | None, asked: Mapping[str, Any], window: int | None
) -> ModelOverride:
    """The override as it is stored. Raises NotFound or Invalid for a model, settings or a window that cannot be used.

    May ask the provider over HTTP, so it is called outside transactions.
    """
    if handle is None and window is None and not asked:
        return ModelOverride()
    info = model_info(handle or agent.model, agent.workspace_id)
    if window is not None:
        check_window(info, window)
    settings = None
    if handle is not None or asked:
        settings = {**asked, "provider_type": info.provider_type}
        _laid_over(agent, info, handle or agent.model, settings)
    return ModelOverride(handle=handle, settings=settings, window=window)


def model_in(conversation: Conversation, handle: str, info: ModelInfo) -> ModelChoice:
    """The settings and the window with which the model is called in this conversation.

    The settings of the conversation are those of its own model; another one, which a request has named, begins with its defaults and
    takes from the agent's settings only whether calls may be parallel. Raises Invalid for settings that no longer fit together.
    """
    agent = conversation.agent
    window = conversation.context_window_limit or agent.context_window_limit
    if handle != agent.model or conversation.context_window_limit is not None:
        window = min(window, info.context_window)
    is_own = handle == (conversation.model or agent.model)
    wanted = (conversation.model_settings or {}) if is_own else {}
    return ModelChoice(
        handle=handle, settings=_laid_over(agent, info, handle, wanted), context_window_limit=window
    )


def provider_type_in(conversation: Conversation, agent: Agent) -> str:
    """How the provider of the conversation's model is spoken to; the provider may be named as somebody likes."""
    settings = conversation.model_settings if conversation.model else agent.model_settings
    return str((settings or {}).get("provider_type") or split_handle(conversation.model or agent.model)[0])


def _laid_over(agent: Agent, info: ModelInfo, handle: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
    settings: dict[str, Any] = agent.model_settings
    if handle != agent.model:
        is_parallel = settings.get("parallel_tool_calls", True)
        settings = {**with_room(default_settings(info), wanted), "parallel_tool_calls": is_parallel}
    return merge_settings(info.name, settings, wanted) if wanted else settings
