"""The conversations of an agent as the workbench offers them: the default one first, then by the last message."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.db.models import Count, F, Q
from django.db.models.functions import Coalesce
from django.urls import reverse

from agents.models import Conversation, Run
from agents.models.run import ACTIVE_STATUSES
from agents.services.waiting import open_requests
from memory.texts import searchable

#: Conversations that are offered at once.
LISTED = 50
#: From how many on there is a search.
FEW = 8

Mark = Literal["", "running", "waiting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """One line of the switcher."""

    conversation: Conversation
    is_current: bool
    mark: Mark

    @property
    def title(self) -> str:
        return title_of(self.conversation)

    @property
    def address(self) -> str:
        return address_of(self.conversation)

    @property
    def at(self) -> datetime:
        """When something was last said, or when it was made."""
        return self.conversation.last_message_at or self.conversation.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """What the switcher offers."""

    rows: tuple[ConversationRow, ...]
    #: Named ones of the list, whether they are found or not.
    total: int
    archived_count: int
    search: str
    shows_archived: bool
    #: Others are found by searching.
    has_more: bool

    @property
    def has_search(self) -> bool:
        return self.total > FEW


def title_of(conversation: Conversation) -> str:
    """What a page calls it."""
    if conversation.summary:
        return conversation.summary
    return "Default conversation" if conversation.is_default else "Untitled"


def address_of(conversation: Conversation) -> str:
    """Its page. The default one has that of its agent."""
    if conversation.is_default:
        return reverse("agents:detail", args=[conversation.agent_id])
    return reverse("agents:detail", args=[conversation.agent_id, conversation.id])


def load_switch(current: Conversation, *, search: str = "", shows_archived: bool = False) -> Switch:
    """The conversations of the agent, open or archived ones, whose name holds the text. A fixed number of queries.

    The current one is among them also when it is hidden, or older than those that are offered.
    """
    shown = Q(hidden=False) | Q(id=current.id)
    everything = Conversation.objects.filter(shown, agent_id=current.agent_id, deleted_at=None)
    kept = everything.filter(archived_at__isnull=not shows_archived)
    found = kept
    if text := searchable(search):
        found = found.filter(summary__icontains=text)
    latest = Coalesce("last_message_at", "created_at")
    rows = list(found.order_by(F("is_default").desc(), latest.desc(), "id")[: LISTED + 1])
    has_more, rows = len(rows) > LISTED, rows[:LISTED]
    is_of_list = not text and (current.archived_at is not None) == shows_archived
    if has_more and is_of_list and all(each.id != current.id for each in rows):
        rows[-1] = current
    marks = _marks(rows)
    counts = everything.order_by().aggregate(
        all=Count("id"), archived=Count("id", filter=Q(archived_at__isnull=False))
    )
    return Switch(
        rows=tuple(
            ConversationRow(conversation=each, is_current=each.id == current.id, mark=marks.get(each.id, ""))
            for each in rows
        ),
        total=counts["archived"] if shows_archived else counts["all"] - counts["archived"],
        archived_count=counts["archived"],
        search=search,
        shows_archived=shows_archived,
        has_more=has_more,
    )


def _marks(conversations: Sequence[Conversation]) -> dict[str, Mark]:
    ids = [each.id for each in conversations]
    running = Run.objects.filter(conversation_id__in=ids, status__in=ACTIVE_STATUSES)
    waiting = open_requests().filter(conversation_id__in=ids).order_by()
    marks: dict[str, Mark] = dict.fromkeys(waiting.values_list("conversation_id", flat=True), "waiting")
    return marks | dict.fromkeys(running.values_list("conversation_id", flat=True), "running")
