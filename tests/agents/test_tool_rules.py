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


EVERYTHING = set(ATTACHED)
CHILD = {"type": "constrain_child_tools", "tool_name": "plan", "children": ["search", "answer"]}
PARENT = {"type": "parent_last_tool", "tool_name": "plan", "children": ["search"]}
FIRST = {"type": "run_first", "tool_name": "plan"}
COUNT = {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 2}


def when(mapping: dict[str, str], **fields: Any) -> dict[str, Any]:
    return {"type": "conditional", "tool_name": "plan", "child_output_mapping": mapping, **fields}


#: Case -> (rules, past calls, tools that may be called now, whether one must be).
ALLOWED: dict[str, tuple[list[dict[str, Any]], list[Any], set[str], bool]] = {
    "no rules": ([], [], EVERYTHING, False),
    "no rules, after a call": ([], ["plan"], EVERYTHING, False),
    # run_first
    "run_first, before the first call": ([FIRST], [], {"plan"}, True),
    "run_first, after it": ([FIRST], ["plan"], EVERYTHING, False),
    "run_first, after another call": ([FIRST], ["search"], EVERYTHING, False),
    "run_first of two": ([FIRST, {**FIRST, "tool_name": "search"}], [], {"plan", "search"}, True),
    "run_first of a tool that is not attached": ([{**FIRST, "tool_name": "gone"}], [], EVERYTHING, False),
    "run_first of two, one not attached": ([FIRST, {**FIRST, "tool_name": "gone"}], [], {"plan"}, True),
    "run_first goes before all others": (
        [FIRST, {**PARENT, "children": ["plan"]}, {**COUNT, "tool_name": "plan", "max_count_limit": 0}],
        [],
        {"plan"},
        True,
    ),
    # Rules that say nothing of what may be called.
    "exit_loop": ([{"type": "exit_loop", "tool_name": "plan"}], ["plan"], EVERYTHING, False),
    "continue_loop": ([{"type": "continue_loop", "tool_name": "plan"}], ["plan"], EVERYTHING, False),
    "required_before_exit": ([{"type": "required_before_exit", "tool_name": "plan"}], [], EVERYTHING, False),
    "requires_approval": ([{"type": "requires_approval", "tool_name": "plan"}], [], EVERYTHING, False),
    "a rule of the future": ([{"type": "no_such_rule", "tool_name": "plan"}], ["plan"], EVERYTHING, False),
    # constrain_child_tools
    "children, before their parent": ([CHILD], [], EVERYTHING, False),
    "children, right after their parent": ([CHILD], ["plan"], {"search", "answer"}, True),
    "children, later": ([CHILD], ["plan", "search"], EVERYTHING, False),
    "children that are not attached": ([{**CHILD, "children": ["gone"]}], ["plan"], EVERYTHING, False),
    "children, some not attached": ([{**CHILD, "children": ["gone", "stop"]}], ["plan"], {"stop"}, True),
    "children of a tool that is not attached": (
        [{**CHILD, "tool_name": "gone"}],
        ["gone"],
        {"search", "answer"},
        True,
    ),
    "a tool that is its own child": ([{**CHILD, "children": ["plan"]}], ["plan"], {"plan"}, True),
    # parent_last_tool
    "a parent, before it": ([PARENT], [], {"plan", "answer", "stop"}, False),
    "a parent, right after it": ([PARENT], ["plan"], {"search"}, True),
    "a parent, later": ([PARENT], ["plan", "search"], {"plan", "answer", "stop"}, False),
    "a parent that is not attached": (
        [{**PARENT, "tool_name": "gone"}],
        [],
        {"plan", "answer", "stop"},
        False,
    ),
    "two parents of one child": ([PARENT, {**PARENT, "tool_name": "answer"}], ["plan"], EVERYTHING, False),
    # max_count_per_step
    "a count, below the limit": ([COUNT], ["search"], EVERYTHING, False),
    "a count, at the limit": ([COUNT], ["search", "search"], {"plan", "answer", "stop"}, False),
    "a count, other tools do not count": ([COUNT], ["plan", "plan", "search"], EVERYTHING, False),
    "a count, over the limit": ([COUNT], ["search"] * 3, {"plan", "answer", "stop"}, False),
    "two counts": ([COUNT, {**COUNT, "max_count_limit": 1}], ["search"], {"plan", "answer", "stop"}, False),
    "counts of all tools": (
        [{**COUNT, "tool_name": name, "max_count_limit": 1} for name in ATTACHED],
        ATTACHED,
        EVERYTHING,
        False,
    ),
    # conditional
    "a condition, before its tool": ([when({"a": "search"})], [], EVERYTHING, False),
    "a condition that is met": ([when({"a": "search"})], [("plan", "a")], {"search"}, True),
    "a condition that is not met": ([when({"a": "search"})], [("plan", "b")], EVERYTHING, True),
    "a condition that is not met, with a default": (
        [when({"a": "search"}, default_child="stop")],
        [("plan", "b")],
        {"stop"},
        True,
    ),
    "a condition that must be met and is not": (
        [when({"a": "search"}, require_output_mapping=True)],
        [("plan", "b")],
        EVERYTHING,
        False,
    ),
    "a condition that must be met, with a default": (
        [when({"a": "search"}, default_child="stop", require_output_mapping=True)],
        [("plan", "b")],
        {"stop"},
        True,
    ),
    "a condition that leads to a tool that is not attached": (
        [when({"a": "gone"})],
        [("plan", "a")],
        EVERYTHING,
        False,
    ),
    "a condition, later": ([when({"a": "search"})], [("plan", "a"), "search"], EVERYTHING, False),
    # Combinations are intersections.
    "children that met their limit": (
        [{**CHILD, "children": ["search", "stop"]}, COUNT],
        ["search", "search", "plan"],
        {"stop"},
        True,
    ),
    "two lists of children": ([CHILD, {**CHILD, "children": ["answer", "stop"]}], ["plan"], {"answer"}, True),
    "lists of children that have nothing in common": (
        [CHILD, {**CHILD, "children": ["stop"]}],
        ["plan"],
        EVERYTHING,
        False,
    ),
    "children and a condition": ([CHILD, when({"a": "answer"})], [("plan", "a")], {"answer"}, True),
    "children one of which waits for another parent": (
        [CHILD, {**PARENT, "tool_name": "stop", "children": ["search"]}],
        ["plan"],
        {"answer"},
        True,
    ),
    "the only child met its limit": (
        [{**CHILD, "children": ["search"]}, {**COUNT, "max_count_limit": 1}],
        ["search", "plan"],
        EVERYTHING,
        False,
    ),
    "the same rule twice": ([CHILD, CHILD], ["plan"], {"search", "answer"}, True),
}


