"""The live stream of a run: a ring in memory for those who watch, the table for those who come late or look from elsewhere.

Everything here happens on the serving loop. A run that goes on in this process fills its ring itself and its events are written to
the table in batches; the ring of a run that goes on in another process is filled from the table, once for all readers here. A reader
that has fallen behind a ring reads on from the table, so that a slow reader costs no memory.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from itertools import islice, takewhile
from weakref import WeakKeyDictionary

from django.conf import settings

from agents.event_rows import (
    PASSING_FAILURES,
    UNSEEN,
    Numbered,
    Page,
    Unwritten,
    events_topic,
    read_page,
    write_events,
)
from agents.runtime.events import Event, RunEnded
from letta_ade.core import notices, threads

logger = logging.getLogger(__name__)

#: Twenty seconds of a fast model; what has left the ring has long been written.
RING_SIZE = 1000
#: A reader gets at most so many events at once, so that one that never takes them holds no more.
BATCH_SIZE = 100
#: A ring whose run has ended stays until all of it is written, and not longer than this.
_LINGER_SECONDS = 30.0
#: Events that wait for a database that is away; beyond, the oldest are lost for readers that come later.
_MOST_UNWRITTEN = 200_000
_RETRY_SECONDS = 1.0
#: A full batch is followed by another, as a rule at once; from the table it takes a moment.
_COMPANY_SECONDS = 0.05


class Ring:
    """The last events of a run, and who waits for the next one."""

    def __init__(self, after_seq: int = 0) -> None:
        self.last_seq = after_seq
        #: No more will come.
        self.is_over = False
        #: All events after this number are here.
        self._floor = after_seq
        self._events: deque[Numbered] = deque()
        self._waiting: set[asyncio.Future[None]] = set()

    def put(self, seq: int, event: Event) -> None:
        """Keep an event and wake the readers."""
        if len(self._events) >= RING_SIZE:
            self._floor = self._events.popleft()[0]
        self._events.append((seq, event))
        self.last_seq = seq
        self.is_over = isinstance(event, RunEnded)
        self.wake()

    def wake(self) -> None:
        """Have every reader look."""
        waiting, self._waiting = self._waiting, set()
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def covers(self, after: int) -> bool:
        """Whether nothing is missing here for a reader that has everything up to this number."""
        return after >= self._floor

    @property
    def floor(self) -> int:
        """Nothing up to this number is here."""
        return self._floor

    def since(self, after: int) -> list[Numbered]:
        """The next events after this number, at most BATCH_SIZE."""
        if self.last_seq - after <= BATCH_SIZE:
            # As a rule there are one or two, at the end.
            newest = list(takewhile(lambda each: each[0] > after, reversed(self._events)))
            return newest[::-1]
        return list(islice((each for each in self._events if each[0] > after), BATCH_SIZE))

    async def wait(self, timeout: float | None) -> None:
        """Until something happens, or so many seconds."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._waiting.add(future)
        timer = loop.call_later(timeout, _resolve, future) if timeout is not None else None
        try:
            await future
        finally:
            self._waiting.discard(future)
            if timer is not None:
                timer.cancel()


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class RunStream(Ring):
    """The stream of a run that goes on in this process."""

    def __init__(self, run_id: str, *, owner: str, after_seq: int, hub: _Hub) -> None:
        super().__init__(after_seq)
        self.run_id = run_id
        self.owner = owner
        #: All events up to this number are in the table.
        self.written_seq = after_seq
        self.hub = hub


class _Tail(Ring):
    """The stream of a run that is not of this process, while somebody here reads it."""

    def __init__(self, run_id: str, after_seq: int) -> None:
        super().__init__(after_seq)
        self.readers = 0
        self._run_id = run_id
        self._is_wanted = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._fill(), context=contextvars.Context())
        self._task.add_done_callback(lambda _: self.wake())

    async def wait(self, timeout: float | None) -> None:
        if self._task.done() and not self._task.cancelled():
            self._task.result()
        self._is_wanted.set()
        await super().wait(timeout)

    def close(self) -> None:
        """Stop reading; who still waits looks elsewhere."""
        self._task.cancel()

    async def _fill(self) -> None:
        with notices.subscribe(events_topic(self._run_id)) as news:
            while not self.is_over:
                # Only as far as somebody reads: a stalled reader of a long run must not have it all fetched.
                await self._is_wanted.wait()
                page = await _read(self._run_id, self.last_seq)
                if page.events:
                    self._is_wanted.clear()
                for seq, event in page.events:
                    self.put(seq, event)
                if page.is_over:
                    self.is_over = True
                elif not page.events:
                    await news.wait()


