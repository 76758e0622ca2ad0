"""Server-sent events: framing, signs of life, numbers to resume by (spec/streaming.md §2, §3, §7)."""

from __future__ import annotations

import json
import time
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from pydantic_core import PydanticSerializationError, to_json

from agents.api.streaming import Format, Translator, error_message, ping, stop_reason, usage
from agents.event_rows import whole_characters
from agents.runtime.events import Event, RunEnded
from agents.services.silent_runs import end_silent_run
from agents.streams import following
from letta_ade.core.asgi import LiveResponse

DONE = b"data: [DONE]\n\n"
#: One stored event gives fewer numbered messages than this: a stored message has at most 128 otids. The number of a message
#: tells its event and its place.
_PLACES = 256


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


def sse_response(reader: Reader) -> LiveResponse:
    """The stream as an HTTP answer. It ends with the run; the run goes on when the reader leaves."""
    response = LiveResponse(sse_stream(reader), content_type="text/event-stream; charset=utf-8")
    response["Cache-Control"] = "no-cache"
    response["X-Accel-Buffering"] = "no"
    return response


def frame(message: Any) -> bytes:
    """A normal event: no name, or the client would drop it."""
    return b"data: " + _json(message) + b"\n\n"


def error_frame(message: Any) -> bytes:
    """The one named event: the client raises it."""
    return b"event: error\n" + frame(message)


def _json(message: Any) -> bytes:
    try:
        return to_json(message)
    except PydanticSerializationError:
        # Half of a surrogate pair: some servers cut an emoji in two.
        return whole_characters(json.dumps(message, ensure_ascii=False)).encode()


async def sse_stream(reader: Reader) -> AsyncGenerator[bytes, None]:
    """Ping, messages, stop reason, usage or error, [DONE]. What came together is sent together."""
    encoder = _Encoder(reader)
    if reader.include_pings:
        yield encoder.ping()
    first_seq = (reader.after - 1) // _PLACES + 1 if reader.after else 1
    keepalive: float = settings.KEEPALIVE_SECONDS
    sent = heard = time.monotonic()
    async with following(reader.run_id, after=first_seq - 1) as follower:
        while True:
            batch = await follower.next(max(0.0, sent + keepalive - time.monotonic()))
            if batch is None:
                break
            now = time.monotonic()
            frames = b"".join([frame for seq, event in batch for frame in encoder.frames(seq, event)])
            if batch:
                heard = now
            elif now - heard >= settings.STREAM_SILENCE_SECONDS:
                await end_silent_run(reader.run_id)
                heard = now
            if not frames and now - sent >= keepalive:
                # Also while events come of which this reader is told nothing: to it the connection is just as quiet.
                frames, sent = encoder.ping() if reader.include_pings else b"", now
            has_ended = bool(batch) and isinstance(batch[-1][1], RunEnded)
            # A reader that does not read stays here, and should hold as little as can be.
            del batch
            if frames:
                yield frames
                sent = time.monotonic()
            if has_ended:
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
            number = (seq - 1) * _PLACES + place + 1
            if number > self._reader.after:
                if self._reader.is_numbered:
                    self._last = message["seq_id"] = number
                yield frame(message)
        if isinstance(event, RunEnded):
            # A killed process may have told more than it had written: the number still rises.
            number = max((seq - 1) * _PLACES, self._last or 0) + 1
            yield _ending(event, number if self._reader.is_numbered else None)


def _ending(event: RunEnded, seq_id: int | None) -> bytes:
    if event.error is not None:
        return frame(stop_reason(event)) + error_frame(error_message(event.error, seq_id)) + DONE
    return frame(stop_reason(event)) + frame(usage(event)) + DONE


def _broken_off(reader: Reader) -> bytes:
    """The end of a stream whose run told no end."""
    error = {
        "run_id": reader.run_id,
        "error_type": "stream_incomplete",
        "message": "The stream ended before the run did.",
        "detail": "A run of the background goes on: read its stream again after the last number. Else look at the run itself.",
    }
    stop = {"message_type": "stop_reason", "stop_reason": "error"}
    return frame(stop) + error_frame(error_message(error, None)) + DONE
