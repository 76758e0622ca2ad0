"""The messages of a file, put into the conversations of a new agent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, ConversationBlock, Message
from agents.models.message import MessageRole
from agents.services import conversations
from agents.services.context import searchable_text
from agents.services.conversation_model import ModelOverride, check_override
from agents.services.conversations import get_default_conversation
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound, Unprocessable
from letta_ade.core.ids import new_assistant_message_id, new_id

_TICK = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMessage:
    """A message as the database keeps it; `file_id` is its id in the file."""

    file_id: str
    role: str
    content: list[dict[str, Any]] = field(default_factory=list)
    tool_calls: list[dict[str, Any]] = field(default_factory=list)
    tool_returns: list[dict[str, Any]] = field(default_factory=list)
    approvals: list[dict[str, Any]] | None = None
    name: str | None = None
    model: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    created_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileHistory:
    """The messages of one conversation, oldest first, and which of them are in context."""

    messages: tuple[FileMessage, ...] = ()
    #: File ids, in order.
    in_context: tuple[str, ...] = ()
    summary: str | None = None
    description: str | None = None
    hidden: bool = False
    is_archived: bool = False
    #: These three stand over those of the agent.
    model: str | None = None
    model_settings: dict[str, Any] = field(default_factory=dict)
    context_window_limit: int | None = None
    #: Labels of blocks that it has for itself, and the file's ids of its copies.
    isolated_blocks: Mapping[str, str] = field(default_factory=dict)


def write_histories(
    caller: Caller,
    agent: Agent,
    histories: Sequence[FileHistory],
    *,
    blocks: Mapping[str, str],
    notes: list[str],
) -> int:
    """Give a new agent its conversations, the first as its default one; how many messages were stored. In a transaction.

    `blocks`: ids here by those of the file. `notes` takes a sentence for what cannot be had. System messages of the file's prompts are
    left behind: here they are compiled from the agent's own memory. A call that still waited for an answer stays behind as well:
    nobody here would know what to answer.
    """
    stored = 0
    for at, history in enumerate(histories):
        if at:
            conversation = _conversation(caller, agent, history, blocks, notes)
        else:
            conversation = get_default_conversation(agent)
        stored += _write(agent, conversation, history)
    return stored


def _conversation(
    caller: Caller, agent: Agent, history: FileHistory, blocks: Mapping[str, str], notes: list[str]
) -> Conversation:
    try:
        own = check_override(
            agent,
            handle=history.model,
            asked={name: value for name, value in history.model_settings.items() if name != "provider_type"},
            window=history.context_window_limit,
        )
    except (Invalid, NotFound, Unprocessable) as error:
        own = ModelOverride()
        notes.append(f"A conversation of {agent.name!r} has its agent's model now: {error.message}")
    conversation = Conversation.objects.create(
        workspace_id=agent.workspace_id,
        agent=agent,
        summary=history.summary,
        description=history.description,
        hidden=history.hidden,
        archived_at=timezone.now() if history.is_archived else None,
        model=own.handle,
        model_settings=own.settings,
        context_window_limit=own.window,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
    )
    ConversationBlock.objects.bulk_create(
        ConversationBlock(conversation=conversation, label=label, block_id=blocks[file_id])
        for label, file_id in history.isolated_blocks.items()
    )
    conversations.begin(agent=agent, conversation=conversation, messages=())
    return conversation


def _write(agent: Agent, conversation: Conversation, history: FileHistory) -> int:
    kept = _without_end(_without_prompts(history), history.in_context)
    rows = _rows(agent, conversation, kept)
    if not rows:
        return 0
    Message.objects.bulk_create(rows, batch_size=1000)
    by_file_id = {each.file_id: row for each, row in zip(kept, rows, strict=True)}
    in_context = [by_file_id[file_id] for file_id in history.in_context if file_id in by_file_id]
    ContextEntry.objects.bulk_create(
        [
            ContextEntry(conversation=conversation, message=row, position=position)
            for position, row in enumerate(in_context, start=1)
        ],
        batch_size=1000,
    )
    # A history begins with its system message, and is read by date.
    first = ContextEntry.objects.get(conversation=conversation, position=0)
    Message.objects.filter(id=first.message_id).update(created_at=rows[0].created_at - _TICK)
    conversation.last_message_at = rows[-1].created_at
    conversation.save(update_fields=["last_message_at", "updated_at"])
    return len(rows)


def _without_prompts(history: FileHistory) -> list[FileMessage]:
    """Without the compiled system message at the head of the context, and older ones that stand nowhere."""
    known = set(history.in_context)
    head = history.in_context[0] if history.in_context else None
    return [
        each
        for each in history.messages
        if each.role != MessageRole.SYSTEM or (each.file_id in known and each.file_id != head)
    ]


def _without_end(messages: list[FileMessage], in_context: Sequence[str]) -> list[FileMessage]:
    """Without calls at the end that nobody has answered."""
    answered = {returned["tool_call_id"] for each in messages for returned in each.tool_returns}
    answered |= {
        answer["tool_call_id"]
        for each in messages
        for answer in each.approvals or ()
        if "tool_call_id" in answer
    }
    while messages and (calls := messages[-1].tool_calls):
        if all(call["id"] in answered for call in calls):
            break
        messages = messages[:-1]
    return messages


def _rows(agent: Agent, conversation: Conversation, messages: Sequence[FileMessage]) -> list[Message]:
    """Unsaved rows, their times rising, none in the future."""
    now = timezone.now()
    latest = now - len(messages) * _TICK
    rows: list[Message] = []
    for each in messages:
        moment = min(each.created_at or latest, latest)
        if rows and moment <= rows[-1].created_at:
            moment = rows[-1].created_at + _TICK
        is_said = each.role == MessageRole.ASSISTANT
        rows.append(
            Message(
                id=new_assistant_message_id() if is_said else new_id("message"),
                workspace_id=agent.workspace_id,
                agent=agent,
                conversation=conversation,
                role=each.role,
                content=each.content,
                tool_calls=each.tool_calls,
                tool_returns=each.tool_returns,
                approvals=each.approvals,
                name=each.name,
                model=each.model,
                otid=each.otid,
                sender_id=each.sender_id,
                text=searchable_text(each.content, each.tool_calls),
                created_at=moment,
            )
        )
    return rows
