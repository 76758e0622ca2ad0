"""Calls that wait for a person or for the client, in the loop: asked for, answered, and what the rules make of the pause (§6)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.runtime.cancellation import CancelToken
from agents.runtime.events import ReasoningDelta, StepStarted, ToolCallStarted, ToolStarted
from agents.runtime.loop import CANCELLED_RETURN
from agents.runtime.ports import CallOutcome
from agents.runtime.prompt import MISSING_RETURN
from agents.runtime.snapshot import Answer, PendingTurn
from agents.runtime.turn import past_calls
from letta_ade.core.ids import message_id_before
from letta_ade.llm.messages import ChatMessage, TextPart, ToolCall
from letta_ade.llm.testing import error, reasoning, text, tool_call
from tests.support.loop import HELLO, LOOPS, SYSTEM, MemoryJournal, Told, echo, of, rules, spec, tell

TOOLS = (spec("echo", "words"), spec("risky", "words"), spec("shell", "words", is_client=True))
RISKY = {"type": "requires_approval", "tool_name": "risky"}
YES = Answer(is_approved=True)
NO = Answer(reason="too risky")


async def ask(replies: list[Any], *data: dict[str, Any], **changes: Any) -> Told:
    return await tell(replies, **{"tools": TOOLS, "rules": rules(RISKY, *data), **changes})


def risky(**arguments: Any) -> Any:
    return tool_call("risky", request_heartbeat=True, **{"words": "b", **arguments})


def client_said(words: str, *, is_error: bool = False) -> Answer:
    """What the client's tool returned; its call id is put in by `answer`."""
    return Answer(returned=CallOutcome(tool_call_id="", name="shell", text=words, is_error=is_error))


async def answer(
    asked: Told, answers: dict[str, Answer], replies: list[Any], *data: Any, **changes: Any
) -> Told:
    """The run that answers the waiting calls, by the names of their tools."""
    free, waiting = _turn(asked)
    by_id = {}
    for call in waiting:
        given = answers[call.name]
        if given.returned is not None:
            outcome = given.returned
            given = Answer(
                returned=CallOutcome(
                    tool_call_id=call.id, name=call.name, text=outcome.text, is_error=outcome.is_error
                )
            )
        by_id[call.id] = given
    context = (SYSTEM, *asked.journal.stored)
    pending = PendingTurn(step_id="step-1", message_id="message-1", calls=free + waiting, answers=by_id)
    known: dict[str, Any] = {
        "context": context,
        "inputs": (),
        "pending": pending,
        "past_calls": past_calls(context),
    }
    return await ask(replies, *data, **{**known, **changes})


def _turn(asked: Told) -> tuple[tuple[ToolCall, ...], tuple[ToolCall, ...]]:
    *before, request = asked.journal.stored
    assert request.role == "approval"
    free = before[-1].tool_calls if before[-1].role == "assistant" else ()
    return free, request.tool_calls


# Asking.


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("name", ["risky", "shell"])
async def test_a_call_that_waits_is_stored_and_not_run(name: str, loop: str) -> None:
    told = await ask([tool_call(name, words="b")], loop=loop)
    assert (told.stop_reason, told.status) == ("requires_approval", "completed")
    assert told.returns == []
    assert not of(told.events, ToolStarted)
    request = told.journal.stored[-1]
    assert (request.role, [call.name for call in request.tool_calls]) == ("approval", [name])
    assert told.journal.ended[0].is_request


async def test_calls_beside_it_are_put_off_with_it_in_order() -> None:
    told = await ask(
        [[text("Two."), risky(), tool_call("echo", words="a"), tool_call("shell"), tool_call("gone")]]
    )
    said, request = told.journal.stored[1:]
    assert (said.text, [call.name for call in said.tool_calls]) == ("Two.", ["echo", "gone"])
    assert [call.name for call in request.tool_calls] == ["risky", "shell"]
    assert told.returns == []


async def test_a_stream_names_the_request_by_the_id_before_the_messages() -> None:
    told = await ask([[reasoning("hm"), tool_call("echo", words="a"), risky()]])
    message_id = of(told.events, StepStarted)[0].message_id
    free, waiting = of(told.events, ToolCallStarted)
    assert (free.message_id, free.is_request) == (message_id, False)
    assert waiting.is_request
    assert waiting.message_id == waiting.otid == message_id_before(message_id)
    assert of(told.events, ReasoningDelta)[0].message_id == message_id


