"""Streams of runs: of this process, of another one, and of one that moves; readers that are late, slow or gone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import timedelta
from typing import Any

import pytest
from django.db import OperationalError
from django.utils import timezone

from agents import streams
from agents.event_rows import (
    UNSEEN,
    Numbered,
    Unwritten,
    append_events,
    events_topic,
    read_page,
    write_events,
)
from agents.models import Run, RunEvent, RunLease
from agents.runtime.events import Event, RunEnded, TextDelta
from agents.streams import Follower, abandon, following, open_stream, publish
from letta_ade.core import notices, threads
from tests.support.factories import make_run

pytestmark = pytest.mark.django_db(transaction=True)

END = RunEnded(status="completed", stop_reason="end_turn")


@pytest.fixture
def run() -> Run:
    return make_run(status="running", stop_reason=None)


@pytest.fixture
async def ear(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """Notices come, and nobody looks without one."""
    monkeypatch.setattr(notices, "_PATIENCE_SECONDS", 600)
    monkeypatch.setattr(notices, "_DEAF_SECONDS", 600)
    with notices.subscribe("first") as first:
        async with notices.listening():
            await first.wait()
            yield


@pytest.fixture(autouse=True)
async def written() -> AsyncIterator[None]:
    """What is still being written would meet the flush of the tables."""
    yield
    await streams.flush()


def word(number: int) -> TextDelta:
    return TextDelta(step_id="step-1", message_id="message-1", otid="otid-1", text=f"{number} ")


async def elsewhere(run: Run, events: Iterable[Event], *, after: int = 0) -> None:
    """Another process tells these events."""
    batch = [Unwritten(run.id, seq, event, "") for seq, event in enumerate(events, after + 1)]
    await threads.run(write_events, batch)


async def soon(follower: Follower) -> list[Numbered]:
    batch = await asyncio.wait_for(follower.next(), 10)
    assert batch, "the run has not ended"
    return batch


async def rest(follower: Follower) -> list[int]:
    """The numbers of all events to the end."""
    numbers: list[int] = []
    async with asyncio.timeout(20):
        while (batch := await follower.next()) is not None:
            numbers += [seq for seq, _ in batch]
    return numbers


class TestHere:
    async def test_a_reader_is_told_at_once_and_not_when_the_table_is_written(
        self, run: Run, settings: Any
    ) -> None:
        settings.EVENT_BATCH_SECONDS = 600
        stream = open_stream(run.id)
        async with following(run.id) as follower:
            waiting = asyncio.create_task(soon(follower))
            await asyncio.sleep(0)
            publish(stream, word(1))
            assert await waiting == [(1, word(1))]
        stream.hub.flusher.cancel()  # type: ignore[union-attr]  # publish has made it

    async def test_nothing_is_told_after_the_end(self, run: Run) -> None:
        stream = open_stream(run.id)
        for event in (word(1), END, word(2), END):
            publish(stream, event)
        async with following(run.id) as follower:
            assert await rest(follower) == [1, 2]
        await streams.flush()
        assert await threads.run(RunEvent.objects.count) == 2

    async def test_a_reader_far_behind_gets_everything_once_and_the_ring_stays_small(self, run: Run) -> None:
        stream = open_stream(run.id)
        async with following(run.id) as late, following(run.id) as quick:
            seen = []
            for number in range(20_000):
                publish(stream, word(number))
                if number % 50 == 0:
                    seen += [seq for seq, _ in await soon(quick)]
            publish(stream, END)
            assert len(stream._events) == streams.RING_SIZE
            assert [*seen, *await rest(quick)] == list(range(1, 20_002))
            assert await rest(late) == list(range(1, 20_002))

    async def test_a_batch_is_bounded_however_late_its_reader_is(self, run: Run) -> None:
        stream = open_stream(run.id)
        for number in range(900):
            publish(stream, word(number))
        async with following(run.id) as follower:
            assert len(await soon(follower)) == streams.BATCH_SIZE

    async def test_waiting_has_an_end_when_one_is_given(self, run: Run) -> None:
        stream = open_stream(run.id)
        async with following(run.id) as follower:
            assert await follower.next(0) == []
            assert await follower.next(0.01) == []
            publish(stream, word(1))
            assert await follower.next(0) == [(1, word(1))]

    async def test_a_database_that_is_away_delays_the_table_and_loses_nothing(
        self, run: Run, monkeypatch: pytest.MonkeyPatch, settings: Any
    ) -> None:
        settings.EVENT_BATCH_SECONDS = 0
        monkeypatch.setattr(streams, "_RETRY_SECONDS", 0)
        failures = [OperationalError("gone"), OperationalError("still gone")]

        def write(batch: list[Unwritten]) -> list[str]:
            if failures:
                raise failures.pop()
            return write_events(batch)

        monkeypatch.setattr(streams, "write_events", write)
        stream = open_stream(run.id)
        for number in range(3):
            publish(stream, word(number))
        with pytest.raises(OperationalError):
            await streams.flush()
        publish(stream, END)
        async with asyncio.timeout(10):
            await stream.hub.flusher  # type: ignore[misc]  # publish has made it
        stored = RunEvent.objects.order_by("seq").values_list("seq", flat=True)
        assert await threads.run(lambda: list(stored)) == [1, 2, 3, 4]

    async def test_a_second_write_never_overtakes_the_first_when_its_reader_leaves(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        order: list[int] = []
        go_on, loop = asyncio.Event(), asyncio.get_running_loop()

        def write(batch: list[Unwritten]) -> list[str]:
            if batch[0].seq == 1:
                asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(10)
            order.append(batch[0].seq)
            return write_events(batch)

        monkeypatch.setattr(streams, "write_events", write)
        stream = open_stream(run.id)
        publish(stream, word(1))
        leaving = asyncio.create_task(streams.flush())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        publish(stream, word(2))
        second = asyncio.create_task(streams.flush())
        go_on.set()
        await second
        assert order == [1, 2]


class TestElsewhere:
    async def test_a_reader_is_woken_by_the_notice_of_each_batch(self, run: Run, ear: None) -> None:
        async with following(run.id) as follower:
            waiting = asyncio.create_task(soon(follower))
            await elsewhere(run, [word(1), word(2)])
            assert await waiting == [(1, word(1)), (2, word(2))]
            waiting = asyncio.create_task(soon(follower))
            await asyncio.sleep(0)
            await elsewhere(run, [END], after=2)
            assert await waiting == [(3, END)]
            assert await follower.next() is None

    async def test_readers_of_one_run_share_one_subscription_and_leave_nothing(
        self, run: Run, ear: None
    ) -> None:
        hub, topics = streams._hub(), notices._ear().subscriptions
        async with following(run.id) as one, following(run.id) as two:
            waiting = [asyncio.create_task(soon(each)) for each in (one, two)]
            await elsewhere(run, [word(1)])
            assert await asyncio.gather(*waiting) == [[(1, word(1))]] * 2
            assert len(topics[events_topic(run.id)]) == len(hub.tails) == 1
            reading = hub.tails[run.id]._task
            gone = asyncio.create_task(one.next())
            await asyncio.sleep(0)
            gone.cancel()
            await asyncio.gather(gone, return_exceptions=True)
        await asyncio.gather(reading, return_exceptions=True)
        assert not hub.tails
        assert events_topic(run.id) not in topics

    async def test_a_reader_who_does_not_read_has_nothing_fetched_for_it(self, run: Run, ear: None) -> None:
        await elsewhere(run, (word(number) for number in range(3 * streams.BATCH_SIZE)))
        async with following(run.id) as follower:
            await soon(follower)
            tail = streams._hub().tails[run.id]
            await elsewhere(run, [word(0)], after=3 * streams.BATCH_SIZE)
            with notices.subscribe("last") as last:
                await threads.run(notices.notify, "last")
                await last.wait()
            assert tail.last_seq == streams.BATCH_SIZE

    async def test_late_readers_of_a_long_run_get_everything_once(self, run: Run, ear: None) -> None:
        count = 2 * streams.RING_SIZE + 7
        await elsewhere(run, (word(number) for number in range(count)))
        async with following(run.id, after=count) as at_the_edge, following(run.id) as late:
            waiting = asyncio.create_task(soon(at_the_edge))
            got: list[int] = []
            while len(got) < count:
                got += [seq for seq, _ in await soon(late)]
            assert got == list(range(1, count + 1))
            await elsewhere(run, [END], after=count)
            assert await waiting == await soon(late) == [(count + 1, END)]

    async def test_the_last_words_of_a_run_are_waited_for(self, run: Run, ear: None) -> None:
        """A run's row ends a moment before its last events are written."""
        await elsewhere(run, [word(1)])
        await threads.run(
            Run.objects.filter(id=run.id).update, status="completed", completed_at=timezone.now()
        )
        async with following(run.id) as follower:
            assert await soon(follower) == [(1, word(1))]
            waiting = asyncio.create_task(soon(follower))
            await asyncio.sleep(0)
            await elsewhere(run, [END], after=1)
            assert await waiting == [(2, END)]

    async def test_a_run_that_told_no_end_long_ago_has_no_more_to_say(self, run: Run) -> None:
        await elsewhere(run, [word(1)])
        past = timezone.now() - timedelta(minutes=1)
        await threads.run(Run.objects.filter(id=run.id).update, status="failed", completed_at=past)
        async with following(run.id) as follower:
            assert await rest(follower) == [1]

    async def test_a_deleted_run_has_no_more_to_say(self, run: Run) -> None:
        await threads.run(Run.objects.all().delete)
        async with following(run.id) as follower:
            assert await follower.next() is None

    async def test_a_reader_that_heard_more_than_was_stored_hears_the_end(self, run: Run) -> None:
        """The process was killed with events unwritten, and the reaper ended the run below the reader's number."""
        await elsewhere(run, [word(1), word(2)])
        await threads.run(Run.objects.filter(id=run.id).update, status="failed", completed_at=timezone.now())
        await threads.run(append_events, run.id, [END], after=2)
        async with following(run.id, after=2 * UNSEEN) as follower:
            # Numbers of what a reader gets rise.
            assert await soon(follower) == [(2 * UNSEEN + 1, END)]
            assert await follower.next() is None

    async def test_a_reader_waits_for_a_database_that_is_away(
        self, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(streams, "_RETRY_SECONDS", 0)
        failures = [OperationalError("gone")]

        def fail_once(*args: Any) -> Any:
            if failures:
                raise failures.pop()
            return read_page(*args)

        monkeypatch.setattr(streams, "read_page", fail_once)
        await elsewhere(run, [word(1), END])
        async with following(run.id) as follower:
            assert await rest(follower) == [1, 2]

    async def test_a_fault_of_ours_reaches_the_reader_instead_of_leaving_it_waiting(self, run: Run) -> None:
        await elsewhere(run, [word(1)])
        await threads.run(RunEvent.objects.update, type="OfANewerServer")
        async with following(run.id) as follower:
            with pytest.raises(KeyError):
                await asyncio.wait_for(follower.next(), 10)


class TestMoving:
    async def test_a_run_that_comes_here_is_read_on_without_gap_or_repeat(self, run: Run, ear: None) -> None:
        await elsewhere(run, [word(1), word(2)])
        async with following(run.id) as follower:
            assert [seq for seq, _ in await soon(follower)] == [1, 2]
            waiting = asyncio.create_task(soon(follower))
            await asyncio.sleep(0)
            stream = open_stream(run.id, after_seq=2)
            publish(stream, word(3))
            [(third, event)] = await waiting
            assert (event, third > 2) == (word(3), True)
            publish(stream, END)
            assert await rest(follower) == [third + 1]
            assert not streams._hub().tails
        async with following(run.id) as late:
            assert await rest(late) == [1, 2, third, third + 1]

    async def test_a_reader_of_the_dead_process_misses_nothing_of_the_living_one(self, run: Run) -> None:
        """It had events that were not written yet: the numbers go on above all that it can have seen."""
        await elsewhere(run, [word(1), word(2)])
        stream = open_stream(run.id, after_seq=2)
        for event in (word(3), word(4), END):
            publish(stream, event)
        async with following(run.id, after=500) as follower:
            assert len(await rest(follower)) == 3

    async def test_a_run_that_goes_away_is_followed_there(self, run: Run, ear: None) -> None:
        stream = open_stream(run.id)
        publish(stream, word(1))
        await streams.flush()
        async with following(run.id) as follower:
            assert await soon(follower) == [(1, word(1))]
            waiting = asyncio.create_task(soon(follower))
            await asyncio.sleep(0)
            abandon(stream)
            await elsewhere(run, [word(2)], after=1)
            assert await waiting == [(2, word(2))]

    async def test_a_process_that_has_lost_the_run_writes_no_more_of_it(self, run: Run) -> None:
        soon_enough = timezone.now() + timedelta(minutes=1)
        lease = RunLease(conversation_id=run.conversation_id, run=run, owner="me", expires_at=soon_enough)
        await threads.run(lease.save)
        stream = open_stream(run.id, owner="me")
        publish(stream, word(1))
        await streams.flush()
        await threads.run(RunLease.objects.update, owner="another")
        publish(stream, RunEnded(status="failed", stop_reason="error"))
        await streams.flush()
        await elsewhere(run, [word(2), END], after=1)
        events = RunEvent.objects.order_by("seq").values_list("type", "data__status")
        assert await threads.run(lambda: list(events)) == [
            ("TextDelta", None),
            ("TextDelta", None),
            ("RunEnded", "completed"),
        ]


async def test_what_is_there_comes_together_for_those_who_draw_it(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    # However slow the table is today.
    monkeypatch.setattr(streams, "_COMPANY_SECONDS", 30)
    await elsewhere(run, [*(word(number) for number in range(4 * streams.BATCH_SIZE + 5)), END])
    batches = [batch async for batch in streams.follow_batches(run.id)]
    assert [len(batch) for batch in batches] == [4 * streams.BATCH_SIZE + 6]


async def test_a_run_that_is_over_and_written_costs_no_memory(run: Run) -> None:
    stream = open_stream(run.id)
    async with following(run.id) as follower:
        waiting = asyncio.create_task(soon(follower))
        await asyncio.sleep(0)
        publish(stream, END)
        await streams.flush()
        assert await waiting == [(1, END)]
    assert not streams._hub().streams
    async with following(run.id) as late:
        assert await rest(late) == [1]
