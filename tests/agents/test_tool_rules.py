"""Each tool rule, by its table in the specification."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runtime.tool_rules import PastCall, Rule, RuleBook, describe

ATTACHED = ["plan", "search", "answer", "stop"]


def book(*data: dict[str, Any]) -> RuleBook:
    return RuleBook(Rule.from_data(each) for each in data)


def past(*calls: str | tuple[str, str]) -> list[PastCall]:
    pairs = [(call, "") if isinstance(call, str) else call for call in calls]
    return [PastCall(name=name, result=result) for name, result in pairs]


def allowed(rules: RuleBook, history: list[PastCall]) -> tuple[set[str], bool]:
    allowance = rules.allowance(ATTACHED, history)
    return set(allowance.names), allowance.is_forced


def test_without_rules_everything_is_allowed_and_nothing_forced() -> None:
    assert allowed(book(), past()) == (set(ATTACHED), False)


def test_run_first_forces_its_tool_once() -> None:
    rules = book({"type": "run_first", "tool_name": "plan"})
    assert allowed(rules, past()) == ({"plan"}, True)
    assert allowed(rules, past("plan")) == (set(ATTACHED), False)


def test_run_first_of_a_tool_that_is_not_attached_forces_nothing() -> None:
    assert allowed(book({"type": "run_first", "tool_name": "gone"}), past()) == (set(ATTACHED), False)


def test_children_follow_their_parent() -> None:
    rules = book({"type": "constrain_child_tools", "tool_name": "plan", "children": ["search", "answer"]})
    assert allowed(rules, past("plan")) == ({"search", "answer"}, True)
    assert allowed(rules, past("search")) == (set(ATTACHED), False)


def test_a_parents_children_are_closed_until_it_ran_last() -> None:
    rules = book({"type": "parent_last_tool", "tool_name": "plan", "children": ["search"]})
    assert allowed(rules, past()) == ({"plan", "answer", "stop"}, False)
    assert allowed(rules, past("plan")) == ({"search"}, True)


@pytest.mark.parametrize(
    ("result", "child"),
    [("True", "search"), ("true", "search"), ("3.0", "answer"), ("other", "stop")],
)
def test_a_conditional_rule_matches_truth_numbers_and_text(result: str, child: str) -> None:
    rules = book(
        {
            "type": "conditional",
            "tool_name": "plan",
            "child_output_mapping": {"true": "search", "3": "answer"},
            "default_child": "stop",
        }
    )
    assert allowed(rules, past(("plan", result))) == ({child}, True)


def test_a_conditional_rule_without_match_and_default_allows_everything() -> None:
    rules = book({"type": "conditional", "tool_name": "plan", "child_output_mapping": {"a": "search"}})
    assert allowed(rules, past(("plan", "b"))) == (set(ATTACHED), True)


def test_rules_that_leave_nothing_are_ignored() -> None:
    rules = book(
        {"type": "constrain_child_tools", "tool_name": "plan", "children": ["search"]},
        {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 1},
    )
    assert allowed(rules, past("search", "plan")) == (set(ATTACHED), False)


def test_prefilled_arguments_come_from_the_first_rule_and_from_the_parent() -> None:
    rules = book(
        {"type": "run_first", "tool_name": "plan", "args": {"depth": 2}},
        {
            "type": "constrain_child_tools",
            "tool_name": "plan",
            "children": ["search"],
            "child_arg_nodes": [{"name": "search", "args": {"limit": 3}}],
        },
    )
    assert rules.prefilled("plan", past()) == {"depth": 2}
    assert rules.prefilled("search", past("plan")) == {"limit": 3}
    assert rules.prefilled("search", past("search")) == {}


def test_only_attached_tools_can_be_required_before_exit() -> None:
    rules = book(
        {"type": "required_before_exit", "tool_name": "answer"},
        {"type": "required_before_exit", "tool_name": "gone"},
    )
    assert rules.missing_before_exit(ATTACHED, past()) == ["answer"]
    assert rules.missing_before_exit(ATTACHED, past("answer")) == []


def test_parallel_calls_end_with_the_first_real_rule() -> None:
    assert book({"type": "requires_approval", "tool_name": "stop"}).allows_parallel_calls
    assert not book({"type": "exit_loop", "tool_name": "stop"}).allows_parallel_calls


def test_sentences_stand_in_the_order_of_the_specification() -> None:
    data: list[dict[str, Any]] = [
        {"type": "exit_loop", "tool_name": "stop"},
        {"type": "run_first", "tool_name": "plan"},
        {"type": "continue_loop", "tool_name": "search"},
        {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 2},
    ]
    sentences = describe(Rule.from_data(each) for each in data)
    assert [sentence.split()[0] for sentence in sentences] == ["After", "Call", "stop"]
