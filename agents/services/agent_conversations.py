"""The conversations of agents: made, found, changed, deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.db import transaction
from django.utils import timezone

from agents.models import Conversation
from agents.services import conversations
from agents.services.agents import get_agent_for, tell
from agents.services.conversation_model import ModelOverride, check_override
from agents.services.conversations import find_conversation, get_default_conversation
from agents.services.decision_notes import hand_over_untold
from agents.services.isolated_blocks import delete_isolated, isolate
from agents.services.leases import keep_runs_out
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, Unprocessable
from letta_ade.core.pagination import PageRequest, paginate
from memory.texts import check_text, searchable

ArchiveStatus = Literal["unarchived", "archived", "all"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationDraft:
    """What a new conversation is made of; None and empty leave it to the agent."""

    summary: str | None = None
    description: str | None = None
    hidden: bool = False
    model: str | None = None
    model_settings: dict[str, Any] = field(default_factory=dict)
    context_window_limit: int | None = None
    #: Labels of the agent's blocks that the conversation gets copies of.
    isolated_block_labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationChanges:
    """What is to change; None leaves a field alone, and `cleared` names those that become empty."""

    summary: str | None = None
    description: str | None = None
    hidden: bool | None = None
    archived: bool | None = None
    model: str | None = None
    #: Laid over those that are there.
    model_settings: dict[str, Any] = field(default_factory=dict)
    context_window_limit: int | None = None
    last_message_at: datetime | None = None
    cleared: frozenset[str] = frozenset()


#: Fields that `cleared` may empty. Without its model a conversation has no settings for it either.
EMPTIABLE = frozenset(
    {"summary", "description", "model", "model_settings", "context_window_limit", "last_message_at"}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConversationFilters:
    """Which conversations a list holds; default ones are never among them, since they are their agents."""

    agent_id: str | None = None
    archive_status: ArchiveStatus = "unarchived"
    #: Part of the summary, in any case.
    summary_search: str | None = None
    shows_hidden: bool = False


def create_conversation(*, caller: Caller, agent_id: str, draft: ConversationDraft) -> Conversation:
    """A new conversation that begins with its own system message. Raises NotFound (agent, model), Invalid or Unprocessable."""
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    override = check_override(
        agent, handle=draft.model, asked=draft.model_settings, window=draft.context_window_limit
    )
    conversation = Conversation(
        workspace_id=agent.workspace_id,
        agent=agent,
        summary=_text("summary", draft.summary),
        description=_text("description", draft.description),
        hidden=draft.hidden,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
    )
    _set_model(conversation, override)
    labels = list(dict.fromkeys(draft.isolated_block_labels))
    with transaction.atomic():
        conversation.save(force_insert=True)
        isolate(caller=caller, agent=agent, conversation=conversation, labels=labels)
        conversations.begin(agent=agent, conversation=conversation, messages=())
        tell(agent)
    return conversation


def list_conversations(
    *, caller: Caller, filters: ConversationFilters | None = None, page: PageRequest | None = None
) -> list[Conversation]:
    """A page of conversations, the newest first unless asked otherwise. Raises NotFound for an unknown cursor.

    A cursor that has been deleted since still holds its place.
    """
    caller.check("read")
    wanted = filters or ConversationFilters()
    everything = Conversation.objects.filter(workspace_id=caller.workspace_id)
    rows = everything.filter(is_default=False, deleted_at=None)
    if wanted.agent_id is not None:
        rows = rows.filter(agent_id=wanted.agent_id)
    if wanted.archive_status != "all":
        rows = rows.filter(archived_at__isnull=wanted.archive_status == "unarchived")
    if wanted.summary_search and (text := searchable(wanted.summary_search)):
        rows = rows.filter(summary__icontains=text)
    if not wanted.shows_hidden:
        rows = rows.filter(hidden=False)
    return paginate(rows, page or PageRequest(), among=everything)


def update_conversation(
    *, caller: Caller, conversation_id: str, changes: ConversationChanges, agent_id: str | None = None
) -> Conversation:
    """The conversation with the changes made. Raises NotFound, Invalid or Unprocessable."""
    caller.check("edit")
    found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    # Before the transaction: a provider may be asked.
    override = _changed_override(found, changes)
    with transaction.atomic():
        conversation = _locked(found)
        for name in ("summary", "description"):
            if (value := getattr(changes, name)) is not None:
                setattr(conversation, name, _text(name, value))
        if changes.hidden is not None:
            conversation.hidden = changes.hidden
        if changes.archived is not None and changes.archived != (conversation.archived_at is not None):
            conversation.archived_at = timezone.now() if changes.archived else None
        if changes.last_message_at is not None:
            conversation.last_message_at = _past(changes.last_message_at)
        for name in changes.cleared & {"summary", "description", "last_message_at"}:
            setattr(conversation, name, None)
        if override is not None:
            _set_model(conversation, override)
        conversation.last_updated_by_id = caller.id
        conversation.save()
        tell(conversation.agent)
    return conversation


def delete_conversation(*, caller: Caller, conversation_id: str, agent_id: str | None = None) -> None:
    """The conversation is gone from every list and cannot be written to; its messages stay in the history of the agent.

    Raises NotFound, RunBusy while a run goes on, or Invalid for the default conversation, which goes with its agent.
    """
    caller.check("edit")
    found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    if found.is_default:
        raise Invalid("The default conversation goes with its agent. Reset its messages to empty it.")
    with transaction.atomic():
        conversation = keep_runs_out(found)
        delete_isolated(caller=caller, conversation=conversation)
        hand_over_untold(source=conversation, target=get_default_conversation(found.agent))
        conversation.deleted_at = timezone.now()
        conversation.last_updated_by_id = caller.id
        conversation.save(update_fields=["deleted_at", "last_updated_by_id", "updated_at"])
        tell(found.agent)


def _locked(found: Conversation) -> Conversation:
    """The row as it is now, locked; a run writes some of its columns meanwhile."""
    conversation = Conversation.objects.select_for_update().get(pk=found.pk)
    conversation.agent = found.agent
    return conversation


def _changed_override(conversation: Conversation, changes: ConversationChanges) -> ModelOverride | None:
    """The model that the conversation has afterwards; None when nothing about it changes."""
    cleared = changes.cleared & {"model", "model_settings", "context_window_limit"}
    if not (cleared or changes.model or changes.model_settings or changes.context_window_limit):
        return None
    handle = None if "model" in cleared else changes.model or conversation.model
    asked, window = dict(conversation.model_settings or {}), conversation.context_window_limit
    if "model_settings" in cleared or handle != conversation.model:
        # Settings are of one model; another one begins with its own.
        asked = {}
    asked |= changes.model_settings
    if "context_window_limit" in cleared:
        window = None
    elif changes.context_window_limit is not None:
        window = changes.context_window_limit
    return check_override(conversation.agent, handle=handle, asked=asked, window=window)


def _set_model(conversation: Conversation, override: ModelOverride) -> None:
    conversation.model, conversation.model_settings = override.handle, override.settings
    conversation.context_window_limit = override.window


def _text(name: str, value: str | None) -> str | None:
    return None if value is None else check_text(f"The {name} of a conversation", value)


def _past(moment: datetime) -> datetime:
    # The next message of the conversation comes after it.
    if moment > timezone.now():
        raise Unprocessable(f"last_message_at is in the future: {moment.isoformat()}.")
    return moment
