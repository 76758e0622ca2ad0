"""What a call of a tool that a user wrote gets of the agent that makes it."""

from __future__ import annotations

from typing import Any

from agents.models import Agent
from agents.services.tool_client import open_door
from letta_ade.core.crypto import decrypt
from tools.custom import CallScope, CustomTool


def call_scope(agent: Agent, tool: CustomTool) -> CallScope:
    """Secrets, client and, where the source speaks of it, `agent_state`, as they are now. Raises SecretUnreadable."""
    return CallScope(
        agent_id=agent.id,
        project_id=agent.project_id,
        secrets={row.key: decrypt(row.value_encrypted) for row in agent.secrets.all()},
        agent_state=_agent_state(agent) if tool.wants_agent_state else None,
        api=open_door(agent=agent),
    )


def _agent_state(agent: Agent) -> dict[str, Any]:
    """The agent as a tool sees it: without its tools, rules and secrets."""
    links = agent.block_links.select_related("block").order_by("position", "id")
    return {
        "id": agent.id,
        "name": agent.name,
        "description": agent.description,
        "system": agent.system,
        "agent_type": agent.agent_type,
        "tags": list(agent.tags),
        "metadata": agent.metadata,
        "timezone": agent.timezone,
        "memory": {
            "blocks": [
                {
                    "id": link.block.id,
                    "label": link.block.label,
                    "value": link.block.value,
                    "description": link.block.description,
                    "limit": link.block.limit,
                    "read_only": link.block.read_only,
                }
                for link in links
            ]
        },
    }
