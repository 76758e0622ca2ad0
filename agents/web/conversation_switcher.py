"""The conversations of an agent as the workbench offers them: the default one, the newest others, those put away."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import F
from django.urls import reverse

from agents.models import Conversation, Run
from agents.models.run import ACTIVE_STATUSES
from agents.services.approvals import waiting_entries
from letta_ade.accounts.auth import Caller

#: Others that are offered at once; older ones are found through the API and by their address.
OFFERED = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationRow:
    """One conversation to choose."""

    conversation: Conversation
    is_open: bool
    #: A run goes on in it, or it waits for an answer.
    state: str

    @property
    def name(self) -> str:
        return name_of(self.conversation)

    @property
    def address(self) -> str:
        return address_of(self.conversation)

    @property
    def at(self) -> datetime:
        return self.conversation.last_message_at or self.conversation.created_at


@dataclass(frozen=True, slots=True, kw_only=True)
class Switcher:
    """What the head of the transcript shows and offers."""

    name: str
    rows: tuple[ConversationRow, ...]
    archived: tuple[ConversationRow, ...]
    has_more: bool


def address_of(conversation: Conversation) -> str:
    """The workbench's address with this conversation in it."""
    page = reverse("agents:detail", args=[conversation.agent_id])
    return page if conversation.is_default else f"{page}?conversation={conversation.id}"


def name_of(conversation: Conversation) -> str:
    """What people call it."""
    if conversation.is_default:
        return "Default conversation"
    return conversation.summary or "Untitled conversation"


def load_switcher(caller: Caller, conversation: Conversation) -> Switcher:
    """The default conversation, the others by their last message, and those that were archived. Five queries."""
    everything = Conversation.objects.filter(
        workspace_id=caller.workspace_id, agent_id=conversation.agent_id, deleted_at=None, hidden=False
    )
    newest = everything.order_by(F("last_message_at").desc(nulls_last=True), "-created_at")
    default = everything.filter(is_default=True)
    others = list(newest.filter(is_default=False, archived_at=None)[: OFFERED + 1])
    archived = list(newest.filter(is_default=False, archived_at__isnull=False)[:OFFERED])
    chosen = [*default, *others[:OFFERED]]
    if conversation.id not in {each.id for each in (*chosen, *archived)}:
        chosen.append(conversation)
    states = _states([each.id for each in chosen], conversation.agent_id)
    return Switcher(
        name=name_of(conversation),
        rows=_rows(chosen, conversation, states),
        archived=_rows(archived, conversation, {}),
        has_more=len(others) > OFFERED,
    )


def _rows(
    conversations: Iterable[Conversation], opened: Conversation, states: dict[str, str]
) -> tuple[ConversationRow, ...]:
    return tuple(
        ConversationRow(conversation=each, is_open=each.id == opened.id, state=states.get(each.id, ""))
        for each in conversations
    )


def _states(conversation_ids: list[str], agent_id: str) -> dict[str, str]:
    waiting = {entry.conversation_id: "wait" for entry in waiting_entries([agent_id])}
    active = Run.objects.filter(conversation_id__in=conversation_ids, status__in=ACTIVE_STATUSES)
    return {**waiting, **dict.fromkeys(active.values_list("conversation_id", flat=True), "live")}
