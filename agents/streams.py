"""The live stream of a run: a ring in this process for those who watch, the table for those who come back.

Everything here happens on the serving loop. Events are written to the table in batches; a reader that has fallen behind the ring
reads on from there, so that a slow reader costs no memory.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from datetime import timedelta
from weakref import WeakKeyDictionary

from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, OperationalError, connection
from django.utils import timezone

from agents.models import Run, RunEvent
from agents.runtime.events import Event, RunEnded, event_from_data, event_to_data
from letta_ade.core import threads

logger = logging.getLogger(__name__)

RING_SIZE = 4000
#: A ring stays this long after its run, for readers that come back at once.
_LINGER_SECONDS = 30.0
#: How often a run of another process is looked at.
_TAIL_SECONDS = 0.1
_TAIL_BATCH = 1000
#: So long after its end a run's last events may still be on their way to the table.
_LAST_WORDS = timedelta(seconds=10)
_RETRY_SECONDS = 1.0


class RunStream:
    """The events of one run that goes on in this process."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.last_seq = 0
        self.has_ended = False
        self._ring: deque[tuple[int, Event]] = deque(maxlen=RING_SIZE)
        self._waiting: list[asyncio.Future[None]] = []

    def append(self, event: Event) -> int:
        """Number the event, keep it, wake the readers."""
        self.last_seq += 1
        self._ring.append((self.last_seq, event))
        self.has_ended = isinstance(event, RunEnded)
        self.wake()
        return self.last_seq

    def wake(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def holds(self, seq: int) -> bool:
        """Whether the ring still has the event."""
        return bool(self._ring) and self._ring[0][0] <= seq

    def since(self, seq: int) -> list[tuple[int, Event]]:
        """The events after `seq` that the ring has."""
        count = self.last_seq - seq
        return [self._ring[index] for index in range(max(0, len(self._ring) - count), len(self._ring))]

    async def wait(self) -> None:
        """Until the next event."""
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await future


class _Hub:
    """What the streams of one event loop share."""

    def __init__(self) -> None:
        self.streams: dict[str, RunStream] = {}
        self.unwritten: list[tuple[str, int, Event]] = []
        self.flusher: asyncio.Task[None] | None = None
        self.writing = asyncio.Lock()


# By loop, because locks and futures belong to one: a server has one loop, a test run has many.
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = WeakKeyDictionary()


def _hub() -> _Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), _Hub())


def open_stream(run_id: str, *, after_seq: int = 0) -> RunStream:
    """The stream of a run that begins in this process."""
    stream = _hub().streams[run_id] = RunStream(run_id)
    stream.last_seq = after_seq
    return stream


def abandon(stream: RunStream) -> None:
    """The run goes on in another process."""
    _hub().streams.pop(stream.run_id, None)
    stream.wake()


def publish(stream: RunStream, event: Event) -> None:
    """Tell everybody, and write it down soon."""
    hub = _hub()
    seq = stream.append(event)
    hub.unwritten.append((stream.run_id, seq, event))
    if hub.flusher is None or hub.flusher.done():
        hub.flusher = asyncio.get_running_loop().create_task(_flush_while_needed(hub))
    if stream.has_ended:
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, hub.streams.pop, stream.run_id, None)


async def follow(run_id: str, *, after: int = 0) -> AsyncGenerator[tuple[int, Event], None]:
    """The events of a run after number `after`, until RunEnded; those to come as they come.

    Ends without RunEnded only when the run's events are gone (older than the retention).
    """
    async with aclosing(follow_batches(run_id, after=after)) as batches:
        async for batch in batches:
            for each in batch:
                yield each


