"""Conversations of an agent: found, begun, and what is in their context."""

from __future__ import annotations

from collections.abc import Sequence

from django.db import connection, transaction
from django.db.models import Q, QuerySet

from agents.models import Agent, ContextEntry, Conversation, Message, SharedMessage
from agents.services.first_messages import InitialMessage, first_rows
from agents.services.leases import keep_runs_out
from agents.services.system_message import write_system_message
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound
from letta_ade.core.ids import is_id
from letta_ade.core.rows import Select

DEFAULT = "default"

_CONVERSATION, _AGENT = Select(Conversation, "conversation"), Select(Agent, "agent")
_WITH_AGENT = f"""
SELECT {_CONVERSATION.columns}, {_AGENT.columns}
FROM agents_conversation conversation JOIN agents_agent agent ON agent.id = conversation.agent_id
WHERE agent.id = %s AND agent.workspace_id = %s AND conversation.deleted_at IS NULL
  AND CASE WHEN %s THEN conversation.is_default ELSE conversation.id = %s END
"""  # noqa: S608 - all of it is ours


def get_default_conversation(agent: Agent) -> Conversation:
    """The agent's conversation that the API calls `default`."""
    return Conversation.objects.get(agent=agent, is_default=True)


def get_conversation_of(*, agent: Agent, conversation_id: str | None) -> Conversation:
    """The agent's conversation; None and `default` name the default one. Raises NotFound."""
    conversation = _conversations(conversation_id).filter(agent=agent).first()
    if conversation is None:
        raise NotFound(f"The agent has no conversation {conversation_id!r}.")
    return conversation


def get_conversation_with_agent(
    *, caller: Caller, agent_id: str, conversation_id: str | None
) -> Conversation:
    """The same with its agent, in one query. Raises NotFound, also for an agent of another workspace."""
    is_default = conversation_id in (None, DEFAULT)
    with connection.cursor() as cursor:
        cursor.execute(_WITH_AGENT, [agent_id, caller.workspace_id, is_default, conversation_id])
        found = cursor.fetchone()
    if found is not None:
        conversation = _CONVERSATION.row(found[: _CONVERSATION.width])
        conversation.agent = _AGENT.row(found[_CONVERSATION.width :])
        return conversation
    if not Agent.objects.filter(id=agent_id, workspace_id=caller.workspace_id).exists():
        raise NotFound("Agent not found")
    raise NotFound(f"The agent has no conversation {conversation_id!r}.")


def _conversations(conversation_id: str | None) -> QuerySet[Conversation]:
    wanted = {"is_default": True} if conversation_id in (None, DEFAULT) else {"id": conversation_id}
    return Conversation.objects.filter(**wanted, deleted_at=None).order_by()


def get_conversation_for(*, caller: Caller, conversation_id: str) -> Conversation:
    """The conversation. Raises NotFound, also for one of another workspace."""
    conversation = (
        Conversation.objects.filter(id=conversation_id, workspace_id=caller.workspace_id, deleted_at=None)
        .select_related("agent")
        .first()
    )
    if conversation is None:
        raise NotFound(f"There is no conversation {conversation_id!r}.")
    return conversation


def find_conversation(*, caller: Caller, conversation_id: str, agent_id: str | None = None) -> Conversation:
    """The conversation that a client names, with its agent: by its own id, by `default` beside its agent's id, or by that alone.

    Raises NotFound, or Invalid for `default` without an agent.
    """
    if is_id("agent", conversation_id):
        conversation_id, agent_id = DEFAULT, conversation_id
    if agent_id:
        return get_conversation_with_agent(caller=caller, agent_id=agent_id, conversation_id=conversation_id)
    if conversation_id == DEFAULT:
        raise Invalid("The conversation 'default' is one of an agent's: name it in agent_id.")
    return get_conversation_for(caller=caller, conversation_id=conversation_id)


def begin(
    *, agent: Agent, conversation: Conversation, messages: Sequence[InitialMessage] | None = ()
) -> None:
    """Give a new conversation its system message and the messages that it starts with. Inside a transaction.

    None: those of the agent's type.
    """
    write_system_message(agent=agent, conversation=conversation)
    append_first_messages(agent=agent, conversation=conversation, messages=messages)


def append_first_messages(
    *, agent: Agent, conversation: Conversation, messages: Sequence[InitialMessage] | None
) -> None:
    """Put the first messages behind a system message that stands alone. Raises Invalid for one without text."""
    rows = first_rows(agent, conversation, messages)
    Message.objects.bulk_create(rows)
    ContextEntry.objects.bulk_create(
        ContextEntry(conversation=conversation, message=row, position=position)
        for position, row in enumerate(rows, start=1)
    )
    if rows:
        conversation.last_message_at = rows[-1].created_at
        conversation.save(update_fields=["last_message_at", "updated_at"])


def context_ids(agent_ids: Sequence[str]) -> dict[str, list[str]]:
    """Ids of the messages in context of each agent's default conversation, the system message first. One query."""
    found: dict[str, list[str]] = {agent_id: [] for agent_id in agent_ids}
    entries = ContextEntry.objects.filter(
        conversation__agent_id__in=agent_ids, conversation__is_default=True
    ).order_by("position")
    for agent_id, message_id in entries.values_list("conversation__agent_id", "message_id"):
        found[agent_id].append(message_id)
    return found


def message_ids_in(conversation: Conversation) -> list[str]:
    """Ids of the messages in its context, the system message first."""
    return list(conversation.entries.order_by("position").values_list("message_id", flat=True))


def history_of(conversation: Conversation) -> QuerySet[Message]:
    """All of its messages, in context or not, those of failed steps too; a fork's begin with those that it took over."""
    if not conversation.forked_from_id:
        return Message.objects.filter(conversation=conversation)
    taken_over = SharedMessage.objects.filter(conversation=conversation).values("message_id")
    return Message.objects.filter(Q(conversation=conversation) | Q(id__in=taken_over))


def set_context(*, agent: Agent, message_ids: Sequence[str]) -> None:
    """Put exactly these messages into the context of the default conversation.

    Raises Invalid for messages of another agent or a list that does not begin with the system message, RunBusy while a run goes on.
    """
    conversation = get_default_conversation(agent)
    with transaction.atomic():
        keep_runs_out(conversation)
        roles = dict(
            Message.objects.filter(id__in=message_ids, agent=agent, is_err=False).values_list("id", "role")
        )
        if missing := next((each for each in message_ids if each not in roles), None):
            raise Invalid(f"The agent has no message {missing!r}.")
        if len(set(message_ids)) != len(message_ids):
            raise Invalid("message_ids names a message twice.")
        if not message_ids or roles[message_ids[0]] != "system":
            raise Invalid("message_ids must begin with the system message.")
        conversation.entries.all().delete()
        ContextEntry.objects.bulk_create(
            ContextEntry(conversation=conversation, message_id=message_id, position=position)
            for position, message_id in enumerate(message_ids)
        )
