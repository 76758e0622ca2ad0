"""Server-sent events, cut out of the bytes of an answer as they arrive."""

from __future__ import annotations

import re
from typing import Any, Protocol

from pydantic_core import from_json

_HALF_CHARACTER = re.compile(rb"\\u[dD][89a-fA-F][0-9a-fA-F]{2}")


class EventCutter(Protocol):
    """Cuts the bytes of a streamed answer into the JSON texts of its events."""

    def feed(self, data: bytes) -> list[bytes]:
        """The events that these bytes complete. ValueError when they are no events."""

    def rest(self) -> list[bytes]:
        """What is left when the answer has ended: an event without the blank line after it."""


class SseCutter:
    """The `data` of each event. Names, ids and comments are left out: every protocol here says the type in the data, too.

    The SDKs' own decoders cost more than all that we do with an event: they look at each line several times.
    """

    def __init__(self) -> None:
        self._line = b""
        self._data: list[bytes] = []

    def feed(self, data: bytes) -> list[bytes]:
        lines = (self._line + data).split(b"\n")
        self._line = lines.pop()
        events: list[bytes] = []
        for line in lines:
            if line.endswith(b"\r"):
                line = line[:-1]
            if line.startswith(b"data:"):
                self._data.append(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line and self._data:
                events.append(self._taken())
        return events

    def rest(self) -> list[bytes]:
        events = self.feed(b"\n")
        return [*events, self._taken()] if self._data else events

    def _taken(self) -> bytes:
        event = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
        self._data.clear()
        return event


def read_event(data: bytes) -> Any:
    """The JSON of an event. ValueError when it is none."""
    try:
        return from_json(data)
    except ValueError:
        if not _HALF_CHARACTER.search(data):
            raise
        # A server that cuts between the halves of a surrogate pair: neither half can be stored.
        return from_json(_HALF_CHARACTER.sub(rb"\\ufffd", data))