async def follow_batches(
    run_id: str, *, after: int = 0, pause_seconds: float = 0
) -> AsyncGenerator[list[tuple[int, Event]], None]:
    """The same, all events that are there at once; with a pause after each batch, so that the next one can grow.

    A reader that takes its time finds a larger batch, and costs no memory meanwhile.
    """
    while True:
        stream = _hub().streams.get(run_id)
        if stream is not None and after >= stream.last_seq:
            if stream.has_ended:
                return
            await stream.wait()
            continue
        batch, is_over = await _next_batch(run_id, stream, after)
        if batch:
            after = batch[-1][0]
            yield batch
            if isinstance(batch[-1][1], RunEnded):
                return
        if is_over:
            return
        pause = pause_seconds if batch else _TAIL_SECONDS
        if pause:
            await asyncio.sleep(pause)


async def _next_batch(
    run_id: str, stream: RunStream | None, after: int
) -> tuple[list[tuple[int, Event]], bool]:
    """The events after a number, and whether there will be no more."""
    if stream is not None and stream.holds(after + 1):
        return stream.since(after), False
    if stream is not None:
        # This reader is so late that the ring has moved on.
        await flush()
        return await threads.insist(_read, run_id, after, patience=None), False
    batch = await threads.insist(_read, run_id, after, patience=None)
    is_over = not batch and await threads.insist(_is_told, run_id, patience=None)
    # Between the two looks the last events may have been written.
    return (await threads.insist(_read, run_id, after, patience=None) if is_over else batch), is_over


async def flush() -> None:
    """Write what waits to be written; on return everything published before the call is in the table."""
    hub = _hub()
    async with hub.writing:
        batch, hub.unwritten = hub.unwritten, []
        try:
            if batch:
                await threads.run(_write, batch)
        except (OperationalError, InterfaceError):
            hub.unwritten = batch + hub.unwritten
            raise


async def _flush_while_needed(hub: _Hub) -> None:
    while hub.unwritten:
        await asyncio.sleep(settings.EVENT_BATCH_SECONDS)
        try:
            await flush()
        except (OperationalError, InterfaceError) as error:
            logger.warning("run events wait for the database: %s", error)
            await asyncio.sleep(_RETRY_SECONDS)
        except DatabaseError:
            # The readers of this process have the events already; a later reader will miss them.
            logger.exception("run events could not be written")


def _read(run_id: str, after: int) -> list[tuple[int, Event]]:
    rows = RunEvent.objects.filter(run_id=run_id, seq__gt=after).order_by("seq")
    return [
        (seq, event_from_data(type_name, data))
        for seq, type_name, data in rows.values_list("seq", "type", "data")[:_TAIL_BATCH]
    ]


def _is_told(run_id: str) -> bool:
    """Whether the end of the run is in the table, or will never be."""
    run = Run.objects.filter(id=run_id).only("status", "completed_at").first()
    if run is None or (run.has_ended and run.completed_at is None):
        return True
    if not run.has_ended or run.completed_at is None:
        return False
    return (
        run.completed_at < timezone.now() - _LAST_WORDS
        or RunEvent.objects.filter(run_id=run_id, type="RunEnded").exists()
    )


def _write(batch: list[tuple[str, int, Event]]) -> None:
    try:
        _copy(batch)
    except IntegrityError:
        # A run of the batch was deleted meanwhile; the others must not lose theirs.
        alive = set(
            Run.objects.filter(id__in={run_id for run_id, _, _ in batch}).values_list("id", flat=True)
        )
        # Or the batch was stored before, and only the answer was lost.
        RunEvent.objects.bulk_create(
            [
                RunEvent(run_id=run_id, seq=seq, type=type(event).__name__, data=event_to_data(event))
                for run_id, seq, event in batch
                if run_id in alive
            ],
            ignore_conflicts=True,
        )


def _copy(batch: list[tuple[str, int, Event]]) -> None:
    """COPY takes a fifth of the time of bulk_create, and this is the busiest write of the server."""
    with (
        connection.cursor() as cursor,
        cursor.copy('COPY agents_runevent (run_id, seq, "type", data) FROM STDIN') as rows,
    ):
        for run_id, seq, event in batch:
            # PostgreSQL takes no null character, not even escaped.
            text = json.dumps(event_to_data(event)).replace("\\u0000", "")
            rows.write_row((run_id, seq, type(event).__name__, text))
