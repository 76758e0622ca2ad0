"""Messages that left the context of a conversation or came back, as much as their marks show of them."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from agents.models import Conversation
from agents.models.message import MessageRole
from agents.services.conversations import history_of
from agents.services.reruns import EDITABLE
from agents.web.context_places import Place, places_of
from agents.web.transcript import InputItem, TextItem

#: The newest of those that moved together. A compaction moves hundreds, most of them on no page.
MOST_MOVED = 200
_SEEN = (MessageRole.USER, MessageRole.ASSISTANT, MessageRole.SYSTEM)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedMessage:
    """A message of the transcript and where it stands."""

    id: str
    place: Place
    has_text: bool
    is_input: bool

    @classmethod
    def of(cls, item: InputItem | TextItem) -> PlacedMessage:
        is_input = isinstance(item, InputItem) and item.is_editable
        return cls(id=item.id, place=item.place, has_text=bool(item.text), is_input=is_input)


def moved_messages(
    conversation: Conversation, ids: Collection[str], *, without: Collection[str] = ()
) -> list[PlacedMessage]:
    """Those of these messages that a transcript can show, but for what these runs said."""
    rows = history_of(conversation).filter(id__in=ids, role__in=_SEEN).defer("search", "content")
    found = [each for each in rows.order_by("-created_at", "-id")[:MOST_MOVED] if each.run_id not in without]
    places = places_of(conversation.id, found)
    return [
        PlacedMessage(
            id=each.id,
            place=places.get(each.id, ""),
            has_text=bool(each.text),
            is_input=each.role in EDITABLE,
        )
        for each in found
    ]