@pytest.mark.parametrize(("data", "history", "names", "is_forced"), ALLOWED.values(), ids=ALLOWED)
def test_rules_say_what_may_be_called_and_whether_something_must(
    data: list[dict[str, Any]], history: list[Any], names: set[str], is_forced: bool
) -> None:
    assert allowed(book(*data), past(*history)) == (names, is_forced)


def test_with_nothing_attached_nothing_may_be_called_and_nothing_must() -> None:
    allowance = book(FIRST, CHILD).allowance([], past("plan"))
    assert (allowance.names, allowance.is_forced) == (frozenset(), False)


@pytest.mark.parametrize(
    ("key", "result", "fits"),
    [
        ("true", "true", True),
        ("true", "True", True),
        ("True", "true", True),
        ("TRUE", " true\n", True),
        ("true", "1", False),
        ("true", "truest", False),
        ("false", "False", True),
        ("false", "0", False),
        ("false", "", False),
        ("3", "3", True),
        ("3", "3.0", True),
        ("3.0", "3", True),
        ("3", "+3", True),
        ("3", "3.1", False),
        ("-1", "-1", True),
        ("0.5", ".5", True),
        ("1e3", "1000", True),
        ("3", "three", False),
        ("3", "3 apples", False),
        # As floats these two are the same number.
        ("9007199254740993", "9007199254740992", False),
        ("9007199254740993", "9007199254740993", True),
        ("nan", "nan", True),
        ("infinity", "inf", False),
        ("1_000", "1000", False),
        ("yes", "yes", True),
        ("yes", "Yes", False),
        ("yes", "yes.", False),
        ("two words", "two words\n", True),
        ("None", "None", True),
        ("None", "none", False),
        ("None", "null", False),
        ('{"a": 1}', '{"a": 1}', True),
        ("", "", True),
    ],
)
def test_a_condition_compares_what_the_tool_returned(key: str, result: str, fits: bool) -> None:
    rules = book(when({key: "search"}, default_child="stop"))
    assert allowed(rules, past(("plan", result))) == ({"search" if fits else "stop"}, True)


