"""An agent brought back to an earlier version of its configuration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.models import Agent, AgentVersion
from agents.services.agent_versions import get_version
from agents.services.agents import EMPTY_VALUES, AgentChanges, get_agent_for, update_agent
from letta_ade.accounts.auth import Caller
from memory.models import Block
from tools.models import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Restored:
    """The agent as it is now. `gone`: tools and blocks of that version which do not exist any more, by name."""

    agent: Agent
    version: AgentVersion
    gone: tuple[str, ...]


def restore_version(*, caller: Caller, agent_id: str, number: int) -> Restored:
    """Bring the settings, tools and blocks of that version back, as a new version; secrets and messages stay as they are.

    What a block says is not brought back: it has a history of its own. Raises NotFound for the agent, the version or a model that
    is not there any more, and whatever else `update_agent` refuses; then nothing has changed.
    """
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    data = get_version(caller=caller, agent=agent, number=number).data
    tool_ids, no_tools = _existing(Tool, caller, data["tools"])
    block_ids, no_blocks = _existing(Block, caller, data["blocks"])
    plain: dict[str, Any] = {
        name: value
        for name, value in data.items()
        if name not in ("tools", "blocks", "model", "model_settings", "context_window_limit", "embedding")
    }
    plain |= {name: tuple(plain[name]) for name in ("tags", "tool_rules")}
    settings = {name: value for name, value in data["model_settings"].items() if name != "provider_type"}
    changes = AgentChanges(
        **plain,
        model=data["model"],
        model_settings=settings,
        context_window_limit=data["context_window_limit"],
        embedding=data["embedding"],
        tool_ids=tool_ids,
        block_ids=block_ids,
        cleared=frozenset(name for name in EMPTY_VALUES if name in data and data[name] is None),
    )
    before = agent.versions.count()
    agent = update_agent(caller=caller, agent_id=agent_id, changes=changes)
    latest = agent.versions.order_by("-number")[0]
    if latest.number > before:
        latest.restored_from = number
        latest.save(update_fields=["restored_from"])
    return Restored(agent=agent, version=latest, gone=(*no_tools, *no_blocks))


def _existing(model: Any, caller: Caller, items: list[dict[str, str]]) -> tuple[tuple[str, ...], list[str]]:
    """The ids that are still there, in their order, and the names of the others."""
    ids = [item["id"] for item in items]
    held = set(
        model.objects.filter(workspace_id=caller.workspace_id, id__in=ids).values_list("id", flat=True)
    )
    return tuple(row_id for row_id in ids if row_id in held), [
        item["name"] for item in items if item["id"] not in held
    ]
