"""Who has the page of a block open: kept by each of its websockets for itself, from what the others announce.

Announcements go from process to process as notices, so it does not matter which of them serves whom. Nothing is stored: who has not
been heard for a while is taken to be gone.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

from letta_ade.accounts.auth import Caller

#: Every page says so often that it is there, and is forgotten when it was not heard for so long.
BEAT_SECONDS = 10.0
_FORGOTTEN_AFTER_SECONDS = 25.0
#: So long after its page said so last somebody counts as editing.
_EDITING_SECONDS = 12.0


def presence_topic(block_id: str) -> str:
    """The topic of the notices about one block's pages."""
    return f"presence.{block_id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody else who has the page open."""

    name: str
    is_editing: bool
    #: The caller of this very page, in another window.
    is_self: bool

    @property
    def words(self) -> str:
        """What the page says."""
        who = "You, in another window" if self.is_self else self.name
        return f"{who}, editing" if self.is_editing else who


@dataclass(slots=True)
class _Page:
    person_id: str
    name: str
    is_editing: bool
    heard_at: float


@dataclass(slots=True, kw_only=True)
class Presence:
    """What one page knows of the others, and what it says of itself."""

    caller: Caller
    #: Seconds that only grow.
    clock: Callable[[], float] = time.monotonic
    token: str = field(default_factory=lambda: uuid4().hex)
    _pages: dict[str, _Page] = field(default_factory=dict)
    _edited_at: float | None = None

    def edit(self, *, is_editing: bool) -> bool:
        """Note what the page says about its form; whether that is news to the others."""
        was = self.is_editing
        self._edited_at = self.clock() if is_editing else None
        return was != is_editing

    @property
    def is_editing(self) -> bool:
        return self._edited_at is not None and self.clock() - self._edited_at < _EDITING_SECONDS

    def announcement(self, *, asks: bool = False, leaves: bool = False) -> dict[str, Any]:
        """What this page tells the others; with `asks` they answer."""
        return {
            "page": self.token,
            "person": self.caller.id,
            "name": self.caller.name[:80],
            "editing": self.is_editing,
            "asks": asks,
            "leaves": leaves,
        }

    def hear(self, said: dict[str, Any]) -> bool:
        """Take an announcement; whether it wants an answer."""
        token = said["page"]
        if token == self.token:
            return False
        if said["leaves"]:
            self._pages.pop(token, None)
            return False
        self._pages[token] = _Page(
            person_id=said["person"],
            name=said["name"],
            is_editing=said["editing"],
            heard_at=self.clock(),
        )
        return bool(said["asks"])

    def people(self) -> tuple[Person, ...]:
        """The others that were heard of lately, each once; who edits first, then by name."""
        now = self.clock()
        self._pages = {
            token: page
            for token, page in self._pages.items()
            if now - page.heard_at < _FORGOTTEN_AFTER_SECONDS
        }
        editing: dict[str, bool] = {}
        names: dict[str, str] = {}
        for page in self._pages.values():
            editing[page.person_id] = editing.get(page.person_id, False) or page.is_editing
            names[page.person_id] = page.name
        found = [
            Person(name=names[person], is_editing=is_editing, is_self=person == self.caller.id)
            for person, is_editing in editing.items()
        ]
        return tuple(sorted(found, key=lambda each: (not each.is_editing, each.name)))
