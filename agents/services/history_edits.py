"""What people do to the history of a conversation without its agent: take a message out of context, bring it back, add some."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, Message
from agents.models.message import MessageRole
from agents.services.agent_types import facts_of
from agents.services.agents import tell
from agents.services.approvals import PendingApproval, find_pending
from agents.services.context import load_context, searchable_text, to_chat_message
from agents.services.conversations import find_conversation, history_of
from agents.services.first_messages import InitialMessage, first_rows
from agents.services.journal import without_nulls
from agents.services.leases import keep_runs_out
from agents.services.run_requests import InputMessage
from agents.services.step_rows import insert_messages
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.core.ids import new_otid
from letta_ade.llm.messages import TextPart, part_to_data
from letta_ade.llm.tokens import estimate_messages


def hide_message(
    *, caller: Caller, conversation_id: str, message_id: str, agent_id: str | None = None
) -> Conversation:
    """The conversation without the message in its context; it stays in the history. One that is out of context already stays so.

    A request for approval that is taken out does not wait any more. Raises NotFound, Invalid for the system message, or RunBusy
    while a run goes on.
    """
    caller.check("edit")
    with transaction.atomic():
        conversation = _kept_for_us(caller, conversation_id, agent_id)
        message = _message_of(conversation, message_id)
        entries = conversation.entries.filter(message=message)
        if entries.filter(position=0).exists():
            raise Invalid("The system message stands at the beginning of every context: it cannot be hidden.")
        entries.delete()
        tell(conversation.agent)
    return conversation


def show_message(
    *, caller: Caller, conversation_id: str, message_id: str, agent_id: str | None = None
) -> Conversation:
    """The conversation with the message back in its context, at its place in time, behind summaries of what came before.

    Any message of the history may be brought back, hidden or not. Raises NotFound, Invalid for one of a step that failed, or RunBusy
    while a run goes on.
    """
    caller.check("edit")
    with transaction.atomic():
        conversation = _kept_for_us(caller, conversation_id, agent_id)
        message = _message_of(conversation, message_id)
        if not conversation.entries.filter(message=message).exists():
            position = _make_room(conversation, message)
            ContextEntry.objects.create(conversation=conversation, message=message, position=position)
        tell(conversation.agent)
    return conversation


def append_messages(
    *,
    caller: Caller,
    conversation_id: str,
    messages: Sequence[InputMessage],
    agent_id: str | None = None,
) -> list[Message]:
    """The messages, stored at the end of the context without a run. The same ones again, known by their otids, are given and not added.

    Raises NotFound, Invalid for one without content or too much for the window, PendingApproval while the conversation waits for an
    answer, or RunBusy while a run goes on.
    """
    caller.check("edit")
    if not messages:
        raise Invalid("There is no message to append.")
    with transaction.atomic():
        conversation = _kept_for_us(caller, conversation_id, agent_id)
        agent = conversation.agent
        if known := _known(conversation, messages):
            return known
        context = load_context(conversation)
        if (pending := find_pending(context)) is not None:
            raise PendingApproval(pending.message_id)
        rows = [row for message in messages for row in _rows(agent, conversation, message)]
        _check_room(agent, conversation, rows)
        moment = _after(conversation.last_message_at)
        for index, row in enumerate(rows):
            row.created_at, row.created_by_id = moment + timedelta(microseconds=index), caller.id
            row.text = row.text or searchable_text(row.content, row.tool_calls)
        insert_messages(rows, first_position=max((each.position for each in context), default=0) + 1)
        tell(agent)
    return rows


def _kept_for_us(caller: Caller, conversation_id: str, agent_id: str | None) -> Conversation:
    """The conversation with its agent; no run begins in it until the transaction ends."""
    found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    conversation = keep_runs_out(found)
    conversation.agent = found.agent
    return conversation


def _message_of(conversation: Conversation, message_id: str) -> Message:
    message = history_of(conversation).filter(id=message_id).only("id", "created_at", "is_err").first()
    if message is None:
        raise NotFound(f"The conversation has no message {message_id!r}.")
    if message.is_err:
        raise Invalid("The message belongs to a step that failed: such messages are never in context.")
    return message


def _make_room(conversation: Conversation, message: Message) -> int:
    """The position before the first message that is younger, made free."""
    behind = conversation.entries.filter(position__gt=0).order_by("position")
    # A summary is younger than what it tells of, and stands before what was kept.
    younger = (
        behind.exclude(message__role=MessageRole.SUMMARY)
        .filter(message__created_at__gt=message.created_at)
        .first()
    )
    if younger is None:
        last = conversation.entries.order_by("-position").first()
        return last.position + 1 if last is not None else 1
    position = younger.position
    # In two moves, the first to the other side of 0: no two entries are at one position at any moment.
    conversation.entries.filter(position__gte=position).update(position=-F("position") - 1)
    conversation.entries.filter(position__lt=0).update(position=-F("position"))
    return position


def _known(conversation: Conversation, messages: Sequence[InputMessage]) -> list[Message]:
    """What an earlier request with the same otids has added; empty when there was none."""
    otids = [message.otid for message in messages]
    if None in otids:
        return []
    found = {row.otid: row for row in history_of(conversation).filter(otid__in=otids).defer("search")}
    return [found[otid] for otid in otids] if set(found) == set(otids) else []


def _rows(agent: Agent, conversation: Conversation, message: InputMessage) -> list[Message]:
    """One row, or two where an agent that speaks by a tool is given words: the call and its return."""
    content = without_nulls([part_to_data(part) for part in message.content])
    if not any(part["type"] != "text" or part["text"].strip() for part in content):
        raise Invalid("A message needs content: its text is empty.")
    is_words = all(isinstance(part, TextPart) for part in message.content)
    if message.role == "assistant" and is_words and facts_of(agent.agent_type).is_heartbeat:
        words = "\n".join(part["text"] for part in content)
        return first_rows(
            agent, conversation, [InitialMessage(role="assistant", text=words, otid=message.otid)]
        )
    return [
        Message(
            workspace_id=agent.workspace_id,
            agent=agent,
            conversation=conversation,
            role=message.role,
            content=content,
            otid=message.otid or new_otid(),
            name=message.name,
            sender_id=message.sender_id,
            group_id=message.group_id,
        )
    ]


def _check_room(agent: Agent, conversation: Conversation, rows: Sequence[Message]) -> None:
    tokens = estimate_messages(tuple(to_chat_message(row) for row in rows))
    window = conversation.context_window_limit or agent.context_window_limit
    if tokens > window:
        raise Invalid(
            f"The messages are about {tokens:,} tokens long and the context window has {window:,}. Append less."
        )


def _after(last: datetime | None) -> datetime:
    now = timezone.now()
    return now if last is None or now > last else last + timedelta(microseconds=1)
