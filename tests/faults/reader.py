"""A client of its own thread: it reads a stream, or waits for a plain answer."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import httpx

from tests.faults.model import SECONDS

Event = dict[str, Any]


class Reader(threading.Thread):
    """Posts, and reads what comes until it ends or breaks off."""

    def __init__(self, url: str, body: Any, **headers: str) -> None:
        super().__init__(daemon=True)
        self._url, self._body, self._headers = url, body, headers
        self._news = threading.Condition()
        self.status: int | None = None
        #: The whole body of an answer that is not a stream.
        self.answer: Any = None
        self.answer_headers: dict[str, str] = {}
        self.events: list[Event] = []
        self.errors: list[Event] = []
        #: How often [DONE] came.
        self.ends = 0
        self.is_cut = False
        self.start()

    def run(self) -> None:
        try:
            with httpx.stream(
                "POST", self._url, json=self._body, headers=self._headers, timeout=60
            ) as response:
                self.status, self.answer_headers = response.status_code, dict(response.headers)
                if "event-stream" not in response.headers["content-type"]:
                    self.answer = json.loads(response.read())
                    return
                is_error = False
                for line in response.iter_lines():
                    if line.startswith("event:"):
                        is_error = line == "event: error"
                    elif line.startswith("data:"):
                        self._take(line.removeprefix("data:").strip(), is_error=is_error)
                        is_error = False
        except httpx.TransportError:
            self.is_cut = True
        finally:
            with self._news:
                self._news.notify_all()

    def _take(self, data: str, *, is_error: bool) -> None:
        with self._news:
            if data == "[DONE]":
                self.ends += 1
            else:
                (self.errors if is_error else self.events).append(json.loads(data))
            self._news.notify_all()

    def wait_for(self, is_wanted: Callable[[Event], bool]) -> Event:
        """The first event that fits."""
        with self._news:
            assert self._news.wait_for(lambda: any(map(is_wanted, self.events)), SECONDS), self.events
            return next(filter(is_wanted, self.events))

    @property
    def run_id(self) -> str:
        """As the first ping tells it."""
        return str(self.wait_for(lambda event: event["message_type"] == "ping")["run_id"])

    def wait_for_text(self, text: str) -> None:
        """Until the pieces that came hold this text."""
        with self._news:
            assert self._news.wait_for(lambda: text in self.text, SECONDS), self.events

    @property
    def text(self) -> str:
        """The pieces of what the agent said, joined."""
        return "".join(
            event["content"] for event in self.events if event["message_type"] == "assistant_message"
        )

    @property
    def stop_reasons(self) -> list[str]:
        return [event["stop_reason"] for event in self.events if event["message_type"] == "stop_reason"]

    @property
    def numbers(self) -> list[int]:
        return [
            event["seq_id"]
            for event in self.events
            if event.get("seq_id") and event["message_type"] != "ping"
        ]

    def finish(self) -> Reader:
        """When the answer has ended."""
        self.join(SECONDS)
        assert not self.is_alive(), f"the answer never ended: {self.events}"
        return self
