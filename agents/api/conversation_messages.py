"""Messages of a conversation: sent, streamed, listed, added without a run, taken out of its context and brought back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.http import HttpResponse, HttpResponseBase
from ninja import Query, Router

from agents.api.conversations import wire_conversation
from agents.api.messages import answer_message, listed
from agents.api.runs import resume
from agents.api.schemas.conversation import ConversationResponse
from agents.api.schemas.message import (
    AppendMessages,
    ConversationMessageOptions,
    LettaResponse,
    MessageQuery,
    ResumeStream,
)
from agents.api.wire import WireMessage, wire_list
from agents.models import Conversation, Message, Run
from agents.runtime.spoken import AnswerTool
from agents.services import history_edits
from agents.services.conversations import find_conversation
from agents.services.images import embed_images
from agents.services.messages import list_conversation_messages, list_messages
from agents.services.run_requests import InputMessage, RunRequest
from agents.services.runs import find_run_of_stream
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.ids import is_id
from letta_ade.core.schemas import ConversationId, MessageId, respond

router = Router()


@router.post("/{conversation_id}/messages", response=LettaResponse)
async def create_message(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: ConversationMessageOptions,
    agent_id: str | None = None,
) -> HttpResponseBase:
    found = await _find(request, conversation_id, body.agent_id or agent_id)
    return await answer_message(
        request, found.agent_id, body, run_type="send_conversation_message", conversation_id=found.id
    )


@router.get("/{conversation_id}/messages", response=list[dict[str, Any]])
async def list_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    query: Query[MessageQuery],
    agent_id: str | None = None,
) -> HttpResponse:
    return respond(await threads.run(_list, request, conversation_id, query, agent_id))


@router.post("/{conversation_id}/stream")
async def stream_conversation(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: ResumeStream | None = None,
    agent_id: str | None = None,
) -> HttpResponseBase:
    """The stream of a background run of the conversation, once more or from where a reader left it."""
    asked = body or ResumeStream()
    found = await _find(request, conversation_id, asked.agent_id or agent_id)
    run: Run = await threads.run(
        find_run_of_stream,
        caller=request.auth,
        conversation=found,
        run_id=asked.run_id or None,
        otid=asked.otid or None,
    )
    return resume(run, asked)


@router.post("/{conversation_id}/messages/append", response=list[dict[str, Any]])
async def append_messages(
    request: ApiRequest,
    conversation_id: ConversationId,
    body: AppendMessages,
    agent_id: str | None = None,
) -> HttpResponse:
    """Ours: messages that the agent finds in its context at its next run, and that start none."""
    found = await _find(request, conversation_id, body.agent_id or agent_id)
    given = tuple(message.as_input() for message in body.messages)
    asked = RunRequest(agent_id=found.agent_id, conversation_id=found.id, messages=given)
    embedded = await embed_images(caller=request.auth, request=asked)
    return respond(await threads.run(_append, request, found, embedded.messages))


@router.post("/{conversation_id}/messages/{message_id}/hide", response=ConversationResponse)
def hide_message(
    request: ApiRequest, conversation_id: ConversationId, message_id: MessageId, agent_id: str | None = None
) -> HttpResponse:
    """Ours: the message leaves the context, and stays in the history."""
    conversation = history_edits.hide_message(
        caller=request.auth, conversation_id=conversation_id, message_id=message_id, agent_id=agent_id
    )
    return respond(wire_conversation(conversation))


@router.post("/{conversation_id}/messages/{message_id}/unhide", response=ConversationResponse)
def unhide_message(
    request: ApiRequest, conversation_id: ConversationId, message_id: MessageId, agent_id: str | None = None
) -> HttpResponse:
    """Ours: the message comes back into the context, at its place in time."""
    conversation = history_edits.show_message(
        caller=request.auth, conversation_id=conversation_id, message_id=message_id, agent_id=agent_id
    )
    return respond(wire_conversation(conversation))


async def _find(request: ApiRequest, conversation_id: str, agent_id: str | None) -> Conversation:
    found: Conversation = await threads.run(
        find_conversation, caller=request.auth, conversation_id=conversation_id, agent_id=agent_id
    )
    return found


def _list(
    request: ApiRequest, conversation_id: str, query: MessageQuery, agent_id: str | None
) -> list[WireMessage]:
    """Under the agent's name the list has the order of an agent's list, under its own the newest come first."""
    found = find_conversation(caller=request.auth, conversation_id=conversation_id, agent_id=agent_id)
    filters, page = query.filters(), query.page()
    if is_id("conversation", conversation_id):
        stored = list_conversation_messages(
            caller=request.auth, conversation=found, filters=filters, page=page
        )
    else:
        direct = replace(filters, conversation_id=found.id)
        stored = list_messages(caller=request.auth, agent_id=found.agent_id, filters=direct, page=page)
    return listed(stored, query)


def _append(
    request: ApiRequest, conversation: Conversation, messages: tuple[InputMessage, ...]
) -> list[WireMessage]:
    stored: list[Message] = history_edits.append_messages(
        caller=request.auth, conversation_id=conversation.id, messages=messages
    )
    for message in stored:
        message.agent = conversation.agent
    return wire_list(stored, AnswerTool())