async def test_what_may_not_be_called_now_is_refused_and_asks_nobody() -> None:
    first = {"type": "run_first", "tool_name": "echo"}
    told = await ask([risky(), tool_call("echo"), text("ok")], first)
    assert "echo must be called first" in told.returns[0]
    assert told.stop_reason == "end_turn"
    # The stream must not have shown as a request what is stored as a call.
    assert not any(event.is_request for event in of(told.events, ToolCallStarted))


async def test_a_waiting_call_in_the_last_step_of_the_budget_waits() -> None:
    told = await ask([risky()], max_steps=1)
    assert told.stop_reason == "requires_approval"


async def test_a_call_that_must_wait_is_not_read_before_it_may_run() -> None:
    told = await ask([tool_call("risky", json_text="{")])
    assert told.stop_reason == "requires_approval"


# Answering.


@pytest.mark.parametrize("loop", LOOPS)
async def test_an_approved_call_runs_in_the_step_that_asked_and_the_run_goes_on(loop: str) -> None:
    asked = await ask([[tool_call("echo", words="a"), risky()]] if loop == "direct" else [risky()], loop=loop)
    told = await answer(asked, {"risky": YES}, [text("Done")], loop=loop)
    assert told.returns == (["you said a", "you said b"] if loop == "direct" else ["you said b"])
    [stored] = told.journal.answers
    assert (stored.step_id, stored.message_id) == ("step-1", "message-1")
    assert {event.step_id for event in of(told.events, ToolStarted)} == {"step-1"}
    assert [message.role for message in told.journal.stored[:2]] == ["approval", "tool"]
    assert told.stop_reason == ("end_turn" if loop == "direct" else "no_tool_call")


@pytest.mark.parametrize(
    ("given", "text_of_return", "is_error", "was_run"),
    [
        (YES, "you said b", False, True),
        (NO, "The call was denied: a person read it and did not approve it. Reason: too risky", True, False),
        (Answer(), "The call was denied: a person read it and did not approve it.", True, False),
        (client_said("42"), "42", False, True),
        (client_said("no such file", is_error=True), "no such file", True, True),
    ],
    ids=["yes", "no with a reason", "no", "a return", "an error"],
)
async def test_each_answer_gives_its_return(
    given: Answer, text_of_return: str, is_error: bool, was_run: bool
) -> None:
    asked = await ask([risky()])
    told = await answer(asked, {"risky": given}, [text("ok")])
    [outcome] = told.journal.outcomes
    assert (outcome.text, outcome.is_error, outcome.was_run) == (text_of_return, is_error, was_run)
    assert told.stop_reason == "end_turn"
    # The model reads the call and its return as one turn.
    sent = told.model.requests[0].messages
    assert [message.role for message in sent] == ["system", "user", "assistant", "tool"]
    assert sent[3].tool_returns[0].text == text_of_return


async def test_mixed_answers_give_all_returns_in_one_message() -> None:
    tools = (*TOOLS, spec("other", "words"))
    both = {"type": "requires_approval", "tool_name": "other"}
    asked = await ask(
        [[risky(), tool_call("shell"), tool_call("echo", words="a"), tool_call("other")]], both, tools=tools
    )
    told = await answer(
        asked, {"risky": YES, "shell": client_said("42"), "other": NO}, [text("ok")], both, tools=tools
    )
    returned = told.journal.stored[1].tool_returns
    assert [each.text.split(":")[0] for each in returned] == [
        "you said a",
        "you said b",
        "42",
        "The call was denied",
    ]
    free, waiting = _turn(asked)
    assert [each.tool_call_id for each in returned] == [call.id for call in free + waiting]


@pytest.mark.parametrize(
    ("answers", "loop", "goes_on"),
    [
        (YES, "direct", True),
        (NO, "direct", True),
        (client_said("x"), "direct", True),
        (YES, "heartbeat", False),
        (NO, "heartbeat", True),
        (client_said("x"), "heartbeat", True),
    ],
)
async def test_a_denial_and_a_return_always_go_on(answers: Answer, loop: str, goes_on: bool) -> None:
    asked = await ask([tool_call("risky", words="b")], loop=loop)
    told = await answer(asked, {"risky": answers}, [text("ok")], loop=loop)
    assert len(told.model.requests) == goes_on
    if not goes_on:
        assert told.stop_reason == "end_turn"


