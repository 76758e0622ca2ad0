"""Conversations on the wire (spec/objects.md §10)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import Field

from agents.api.schemas.agent_model import ModelSettings
from agents.models import Conversation
from agents.services.agent_conversations import (
    EMPTIABLE,
    ConversationChanges,
    ConversationDraft,
    ConversationFilters,
)
from letta_ade.core.pagination import Order, PageRequest
from letta_ade.core.schemas import Body, Limit, Wire


class ConversationResponse(Wire):
    """A conversation of an agent."""

    id: str
    agent_id: str
    summary: str | None
    description: str | None
    #: The system message first; null in lists.
    in_context_message_ids: list[str] | None
    isolated_block_ids: list[str]
    model: str | None
    model_settings: dict[str, Any] | None
    context_window_limit: int | None
    archived: bool
    archived_at: datetime | None
    hidden: bool
    last_message_at: datetime | None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(
        cls, row: Conversation, *, isolated_ids: Sequence[str], message_ids: Sequence[str] | None
    ) -> ConversationResponse:
        """The conversation of a row."""
        return cls(
            id=row.id,
            agent_id=row.agent_id,
            summary=row.summary,
            description=row.description,
            in_context_message_ids=None if message_ids is None else list(message_ids),
            isolated_block_ids=list(isolated_ids),
            model=row.model,
            model_settings=row.model_settings,
            context_window_limit=row.context_window_limit,
            archived=row.archived_at is not None,
            archived_at=row.archived_at,
            hidden=row.hidden,
            last_message_at=row.last_message_at,
            created_at=row.created_at,
            updated_at=row.updated_at,
            created_by_id=row.created_by_id,
            last_updated_by_id=row.last_updated_by_id,
        )


class _ConversationBody(Body):
    summary: str | None = None
    description: str | None = None
    model: str | None = None
    model_settings: ModelSettings | None = None
    context_window_limit: int | None = Field(default=None, ge=1)

    def asked_settings(self) -> dict[str, Any]:
        """The model settings that were sent."""
        return {} if self.model_settings is None else self.model_settings.asked()


class CreateConversation(_ConversationBody):
    """A new conversation; what is null or left out is its agent's."""

    hidden: bool = False
    isolated_block_labels: list[str] | None = None

    def draft(self) -> ConversationDraft:
        return ConversationDraft(
            summary=self.summary,
            description=self.description,
            hidden=self.hidden,
            model=self.model or None,
            model_settings=self.asked_settings(),
            context_window_limit=self.context_window_limit,
            isolated_block_labels=tuple(self.isolated_block_labels or ()),
        )


class UpdateConversation(_ConversationBody):
    """What is to change. A null empties a field: the conversation has what its agent has then."""

    archived: bool | None = None
    hidden: bool | None = None
    last_message_at: datetime | None = None

    def changes(self) -> ConversationChanges:
        cleared = {name for name in self.sent() & EMPTIABLE if getattr(self, name) is None}
        moment = self.last_message_at
        return ConversationChanges(
            summary=self.summary,
            description=self.description,
            hidden=self.hidden,
            archived=self.archived,
            model=self.model or None,
            model_settings=self.asked_settings(),
            context_window_limit=self.context_window_limit,
            last_message_at=moment if moment is None or moment.tzinfo else moment.replace(tzinfo=UTC),
            cleared=frozenset(cleared),
        )


class ConversationQuery(Schema):
    """Which conversations are wanted."""

    agent_id: str | None = None
    archive_status: Literal["unarchived", "archived", "all"] = "unarchived"
    summary_search: str | None = None
    #: Ours: those that were made with `hidden`, too.
    show_hidden_conversations: bool = False
    before: str | None = None
    after: str | None = None
    limit: Limit = None
    order: Order = "desc"
    order_by: Literal["created_at", "last_run_completion", "last_message_at"] = "created_at"

    def filters(self) -> ConversationFilters:
        return ConversationFilters(
            agent_id=self.agent_id or None,
            archive_status=self.archive_status,
            summary_search=self.summary_search,
            shows_hidden=self.show_hidden_conversations,
        )

    def page(self) -> PageRequest:
        return PageRequest(
            limit=self.limit or 50,
            order=self.order,
            order_by=self.order_by,
            after=self.after or None,
            before=self.before or None,
        )


class RecompileConversation(Body):
    """What a recompile may say. How the conversation is compacted has no part in it."""

    agent_id: str | None = None
    compaction_settings: dict[str, Any] | None = None


class ResetConversation(Body):
    """How a conversation begins again."""

    add_default_initial_messages: bool = False
    agent_id: str | None = None
