"""Short notices from process to process through PostgreSQL's LISTEN and NOTIFY: "look at this", not the thing itself.

A serving process listens with one connection. A notice is sent inside a transaction and arrives when that commits; it can be lost
(a connection broke, a process was not listening), so whoever waits for one looks for itself when told that it may have missed some.
"""

from __future__ import annotations

import asyncio
import contextvars
import json
import logging
from collections import defaultdict, deque
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
from django.db import connection

from letta_ade.core.database import connection_parameters

logger = logging.getLogger(__name__)

CHANNEL = "ade"
#: PostgreSQL takes less than 8000 bytes.
_MOST_BYTES = 7_900
#: Notices that wait for a subscriber; one that is further behind looks for itself.
_MOST_WAITING = 1_000
#: Pauses between attempts to reconnect.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0
#: How long a subscriber waits before it looks for itself: without a connection, and with one (which should never be needed).
_DEAF_SECONDS, _PATIENCE_SECONDS = 1.5, 15.0
#: A connection whose other end is gone is noticed within half a minute.
_KEEPALIVES = {"keepalives_idle": 15, "keepalives_interval": 5, "keepalives_count": 3}

Payload = dict[str, Any]
#: A topic and what is said of it.
Notice = tuple[str, Payload]

#: Sends the notices that `pack` made, as part of a larger statement or alone.
NOTIFY_SQL = f"SELECT pg_notify('{CHANNEL}', packed) FROM unnest(%s::text[]) AS packed"  # noqa: S608 (a constant)


def notify(topic: str, payload: Payload | None = None) -> None:
    """Tell every process that listens, once the transaction commits; at once outside of one.

    For synchronous code with a database connection. Raises ValueError for a payload over PostgreSQL's limit.
    """
    notify_all([(topic, payload or {})])


def notify_all(notices: Iterable[Notice]) -> None:
    """The same for several notices at once, in one statement."""
    if packed := pack(notices):
        with connection.cursor() as cursor:
            cursor.execute(NOTIFY_SQL, [packed])


def pack(notices: Iterable[Notice]) -> list[str]:
    """The texts to send for these notices, as many in each as fit. Raises ValueError for one that fits nowhere."""
    packed: list[str] = []
    parts: list[str] = []
    size = 0
    for notice in notices:
        part = json.dumps(notice, separators=(",", ":"))
        if len(part) + 2 > _MOST_BYTES:
            raise ValueError(
                f"A notice holds at most {_MOST_BYTES} bytes; this one of {notice[0]!r} has {len(part)}."
            )
        if parts and size + len(part) + 2 > _MOST_BYTES:
            packed.append(f"[{','.join(parts)}]")
            parts, size = [], 0
        parts.append(part)
        size += len(part) + 1
    if parts:
        packed.append(f"[{','.join(parts)}]")
    return packed


@dataclass(frozen=True, slots=True)
class Heard:
    """What came for a subscriber, oldest first; with `may_have_missed` it must look at the rows themselves."""

    payloads: tuple[Payload, ...]
    may_have_missed: bool


class Subscription:
    """The notices of one topic, for one task of the serving loop."""

    def __init__(self, ear: _Ear) -> None:
        self._ear = ear
        self._waiting: deque[Payload] = deque()
        self._may_have_missed = False
        self._future: asyncio.Future[None] | None = None

    async def wait(self) -> Heard:
        """What has come since the last call, as soon as there is something. Cancelling it loses nothing.

        Returns without a notice, and with `may_have_missed`, when the connection was lost and is back, and once in a while.
        """
        if not self._waiting and not self._may_have_missed:
            loop = asyncio.get_running_loop()
            self._future = loop.create_future()
            patience = _PATIENCE_SECONDS if self._ear.is_listening else _DEAF_SECONDS
            timer = loop.call_later(patience, self.look_again)
            try:
                await self._future
            finally:
                timer.cancel()
                self._future = None
        heard = Heard(tuple(self._waiting), self._may_have_missed)
        self._waiting.clear()
        self._may_have_missed = False
        return heard

    def hear(self, payload: Payload) -> None:
        """Take a notice; never waits."""
        if len(self._waiting) < _MOST_WAITING:
            self._waiting.append(payload)
        else:
            self._may_have_missed = True
        self._wake()

    def look_again(self) -> None:
        """Have the subscriber look for itself."""
        self._may_have_missed = True
        self._wake()

    def _wake(self) -> None:
        if self._future is not None and not self._future.done():
            self._future.set_result(None)


class _Ear:
    """What one loop listens to."""

    def __init__(self) -> None:
        self.is_listening = False
        self.subscriptions: dict[str, set[Subscription]] = defaultdict(set)

    def tell(self, packed: str) -> None:
        try:
            notices = json.loads(packed)
            for topic, payload in notices:
                for subscription in self.subscriptions.get(topic, ()):
                    subscription.hear(payload)
        except (ValueError, TypeError):
            logger.warning("a notice on the channel %r is none of ours: %.100r", CHANNEL, packed)

    def everybody_looks_again(self) -> None:
        for subscriptions in self.subscriptions.values():
            for subscription in subscriptions:
                subscription.look_again()


# By loop, because futures belong to one: a process has one that serves, a test run has many.
_ears: WeakKeyDictionary[asyncio.AbstractEventLoop, _Ear] = WeakKeyDictionary()


def _ear() -> _Ear:
    return _ears.setdefault(asyncio.get_running_loop(), _Ear())


def is_listening() -> bool:
    """Whether notices reach this loop now; if not, subscribers look for themselves more often."""
    return _ear().is_listening


@contextmanager
def subscribe(topic: str) -> Iterator[Subscription]:
    """Hear the notices of a topic that come from now on; on the serving loop.

    Subscribe first and look second: what happens between the two is then heard.
    """
    ear = _ear()
    subscription = Subscription(ear)
    ear.subscriptions[topic].add(subscription)
    try:
        yield subscription
    finally:
        ear.subscriptions[topic].discard(subscription)
        if not ear.subscriptions[topic]:
            del ear.subscriptions[topic]


@asynccontextmanager
async def listening() -> AsyncIterator[None]:
    """Listen while the block runs. Does not wait for the connection: a process starts without it, and hears later."""
    task = asyncio.get_running_loop().create_task(listen(), context=contextvars.Context())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def listen() -> None:
    """Listen until cancelled, whatever happens to the connection."""
    ear = _ear()
    pause, is_news = _FIRST_PAUSE, True
    while True:
        try:
            async with aclosing(_arriving(ear)) as arriving:
                async for packed in arriving:
                    ear.tell(packed)
        except (psycopg.Error, OSError) as error:
            if ear.is_listening:
                pause, is_news = _FIRST_PAUSE, True
            level = logging.WARNING if is_news else logging.DEBUG
            logger.log(level, "no notices from other processes until the database is back: %s", error)
        finally:
            ear.is_listening = False
        await asyncio.sleep(pause)
        pause, is_news = min(pause * 2, _LONGEST_PAUSE), False


async def _arriving(ear: _Ear) -> AsyncGenerator[str, None]:
    """The packed notices of one connection, which raises when it is lost."""
    parameters = {**_KEEPALIVES, **connection_parameters()}
    async with await psycopg.AsyncConnection.connect(**parameters, autocommit=True) as listener:
        await listener.execute(f"LISTEN {CHANNEL}")
        ear.is_listening = True
        # What was said before this moment was not heard.
        ear.everybody_looks_again()
        async for notice in listener.notifies():
            yield notice.payload
