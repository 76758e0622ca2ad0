"""A conversation that goes on from a message of another one."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from agents.models import ContextEntry, Conversation, Message, SharedMessage
from agents.models.message import MessageRole
from agents.services.agents import tell
from agents.services.conversations import find_conversation, history_of
from agents.services.isolated_blocks import copy_isolated
from agents.services.system_message import write_system_message
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound


def fork_conversation(
    *,
    caller: Caller,
    conversation_id: str,
    agent_id: str | None = None,
    message_id: str | None = None,
    hidden: bool = False,
) -> Conversation:
    """A new conversation of the same agent with the same messages in context, up to and including that one.

    Its system message is compiled from the memory of now, its model and window are those of its source, and what that has isolated
    is copied; what that has pinned stays pinned. A request for approval at the end stays behind: it is answered where it was asked. A
    run of the source may go on meanwhile: what its steps have stored is in the fork. Raises NotFound, or Invalid for a message that is
    not in context.
    """
    caller.check("edit")
    with transaction.atomic():
        source = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
        messages = _prefix(source, message_id)
        fork = Conversation.objects.create(
            workspace_id=source.workspace_id,
            agent=source.agent,
            summary=source.summary,
            description=source.description,
            hidden=hidden,
            model=source.model,
            model_settings=source.model_settings,
            context_window_limit=source.context_window_limit,
            pinned_versions=source.pinned_versions,
            forked_from=source,
            last_message_at=messages[-1].created_at if messages else None,
            created_by_id=caller.id,
            last_updated_by_id=caller.id,
        )
        copy_isolated(caller=caller, source=source, target=fork)
        # First, so that the system message counts them as known.
        ContextEntry.objects.bulk_create(
            ContextEntry(conversation=fork, message=message, position=position)
            for position, message in enumerate(messages, start=1)
        )
        SharedMessage.objects.bulk_create(
            SharedMessage(conversation=fork, message=message) for message in messages
        )
        system = write_system_message(agent=source.agent, conversation=fork)
        if messages:
            # A history begins with its system message, and is read by date.
            before = messages[0].created_at - timedelta(microseconds=1)
            Message.objects.filter(id=system.message_id).update(created_at=before)
        tell(source.agent)
    return fork


def _prefix(source: Conversation, message_id: str | None) -> list[Message]:
    """The messages in context behind the system message, up to and including that one. Only what a fork needs is read of them."""
    entries = source.entries.order_by("position").select_related("message")
    found = [
        entry.message
        for entry in entries.only("position", "message__role", "message__created_at", "message__tool_calls")
    ]
    if message_id is not None:
        end = next((at for at, message in enumerate(found) if message.id == message_id), None)
        if end is None:
            raise _not_in_context(source, message_id)
        found = found[: end + 1]
    if found and found[-1].role == MessageRole.APPROVAL and found[-1].tool_calls:
        found.pop()
    return found[1:]


def _not_in_context(source: Conversation, message_id: str) -> Invalid | NotFound:
    if history_of(source).filter(id=message_id).exists():
        return Invalid(
            f"The message {message_id!r} is not in the context of the conversation any more: bring it back to fork there."
        )
    return NotFound(f"The conversation has no message {message_id!r}.")
