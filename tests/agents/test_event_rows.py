"""Events in their table: what is written can be read, whatever a model has said, and one run never costs another its events."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from agents import event_rows
from agents.event_rows import Unwritten, append_events, last_event, read_page, write_events
from agents.models import Run, RunEvent
from agents.runtime.events import Event, RunEnded, StepStarted, TextDelta
from letta_ade.core.ids import new_id
from tests.support.factories import make_run

pytestmark = pytest.mark.django_db

END = RunEnded(status="completed", stop_reason="end_turn", usage={"step_count": 1})


def said(text: str) -> TextDelta:
    return TextDelta(step_id="step-1", message_id="message-1", otid="otid-1", text=text)


def rows(run_id: str, *events: Event, owner: str = "") -> list[Unwritten]:
    return [Unwritten(run_id, seq, event, owner) for seq, event in enumerate(events, 1)]


def texts(run: Run) -> list[str]:
    return list(RunEvent.objects.filter(run=run).order_by("seq").values_list("data__text", flat=True))


@pytest.mark.parametrize(
    ("text", "kept"),
    [
        ('Ünïcode — 😀 "quoted" \\ \n', 'Ünïcode — 😀 "quoted" \\ \n'),
        ("a null \0 inside", "a null  inside"),
        ("the letters \\u0000", "the letters \\u0000"),
        ("backslash and null \\\0", "backslash and null \\"),
        ("half a pair \ud83d", "half a pair �"),
        ("two halves \ud83d\ude00", "two halves 😀"),
    ],
)
def test_whatever_a_model_says_is_stored(text: str, kept: str) -> None:
    run = make_run()
    assert write_events(rows(run.id, said(text), END)) == []
    page = read_page(run.id, 0, 10)
    assert [event for _, event in page.events] == [said(kept), END]


def test_a_write_can_be_repeated() -> None:
    run = make_run()
    write_events(rows(run.id, said("one"), said("two")))
    write_events(rows(run.id, said("one"), said("TWO"), said("three")))
    assert texts(run) == ["one", "two", "three"]


def test_a_deleted_run_does_not_cost_the_others_theirs() -> None:
    run = make_run()
    assert write_events([*rows(new_id("run"), said("lost")), *rows(run.id, said("kept"))]) == []
    assert texts(run) == ["kept"]


@pytest.mark.django_db(transaction=True)
def test_events_that_postgresql_refuses_do_not_cost_the_others_theirs() -> None:
    run, other = make_run(), make_run()
    bad = RunEnded(status="completed", stop_reason="end_turn", usage={"tokens": float("nan")})
    assert write_events([*rows(run.id, said("kept")), *rows(other.id, bad)]) == [other.id]
    assert texts(run) == ["kept"]


def test_a_lost_connection_is_for_the_caller_to_repeat(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(batch: list[Unwritten]) -> None:
        raise OperationalError("gone")

    monkeypatch.setattr(event_rows, "_write", fail)
    with pytest.raises(OperationalError):
        write_events(rows("run-1", said("x")))


def test_a_page_is_read_in_order_and_in_part() -> None:
    run = make_run(status="running")
    start = StepStarted(step_id="step-1", number=1, message_id="message-1")
    write_events(rows(run.id, start, *(said(str(number)) for number in range(2, 6)), END))
    assert read_page(run.id, 0, 2).events == [(1, start), (2, said("2"))]
    page = read_page(run.id, 4, 2)
    assert (page.events, page.is_over) == ([(5, said("5")), (6, END)], True)


def test_events_are_appended_beyond_all_that_anybody_may_have_seen() -> None:
    run = make_run(status="running")
    assert append_events(run.id, [], after=0) == 0
    assert append_events(run.id, [said("one")], after=0) == 1
    assert append_events(run.id, [said("two"), END], after=last_event(run.id)) == event_rows.UNSEEN + 2
    assert [event for _, event in read_page(run.id, 0, 9).events] == [said("one"), said("two"), END]


@pytest.mark.parametrize("nth", range(1, 8))
def test_events_that_are_written_while_a_page_is_read_are_not_passed_over(nth: int) -> None:
    """The run has ended in its last step's transaction, and its events follow: here before the page's `nth` query."""
    run = make_run(status="completed", completed_at=timezone.now())
    batch, queries = rows(run.id, said("one"), said("two"), END), 0

    def write_before(
        execute: Callable[..., object], sql: str, params: object, many: bool, context: object
    ) -> object:
        nonlocal queries
        if sql.lstrip().startswith("SELECT"):
            queries += 1
            if queries == nth:
                write_events(batch)
        return execute(sql, params, many, context)

    seen: list[tuple[int, Event]] = []
    with connection.execute_wrapper(write_before):
        while not (page := read_page(run.id, seen[-1][0] if seen else 0, 10)).is_over:
            seen += page.events
    seen += page.events
    assert seen == [(each.seq, each.event) for each in batch]
