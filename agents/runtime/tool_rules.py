"""Tool rules: which tools may be called now, whether one must be, and what a call means for the loop.

"Step" in the names of the rules means one run: the history begins empty with every request (spec/agent-loop.md §5).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastCall:
    """A call of this run that was executed, and the text that it returned."""

    name: str
    result: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule as the wire has it; fields that its type does not use keep their default."""

    type: str
    tool_name: str
    args: dict[str, Any] | None = None
    children: tuple[str, ...] = ()
    child_args: tuple[tuple[str, dict[str, Any]], ...] = ()
    child_output_mapping: tuple[tuple[str, str], ...] = ()
    default_child: str | None = None
    require_output_mapping: bool = False
    max_count_limit: int | None = None

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Rule:
        """The rule that was stored; services have checked it (`agents/services/agents.py`)."""
        nodes = data.get("child_arg_nodes") or []
        return cls(
            type=data["type"],
            tool_name=data["tool_name"],
            args=data.get("args"),
            children=tuple(data.get("children") or ()),
            child_args=tuple((node["name"], node["args"]) for node in nodes if node.get("args")),
            child_output_mapping=tuple(
                (str(key), child) for key, child in (data.get("child_output_mapping") or {}).items()
            ),
            default_child=data.get("default_child"),
            require_output_mapping=bool(data.get("require_output_mapping")),
            max_count_limit=data.get("max_count_limit"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """What the model may call next. `is_forced`: it must call one of them."""

    names: frozenset[str]
    is_forced: bool


class RuleBook:
    """The rules of an agent. Holds no history: every question brings it."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules = tuple(rules)

    def _of(self, *types: str) -> list[Rule]:
        return [rule for rule in self.rules if rule.type in types]

    @property
    def allows_parallel_calls(self) -> bool:
        """Several calls in one reply would slip past any rule but the one that asks a person."""
        return all(rule.type == "requires_approval" for rule in self.rules)

    def allowance(self, attached: Sequence[str], history: Sequence[PastCall]) -> Allowance:
        """The tools that may be called now. Rules that leave nothing are ignored: a model without tools cannot go on."""
        everything = frozenset(attached)
        first = frozenset(rule.tool_name for rule in self._of("run_first")) & everything
        if first and not history:
            return Allowance(names=first, is_forced=True)
        allowed, is_forced = everything, False
        last = history[-1] if history else None
        for rule in self.rules:
            is_last = last is not None and last.name == rule.tool_name
            match rule.type:
                case "constrain_child_tools" if is_last:
                    allowed, is_forced = allowed & frozenset(rule.children), True
                case "parent_last_tool" if is_last:
                    allowed, is_forced = allowed & frozenset(rule.children), True
                case "parent_last_tool":
                    allowed = allowed - frozenset(rule.children)
                case "conditional" if is_last:
                    assert last is not None, "is_last says so"
                    allowed, is_forced = (
                        allowed & self._children_by_output(rule, last.result, everything),
                        True,
                    )
                case "max_count_per_step" if rule.max_count_limit is not None:
                    if sum(call.name == rule.tool_name for call in history) >= rule.max_count_limit:
                        allowed = allowed - {rule.tool_name}
                case _:
                    pass
        if not allowed:
            return Allowance(names=everything, is_forced=False)
        return Allowance(names=allowed, is_forced=is_forced)

    def _children_by_output(self, rule: Rule, result: str, everything: frozenset[str]) -> frozenset[str]:
        for key, child in rule.child_output_mapping:
            if _matches(key, result):
                return frozenset({child})
        if rule.default_child is not None:
            return frozenset({rule.default_child})
        return frozenset() if rule.require_output_mapping else everything

    def prefilled(self, name: str, history: Sequence[PastCall]) -> dict[str, Any]:
        """Arguments that the rules set for a call of this tool now; they win over the model's."""
        if not history:
            for rule in self._of("run_first"):
                if rule.tool_name == name and rule.args:
                    return dict(rule.args)
            return {}
        for rule in self._of("constrain_child_tools"):
            if rule.tool_name == history[-1].name:
                for child, args in rule.child_args:
                    if child == name:
                        return dict(args)
        return {}

    def ends_run(self, name: str) -> bool:
        """Whether a call of this tool ends the run."""
        return any(rule.tool_name == name for rule in self._of("exit_loop"))

    def goes_on_after(self, name: str) -> bool:
        """Whether a rule lets the heartbeat loop go on after a call of this tool."""
        followed = self._of("continue_loop", "constrain_child_tools", "conditional")
        return any(rule.tool_name == name for rule in followed)

    def needs_approval(self, name: str) -> bool:
        """Whether a person must agree before this tool runs."""
        return any(rule.tool_name == name for rule in self._of("requires_approval"))

    def missing_before_exit(self, attached: Sequence[str], history: Sequence[PastCall]) -> list[str]:
        """Tools that must be called before the run may end and have not been."""
        called = {call.name for call in history}
        # Each once, in the order of the rules.
        required = dict.fromkeys(rule.tool_name for rule in self._of("required_before_exit"))
        return [name for name in required if name in attached and name not in called]

    def why_not(self, name: str, allowed: Collection[str], history: Sequence[PastCall]) -> str:
        """What the model is told when it calls a tool that it may not call now, with the rule that is in the way."""
        rule = self._in_the_way(name, allowed, history)
        return (
            f"[ToolConstraintError] Tool {name!r} cannot be called now{rule}. "
            f"Tools that can be called now: {', '.join(sorted(allowed)) or 'none'}."
        )

    def _in_the_way(self, name: str, allowed: Collection[str], history: Sequence[PastCall]) -> str:
        last = history[-1].name if history else None
        for rule in self.rules:
            match rule.type:
                case "run_first" if not history and rule.tool_name in allowed:
                    return f": {rule.tool_name} must be called first"
                case "max_count_per_step" if rule.tool_name == name and rule.max_count_limit is not None:
                    if sum(call.name == name for call in history) >= rule.max_count_limit:
                        return f": it may be called {rule.max_count_limit} times in one response and has been"
                case "parent_last_tool" if name in rule.children and last != rule.tool_name:
                    return f": it may only be called right after {rule.tool_name}"
                case "constrain_child_tools" | "parent_last_tool" | "conditional" if last == rule.tool_name:
                    return f": what follows {rule.tool_name} is set by a rule"
                case _:
                    pass
        return ""


def describe(rules: Iterable[Rule]) -> list[str]:
    """The sentences for the prompt, in the order that the spec gives them; rules that need none are left out."""
    order = {
        "continue_loop": 0,
        "constrain_child_tools": 1,
        "conditional": 1,
        "max_count_per_step": 1,
        "parent_last_tool": 2,
        "exit_loop": 3,
    }
    sentences = []
    for rule in sorted((rule for rule in rules if rule.type in order), key=lambda rule: order[rule.type]):
        children = ", ".join(rule.children)
        match rule.type:
            case "continue_loop":
                sentences.append(f"After {rule.tool_name} your response goes on.")
            case "constrain_child_tools":
                sentences.append(f"Right after {rule.tool_name} only these tools may follow: {children}.")
            case "conditional":
                sentences.append(f"What {rule.tool_name} returns decides which tool must follow it.")
            case "max_count_per_step":
                sentences.append(
                    f"Call {rule.tool_name} at most {rule.max_count_limit} times in one response."
                )
            case "parent_last_tool":
                sentences.append(f"These tools may be called only right after {rule.tool_name}: {children}.")
            case "exit_loop":
                sentences.append(f"{rule.tool_name} ends your response.")
    return sentences


def _matches(key: str, result: str) -> bool:
    """Whether a tool's return is what the key of a conditional rule means."""
    wanted, text = key.strip(), result.strip()
    if wanted.lower() in {"true", "false"}:
        return text.lower() == wanted.lower()
    if _NUMBER.fullmatch(wanted) and _NUMBER.fullmatch(text):
        # Exact: as floats two long numbers that differ may be the same.
        return Decimal(text) == Decimal(wanted)
    return text == wanted
