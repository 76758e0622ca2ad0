"""The events of runs in their table: written in batches, each with a notice to other processes; read in order."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection
from django.db.models import Max
from django.utils import timezone
from pydantic_core import PydanticSerializationError, to_json

from agents.models import Run, RunEvent
from agents.runtime.events import Event, RunEnded, event_from_data, event_to_data
from letta_ade.core import notices

#: Failures that may pass: the same write can be tried again.
PASSING_FAILURES = (OperationalError, InterfaceError)
#: So long after its end a run's last events may still be on their way to the table.
_LAST_WORDS = timedelta(seconds=10)
#: Between the last event in the table and those of whoever takes a run over: readers of a dead process may have had events that it
#: had not written yet.
UNSEEN = 10_000

Numbered = tuple[int, Event]


class Unwritten(NamedTuple):
    """An event that waits to be written."""

    run_id: str
    seq: int
    event: Event
    #: Who holds the run's lease; empty: nobody asks.
    owner: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The next events of a run."""

    events: list[Numbered]
    #: There will be no more; the run's end is the last of `events` unless nobody ever stored it.
    is_over: bool


def events_topic(run_id: str) -> str:
    """The topic of the notice that the table has new events of this run."""
    return f"events.{run_id}"


# One statement, so one round trip and one transaction, for which the client works half as long as for COPY. Runs that were
# deleted meanwhile, or that another process has taken over, are left out: their events must not stand between the other's.
_WRITE = f"""
WITH written AS (
  INSERT INTO agents_runevent (run_id, seq, "type", data)
  SELECT e.r, e.s, e.t, e.d
  FROM jsonb_to_recordset(%s::jsonb) AS e (r text, s integer, t text, d jsonb, o text)
  WHERE EXISTS (SELECT 1 FROM agents_run run WHERE run.id = e.r)
    AND NOT EXISTS (SELECT 1 FROM agents_runlease lease WHERE lease.run_id = e.r AND e.o <> '' AND lease.owner <> e.o)
  ON CONFLICT (run_id, seq) DO NOTHING
)
{notices.NOTIFY_SQL}
"""  # noqa: S608 (constants; every value is a parameter)


def write_events(batch: Sequence[Unwritten]) -> list[str]:
    """Store events and tell other processes. What is stored already stays as it is, so a write can be repeated.

    Returns the ids of runs whose events PostgreSQL does not take. Raises one of PASSING_FAILURES when it cannot be reached.
    """
    try:
        _write(batch)
    except PASSING_FAILURES:
        raise
    except DatabaseError:
        # One run's events, or its deletion just now, must not cost the others theirs.
        return _write_run_by_run(batch)
    return []


def _write_run_by_run(batch: Sequence[Unwritten]) -> list[str]:
    by_run: dict[str, list[Unwritten]] = defaultdict(list)
    for each in batch:
        by_run[each.run_id].append(each)
    refused = []
    for run_id, events in by_run.items():
        try:
            _write(events)
        except IntegrityError:
            pass  # the run is gone
        except PASSING_FAILURES:
            raise
        except DatabaseError:
            refused.append(run_id)
    return refused


def _write(batch: Sequence[Unwritten]) -> None:
    topics = {events_topic(run_id): None for run_id, *_ in batch}
    packed = notices.pack((topic, {}) for topic in topics)
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, [_encode(batch), packed])


def last_event(run_id: str) -> int:
    """The number of the run's last event in the table, 0 for none."""
    return RunEvent.objects.filter(run_id=run_id).aggregate(last=Max("seq"))["last"] or 0


def append_events(run_id: str, events: Iterable[Event], *, after: int) -> int:
    """Store events of a run that no process tells, in the caller's transaction; the run's last number then.

    `after` is its `last_event`. They are numbered beyond all that anybody has seen.
    """
    first = after + UNSEEN if after else 1
    batch = [Unwritten(run_id, seq, event, "") for seq, event in enumerate(events, start=first)]
    if not batch:
        return after
    _write(batch)
    return batch[-1].seq


def read_page(run_id: str, after: int, limit: int) -> Page:
    """The events after number `after`, oldest first, at most `limit`."""
    if events := _read(run_id, after, limit):
        return Page(events=events, is_over=isinstance(events[-1][1], RunEnded))
    run = Run.objects.filter(id=run_id).only("status", "completed_at").first()
    if run is None:
        return Page(events=[], is_over=True)
    if not run.has_ended:
        return Page(events=[], is_over=False)
    # Its end first, so that nothing written between the two looks is passed over.
    ending = RunEvent.objects.filter(run_id=run_id, type=RunEnded.__name__).order_by("-seq").first()
    if events := _read(run_id, after, limit):
        return Page(events=events, is_over=isinstance(events[-1][1], RunEnded))
    if ending is not None:
        # The reader is beyond the end: it has events from memory that a killed process had not written.
        return Page(events=[(after + 1, event_from_data(ending.type, ending.data))], is_over=True)
    is_over = run.completed_at is None or run.completed_at < timezone.now() - _LAST_WORDS
    return Page(events=[], is_over=is_over)


def _read(run_id: str, after: int, limit: int) -> list[Numbered]:
    rows = RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    return [
        (seq, event_from_data(type_name, data))
        for seq, type_name, data in rows.values_list("seq", "type", "data")[:limit]
    ]


#: A null character in JSON, and not the end of an escaped backslash before the letters u0000.
_NULL = re.compile(r"(?<!\\)((?:\\\\)*)\\u0000")


def _encode(batch: Sequence[Unwritten]) -> str:
    def row(each: Unwritten, data: Event | dict[str, Any]) -> dict[str, Any]:
        return {
            "r": each.run_id,
            "s": each.seq,
            "t": type(each.event).__name__,
            "d": data,
            "o": each.owner,
        }

    try:
        text = to_json([row(each, each.event) for each in batch]).decode()
    except PydanticSerializationError:
        # Half of a surrogate pair: some servers cut an emoji in two.
        rows = [row(each, event_to_data(each.event)) for each in batch]
        text = whole_characters(json.dumps(rows, ensure_ascii=False))
    # PostgreSQL stores no null character.
    return _NULL.sub(r"\1", text) if "\\u0000" in text else text


def whole_characters(text: str) -> str:
    """The text with surrogates joined where they meet their other half, and replaced where they do not."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
