"""Notices between processes: they come when the transaction commits, and who may have missed one is told to look."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction

from letta_ade.core import notices, threads
from letta_ade.core.database import connection_parameters
from letta_ade.core.notices import Heard, Subscription

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
async def ear(others: None) -> AsyncIterator[None]:
    """A process that listens already."""
    with notices.subscribe("first") as first:
        async with notices.listening():
            assert (await first.wait()).may_have_missed
            yield


async def say(topic: str, payload: dict[str, Any] | None = None) -> None:
    await threads.run(notices.notify, topic, payload)


async def hear(subscription: Subscription) -> Heard:
    return await asyncio.wait_for(subscription.wait(), 10)


#: Connections that listened before the test: servers of other tests use the same database.
_others: set[int] = set()


@pytest.fixture(autouse=True)
async def others() -> None:
    _others.clear()
    _others.update(await threads.run(listeners))


def listeners() -> list[int]:
    """The connections that have begun to listen in this database since the test began."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND query = %s",
            [f"LISTEN {notices.CHANNEL}"],
        )
        return [row[0] for row in cursor.fetchall() if row[0] not in _others]


async def test_a_notice_reaches_every_subscriber_of_its_topic_and_no_other(ear: None) -> None:
    with (
        notices.subscribe("cancel") as one,
        notices.subscribe("cancel") as two,
        notices.subscribe("else") as other,
    ):
        await say("cancel", {"run_id": "run-1"})
        await say("else")
        for subscription in (one, two):
            assert await hear(subscription) == Heard(({"run_id": "run-1"},), may_have_missed=False)
        assert (await hear(other)).payloads == ({},)


async def test_a_notice_comes_from_another_process_too(ear: None) -> None:
    with notices.subscribe("cancel") as subscription:
        async with await psycopg.AsyncConnection.connect(**connection_parameters(), autocommit=True) as other:
            await other.execute(
                notices.NOTIFY_SQL, [notices.pack([("cancel", {"n": 1}), ("cancel", {"n": 2})])]
            )
        assert (await hear(subscription)).payloads == ({"n": 1}, {"n": 2})


async def test_a_notice_comes_with_its_transaction_or_not_at_all(ear: None) -> None:
    def change(*, fails: bool) -> None:
        with transaction.atomic():
            notices.notify("topic", {"fails": fails})
            if fails:
                transaction.set_rollback(True)

    with notices.subscribe("topic") as subscription:
        await threads.run(change, fails=True)
        await threads.run(change, fails=False)
        assert (await hear(subscription)).payloads == ({"fails": False},)


async def test_notices_that_came_before_somebody_waited_are_not_lost(ear: None) -> None:
    with notices.subscribe("a") as a, notices.subscribe("b") as b:
        await say("a", {"n": 1})
        await say("a", {"n": 2})
        await say("b")
        await hear(b)
        assert (await hear(a)).payloads == ({"n": 1}, {"n": 2})


async def test_a_waiting_that_is_cancelled_loses_nothing(ear: None) -> None:
    with notices.subscribe("a") as a:
        waiting = asyncio.create_task(a.wait())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        await say("a", {"n": 1})
        assert (await hear(a)).payloads == ({"n": 1},)


async def test_after_a_lost_connection_everybody_looks_and_then_hears_again(
    ear: None, caplog: pytest.LogCaptureFixture
) -> None:
    with notices.subscribe("a") as a:
        assert notices.is_listening()
        [pid] = await threads.run(listeners)
        await threads.run(lambda: connection.cursor().execute("SELECT pg_terminate_backend(%s)", [pid]))
        assert await hear(a) == Heard((), may_have_missed=True)
        assert notices.is_listening()
        await say("a", {"n": 1})
        assert (await hear(a)).payloads == ({"n": 1},)
    assert [record.message[:26] for record in caplog.records] == ["no notices from other proc"]


async def test_without_a_connection_a_subscriber_looks_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notices, "_DEAF_SECONDS", 0.01)
    monkeypatch.setattr(
        notices, "connection_parameters", lambda: {**connection_parameters(), "dbname": "no_such_database"}
    )
    async with notices.listening():
        with notices.subscribe("a") as a:
            assert await hear(a) == Heard((), may_have_missed=True)
            assert not notices.is_listening()


async def test_with_a_connection_a_subscriber_looks_for_itself_once_in_a_while(
    ear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_PATIENCE_SECONDS", 0.01)
    with notices.subscribe("a") as a:
        assert await hear(a) == Heard((), may_have_missed=True)


async def test_a_subscriber_that_falls_behind_is_told_to_look(
    ear: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notices, "_MOST_WAITING", 2)
    with notices.subscribe("a") as a, notices.subscribe("b") as b:
        await threads.run(notices.notify_all, [("a", {"n": number}) for number in range(5)])
        await say("b")
        await hear(b)
        assert await hear(a) == Heard(({"n": 0}, {"n": 1}), may_have_missed=True)


async def test_what_others_send_on_the_channel_breaks_nothing(ear: None) -> None:
    def send(text: str) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_notify(%s, %s)", [notices.CHANNEL, text])

    with notices.subscribe("a") as a:
        for text in ("", "not json", "[1]", '{"a": 1}', '[["a"]]'):
            await threads.run(send, text)
        await say("a", {"n": 1})
        assert (await hear(a)).payloads == ({"n": 1},)


async def test_many_notices_travel_in_few_messages_each_under_the_limit(ear: None) -> None:
    many: list[notices.Notice] = [(f"events.run-{number:036}", {}) for number in range(500)]
    packed = notices.pack(many)
    assert len(packed) < 10
    assert max(len(text.encode()) for text in packed) < 8000
    with notices.subscribe(many[0][0]) as first, notices.subscribe(many[-1][0]) as last:
        await threads.run(notices.notify_all, many)
        assert (await hear(first)).payloads == (await hear(last)).payloads == ({},)


def test_a_payload_over_the_limit_is_refused_before_anything_is_sent() -> None:
    with pytest.raises(ValueError, match="7900"):
        notices.notify("a", {"text": "ä" * 2000})


async def test_nothing_is_left_of_those_who_have_gone(ear: None) -> None:
    before = set(notices._ear().subscriptions)
    with notices.subscribe("a"):
        assert "a" in notices._ear().subscriptions
    assert set(notices._ear().subscriptions) == before


async def test_a_process_that_stops_listening_closes_its_connection() -> None:
    with notices.subscribe("a") as a:
        async with notices.listening():
            await hear(a)
            assert len(await threads.run(listeners)) == 1
        assert not notices.is_listening()
    async with asyncio.timeout(10):
        while await threads.run(listeners):
            pass
