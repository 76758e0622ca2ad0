"""Which models may be asked for the summary of an agent's context: the one of its settings, and its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.models import Agent
from agents.runtime.snapshot import Snapshot
from agents.runtime.summarising import Summariser
from agents.services.agent_model import default_settings
from agents.services.opening import call_settings
from letta_ade.core.errors import AdeError
from letta_ade.llm import catalog
from letta_ade.llm.client import ChatModel
from letta_ade.llm.environment import split_handle

#: Small models that are asked when the settings name none, by the type of the agent's provider.
_SMALL_MODELS = {
    "anthropic": "claude-haiku-4-5",
    "openai": "gpt-5-mini",
    "google_ai": "gemini-2.5-flash",
}


def find_summarisers(
    agent: Agent, stored: Mapping[str, Any] | None, *, own: ChatModel, snapshot: Snapshot
) -> tuple[Summariser, ...]:
    """The summariser, and the agent's own model after it; a model that cannot be had is left out. May ask the provider."""
    data = stored or {}
    handle = data.get("model") or _small_model(agent)
    found = []
    if handle and handle != own.handle and (summariser := _summariser(agent, handle, data)) is not None:
        found.append(summariser)
    return (*found, _own(agent, own, snapshot))


def _small_model(agent: Agent) -> str | None:
    provider, _ = split_handle(agent.model)
    small = _SMALL_MODELS.get(agent.model_settings.get("provider_type") or provider)
    return f"{provider}/{small}" if small else None


def _summariser(agent: Agent, handle: str, data: Mapping[str, Any]) -> Summariser | None:
    try:
        info = catalog.get_model_info(handle, workspace_id=agent.workspace_id)
        model = catalog.get_chat_model(handle, workspace_id=agent.workspace_id)
    except AdeError:
        return None
    settings = {**default_settings(info), **(data.get("model_settings") or {})}
    return Summariser(model=model, window=info.context_window, settings=call_settings(agent, settings))


def _own(agent: Agent, own: ChatModel, snapshot: Snapshot) -> Summariser:
    window = snapshot.context_window
    try:
        # The agent's limit is for its own calls: a summary may use the whole window of the model.
        window = max(
            window, catalog.get_model_info(own.handle, workspace_id=agent.workspace_id).context_window
        )
    except AdeError:
        pass  # it is no longer listed, and has just been called
    return Summariser(model=own, window=window, settings=snapshot.settings)
