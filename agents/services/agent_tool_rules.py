"""Tool rules as they are stored: completed, checked, without repeats (spec/agent-loop.md §5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from agents.models import Agent
from agents.models.agent import AgentType
from letta_ade.core.errors import Invalid, Unprocessable
from tools.models import Tool, ToolType

#: Fields of each type beside `type`, `tool_name` and `prompt_template`, with what they hold when left out; `...` is required.
_FIELDS: Mapping[str, Mapping[str, Any]] = {
    "run_first": {"args": None},
    "exit_loop": {},
    "continue_loop": {},
    "required_before_exit": {},
    "requires_approval": {},
    "constrain_child_tools": {"children": ..., "child_arg_nodes": None},
    "parent_last_tool": {"children": ...},
    "conditional": {"child_output_mapping": ..., "default_child": None, "require_output_mapping": False},
    "max_count_per_step": {"max_count_limit": ...},
}
_ALIASES = {"continue": "continue_loop"}
#: A rule without a type is known by the field that only its type has. SDK 1.x drops `type` from its rule classes.
_TYPE_BY_FIELD = (
    ("child_output_mapping", "conditional"),
    ("children", "constrain_child_tools"),
    ("max_count_limit", "max_count_per_step"),
    ("args", "run_first"),
)
#: Models that may be given several tools to run first (V1's exception).
_MANY_FIRST = ("gpt-4o", "gpt-4o-mini")
_ENDING_TOOLS = (
    "send_message",
    "send_message_to_agent_async",
    "memory_finish_edits",
    "finish_rethinking_memory",
)
_BASE_TYPES = (
    ToolType.LETTA_CORE,
    ToolType.LETTA_MEMORY_CORE,
    ToolType.LETTA_SLEEPTIME_CORE,
    ToolType.LETTA_VOICE_SLEEPTIME_CORE,
)
#: Models that know when to stop need no rules, unless they are small.
_SELF_STEERING = ("claude-4-sonnet", "claude-3-5-sonnet", "gpt-5", "gemini-2.5-pro")


def clean_rules(rules: Iterable[Mapping[str, Any]], *, model: str) -> list[dict[str, Any]]:
    """The rules with their types inferred and all fields present; repeats collapse.

    Raises Unprocessable for a rule that is not one, and Invalid for rules that do not go together.
    """
    cleaned = list({json.dumps(rule, sort_keys=True): rule for rule in map(_clean_rule, rules)}.values())
    first = [rule["tool_name"] for rule in cleaned if rule["type"] == "run_first"]
    if len(first) > 1 and model.split("/", 1)[-1] not in _MANY_FIRST:
        raise Invalid(f"Only one tool can run first; the rules name {', '.join(first)}.")
    return cleaned


def base_tool_rules(agent: Agent, tools: Sequence[Tool], *, is_wanted: bool | None) -> list[dict[str, Any]]:
    """The rules that come with the tools: those of the base tools when wanted, and approval where a tool asks for it."""
    if is_wanted is None:
        name = agent.model.split("/", 1)[-1]
        # "gemini" is no small model; V1 took it for one.
        is_small = "mini" in name.replace("gemini", "")
        steers = any(mark in name for mark in _SELF_STEERING) and not is_small
        is_sleeptime = agent.agent_type == AgentType.SLEEPTIME
        is_wanted = agent.agent_type != AgentType.LETTA_V1 and (is_sleeptime or not steers)
    rules = approval_rules(tools)
    if is_wanted:
        for tool in tools:
            if tool.name in _ENDING_TOOLS:
                rules.append({"type": "exit_loop", "tool_name": tool.name})
            elif tool.tool_type in _BASE_TYPES:
                rules.append({"type": "continue_loop", "tool_name": tool.name})
    return rules


def approval_rules(tools: Sequence[Tool]) -> list[dict[str, Any]]:
    """The rule for each tool that wants a person's agreement by default."""
    return [approval_rule(tool) for tool in tools if tool.default_requires_approval]


def approval_rule(tool: Tool) -> dict[str, Any]:
    """The rule by which a person must agree to calls of the tool."""
    return {"type": "requires_approval", "tool_name": tool.name}


def add_rules(agent: Agent, rules: Sequence[dict[str, Any]]) -> None:
    """Give the agent these tool rules too; one that it has stays single."""
    known = {(rule["type"], rule["tool_name"]) for rule in agent.tool_rules}
    new = [rule for rule in rules if (rule["type"], rule["tool_name"]) not in known]
    if new:
        agent.tool_rules = clean_rules((*agent.tool_rules, *new), model=agent.model)
        agent.save(update_fields=["tool_rules", "updated_at"])


def remove_rules(agent: Agent, rules: Sequence[dict[str, Any]]) -> None:
    """Take rules of these types for these tools from the agent."""
    gone = {(rule["type"], rule["tool_name"]) for rule in rules}
    kept = [rule for rule in agent.tool_rules if (rule["type"], rule["tool_name"]) not in gone]
    if len(kept) != len(agent.tool_rules):
        agent.tool_rules = kept
        agent.save(update_fields=["tool_rules", "updated_at"])


def _clean_rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    name = rule.get("tool_name")
    if not isinstance(name, str) or not name:
        raise Unprocessable("A tool rule needs a tool_name.")
    kind = _type_of(rule)
    cleaned: dict[str, Any] = {
        "tool_name": name,
        "type": kind,
        "prompt_template": rule.get("prompt_template"),
    }
    for field, default in _FIELDS[kind].items():
        value = rule.get(field)
        if value is None and default is ...:
            raise Unprocessable(f"The rule {kind!r} for {name!r} needs {field!r}.")
        cleaned[field] = default if value is None else value
    _check(cleaned)
    return cleaned


def _type_of(rule: Mapping[str, Any]) -> str:
    given = rule.get("type")
    if given is None:
        return next((kind for field, kind in _TYPE_BY_FIELD if rule.get(field) is not None), "exit_loop")
    kind = _ALIASES.get(given, given) if isinstance(given, str) else ""
    if kind not in _FIELDS:
        raise Unprocessable(f"There is no tool rule {given!r}; the types are {', '.join(_FIELDS)}.")
    return kind


def _check(rule: Mapping[str, Any]) -> None:
    kind, name = rule["type"], rule["tool_name"]
    if kind == "max_count_per_step" and not (
        isinstance(rule["max_count_limit"], int) and rule["max_count_limit"] > 0
    ):
        raise Unprocessable(f"max_count_limit of the rule for {name!r} must be a number above 0.")
    if kind == "conditional" and not (
        isinstance(rule["child_output_mapping"], dict) and rule["child_output_mapping"]
    ):
        raise Unprocessable(f"child_output_mapping of the rule for {name!r} must map an output to a tool.")
    if kind in ("constrain_child_tools", "parent_last_tool"):
        children = rule["children"]
        if not isinstance(children, list) or not all(isinstance(child, str) for child in children):
            raise Unprocessable(f"children of the rule for {name!r} must be a list of tool names.")
    if kind == "constrain_child_tools" and rule["child_arg_nodes"]:
        if not all(
            isinstance(node, dict) and isinstance(node.get("name"), str) for node in rule["child_arg_nodes"]
        ):
            raise Unprocessable(f"child_arg_nodes of the rule for {name!r} must be objects with a name.")
        for node in rule["child_arg_nodes"]:
            if node["name"] not in rule["children"]:
                raise Invalid(
                    f"The rule for {name!r} sets arguments of {node['name']!r}, which is not among its children."
                )