class _Hub:
    """What the streams of one event loop share."""

    def __init__(self) -> None:
        self.streams: dict[str, RunStream] = {}
        self.tails: dict[str, _Tail] = {}
        self.unwritten: list[Unwritten] = []
        self.flusher: asyncio.Task[None] | None = None
        self.writing = asyncio.Lock()
        #: This process stops.
        self.is_closing = False


# By loop, because locks and futures belong to one: a server has one loop, a test run has many.
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, _Hub] = WeakKeyDictionary()


def _hub() -> _Hub:
    return _hubs.setdefault(asyncio.get_running_loop(), _Hub())


def open_stream(run_id: str, *, owner: str = "", after_seq: int = 0) -> RunStream:
    """The stream of a run that begins, or goes on, in this process.

    `after_seq` is the last number that the run has in the table. With `owner`, the owner of the run's lease, events that come when
    another process has the lease are not written.
    """
    hub = _hub()
    start = after_seq + UNSEEN if after_seq else 0
    stream = hub.streams[run_id] = RunStream(run_id, owner=owner, after_seq=start, hub=hub)
    if tail := hub.tails.pop(run_id, None):
        tail.close()
    return stream


def stream_here(run_id: str) -> RunStream | None:
    """The stream of a run that goes on in this process; None for one of another, or that has ended."""
    return _hub().streams.get(run_id)


def abandon(stream: RunStream) -> None:
    """The run goes on in another process: readers here follow it there, from the table."""
    if stream.hub.streams.get(stream.run_id) is stream:
        del stream.hub.streams[stream.run_id]
    stream.wake()


def let_go() -> None:
    """This process stops: readers of runs that go on elsewhere are not kept waiting here any more."""
    hub = _hub()
    hub.is_closing = True
    for tail in hub.tails.values():
        tail.wake()


def publish(stream: RunStream, event: Event) -> None:
    """Tell everybody, and write it down soon. After the end of a run nothing is told any more."""
    if stream.is_over:
        return
    hub = stream.hub
    seq = stream.last_seq + 1
    hub.unwritten.append(Unwritten(stream.run_id, seq, event, stream.owner))
    stream.put(seq, event)
    if hub.flusher is None or hub.flusher.done():
        hub.flusher = asyncio.get_running_loop().create_task(
            _flush_while_needed(hub), context=contextvars.Context()
        )
    if isinstance(event, RunEnded):
        asyncio.get_running_loop().call_later(_LINGER_SECONDS, abandon, stream)


class Follower:
    """A reader's place in a run. Made by `following`."""

    def __init__(self, hub: _Hub, run_id: str, after: int) -> None:
        self._hub = hub
        self._run_id = run_id
        self._after = after
        self._tail: _Tail | None = None
        self._is_over = False

    async def next(self, timeout: float | None = None) -> list[Numbered] | None:
        """The events that are there, or the next ones as soon as they come; at most BATCH_SIZE.

        An empty list when none came within `timeout` seconds; None after the last one, and when this process stops and the run goes
        on in another one. Cancelling it loses nothing.
        """
        loop = asyncio.get_running_loop()
        deadline = None if timeout is None else loop.time() + timeout
        while not self._is_over:
            ring = self._ring()
            if not ring.covers(self._after):
                events = await self._from_table(ring)
            elif not (events := ring.since(self._after)):
                if ring.is_over or (self._hub.is_closing and isinstance(ring, _Tail)):
                    break
                left = None if deadline is None else deadline - loop.time()
                if left is not None and left <= 0:
                    return []
                await ring.wait(left)
            if events:
                self._after = events[-1][0]
                self._is_over = isinstance(events[-1][1], RunEnded)
                return events
        self._is_over = True
        return None

    def close(self) -> None:
        """Leave. The last reader of a run of another process ends the reading of its table."""
        tail, self._tail = self._tail, None
        if tail is not None:
            tail.readers -= 1
            if not tail.readers and self._hub.tails.get(self._run_id) is tail:
                del self._hub.tails[self._run_id]
                tail.close()

    def _ring(self) -> Ring:
        if stream := self._hub.streams.get(self._run_id):
            self.close()
            return stream
        if self._tail is None:
            tail = self._hub.tails.get(self._run_id)
            if tail is None:
                tail = self._hub.tails[self._run_id] = _Tail(self._run_id, self._after)
            tail.readers += 1
            self._tail = tail
        return self._tail

    async def _from_table(self, ring: Ring) -> list[Numbered]:
        """Events that the ring has no more, or never had."""
        if isinstance(ring, RunStream) and self._after >= ring.written_seq:
            await _flush_patiently(self._hub)
        page = await _read(self._run_id, self._after)
        if not page.events:
            # They could not be written, or are forgotten: what the ring has is all there is.
            self._after = ring.floor
        return page.events


