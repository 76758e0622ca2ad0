"""The rows of a compaction: written and undone in the caller's transaction, by whoever holds the conversation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from agents.models import (
    Agent,
    CompactedEntry,
    Compaction,
    ContextEntry,
    Conversation,
    Message,
    ProviderTrace,
)
from agents.runtime.compaction import ContextItem, SummaryCall
from agents.runtime.ports import CompactionEnd
from agents.services.context import load_context, text_content
from agents.services.step_rows import insert_messages
from agents.services.system_message import recompile
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.nudges import agent_group, nudge
from letta_ade.llm.errors import error_text


def write_compaction(
    end: CompactionEnd,
    *,
    caller: Caller,
    agent: Agent,
    conversation: Conversation,
    run_id: str | None,
    created_at: datetime,
) -> Compaction:
    """Take the messages out of the context, put the summary in their place and compile the system message anew.

    The entries keep their positions and the summary takes the first of those that become free, so that all of it can be undone.
    Raises Conflict when one of the messages is no longer in context.
    """
    assert connection.in_atomic_block, "a context changes as a whole"
    leaving = list(conversation.entries.filter(message_id__in=end.replaced).order_by("position"))
    if len(leaving) != len(end.replaced):
        raise Conflict("The context has changed while its summary was written. Compact it again.")
    message = _summary_row(
        end, caller=caller, agent=agent, conversation=conversation, run_id=run_id, created_at=created_at
    )
    conversation.entries.filter(message_id__in=end.replaced).delete()
    insert_messages([message], first_position=leaving[0].position)
    compaction = _insert(end, message, caller=caller, run_id=run_id)
    CompactedEntry.objects.bulk_create(
        CompactedEntry(compaction=compaction, message_id=each.message_id, position=each.position)
        for each in leaving
    )
    for call in end.summary.calls:
        _insert_trace(call, compaction)
    recompile(agent=agent, conversation=conversation, update_timestamp=False, is_dry_run=False)
    tell_compaction(compaction)
    return compaction


def undo(compaction: Compaction, conversation: Conversation, agent: Agent) -> None:
    """Put the messages back where they were. Raises Conflict when the summary is no longer in context."""
    assert connection.in_atomic_block, "a context changes as a whole"
    gone, _ = conversation.entries.filter(message_id=compaction.message_id).delete()
    if not gone:
        raise Conflict(
            "The summary is no longer in the context: there is nothing to put the messages in place of."
        )
    ContextEntry.objects.bulk_create(
        ContextEntry(conversation=conversation, message_id=each.message_id, position=each.position)
        for each in compaction.entries.all()
    )
    compaction.undone_at = timezone.now()
    compaction.save(update_fields=["undone_at", "updated_at"])
    recompile(agent=agent, conversation=conversation, update_timestamp=False, is_dry_run=False)
    tell_compaction(compaction)


def tell_compaction(compaction: Compaction) -> None:
    """Tell open pages, once the transaction has committed, that a compaction was made or undone."""
    nudge(
        agent_group(compaction.agent_id),
        "compacted",
        agent_id=compaction.agent_id,
        conversation_id=compaction.conversation_id,
        compaction_id=compaction.id,
        is_of_run=bool(compaction.run_id) and not compaction.undone_at,
    )


def context_items(conversation: Conversation) -> list[ContextItem]:
    """The context as a compaction reads it."""
    return [
        ContextItem(message_id=each.message_id, chat=each.chat, is_summary=each.is_summary)
        for each in load_context(conversation)
    ]


def _summary_row(
    end: CompactionEnd,
    *,
    caller: Caller,
    agent: Agent,
    conversation: Conversation,
    run_id: str | None,
    created_at: datetime,
) -> Message:
    # Searches do not find it: they find what it stands for.
    return Message(
        id=new_id("message"),
        workspace_id=agent.workspace_id,
        agent_id=agent.id,
        conversation_id=conversation.id,
        run_id=run_id,
        step_id=end.step_id,
        role="summary",
        content=text_content(_storable(end.text)),
        model=end.summary.model,
        otid=new_otid(),
        created_at=created_at,
        created_by_id=caller.id,
    )


def _insert(end: CompactionEnd, message: Message, *, caller: Caller, run_id: str | None) -> Compaction:
    replies = [call.reply for call in end.summary.calls if call.reply is not None]
    failure = end.summary.failure
    return Compaction.objects.create(
        id=end.compaction_id,
        workspace_id=message.workspace_id,
        created_by_id=caller.id,
        agent_id=message.agent_id,
        conversation_id=message.conversation_id,
        run_id=run_id,
        step_id=end.step_id,
        message_id=message.id,
        summary=_storable(end.summary.text),
        trigger=end.trigger,
        mode=end.mode,
        model=end.summary.model,
        failure=_storable(error_text(failure)) if failure is not None else "",
        tokens_before=end.tokens_before,
        tokens_after=end.tokens_after,
        messages_before=end.messages_before,
        messages_after=end.messages_after,
        context_window=end.context_window,
        prompt_tokens=sum(reply.usage.prompt_tokens for reply in replies),
        completion_tokens=sum(reply.usage.completion_tokens for reply in replies),
    )


def _insert_trace(call: SummaryCall, compaction: Compaction) -> None:
    request = _storable(call.request_text)
    ProviderTrace.objects.create(
        workspace_id=compaction.workspace_id,
        created_by_id=compaction.created_by_id,
        run_id=compaction.run_id,
        compaction=compaction,
        call_type="summarization",
        request_text=request,
        request_hash=hashlib.sha256(request.encode()).hexdigest(),
        response_text="" if call.reply is None else _storable(json.dumps(call.reply.raw, ensure_ascii=False)),
        provider_request_id=call.reply.request_id if call.reply is not None else None,
        error=_without_nulls(call.error),
        latency_ms=call.latency_ms,
    )


def _storable(text: str) -> str:
    """PostgreSQL stores no null character, and no half of a surrogate pair."""
    return text.replace("\0", "").encode("utf-8", "replace").decode()


def _without_nulls(error: dict[str, Any] | None) -> dict[str, Any] | None:
    return (
        None
        if error is None
        else {key: _storable(text) if isinstance(text, str) else text for key, text in error.items()}
    )


def messages_that_left(compaction: Compaction) -> Sequence[Message]:
    """What the summary stands for, in its order."""
    entries = compaction.entries.select_related("message").defer("message__search", "message__text")
    return [each.message for each in entries]
