"""What a conversation begins with: compiled anew, and put back to its beginning."""

from __future__ import annotations

from django.db import transaction
from django.db.models import Exists, OuterRef

from agents.models import Agent, ContextEntry, Message, SharedMessage
from agents.services import conversations, system_message
from agents.services.agents import get_agent_for, tell
from agents.services.conversations import DEFAULT, find_conversation
from agents.services.leases import keep_runs_out
from letta_ade.accounts.auth import Caller


def recompile_agent(
    *, caller: Caller, agent_id: str, update_timestamp: bool = False, dry_run: bool = False
) -> str:
    """The same as `recompile_conversation`, for the agent's default one."""
    return recompile_conversation(
        caller=caller,
        conversation_id=DEFAULT,
        agent_id=agent_id,
        update_timestamp=update_timestamp,
        dry_run=dry_run,
    )


def recompile_conversation(
    *,
    caller: Caller,
    conversation_id: str,
    agent_id: str | None = None,
    update_timestamp: bool = False,
    dry_run: bool = False,
) -> str:
    """The text of the system message, compiled anew; a dry run only reads.

    Raises NotFound (agent, conversation, or system message), and without `dry_run` RunBusy while a run goes on.
    """
    caller.check("read" if dry_run else "edit")
    conversation = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    agent = conversation.agent
    with transaction.atomic():
        if not dry_run:
            conversation = keep_runs_out(conversation)
        text = system_message.recompile(
            agent=agent,
            conversation=conversation,
            update_timestamp=update_timestamp,
            is_dry_run=dry_run,
        )
        if not dry_run:
            tell(agent)
    return text


def reset_messages(
    *,
    caller: Caller,
    agent_id: str | None = None,
    conversation_id: str = DEFAULT,
    add_default_initial_messages: bool = False,
) -> Agent:
    """The agent, with nothing in its conversation but the system message, which keeps its id.

    Messages are deleted, but for those that belong to another conversation, too: a fork. With `add_default_initial_messages` those that
    an agent of its type is born with follow. Raises NotFound, or RunBusy while a run goes on.
    """
    caller.check("edit")
    with transaction.atomic():
        found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
        agent = get_agent_for(caller=caller, agent_id=found.agent_id, for_update=True)
        conversation = keep_runs_out(found)
        conversation.entries.filter(position__gt=0).delete()
        conversation.shared_messages.all().delete()
        still_seen = ContextEntry.objects.filter(message=OuterRef("pk"))
        taken_over = SharedMessage.objects.filter(message=OuterRef("pk"))
        own = Message.objects.filter(~Exists(still_seen), ~Exists(taken_over), conversation=conversation)
        own.only("id").delete()
        conversation.last_message_at = None
        conversation.save(update_fields=["last_message_at", "updated_at"])
        system_message.write_system_message(agent=agent, conversation=conversation)
        system_message.recompile(
            agent=agent, conversation=conversation, update_timestamp=False, is_dry_run=False
        )
        if add_default_initial_messages:
            conversations.append_first_messages(agent=agent, conversation=conversation, messages=None)
        tell(agent)
    return agent
