"""Where a tool is used: the agents that have it, and the rules that name it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agents.models import Agent
from agents.services.agents import AgentFilters, agents_of
from letta_ade.accounts.auth import Caller
from tools.services.tools import get_tool_for


@dataclass(frozen=True, slots=True, kw_only=True)
class NamingRule:
    """A rule of an agent that names the tool: as its own (`tool`), or as what may or must come before or after (`child`)."""

    agent: Agent
    type: str
    role: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ToolUsage:
    """Who would notice if the tool changed."""

    #: By name.
    agents: list[Agent]
    rules: list[NamingRule]


def usage_of_tool(*, caller: Caller, tool_id: str) -> ToolUsage:
    """The agents that have the tool and the rules that name it. Raises NotFound."""
    tool = get_tool_for(caller=caller, tool_id=tool_id)
    agents = list(
        agents_of(caller=caller, filters=AgentFilters(shows_hidden=True))
        .filter(tool_links__tool=tool)
        .order_by("name", "id")
    )
    return ToolUsage(agents=agents, rules=[rule for agent in agents for rule in _naming(agent, tool.name)])


def _naming(agent: Agent, name: str) -> Iterator[NamingRule]:
    for rule in agent.tool_rules:
        if rule["tool_name"] == name:
            yield NamingRule(agent=agent, type=rule["type"], role="tool")
        elif name in _children(rule):
            yield NamingRule(agent=agent, type=rule["type"], role="child")


def _children(rule: dict[str, Any]) -> Iterator[Any]:
    yield from rule.get("children") or ()
    yield from (rule.get("child_output_mapping") or {}).values()
    yield rule.get("default_child")