@pytest.mark.parametrize("loop", LOOPS)
async def test_an_approved_exit_tool_ends_the_run_and_a_denied_one_does_not(loop: str) -> None:
    leave = {"type": "exit_loop", "tool_name": "risky"}
    asked = await ask([risky()], leave, loop=loop)
    approved = await answer(asked, {"risky": YES}, [], leave, loop=loop)
    assert (approved.stop_reason, approved.model.requests) == ("tool_rule", [])
    denied = await answer(asked, {"risky": NO}, [risky()], leave, loop=loop)
    assert denied.stop_reason == "requires_approval"
    returned = await answer(asked, {"risky": client_said("x")}, [risky()], leave, loop=loop)
    assert returned.stop_reason == "requires_approval"


async def test_an_exit_tool_does_not_end_the_run_while_something_else_was_said() -> None:
    leave = {"type": "exit_loop", "tool_name": "risky"}
    asked = await ask([risky()], leave)
    told = await answer(asked, {"risky": YES}, [text("ok")], leave, inputs=(HELLO,))
    assert told.stop_reason == "end_turn"
    assert [message.role for message in told.model.requests[0].messages[-2:]] == ["tool", "user"]


async def test_what_is_said_beside_the_answers_is_heard_after_the_returns() -> None:
    asked = await ask([risky()])
    more = ChatMessage(role="user", parts=(TextPart(text="And hurry."),))
    told = await answer(asked, {"risky": YES}, [text("ok")], inputs=(more,))
    assert [message.role for message in told.journal.stored] == ["approval", "tool", "user", "assistant"]
    assert told.model.requests[0].messages[-1] == more


async def test_an_approved_call_whose_arguments_cannot_be_read_tells_the_model() -> None:
    asked = await ask([tool_call("risky", json_text="{")])
    told = await answer(asked, {"risky": YES}, [text("Sorry")])
    assert told.returns[0].startswith("Error executing function risky: BadArguments")
    assert told.stop_reason == "end_turn"


async def test_a_tool_that_was_detached_meanwhile_tells_the_model() -> None:
    asked = await ask([[risky(), tool_call("echo", words="a")]])
    told = await answer(asked, {"risky": YES}, [text("Sorry")], tools=(spec("other"),))
    assert all(each.startswith("[ToolConstraintError]") for each in told.returns)
    assert len(told.returns) == 2
    assert told.stop_reason == "end_turn"


async def test_what_runs_at_the_client_is_never_run_here() -> None:
    asked = await ask([[tool_call("echo", words="a"), risky(), tool_call("shell", words="ls")]])
    moved = (spec("echo", "words", is_client=True), *TOOLS[1:])
    told = await answer(asked, {"risky": YES, "shell": YES}, [text("ok")], tools=moved)
    assert [each.split(":")[0] for each in told.returns] == [
        "The call was not run",
        "you said b",
        "The call was not run",
    ]


async def test_an_answer_that_says_no_leaves_the_model_silent_if_it_likes() -> None:
    asked = await ask([risky()])
    told = await answer(asked, {"risky": NO}, [text("")])
    assert told.stop_reason == "end_turn"


async def test_a_rule_that_does_not_fit_ends_the_run_after_the_answers_are_stored() -> None:
    bad = {"type": "run_first", "tool_name": "risky", "args": {"no_such": 1}}
    asked = await ask([risky()], bad)
    told = await answer(asked, {"risky": YES}, [], bad, inputs=(HELLO,))
    assert (told.stop_reason, told.status) == ("invalid_tool_call", "failed")
    assert [message.role for message in told.journal.stored] == ["approval", "tool"]


# Rules over the pause.


async def test_run_first_is_not_applied_again_after_an_answer() -> None:
    first = {"type": "run_first", "tool_name": "risky"}
    asked = await ask([risky()], first)
    assert asked.choice() == "risky"
    told = await answer(asked, {"risky": YES}, [text("ok")], first)
    assert told.choice() == "auto"