@pytest.mark.parametrize("key", [True, 3, 3.5, None])
def test_a_key_that_is_no_text_is_read_as_one(key: Any) -> None:
    rules = book({**when({}), "child_output_mapping": {key: "search"}})
    assert allowed(rules, past(("plan", str(key)))) == ({"search"}, True)


def test_the_first_key_that_fits_counts() -> None:
    rules = book(when({"1": "search", "1.0": "answer"}))
    assert allowed(rules, past(("plan", "1.00"))) == ({"search"}, True)


def test_prefilled_arguments_come_from_the_first_rule_and_from_the_parent() -> None:
    rules = book(
        {**FIRST, "args": {"depth": 2}},
        {**CHILD, "child_arg_nodes": [{"name": "search", "args": {"limit": 3}}, {"name": "answer"}]},
    )
    assert rules.prefilled("plan", past()) == {"depth": 2}
    assert rules.prefilled("search", past()) == {}
    assert rules.prefilled("plan", past("plan")) == {}
    assert rules.prefilled("search", past("plan")) == {"limit": 3}
    assert rules.prefilled("answer", past("plan")) == {}
    assert rules.prefilled("search", past("plan", "search")) == {}


def test_only_attached_tools_can_be_required_before_exit() -> None:
    required = {"type": "required_before_exit", "tool_name": "answer"}
    rules = book(required, {**required, "tool_name": "gone"}, {**required, "tool_name": "search"}, required)
    assert rules.missing_before_exit(ATTACHED, past()) == ["answer", "search"]
    assert rules.missing_before_exit(ATTACHED, past("answer")) == ["search"]
    assert rules.missing_before_exit(ATTACHED, past("answer", "search")) == []


@pytest.mark.parametrize(
    ("rule", "ends", "goes_on"),
    [
        ({"type": "exit_loop", "tool_name": "plan"}, True, False),
        ({"type": "continue_loop", "tool_name": "plan"}, False, True),
        (CHILD, False, True),
        (when({"a": "b"}), False, True),
        (PARENT, False, False),
        (FIRST, False, False),
        ({**COUNT, "tool_name": "plan"}, False, False),
        ({"type": "required_before_exit", "tool_name": "plan"}, False, False),
        ({"type": "requires_approval", "tool_name": "plan"}, False, False),
    ],
)
def test_some_rules_end_the_loop_after_their_tool_and_some_go_on(
    rule: dict[str, Any], ends: bool, goes_on: bool
) -> None:
    rules = book(rule)
    assert (rules.ends_run("plan"), rules.goes_on_after("plan")) == (ends, goes_on)
    assert not rules.ends_run("stop")
    assert not rules.goes_on_after("stop")


@pytest.mark.parametrize(
    ("rule", "history", "name", "reason"),
    [
        (FIRST, [], "search", "plan must be called first"),
        (COUNT, ["search", "search"], "search", "it may be called 2 times in one response and has been"),
        (PARENT, [], "search", "it may only be called right after plan"),
        (PARENT, ["plan"], "stop", "what follows plan is set by a rule"),
        (CHILD, ["plan"], "stop", "what follows plan is set by a rule"),
        (when({"a": "search"}), [("plan", "a")], "stop", "what follows plan is set by a rule"),
    ],
)
def test_who_calls_what_may_not_be_called_is_told_why_and_what_may(
    rule: dict[str, Any], history: list[Any], name: str, reason: str
) -> None:
    rules = book(rule)
    names, _ = allowed(rules, past(*history))
    assert name not in names
    assert rules.why_not(name, names, past(*history)) == (
        f"[ToolConstraintError] Tool {name!r} cannot be called now: {reason}. "
        f"Tools that can be called now: {', '.join(sorted(names))}."
    )


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
