"""What each shape of a reply comes to, in both loops: the table of spec/agent-loop.md §4 and the stop reasons of §3."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from agents.runtime.endings import FAILING
from agents.runtime.events import CallRetried, StepStored, TextDelta
from agents.runtime.snapshot import CallSettings
from letta_ade.llm.errors import ContextOverflow, InvalidReply, ModelBadRequest, ModelCredits
from letta_ade.llm.messages import ChatMessage, ReasoningPart, TextPart
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
    of,
    rules,
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
