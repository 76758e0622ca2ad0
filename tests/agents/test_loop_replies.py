"""What each shape of a reply comes to, in both loops: the table of spec/agent-loop.md §4 and the stop reasons of §3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agents.runtime.endings import FAILING
from agents.runtime.events import CallRetried, StepStored, TextDelta, ToolCallDelta, ToolCallStarted
from agents.runtime.snapshot import CallSettings
from agents.runtime.step import plan_step
from agents.runtime.tool_rules import Allowance
from letta_ade.llm.errors import ContextOverflow, InvalidReply, ModelBadRequest, ModelCredits
from letta_ade.llm.messages import ChatMessage, ReasoningPart, Reply, TextPart, ToolCall
from letta_ade.llm.testing import (
    ScriptedReply,
    ending,
    error,
    hidden_reasoning,
    reasoning,
    text,
    tool_call,
)
from tests.support.loop import (
    HELLO,
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
NEEDED = {"type": "required_before_exit", "tool_name": "needed"}
BAD_RULE = {"type": "run_first", "tool_name": "echo", "args": {"no_such": 1}}


def call(name: str = "echo", **arguments: Any) -> Any:
    return tool_call(name, **arguments)


def on(name: str = "echo", **arguments: Any) -> Any:
    """A call that goes on in either loop."""
    return tool_call(name, request_heartbeat=True, **arguments)


NOTHING: Sequence[Any] = [text("")]
CUT = ending("length")
REFUSED = ending("refusal")
#: Case -> (replies, rules, stop reason in the direct loop, stop reason in the heartbeat loop).
ENDS: dict[str, tuple[list[ScriptedReply], list[dict[str, Any]], str, str]] = {
    "words": ([text("Hi")], [], "end_turn", "no_tool_call"),
    "a thought and words": ([[reasoning("hm"), text("Hi")]], [], "end_turn", "no_tool_call"),
    "a thought alone": ([reasoning("hm")], [], "end_turn", "no_tool_call"),
    "nothing, twice": ([NOTHING, NOTHING], [], "invalid_llm_response", "invalid_llm_response"),
    "hidden thoughts alone, twice": (
        [hidden_reasoning(), hidden_reasoning()],
        [],
        "invalid_llm_response",
        "invalid_llm_response",
    ),
    "nothing, then words": ([NOTHING, text("Hi")], [], "end_turn", "no_tool_call"),
    "nothing after a call": ([on(words="a"), NOTHING], [], "end_turn", "no_tool_call"),
    "nothing after a call that was refused": ([on("gone"), NOTHING], [], "end_turn", "no_tool_call"),
    "nothing while a tool is required": (
        [NOTHING, NOTHING, on("needed"), text("Bye")],
        [NEEDED],
        "end_turn",
        "no_tool_call",
    ),
    "a refusal without words": ([[REFUSED]], [], "invalid_llm_response", "invalid_llm_response"),
    "a refusal without words while a tool is required": (
        [[REFUSED]],
        [NEEDED],
        "invalid_llm_response",
        "invalid_llm_response",
    ),
    "a refusal with a thought alone": (
        [[reasoning("hm"), REFUSED]],
        [],
        "invalid_llm_response",
        "invalid_llm_response",
    ),
    "a refusal with words": ([[text("I will not."), REFUSED]], [], "end_turn", "no_tool_call"),
    "words that were cut": ([[text("Once"), CUT]], [], "max_tokens_exceeded", "max_tokens_exceeded"),
    "a thought that was cut": ([[reasoning("hm"), CUT]], [], "max_tokens_exceeded", "max_tokens_exceeded"),
    "cut before the first word": ([[CUT]], [], "max_tokens_exceeded", "max_tokens_exceeded"),
    "cut after a call": (
        [on(words="a"), [text("Once"), CUT]],
        [],
        "max_tokens_exceeded",
        "max_tokens_exceeded",
    ),
    "a whole call before the cut": ([[call(words="a"), CUT], text("Hi")], [], "end_turn", "end_turn"),
    "a call": ([call(words="a"), text("Hi")], [], "end_turn", "end_turn"),
    "calls until the budget is used up": (
        [on(words="a"), on(words="b"), on(words="c")],
        [],
        "max_steps",
        "max_steps",
    ),
    "an exit tool in the last step": ([on(), on(), call("stop")], [EXIT], "tool_rule", "tool_rule"),
    "words in the last step": ([on(), on(), text("Hi")], [], "end_turn", "no_tool_call"),
    "an exit tool": ([call("stop")], [EXIT], "tool_rule", "tool_rule"),
    "an exit tool that asks to go on": ([on("stop")], [EXIT], "tool_rule", "tool_rule"),
    "a call that waits": ([call("ask")], [APPROVAL], "requires_approval", "requires_approval"),
    "a call with a bad rule": ([call()], [BAD_RULE], "invalid_tool_call", "invalid_tool_call"),
    "an unknown tool": ([call("gone"), call(), text("Hi")], [], "end_turn", "end_turn"),
    "the provider fails": ([error(ModelBadRequest("no"))], [], "llm_api_error", "llm_api_error"),
    # `insufficient_credits` is never told by a server of one's own.
    "the provider wants money": ([error(ModelCredits("no"))], [], "llm_api_error", "llm_api_error"),
    "the request is too long": ([error(ContextOverflow("long"))], [], "llm_api_error", "llm_api_error"),
    "the reply cannot be read": (
        [error(InvalidReply("what"))],
        [],
        "invalid_llm_response",
        "invalid_llm_response",
    ),
    "we fail": ([error(RuntimeError("bug"))], [], "error", "error"),
}


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", ENDS)
async def test_a_reply_ends_the_run_as_the_table_says(case: str, loop: str) -> None:
    replies, data, direct, heartbeat = ENDS[case]
    told = await tell(replies, tools=TOOLS, rules=rules(*data), loop=loop, max_steps=3)
    expected = direct if loop == "direct" else heartbeat
    failed = expected in FAILING
    assert (told.stop_reason, told.status) == (expected, "failed" if failed else "completed")
    assert [end.stop_reason for end in told.journal.ends] == [expected]


def test_the_table_knows_every_stop_reason_of_a_run_that_nobody_stops() -> None:
    seen = {reason for _, _, *both in ENDS.values() for reason in both}
    elsewhere = {"context_window_overflow_in_system_prompt", "insufficient_credits"}
    assert (
        seen == {"end_turn", "max_steps", "tool_rule", "requires_approval", *FAILING - elsewhere} - elsewhere
    )


async def test_an_empty_reply_is_asked_for_once_more() -> None:
    told = await tell([NOTHING, NOTHING])
    assert len(of(told.events, CallRetried)) == 1
    assert len(told.model.requests) == 1
    assert told.journal.stored == []


async def test_an_empty_reply_after_a_call_stores_nothing_more() -> None:
    told = await tell([call(words="a"), NOTHING])
    assert not of(told.events, CallRetried)
    assert [message.role for message in told.journal.stored] == ["user", "assistant", "tool"]


async def test_a_refusal_is_not_asked_for_again_and_says_so() -> None:
    told = await tell([[REFUSED]])
    assert len(told.model.payloads) == 1
    assert told.end.error is not None
    assert told.end.error["error_type"] == "llm_empty_response"
    assert "refusal" in told.end.error["detail"]


async def test_words_beside_a_call_are_kept_with_it() -> None:
    told = await tell([[text("I look."), call(words="a")], text("Done")])
    said = told.journal.stored[1]
    assert (said.text, [each.name for each in said.tool_calls]) == ("I look.", ["echo"])


async def test_what_failed_is_neither_stored_nor_in_context_and_what_came_before_it_is() -> None:
    told = await tell([call(words="a"), [text("And"), error(RuntimeError("bug"))]])
    assert [message.role for message in told.journal.stored] == ["user", "assistant", "tool"]
    assert [step.status for step in told.journal.ended] == ["success", "failed"]


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


# Sizes.


async def test_a_long_return_is_cut_for_the_model_by_its_share_of_the_window_and_stored_whole() -> None:
    long = "x" * 30_000
    told = await tell(
        [call(words="a"), text("ok")], journal=MemoryJournal(echo=lambda words: long), context_window=10_000
    )
    sent = told.model.requests[1].messages[-1].tool_returns[0].text
    assert sent.startswith("x" * 8000 + "\n[22000 more characters are not shown")
    assert told.journal.stored[-2].tool_returns[0].text == long


async def test_a_small_window_still_leaves_a_return_five_thousand_characters() -> None:
    told = await tell(
        [call(words="a"), text("ok")],
        journal=MemoryJournal(echo=lambda words: "x" * 6000),
        context_window=900,
    )
    sent = told.model.requests[1].messages[-1].tool_returns[0].text
    assert sent.startswith("x" * 5000 + "\n[1000 more characters")


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_system_message_that_fills_the_window_ends_the_run_before_the_model_is_asked(
    loop: str,
) -> None:
    told = await tell(
        [],
        context=(ChatMessage(role="system", parts=(TextPart(text="x" * 100),)),),
        context_window=100,
        loop=loop,
    )
    assert (told.stop_reason, told.status) == ("context_window_overflow_in_system_prompt", "failed")
    assert told.end.error is not None
    assert told.end.error["http_status"] == 400
    assert told.end.error["error_type"] == "context_window_overflow_in_system_prompt"
    assert "100" in told.end.error["message"]
    assert not told.model.payloads
    assert [step.status for step in told.journal.ended] == ["failed"]


@pytest.mark.parametrize(
    ("system", "reason"),
    [(95, "context_window_overflow_in_system_prompt"), (20, "llm_api_error")],
)
async def test_a_request_that_the_provider_finds_too_long_is_blamed_on_what_fills_it(
    system: int, reason: str
) -> None:
    told = await tell(
        [error(ContextOverflow("too long", detail="maximum context length"))],
        context=(ChatMessage(role="system", parts=(TextPart(text="x" * system),)),),
        context_window=100,
    )
    assert told.stop_reason == reason
    assert told.end.error is not None
    assert told.end.error["http_status"] == 400


# Structured output, and what is said to whom.

FORMAT = {
    "type": "json_schema",
    "json_schema": {
        "name": "answer",
        "schema": {"type": "object", "properties": {"mood": {"type": "string"}}},
    },
}


async def test_the_direct_loop_passes_the_format_of_answers_to_the_provider() -> None:
    told = await tell(
        [text('{"mood": "good"}')],
        tools=(spec("send_message", "message"),),
        settings=CallSettings(response_format=FORMAT),
    )
    assert told.model.requests[0].response_format == FORMAT
    assert told.model.requests[0].tools[0].parameters["properties"]["message"] == {"type": "string"}


async def test_in_the_heartbeat_loop_the_format_is_the_schema_of_what_is_said() -> None:
    told = await tell(
        [call("send_message", message={"mood": "good"})],
        tools=(spec("send_message", "message", required=["message"]), spec("other", "message")),
        rules=rules({"type": "exit_loop", "tool_name": "send_message"}),
        settings=CallSettings(response_format=FORMAT),
        loop="heartbeat",
    )
    request = told.model.requests[0]
    assert request.response_format is None
    said, other = (tool.parameters["properties"]["message"] for tool in request.tools)
    assert said == FORMAT["json_schema"]["schema"]  # type: ignore[index]  # a dict of dicts
    assert other == {"type": "string"}
    assert told.stop_reason == "tool_rule"
    assert not told.journal.outcomes[0].is_error


@pytest.mark.parametrize("format", [{"type": "json_object"}, {"type": "text"}])
async def test_other_formats_mean_nothing_to_the_heartbeat_loop(format: dict[str, Any]) -> None:
    told = await tell(
        [call("send_message", message="Hi")],
        tools=(spec("send_message", "message"),),
        settings=CallSettings(response_format=format),
        loop="heartbeat",
    )
    assert told.model.requests[0].response_format is None
    assert told.model.requests[0].tools[0].parameters["properties"]["message"] == {"type": "string"}


async def test_text_is_an_answer_in_the_direct_loop_and_a_thought_in_the_other() -> None:
    direct = await tell([[text("Hm. "), call(words="a")], text("ok")])
    assert direct.journal.stored[1].parts == (TextPart(text="Hm. "),)
    assert of(direct.events, TextDelta)
    heartbeat = await tell([[text("Hm. "), call(words="a")]], loop="heartbeat")
    assert heartbeat.journal.stored[1].parts == (ReasoningPart(reasoning="Hm. ", is_native=False),)
    assert not of(heartbeat.events, TextDelta)


async def test_a_heartbeat_agent_without_tools_answers_in_words() -> None:
    told = await tell([text("Hi")], tools=(), loop="heartbeat")
    assert told.stop_reason == "end_turn"
    assert told.journal.stored[-1].parts == (TextPart(text="Hi"),)
    assert told.model.requests[0].tool_choice.mode == "auto"


async def test_the_context_of_the_next_step_is_what_is_stored() -> None:
    told = await tell(
        [[reasoning("hm"), text("I look."), call(words="a"), call("gone")], text("ok")], inputs=(HELLO,)
    )
    assert list(told.model.requests[1].messages) == [SYSTEM, *told.journal.stored[:-1]]
    assert [event.number for event in of(told.events, StepStored)] == [1, 2]
    assert json.loads(told.journal.begun[1].request_text) == told.model.payloads[1]
