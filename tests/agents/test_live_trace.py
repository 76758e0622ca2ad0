"""What a run does at the moment, folded from its events."""

from __future__ import annotations

from agents.runtime.events import (
    CallRetried,
    CompactionStarted,
    ContextCompacted,
    RunEnded,
    StepStarted,
    StepStored,
    TextDelta,
    ToolStarted,
)
from agents.web.live_trace import LiveTrace

STARTED = StepStarted(step_id="step-1", number=1, message_id="message-1")
WORD = TextDelta(step_id="step-1", message_id="message-1", otid="o", text="a")
CALL = ToolStarted(
    step_id="step-1",
    tool_call_id="c1",
    name="look_up",
    arguments="{}",
    started_at="2026-03-01T12:00:00+00:00",
)
STORED = StepStored(
    step_id="step-1", number=1, messages=[], input_ids=[], usage={}, context_tokens=1, step_ms=1
)


def test_only_the_first_word_of_a_step_changes_the_trace() -> None:
    live = LiveTrace()
    assert live.apply_all([STARTED])
    assert live.apply_all([WORD])
    assert not live.apply_all([WORD, WORD])
    assert live.has_spoken


def test_every_event_of_a_batch_is_taken_even_when_the_first_already_changed_something() -> None:
    live = LiveTrace()
    live.apply_all([STARTED, WORD, CALL])
    assert [call.name for call in live.calls] == ["look_up"]
    assert live.calls[0].began is not None


def test_a_stored_step_has_nothing_open() -> None:
    live = LiveTrace()
    live.apply_all([STARTED, CALL, STORED])
    assert live.step_id is None
    assert not live.calls


def test_an_older_servers_call_has_no_beginning() -> None:
    live = LiveTrace()
    live.apply_all([ToolStarted(step_id="step-1", tool_call_id="c1", name="look_up", arguments="{}")])
    assert live.calls[0].began is None


def test_why_a_model_was_asked_again_is_kept() -> None:
    live = LiveTrace()
    again = CallRetried(step_id="step-1", message_id="message-2", attempt=1, reason="overloaded")
    live.apply_all([STARTED, WORD, again])
    assert live.retries == {"step-1": ["overloaded"]}
    assert not live.has_spoken


def test_a_compaction_goes_on_until_it_is_told() -> None:
    live = LiveTrace()
    live.apply_all(
        [
            CompactionStarted(
                compaction_id="c", step_id=None, trigger="manual", context_tokens=9, context_window=10
            )
        ]
    )
    before = live.is_compacting
    done = ContextCompacted(
        compaction_id="c",
        step_id=None,
        message={},
        tokens_before=9,
        tokens_after=3,
        messages_before=5,
        messages_after=2,
    )
    live.apply_all([done])
    assert (before, live.is_compacting) == (True, False)
    live.apply_all([RunEnded(status="completed", stop_reason="end_turn")])
    assert live.step_id is None
