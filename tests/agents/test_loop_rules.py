"""Tool rules in a run: what is offered, what is forced, what is filled in, and when the run goes on (spec/agent-loop.md §5)."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.llm.testing import text, tool_call
from tests.support.loop import HELLO, LOOPS, MemoryJournal, Recorder, Told, rules, spec, tell

TOOLS = tuple(spec(name, "words") for name in ("answer", "plan", "search", "stop"))
ALL = {"answer", "plan", "search", "stop"}
EXIT = {"type": "exit_loop", "tool_name": "stop"}
REQUIRED = {"type": "required_before_exit", "tool_name": "answer"}


def on(name: str, **arguments: Any) -> Any:
    """A call that goes on in either loop."""
    return tool_call(name, request_heartbeat=True, **arguments)


async def run(replies: list[Any], *data: dict[str, Any], loop: str = "direct", **changes: Any) -> Told:
    return await tell(replies, rules=rules(*data), loop=loop, **{"tools": TOOLS, **changes})


def free(loop: str) -> str:
    """How the model chooses where no rule forces anything."""
    return "auto" if loop == "direct" else "required"


#: Case -> (rules, first call, tools offered after it, how the model must choose; "" where no rule forces it).
AFTER_A_CALL: dict[str, tuple[list[dict[str, Any]], str, set[str], str]] = {
    "one child": (
        [{"type": "constrain_child_tools", "tool_name": "plan", "children": ["search"]}],
        "plan",
        {"search"},
        "search",
    ),
    "two children": (
        [{"type": "constrain_child_tools", "tool_name": "plan", "children": ["search", "answer"]}],
        "plan",
        {"search", "answer"},
        "required",
    ),
    "its parent ran": (
        [{"type": "parent_last_tool", "tool_name": "plan", "children": ["search"]}],
        "plan",
        {"search"},
        "search",
    ),
    "its parent did not run": (
        [{"type": "parent_last_tool", "tool_name": "plan", "children": ["search"]}],
        "answer",
        ALL - {"search"},
        "",
    ),
    "a condition on what was returned": (
        [{"type": "conditional", "tool_name": "plan", "child_output_mapping": {"you said": "search"}}],
        "plan",
        {"search"},
        "search",
    ),
    "a condition that is not met": (
        [{"type": "conditional", "tool_name": "plan", "child_output_mapping": {"no": "search"}}],
        "plan",
        ALL,
        "required",
    ),
    "a count": (
        [{"type": "max_count_per_step", "tool_name": "plan", "max_count_limit": 1}],
        "plan",
        ALL - {"plan"},
        "",
    ),
    "a count that is not reached": (
        [{"type": "max_count_per_step", "tool_name": "plan", "max_count_limit": 2}],
        "plan",
        ALL,
        "",
    ),
    "rules that leave nothing": (
        [
            {"type": "constrain_child_tools", "tool_name": "plan", "children": ["plan"]},
            {"type": "max_count_per_step", "tool_name": "plan", "max_count_limit": 1},
        ],
        "plan",
        ALL,
        "",
    ),
    "an approval": ([{"type": "requires_approval", "tool_name": "search"}], "plan", ALL, ""),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("data", "first", "offered", "choice"), AFTER_A_CALL.values(), ids=AFTER_A_CALL)
async def test_a_call_decides_what_the_next_one_is_offered_and_whether_it_is_forced(
    data: list[dict[str, Any]], first: str, offered: set[str], choice: str, loop: str
) -> None:
    # echo() without words returns "you said ", and a condition compares without blanks.
    told = await run([on(first), text("ok")], *data, loop=loop)
    assert told.offered(1) == offered
    assert told.choice(1) == (choice or free(loop))
    assert told.model.requests[1].tool_choice.forces_by_rule is (loop == "direct" or bool(choice))


@pytest.mark.parametrize("loop", LOOPS)
async def test_run_first_forces_its_tool_with_its_arguments_in_the_first_step_only(loop: str) -> None:
    first = {"type": "run_first", "tool_name": "plan", "args": {"words": "ours"}}
    told = await run(
        [on("plan", words="the model's"), on("plan", words="its own"), text("ok")], first, loop=loop
    )
    assert (told.offered(0), told.choice(0)) == ({"plan"}, "plan")
    assert (told.offered(1), told.choice(1)) == (ALL, free(loop))
    assert told.returns == ["you said ours", "you said its own"]


@pytest.mark.parametrize("loop", LOOPS)
async def test_two_tools_that_may_run_first_are_both_offered_and_one_must_be_called(loop: str) -> None:
    first = {"type": "run_first", "tool_name": "plan"}
    told = await run([on("search"), text("ok")], first, {**first, "tool_name": "search"}, loop=loop)
    assert (told.offered(0), told.choice(0)) == ({"plan", "search"}, "required")


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_call_beside_the_rule_is_refused_and_the_rule_stands(loop: str) -> None:
    first = {"type": "run_first", "tool_name": "plan"}
    told = await run([on("search"), on("plan"), text("ok")], first, loop=loop)
    assert "plan must be called first" in told.returns[0]
    assert [told.choice(0), told.choice(1), told.choice(2)] == ["plan", "plan", free(loop)]


@pytest.mark.parametrize("loop", LOOPS)
async def test_arguments_of_a_child_are_filled_in_over_the_models_and_others_stay(loop: str) -> None:
    search_tool = Recorder()
    search = spec("search", "words", limit={"type": "integer"})
    journal = MemoryJournal(plan=lambda **said: "ok", search=search_tool)
    rule = {
        "type": "constrain_child_tools",
        "tool_name": "plan",
        "children": ["search"],
        "child_arg_nodes": [{"name": "search", "args": {"limit": 3}}],
    }
    calls = [on("search", words="a", limit=50), on("plan"), on("search", words="b", limit=50), text("ok")]
    await run(calls, rule, loop=loop, tools=(spec("plan"), search), journal=journal)
    assert search_tool.seen == [{"words": "a", "limit": 50}, {"words": "b", "limit": 3}]


async def test_what_a_rule_fills_in_need_not_be_said_by_the_model() -> None:
    first = {"type": "run_first", "tool_name": "plan", "args": {"words": "ours"}}
    told = await run([on("plan"), text("ok")], first, tools=(spec("plan", "words", required=["words"]),))
    assert told.returns == ["you said ours"]


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(
    ("args", "problem"),
    [
        ({"no_such": 1}, "'no_such', which is not a parameter of the tool"),
        ({"words": 1}, "'words' to 1, which is not of type string"),
        ({"colour": "blue"}, "'colour' to 'blue', which is not one of ['red']"),
    ],
)
async def test_a_rule_that_does_not_fit_its_tool_ends_the_run_and_says_why(
    args: dict[str, Any], problem: str, loop: str
) -> None:
    tools = (spec("plan", "words", colour={"type": "string", "enum": ["red"]}),)
    told = await run(
        [on("plan")], {"type": "run_first", "tool_name": "plan", "args": args}, loop=loop, tools=tools
    )
    assert (told.stop_reason, told.status) == ("invalid_tool_call", "failed")
    [returned] = told.journal.outcomes
    assert returned.is_error
    assert returned.text == f"Error executing function plan: BadToolRule: the rule sets {problem}"
    assert [message.role for message in told.journal.stored] == ["user", "assistant", "tool"]


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_count_is_reached_after_exactly_so_many_calls(loop: str) -> None:
    count = {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 2}
    told = await run([on("search"), on("search"), on("search"), text("ok")], count, loop=loop)
    assert [outcome.is_error for outcome in told.journal.outcomes] == [False, False, True]
    assert "it may be called 2 times in one response and has been" in told.returns[2]
    assert ["search" in told.offered(step) for step in range(4)] == [True, True, False, False]


async def test_refused_and_unreadable_calls_do_not_count() -> None:
    count = {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 1}
    told = await run(
        [on("gone"), tool_call("search", json_text="{"), on("search"), on("search"), text("ok")], count
    )
    assert [outcome.was_run for outcome in told.journal.outcomes] == [False, False, True, False]


async def test_counts_begin_anew_with_every_run() -> None:
    count = {"type": "max_count_per_step", "tool_name": "search", "max_count_limit": 1}
    first = await run([on("search"), text("ok")], count)
    again = await run([on("search"), text("ok")], count, context=(*first.model.requests[-1].messages, HELLO))
    assert [outcome.is_error for outcome in again.journal.outcomes] == [False]


@pytest.mark.parametrize("loop", LOOPS)
async def test_an_exit_tool_ends_the_run_whatever_else_its_rules_say(loop: str) -> None:
    others: list[dict[str, Any]] = [
        {"type": "continue_loop", "tool_name": "stop"},
        {"type": "constrain_child_tools", "tool_name": "stop", "children": ["plan"]},
    ]
    told = await run([on("stop")], EXIT, *others, loop=loop)
    assert (told.stop_reason, told.status) == ("tool_rule", "completed")
    assert told.journal.stored[-1].role == "tool"


@pytest.mark.parametrize("loop", LOOPS)
async def test_nothing_ends_before_what_is_required_was_called(loop: str) -> None:
    told = await run([on("stop"), text("Bye"), on("answer"), on("stop")], EXIT, REQUIRED, loop=loop)
    assert told.stop_reason == "tool_rule"
    notes = [step.heartbeat for step in told.journal.ended]
    assert ["call answer first" in (note or "") for note in notes] == [True, True, False, False]
    assert len(told.model.requests) == 4


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_tool_that_is_required_and_exits_does_both(loop: str) -> None:
    told = await run([on("stop")], EXIT, {**REQUIRED, "tool_name": "stop"}, loop=loop)
    assert told.stop_reason == "tool_rule"


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_required_tool_whose_call_was_refused_is_still_required(loop: str) -> None:
    told = await run(
        [tool_call("answer", json_text="{"), on("stop"), on("answer"), on("stop")], EXIT, REQUIRED, loop=loop
    )
    assert told.stop_reason == "tool_rule"
    assert len(told.model.requests) == 4


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_tool_that_is_not_attached_is_never_required(loop: str) -> None:
    told = await run([on("stop")], EXIT, {**REQUIRED, "tool_name": "gone"}, loop=loop)
    assert told.stop_reason == "tool_rule"


async def test_every_rule_but_the_one_that_asks_a_person_ends_parallel_calls() -> None:
    types: dict[str, dict[str, Any]] = {
        "run_first": {},
        "exit_loop": {},
        "continue_loop": {},
        "required_before_exit": {},
        "constrain_child_tools": {"children": ["plan"]},
        "parent_last_tool": {"children": ["plan"]},
        "conditional": {"child_output_mapping": {"a": "plan"}},
        "max_count_per_step": {"max_count_limit": 5},
        "requires_approval": {},
    }
    for kind, fields in types.items():
        told = await run([text("ok")], {"type": kind, "tool_name": "gone", **fields})
        assert told.model.requests[0].parallel_tool_calls is (kind == "requires_approval"), kind


async def test_client_tools_are_under_the_rules_too() -> None:
    tools = (*TOOLS, spec("shell", "words", is_client=True))
    first = {"type": "run_first", "tool_name": "plan"}
    child = {"type": "constrain_child_tools", "tool_name": "plan", "children": ["shell"]}
    told = await run([on("plan"), on("shell")], first, child, tools=tools)
    assert (told.offered(0), told.choice(1)) == ({"plan"}, "shell")
    assert told.stop_reason == "requires_approval"
