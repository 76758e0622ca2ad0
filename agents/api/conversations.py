"""Conversations of agents. In every path `default`, with `agent_id`, and an agent's id name the agent's default conversation."""

from __future__ import annotations

from collections.abc import Sequence

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.conversation import (
    ConversationQuery,
    ConversationResponse,
    CreateConversation,
    RecompileConversation,
    ResetConversation,
    UpdateConversation,
)
from agents.models import Conversation
from agents.services import agent_context, agent_conversations, execution
from agents.services.conversations import find_conversation, message_ids_in
from agents.services.forks import fork_conversation as fork
from agents.services.isolated_blocks import isolated_ids
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.schemas import ConversationId, respond

router = Router()


def wire_conversation(conversation: Conversation) -> ConversationResponse:
    """The conversation with the ids of what it holds. Two queries."""
    return ConversationResponse.of(
        conversation,
        isolated_ids=isolated_ids([conversation.id])[conversation.id],
        message_ids=message_ids_in(conversation),
    )


def wire_conversations(conversations: Sequence[Conversation]) -> list[ConversationResponse]:
    """The conversations without their messages. One query."""
    isolated = isolated_ids([each.id for each in conversations])
    return [
        ConversationResponse.of(each, isolated_ids=isolated[each.id], message_ids=None)
        for each in conversations
    ]


@router.post("/", response=ConversationResponse)
def create_conversation(
    request: ApiRequest, agent_id: str, body: CreateConversation | None = None
) -> HttpResponse:
    draft = (body or CreateConversation()).draft()
    made = agent_conversations.create_conversation(caller=request.auth, agent_id=agent_id, draft=draft)
    return respond(wire_conversation(made))


@router.get("/", response=list[ConversationResponse])
def list_conversations(request: ApiRequest, query: Query[ConversationQuery]) -> HttpResponse:
    found = agent_conversations.list_conversations(
        caller=request.auth, filters=query.filters(), page=query.page()
    )
    return respond(wire_conversations(found))


@router.get("/{conversation_id}", response=ConversationResponse)
def retrieve_conversation(
    request: ApiRequest, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    found = find_conversation(caller=request.auth, conversation_id=conversation_id, agent_id=agent_id)
    return respond(wire_conversation(found))


@router.patch("/{conversation_id}", response=ConversationResponse)
def update_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: UpdateConversation,
    agent_id: str | None = None,
) -> HttpResponse:
    changed = agent_conversations.update_conversation(
        caller=request.auth, conversation_id=conversation_id, agent_id=agent_id, changes=body.changes()
    )
    return respond(wire_conversation(changed))


@router.delete("/{conversation_id}", response=None)
def delete_conversation(
    request: ApiRequest, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    agent_conversations.delete_conversation(
        caller=request.auth, conversation_id=conversation_id, agent_id=agent_id
    )
    return respond(None)


@router.post("/{conversation_id}/fork", response=ConversationResponse)
def fork_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    agent_id: str | None = None,
    message_id: str | None = None,
    hidden: bool = False,
) -> HttpResponse:
    forked = fork(
        caller=request.auth,
        conversation_id=conversation_id,
        agent_id=agent_id,
        message_id=message_id or None,
        hidden=hidden,
    )
    return respond(wire_conversation(forked))


@router.post("/{conversation_id}/recompile", response=str)
def recompile_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: RecompileConversation | None = None,
    agent_id: str | None = None,
    update_timestamp: bool = False,
    dry_run: bool = False,
) -> HttpResponse:
    text = agent_context.recompile_conversation(
        caller=request.auth,
        conversation_id=conversation_id,
        agent_id=(body.agent_id if body else None) or agent_id,
        update_timestamp=update_timestamp,
        dry_run=dry_run,
    )
    return respond(text)


@router.patch("/{conversation_id}/reset-messages", response=ConversationResponse)
def reset_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: ResetConversation | None = None,
    agent_id: str | None = None,
) -> HttpResponse:
    """Ours: what `PATCH /v1/agents/{id}/reset-messages` is for the default conversation."""
    asked = body or ResetConversation()
    agent_id = asked.agent_id or agent_id
    agent_context.reset_messages(
        caller=request.auth,
        conversation_id=conversation_id,
        agent_id=agent_id,
        add_default_initial_messages=asked.add_default_initial_messages,
    )
    found = find_conversation(caller=request.auth, conversation_id=conversation_id, agent_id=agent_id)
    return respond(wire_conversation(found))


@router.post("/{conversation_id}/cancel", response=dict[str, str])
async def cancel_conversation(
    request: ApiRequest, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    found: Conversation = await threads.run(
        find_conversation, caller=request.auth, conversation_id=conversation_id, agent_id=agent_id
    )
    statuses = await execution.cancel_runs(
        caller=request.auth, agent_id=found.agent_id, conversation_id=found.id
    )
    return respond(statuses)
