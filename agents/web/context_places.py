"""Whether the messages of a transcript are in the context of its conversation: sent to the model, hidden from it, or summarised."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

from agents.models import CompactedEntry, ContextEntry, Message

#: "" is told of messages that are never in a context: those of failed steps, and those not stored yet.
Place = Literal["", "in", "hidden", "compacted"]


def places_of(conversation_id: str, messages: Iterable[Message]) -> dict[str, Place]:
    """Where each of these messages stands, by id. Two queries at most."""
    ids = [message.id for message in messages if not message.is_err]
    entries = ContextEntry.objects.filter(conversation_id=conversation_id, message_id__in=ids)
    inside = set(entries.values_list("message_id", flat=True))
    outside = [each for each in ids if each not in inside]
    compacted: set[str] = set()
    if outside:
        left = CompactedEntry.objects.filter(
            compaction__conversation_id=conversation_id, compaction__undone_at=None, message_id__in=outside
        )
        compacted = set(left.values_list("message_id", flat=True))
    places: dict[str, Place] = dict.fromkeys(inside, "in")
    return places | {each: "compacted" if each in compacted else "hidden" for each in outside}


def ids_in_context(conversation_id: str, run_id: str | None = None) -> frozenset[str]:
    """Ids of the messages in context, or of those that a run stored. One query."""
    entries = ContextEntry.objects.filter(conversation_id=conversation_id)
    if run_id is not None:
        entries = entries.filter(message__run_id=run_id)
    return frozenset(entries.values_list("message_id", flat=True))