async def test_run_first_filled_arguments_are_those_of_the_approved_call() -> None:
    first = {"type": "run_first", "tool_name": "risky", "args": {"words": "ours"}}
    asked = await ask([risky()], first)
    told = await answer(asked, {"risky": YES}, [text("ok")], first)
    assert told.returns == ["you said ours"]


@pytest.mark.parametrize("loop", LOOPS)
async def test_counts_go_on_over_the_pause(loop: str) -> None:
    count = {"type": "max_count_per_step", "tool_name": "risky", "max_count_limit": 2}
    note = tool_call("echo", words="a", request_heartbeat=True)
    asked = await ask([note, risky()], count, loop=loop)
    again = await answer(asked, {"risky": YES}, [risky()], count, loop=loop)
    assert again.stop_reason == "requires_approval"
    # The second answer comes in a third run; the context of the second one is the first's and its own.
    again.journal.stored[:0] = asked.journal.stored
    told = await answer(again, {"risky": YES}, [text("ok")], count, loop=loop)
    assert told.offered() == {"echo", "shell"}


async def test_what_must_follow_a_call_follows_it_over_the_pause() -> None:
    child = {"type": "constrain_child_tools", "tool_name": "risky", "children": ["echo"]}
    asked = await ask([risky()], child)
    approved = await answer(asked, {"risky": YES}, [text("ok")], child)
    assert approved.choice() == "echo"
    # A call that was denied has not been made.
    denied = await answer(asked, {"risky": NO}, [text("ok")], child)
    assert denied.choice() == "auto"


async def test_what_is_required_before_the_end_is_still_required_after_the_pause() -> None:
    needed = {"type": "required_before_exit", "tool_name": "risky"}
    asked = await ask([risky()], needed)
    approved = await answer(asked, {"risky": YES}, [text("ok")], needed)
    assert approved.stop_reason == "end_turn"
    denied = await answer(asked, {"risky": NO}, [text("ok"), risky()], needed)
    assert denied.stop_reason == "requires_approval"


# Trouble.


async def test_a_cancel_while_an_approved_tool_runs_keeps_the_answer_and_gives_every_call_a_return() -> None:
    asked = await ask([[tool_call("echo", words="a"), risky(), tool_call("shell")]])
    journal, token = MemoryJournal(echo=echo, risky=echo), CancelToken()
    journal.slow = asyncio.Event()
    task = asyncio.create_task(
        answer(asked, {"risky": YES, "shell": client_said("42")}, [], journal=journal, token=token)
    )
    await journal.slow.wait()
    token.request("cancelled")
    told = await task
    assert (told.stop_reason, told.status) == ("cancelled", "cancelled")
    assert sorted(told.returns) == sorted([CANCELLED_RETURN, CANCELLED_RETURN, "42"])
    assert [message.role for message in told.journal.stored] == ["approval", "tool"]
    assert len(journal.ends) == 1


async def test_answers_that_cannot_be_stored_fail_the_run_once() -> None:
    class Broken(MemoryJournal):
        async def store_answers(self, answers: Any) -> Any:
            raise RuntimeError("disk full")

    asked = await ask([risky()])
    told = await answer(asked, {"risky": YES}, [], journal=Broken(risky=echo))
    assert (told.stop_reason, told.status) == ("error", "failed")
    assert told.journal.stored == []
    assert len(told.journal.ends) == 1


async def test_the_model_failing_after_the_answers_leaves_them_stored() -> None:
    asked = await ask([risky()])
    told = await answer(asked, {"risky": YES}, [error(RuntimeError("bug"))])
    assert told.stop_reason == "error"
    assert [message.role for message in told.journal.stored] == ["approval", "tool"]


async def test_a_request_that_nobody_answered_reads_as_interrupted() -> None:
    asked = await ask([[tool_call("echo", words="a"), risky()]])
    told = await ask([text("ok")], context=(SYSTEM, *asked.journal.stored))
    sent = told.model.requests[0].messages
    assert [message.role for message in sent] == ["system", "user", "assistant", "tool", "user"]
    assert [each.text for each in sent[3].tool_returns] == [MISSING_RETURN, MISSING_RETURN]
