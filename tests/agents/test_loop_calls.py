"""Calls of a reply: how their arguments are read, which of several count, and their ids (spec/agent-loop.md §4)."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runtime.events import ToolCallDelta, ToolCallStarted
from agents.runtime.snapshot import CallSettings
from agents.runtime.step import plan_step
from agents.runtime.tool_rules import Allowance
from letta_ade.llm.messages import ChatMessage, Reply, ToolCall
from letta_ade.llm.testing import (
    text,
    tool_call,
)
from tests.support.loop import (
    LOOPS,
    SYSTEM,
    MemoryJournal,
    Recorder,
    echo,
    of,
    rules,
    snapshot,
    spec,
    tell,
)

TOOLS = (spec("echo", "words"), spec("stop"), spec("ask"), spec("needed"))
EXIT = {"type": "exit_loop", "tool_name": "stop"}
APPROVAL = {"type": "requires_approval", "tool_name": "ask"}


def call(name: str = "echo", **arguments: Any) -> Any:
    return tool_call(name, **arguments)


def on(name: str = "echo", **arguments: Any) -> Any:
    """A call that goes on in either loop."""
    return tool_call(name, request_heartbeat=True, **arguments)


# Arguments as models write them.

SAID = "you said"
ARGUMENTS = {
    "an object": ('{"words": "a"}', f"{SAID} a"),
    "an object in a string": ('"{\\"words\\": \\"a\\"}"', f"{SAID} a"),
    "two objects glued together": ('{"words": "a"}{"words": "b"}', f"{SAID} a"),
    "two objects with a blank between": ('{"words": "a"}\n{"words": "b"}', f"{SAID} a"),
    "a line break inside a string": ('{"words": "a\nb"}', f"{SAID} a\nb"),
    "keys of the loop": ('{"words": "a", "thinking": "x", "inner_thoughts": "y"}', f"{SAID} a"),
    "no text": ("", "MissingArguments"),
    "an empty object": ("{}", "MissingArguments"),
    "null": ("null", "MissingArguments"),
    "null for what is required": ('{"words": null}', "MissingArguments"),
    "another name": ('{"word": "a"}', "MissingArguments: missing required argument 'words'"),
    "half an object": ('{"words": "a', "BadArguments: The arguments are not valid JSON"),
    "half an object in a string": ('"{\\"words\\": "', "BadArguments"),
    "words": ("hello", "BadArguments"),
    "a list": ('["a"]', "BadArguments: The arguments must be a JSON object, not list"),
    "a number": ("3", "BadArguments: The arguments must be a JSON object, not int"),
    "text behind the object": ('{"words": "a"} and so on', "BadArguments"),
    "a list behind the object": ('{"words": "a"}[1]', "BadArguments"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize(("written", "expected"), ARGUMENTS.values(), ids=ARGUMENTS)
async def test_arguments_are_read_or_refused_with_the_reason_and_the_run_goes_on(
    written: str, expected: str, loop: str
) -> None:
    book = rules({"type": "continue_loop", "tool_name": "echo"})
    told = await tell(
        [tool_call("echo", json_text=written), call(words="again")],
        tools=(spec("echo", "words", required=["words"]),),
        journal=MemoryJournal(echo=echo),
        rules=book,
        loop=loop,
        max_steps=2,
    )
    first, second = told.journal.outcomes
    assert expected in first.text
    assert first.is_error == (not expected.startswith(SAID))
    assert first.was_run is not first.is_error
    if first.is_error:
        assert first.text.startswith("Error executing function echo: ")
    assert second.text == f"{SAID} again"


async def test_a_parameter_with_the_name_of_a_loops_key_is_the_tools() -> None:
    note = Recorder()
    await tell(
        [call("note", thinking="deep", inner_thoughts="x", request_heartbeat=True), text("ok")],
        tools=(spec("note", "thinking"),),
        journal=MemoryJournal(note=note),
    )
    assert note.seen == [{"thinking": "deep"}]


async def test_the_reason_for_a_refusal_has_a_length() -> None:
    told = await tell([tool_call("echo", json_text="x" * 5000), text("ok")])
    assert len(told.returns[0]) < 1001


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_tool_without_what_it_requires_does_not_end_the_run(loop: str) -> None:
    book = rules(EXIT)
    told = await tell(
        [call("stop"), call("stop", message="Bye")],
        tools=(spec("stop", "message", required=["message"]),),
        rules=book,
        loop=loop,
    )
    assert [outcome.is_error for outcome in told.journal.outcomes] == [True, False]
    assert told.stop_reason == "tool_rule"


async def test_an_exit_tool_that_fails_has_run_and_ends_the_run() -> None:
    def fail() -> str:
        raise ValueError("broken")

    told = await tell(
        [call("stop")], tools=(spec("stop"),), rules=rules(EXIT), journal=MemoryJournal(stop=fail)
    )
    assert told.returns == ["Error executing function stop: ValueError: broken"]
    assert told.stop_reason == "tool_rule"


@pytest.mark.parametrize("loop", LOOPS)
async def test_an_unknown_tool_is_refused_and_the_valid_ones_are_named(loop: str) -> None:
    told = await tell([call("shout"), on(words="a"), call(words="b")], loop=loop, max_steps=3)
    refused = told.journal.outcomes[0]
    assert (refused.is_error, refused.was_run) == (True, False)
    assert refused.text.startswith("[ToolConstraintError]")
    assert "Tools that can be called now: echo" in refused.text


async def test_a_tool_that_fails_tells_the_model_and_the_run_goes_on() -> None:
    def fail(words: str = "") -> str:
        raise KeyError("lost")

    told = await tell([call(words="a"), text("Sorry")], journal=MemoryJournal(echo=fail))
    assert told.returns == ["Error executing function echo: KeyError: 'lost'"]
    assert told.stop_reason == "end_turn"


# Several calls in one reply.


async def test_parallel_calls_are_one_step_and_return_in_the_order_of_the_calls() -> None:
    told = await tell(
        [[call(words="a"), call("gone"), tool_call("echo", json_text="["), call(words="b")], text("ok")]
    )
    assert told.returns[0] == f"{SAID} a"
    assert "ToolConstraintError" in told.returns[1]
    assert "BadArguments" in told.returns[2]
    assert told.returns[3] == f"{SAID} b"
    said, returned = told.journal.stored[1:3]
    assert [each.tool_call_id for each in returned.tool_returns] == [each.id for each in said.tool_calls]
    assert len(told.model.requests) == 2


@pytest.mark.parametrize(
    ("case", "changes"),
    {
        "the settings say so": {"settings": CallSettings(parallel_tool_calls=False)},
        "a rule would be slipped past": {"rules": rules({"type": "continue_loop", "tool_name": "echo"})},
        "the loop is the heartbeat one": {"loop": "heartbeat"},
    }.items(),
    ids=lambda value: value if isinstance(value, str) else "",
)
async def test_the_first_of_several_calls_counts_where(case: str, changes: dict[str, Any]) -> None:
    told = await tell([[on(words="a"), on(words="b"), call(words="c")], text("ok")], **changes)
    assert told.model.requests[0].parallel_tool_calls is False
    assert told.returns == [f"{SAID} a"]
    assert len({event.tool_call_id for event in of(told.events, ToolCallStarted)}) == 1
    assert len({event.tool_call_id for event in of(told.events, ToolCallDelta)}) == 1


async def test_a_rule_that_asks_a_person_leaves_parallel_calls_as_they_are() -> None:
    told = await tell([[call(words="a"), call(words="b")], text("ok")], tools=TOOLS, rules=rules(APPROVAL))
    assert told.model.requests[0].parallel_tool_calls is True
    assert told.returns == [f"{SAID} a", f"{SAID} b"]


def test_one_exit_tool_among_several_calls_ends_the_run() -> None:
    calls = tuple(ToolCall(id=name, name=name, arguments="{}") for name in ("echo", "stop", "ask"))
    opened = snapshot(tools=TOOLS, rules=rules(EXIT))
    names = Allowance(names=frozenset(opened.tool_names), is_forced=False)
    plan = plan_step(opened, Reply(tool_calls=calls), names, [])
    assert plan.stop_reason == "tool_rule"
    assert [each.call.name for each in plan.calls] == ["echo", "stop", "ask"]
    without = plan_step(opened, Reply(tool_calls=calls[::2]), names, [])
    assert without.stop_reason is None


# Ids of calls.


@pytest.mark.parametrize(
    "ids",
    [("call_1", "call_1"), ("", ""), ("call_1", ""), ("old", "old")],
    ids=["repeated", "empty", "one empty", "those of the context"],
)
@pytest.mark.parametrize("is_parallel", [True, False], ids=["in one reply", "in two"])
async def test_every_call_has_an_id_of_its_own_in_stream_and_store(
    ids: tuple[str, str], is_parallel: bool
) -> None:
    calls = [tool_call("echo", call_id=call_id, words=call_id) for call_id in ids]
    earlier = ChatMessage(role="assistant", tool_calls=(ToolCall(id="old", name="echo", arguments="{}"),))
    told = await tell([calls, text("ok")] if is_parallel else [*calls, text("ok")], context=(SYSTEM, earlier))
    stored = [each.id for message in told.journal.stored for each in message.tool_calls]
    assert len({*stored, "old"}) == 3
    assert all(stored)
    assert [event.tool_call_id for event in of(told.events, ToolCallStarted)] == stored
    assert list(dict.fromkeys(event.tool_call_id for event in of(told.events, ToolCallDelta))) == stored
    returned = [each.tool_call_id for message in told.journal.stored for each in message.tool_returns]
    assert returned == stored


async def test_an_id_that_is_not_taken_stays_the_providers() -> None:
    told = await tell([tool_call("echo", call_id="toolu_7", words="a"), text("ok")])
    assert told.journal.stored[1].tool_calls[0].id == "toolu_7"
