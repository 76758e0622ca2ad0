"""Agents name tools in their rules: a tool that is renamed or goes is followed there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Q, QuerySet

from agents.models import Agent, AgentTool
from agents.services.agent_versions import record_version
from agents.services.agents import tell
from letta_ade.accounts.auth import Caller
from tools.models import Tool

Rule = dict[str, Any]
#: Fields of a rule that name other tools.
_CHILDREN = "children"


@dataclass(frozen=True, slots=True)
class ToolNames:
    """Keeps the rules of agents true (`tools.followers`)."""

    def tool_renamed(self, caller: Caller, tool: Tool, old_name: str) -> None:
        """The rules of the agents that have the tool get its new name."""
        for agent in _locked(Agent.objects.filter(tool_links__tool=tool)):
            rules = [renamed(rule, old_name, tool.name) for rule in agent.tool_rules]
            _keep(caller, agent, rules)

    def tool_leaves(self, caller: Caller, tool: Tool) -> None:
        """The agents that have the tool lose it, and their rules what names it."""
        for agent in _locked(Agent.objects.filter(tool_links__tool=tool)):
            AgentTool.objects.filter(agent=agent, tool=tool).delete()
            rules = [kept for rule in agent.tool_rules if (kept := without(rule, tool.name)) is not None]
            _keep(caller, agent, rules)


def renamed(rule: Rule, old: str, new: str) -> Rule:
    """The rule with the new name wherever it had the old one."""
    changed = dict(rule)
    if rule["tool_name"] == old:
        changed["tool_name"] = new
    if isinstance(rule.get(_CHILDREN), list):
        changed[_CHILDREN] = [new if child == old else child for child in rule[_CHILDREN]]
    if isinstance(rule.get("child_arg_nodes"), list):
        changed["child_arg_nodes"] = [
            {**node, "name": new} if node.get("name") == old else node for node in rule["child_arg_nodes"]
        ]
    if isinstance(rule.get("child_output_mapping"), dict):
        changed["child_output_mapping"] = {
            output: new if child == old else child for output, child in rule["child_output_mapping"].items()
        }
    if rule.get("default_child") == old:
        changed["default_child"] = new
    return changed


def without(rule: Rule, name: str) -> Rule | None:
    """The rule without the tool; None when nothing of it is left."""
    if rule["tool_name"] == name:
        return None
    changed = dict(rule)
    if isinstance(rule.get(_CHILDREN), list) and name in rule[_CHILDREN]:
        changed[_CHILDREN] = [child for child in rule[_CHILDREN] if child != name]
        if not changed[_CHILDREN]:
            return None
    if isinstance(rule.get("child_arg_nodes"), list):
        changed["child_arg_nodes"] = [
            node for node in rule["child_arg_nodes"] if node.get("name") != name
        ] or None
    if isinstance(rule.get("child_output_mapping"), dict):
        mapping = rule["child_output_mapping"]
        changed["child_output_mapping"] = {
            output: child for output, child in mapping.items() if child != name
        }
        if not changed["child_output_mapping"]:
            return None
    if rule.get("default_child") == name:
        changed["default_child"] = None
    return changed


def _locked(agents: QuerySet[Agent]) -> Iterator[Agent]:
    ids = list(agents.order_by("id").values_list("id", flat=True))
    yield from Agent.objects.select_for_update(of=("self",)).filter(Q(id__in=ids)).order_by("id")


def _keep(caller: Caller, agent: Agent, rules: list[Rule]) -> None:
    if rules != agent.tool_rules:
        agent.tool_rules = rules
        agent.save(update_fields=["tool_rules", "updated_at"])
    record_version(caller, agent)
    tell(agent)
