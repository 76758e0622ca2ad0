"""Where a tool is used, on the wire."""

from __future__ import annotations

from agents.services.tool_usage import ToolUsage
from letta_ade.core.schemas import Wire


class UsingAgent(Wire):
    id: str
    name: str


class UsingRule(Wire):
    agent_id: str
    type: str
    #: `tool`: the rule is the tool's own; `child`: it names the tool beside another one's.
    role: str


class ToolUsageResponse(Wire):
    """Who would notice if the tool changed."""

    agent_count: int
    agents: list[UsingAgent]
    rules: list[UsingRule]

    @classmethod
    def of(cls, usage: ToolUsage) -> ToolUsageResponse:
        """The usage of a tool."""
        return cls(
            agent_count=len(usage.agents),
            agents=[UsingAgent(id=agent.id, name=agent.name) for agent in usage.agents],
            rules=[UsingRule(agent_id=rule.agent.id, type=rule.type, role=rule.role) for rule in usage.rules],
        )