@asynccontextmanager
async def following(run_id: str, *, after: int = 0) -> AsyncIterator[Follower]:
    """Follow a run from its event number `after` on, wherever it goes on, until its end."""
    follower = Follower(_hub(), run_id, after)
    try:
        yield follower
    finally:
        follower.close()


async def follow(run_id: str, *, after: int = 0) -> AsyncGenerator[Numbered, None]:
    """The events of a run after number `after`, until RunEnded; those to come as they come.

    Ends without RunEnded only when the run's events are gone (older than the retention).
    """
    async with aclosing(follow_batches(run_id, after=after)) as batches:
        async for batch in batches:
            for each in batch:
                yield each


async def follow_batches(
    run_id: str, *, after: int = 0, pause_seconds: float = 0
) -> AsyncGenerator[list[Numbered], None]:
    """The same, all events that are there at once; with a pause after each batch, so that the next one can grow.

    A reader that takes its time finds a larger batch, and costs no memory meanwhile. A batch has at most RING_SIZE events.
    """
    async with following(run_id, after=after) as follower:
        while (batch := await follower.next()) is not None:
            while len(batch) % BATCH_SIZE == 0 and len(batch) < RING_SIZE:
                more = await follower.next(_COMPANY_SECONDS)
                if not more:
                    break
                batch += more
            yield batch
            if pause_seconds:
                await asyncio.sleep(pause_seconds)


async def _read(run_id: str, after: int) -> Page:
    """The next page of the table; waits for a database that is away."""
    is_news = True
    while True:
        try:
            return await threads.run(read_page, run_id, after, BATCH_SIZE)
        except PASSING_FAILURES as error:
            if is_news:
                logger.warning("readers of run %s wait for the database: %s", run_id, error)
            is_news = False
        await asyncio.sleep(_RETRY_SECONDS)


async def flush() -> None:
    """Write what waits to be written; on return everything published before the call is in the table.

    Raises one of PASSING_FAILURES when the database is away; the events wait on.
    """
    # A reader that leaves meanwhile must not let a second write overtake the first: a reader of the table would see a gap.
    await asyncio.shield(asyncio.ensure_future(_write_what_waits(_hub())))


async def _write_what_waits(hub: _Hub) -> None:
    async with hub.writing:
        batch, hub.unwritten = hub.unwritten, []
        if not batch:
            return
        try:
            refused = await threads.run(write_events, batch)
        except PASSING_FAILURES:
            hub.unwritten = (batch + hub.unwritten)[-_MOST_UNWRITTEN:]
            raise
        for run_id in refused:
            # The readers of this process have the events already; a later reader will miss them.
            logger.error("events of run %s could not be written", run_id)
        for run_id, seq, *_ in batch:
            if stream := hub.streams.get(run_id):
                stream.written_seq = max(stream.written_seq, seq)
                if stream.is_over and stream.written_seq == stream.last_seq:
                    # Who comes now reads the table.
                    abandon(stream)


async def _flush_patiently(hub: _Hub) -> None:
    """Write all that waits; as often as it takes while the database is away."""
    is_news = True
    while hub.unwritten or hub.writing.locked():
        try:
            await flush()
            return
        except PASSING_FAILURES as error:
            if is_news:
                logger.warning("run events wait for the database: %s", error)
            is_news = False
        await asyncio.sleep(_RETRY_SECONDS)


async def _flush_while_needed(hub: _Hub) -> None:
    while hub.unwritten:
        await asyncio.sleep(settings.EVENT_BATCH_SECONDS)
        await _flush_patiently(hub)
