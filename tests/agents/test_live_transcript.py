"""A run that goes on, folded from its events: also those that speak of steps which it does not know, or which are void."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from agents.models import Message
from agents.runtime.events import (
    CallRetried,
    Event,
    RunEnded,
    RunResumed,
    RunStarted,
    StepStarted,
    StepStored,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolStarted,
)
from agents.web.live_frame import AskedStep, RunFrame
from agents.web.live_transcript import LiveRun
from agents.web.transcript import CallItem, Records, TextItem

CALL = {"id": "c1", "name": "memory_insert", "arguments": "{}"}


def frame(**fields: Any) -> RunFrame:
    return RunFrame(**{"run_id": "run-2", "agent_name": "tea", "first_number": 2, "day": None, **fields})


def message(role: str, **fields: Any) -> Message:
    values = {"id": f"message-{role}", "agent_id": "agent-1", "conversation_id": "conv-1"}
    return Message(role=role, created_at=datetime.now(UTC), **{**values, **fields})


def started(loop: str = "direct") -> RunStarted:
    return RunStarted(
        run_id="run-2",
        agent_id="agent-1",
        conversation_id="conv-1",
        model="test/scripted",
        started_at=datetime.now(UTC).isoformat(),
        caller_name="Ada",
        inputs=[],
        loop=loop,
    )


def stored(number: int, *messages: Message, step_id: str = "step-1") -> StepStored:
    return StepStored(
        step_id=step_id,
        number=number,
        messages=[each.to_data() for each in messages],
        input_ids=[each.id for each in messages if each.approvals is not None],
        usage={},
        context_tokens=0,
        step_ms=1,
    )


def answers() -> tuple[Message, Message]:
    approval = {"type": "approval", "tool_call_id": "c1", "approve": True, "reason": None}
    returned = {"tool_call_id": "c1", "name": "memory_insert", "status": "success", "text": "Done."}
    given = message("approval", step_id="step-1", run_id="run-2", approvals=[approval])
    return given, message("tool", step_id="step-1", run_id="run-2", tool_returns=[returned])


def asked() -> AskedStep:
    request = message("approval", id="message-request", step_id="step-1", run_id="run-1", tool_calls=[CALL])
    return AskedStep(id="step-1", run_id="run-1", number=1, messages=(request,), records=Records())


def call_of(live: LiveRun) -> CallItem:
    (call,) = live.steps["step-1"].items
    assert isinstance(call, CallItem)
    return call


def run_it() -> ToolStarted:
    return ToolStarted(step_id="step-1", tool_call_id="c1", name="memory_insert", arguments="{}")


def test_answers_to_a_step_that_is_not_known_are_told_and_raise_nothing() -> None:
    live = LiveRun(frame())
    for event in (started(), run_it(), stored(0, *answers())):
        live.apply(event)
    assert [(each.verdict, each.who) for each in live.item().decisions] == [("approved", "Ada")]
    assert live.item().inputs == ()
    assert live.item().steps == ()


def test_the_calls_of_an_earlier_step_wait_run_and_return_where_they_stand() -> None:
    live = LiveRun(frame(asked=asked()))
    live.apply(started())
    live.take_changes()
    assert call_of(live).state == "waiting"
    live.apply(run_it())
    assert call_of(live).state == "running"
    assert live.take_changes().items == [("step-1", "call-step-1-0")]
    live.apply(stored(0, *answers()))
    assert (call_of(live).state, call_of(live).result) == ("done", "Done.")
    assert live.take_changes().steps == ["step-1"]
    assert live.item().decisions[0].tool == "memory_insert"
    assert live.item().steps == ()


def test_what_a_dead_process_told_of_an_unstored_step_is_void() -> None:
    live = LiveRun(frame())
    begin = StepStarted(step_id="step-2", number=1, message_id="message-2")
    for event in (
        started(),
        begin,
        TextDelta(step_id="step-2", message_id="message-2", otid="o", text="Hal"),
    ):
        live.apply(event)
    live.apply(RunResumed(run_id="run-2", steps=0))
    assert live.item().steps == ()
    assert live.take_changes().is_whole
    live.apply(StepStarted(step_id="step-3", number=2, message_id="message-3"))
    (step,) = live.item().steps
    assert step.remark == "Taken up by another process; 0 steps were stored before"


def test_a_queued_run_becomes_busy_with_its_first_event() -> None:
    live = LiveRun(
        frame(queued=(message("user", content=[{"type": "text", "text": "Hi"}]),), queued_by="Ada")
    )
    live.wait_for_worker()
    assert (live.line().phase, live.line().about) == ("queued", "waits for a worker")
    assert [(each.text, each.who) for each in live.item().inputs] == [("Hi", "Ada")]
    live.apply(StepStarted(step_id="step-2", number=1, message_id="message-2"))
    assert live.line().phase == "thinking"


def test_a_call_that_is_sent_again_after_a_retry_says_its_words_once() -> None:
    live = LiveRun(frame())
    call: dict[str, Any] = {
        "step_id": "step-2",
        "message_id": "m",
        "otid": "o",
        "tool_call_id": "c9",
        "name": "send_message",
    }
    half: list[Event] = [ToolCallStarted(**call), ToolCallDelta(**call, arguments='{"message": "Hello the')]
    retry = CallRetried(step_id="step-2", message_id="m2", attempt=1, reason="lost")
    live.apply(started("heartbeat"))
    live.apply(StepStarted(step_id="step-2", number=1, message_id="m"))
    for event in (*half, retry, *half, ToolCallDelta(**call, arguments='re"}')):
        live.apply(event)
    (words,) = live.item().steps[0].items
    assert isinstance(words, TextItem)
    assert (words.id, words.text) == ("m2", "Hello there")


def test_a_run_that_ends_in_a_request_waits_and_is_not_busy() -> None:
    live = LiveRun(frame())
    live.apply(started())
    live.apply(RunEnded(status="completed", stop_reason="requires_approval"))
    assert (live.line().phase, live.line().is_busy) == ("waiting", False)


def test_a_run_that_was_handed_over_waits_until_somebody_takes_it_up() -> None:
    live = LiveRun(frame(queued=(), is_handed_over=True))
    live.apply_all([started(), StepStarted(step_id="step-2", number=1, message_id="m")])
    assert (live.line().phase, live.line().about) == ("queued", "waits for a worker")
    live.apply_all([RunResumed(run_id="run-2", steps=0)])
    assert live.line().about == "taken up again"
    live.apply_all([StepStarted(step_id="step-3", number=2, message_id="m")])
    assert live.line().phase == "thinking"


def test_a_handed_over_run_that_was_taken_up_in_between_does_not_wait() -> None:
    live = LiveRun(frame(queued=(), is_handed_over=True))
    live.apply_all([started(), RunResumed(run_id="run-2", steps=0)])
    assert live.line().about == "taken up again"
