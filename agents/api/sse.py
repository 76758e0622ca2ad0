"""Server-sent events: framing, signs of life, numbers to resume by (spec/streaming.md §2, §3, §7)."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.http import StreamingHttpResponse
from pydantic_core import to_json

from agents.api.streaming import Format, Translator, error_message, ping, stop_reason, usage
from agents.runtime.events import Event, RunEnded
from agents.streams import follow_batches

DONE = b"data: [DONE]\n\n"
#: One stored event gives at most this many numbered messages; the number of a message tells event and place.
_PLACES = 32
#: A run that says nothing for so long is not coming back.
_LONGEST_SILENCE_SECONDS = 1800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """A client that reads a run."""

    run_id: str
    format: Format
    include_pings: bool = True
    #: Background runs have numbered messages, so that a reader can come back.
    is_numbered: bool = False
    #: The number of the last message that it has.
    after: int = 0


def sse_response(reader: Reader) -> StreamingHttpResponse:
    """The stream as an HTTP answer. It ends with the run; the run goes on when the reader leaves."""
    response = StreamingHttpResponse(sse_stream(reader), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


def frame(message: Any) -> bytes:
    """A normal event: no name, or the client would drop it."""
    return b"data: " + to_json(message) + b"\n\n"


def error_frame(message: Any) -> bytes:
    """The one named event: the client raises it."""
    return b"event: error\n" + frame(message)


async def sse_stream(reader: Reader) -> AsyncGenerator[bytes, None]:
    """Ping, messages, stop reason, usage or error, [DONE]. What came together is sent together."""
    encoder = _Encoder(reader)
    if reader.include_pings:
        yield encoder.ping()
    first_seq = (reader.after - 1) // _PLACES + 1 if reader.after else 1
    async with aclosing(_batches(reader.run_id, first_seq - 1)) as batches:
        async for batch in batches:
            if not batch and reader.include_pings:
                yield encoder.ping()
            if frames := b"".join(frame for seq, event in batch for frame in encoder.frames(seq, event)):
                yield frames
            if batch and isinstance(batch[-1][1], RunEnded):
                return
    yield _broken_off(reader)


class _Encoder:
    """The frames of one reader; knows the number of the last message."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._translator = Translator(reader.run_id, reader.format)
        self._last = reader.after or None

    def ping(self) -> bytes:
        return frame(ping(self._reader.run_id, self._last if self._reader.is_numbered else None))

    def frames(self, seq: int, event: Event) -> Iterator[bytes]:
        for place, message in enumerate(self._translator.messages(event)):
            number = (seq - 1) * _PLACES + min(place, _PLACES - 1) + 1
            if number > self._reader.after:
                self._last = number
                yield frame({**message, "seq_id": number} if self._reader.is_numbered else message)
        if isinstance(event, RunEnded):
            yield _ending(event, (seq - 1) * _PLACES + 1 if self._reader.is_numbered else None)


def _ending(event: RunEnded, seq_id: int | None) -> bytes:
    if event.error is not None:
        return frame(stop_reason(event)) + error_frame(error_message(event.error, seq_id)) + DONE
    return frame(stop_reason(event)) + frame(usage(event)) + DONE


def _broken_off(reader: Reader) -> bytes:
    """The end of a stream whose run told no end, or nothing for too long."""
    error = {
        "run_id": reader.run_id,
        "error_type": "stream_incomplete",
        "message": "The stream ended before the run did.",
        "detail": "Look at the run itself for how it ended.",
    }
    stop = {"message_type": "stop_reason", "stop_reason": "error"}
    return frame(stop) + error_frame(error_message(error, None)) + DONE


async def _batches(run_id: str, after: int) -> AsyncGenerator[list[tuple[int, Event]], None]:
    """The events, as many at once as have come; an empty list whenever none came for the keep-alive time.

    Ends after a silence that is too long.
    """
    heard = time.monotonic()
    async with aclosing(follow_batches(run_id, after=after)) as batches:
        waiting = asyncio.ensure_future(_next(batches))
        try:
            while time.monotonic() - heard < _LONGEST_SILENCE_SECONDS:
                # Not wait_for: it would cancel the generator at each silence.
                done, _ = await asyncio.wait({waiting}, timeout=settings.KEEPALIVE_SECONDS)
                if not done:
                    yield []
                    continue
                heard = time.monotonic()
                batch = waiting.result()
                if batch is None:
                    return
                yield batch
                waiting = asyncio.ensure_future(_next(batches))
        finally:
            waiting.cancel()
            await asyncio.gather(waiting, return_exceptions=True)


async def _next(batches: AsyncIterator[list[tuple[int, Event]]]) -> list[tuple[int, Event]] | None:
    return await anext(batches, None)
