"""Compactions: asked for, listed, looked at and undone.

The paths of an agent are asynchronous where a model is asked; rows are reached through `core/threads.py`.
"""

from __future__ import annotations

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.compaction import (
    CompactConversation,
    CompactionRecord,
    CompactionResponse,
    CompactRequest,
)
from agents.services import compactions
from agents.services.conversations import find_conversation
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.schemas import AgentId, ConversationId, PageQuery, path_id, respond

router = Router()
conversation_router = Router()

CompactionId = Annotated[str, path_id("compaction")]


class CompactionQuery(PageQuery):
    """Of which conversation; the default one unless one is named."""

    conversation_id: str | None = None


@router.post("/{agent_id}/summarize", response=CompactionResponse)
async def compact(request: ApiRequest, agent_id: AgentId, body: CompactRequest | None = None) -> HttpResponse:
    """Compact the default conversation of the agent now."""
    return await _compact(request.auth, agent_id, None, body or CompactRequest())


@conversation_router.post("/{conversation_id}/compact", response=CompactionResponse)
async def compact_conversation(
    request: ApiRequest, conversation_id: ConversationId, body: CompactConversation | None = None
) -> HttpResponse:
    """Compact a conversation now. The path names it, or an agent for its default one; `default` goes with `agent_id` in the body."""
    asked = body or CompactConversation()
    conversation = await threads.run(
        find_conversation,
        caller=request.auth,
        conversation_id=conversation_id,
        agent_id=asked.agent_id,
    )
    return await _compact(request.auth, conversation.agent_id, conversation.id, asked)


async def _compact(
    caller: Caller, agent_id: str, conversation_id: str | None, body: CompactRequest
) -> HttpResponse:
    done = await compactions.compact_conversation(
        caller=caller, agent_id=agent_id, conversation_id=conversation_id, asked=body.asked()
    )
    return respond(
        CompactionResponse(
            summary=done.summary,
            num_messages_before=done.messages_before,
            num_messages_after=done.messages_after,
        )
    )


@router.get("/{agent_id}/compactions", response=list[CompactionRecord])
def list_compactions(request: ApiRequest, agent_id: AgentId, query: Query[CompactionQuery]) -> HttpResponse:
    """The compactions of a conversation, the newest first unless asked otherwise."""
    rows = compactions.list_compactions(
        caller=request.auth,
        agent_id=agent_id,
        conversation_id=query.conversation_id or None,
        page=query.page(),
    )
    return respond([CompactionRecord.of(row) for row in rows])


@router.get("/{agent_id}/compactions/{compaction_id}", response=CompactionRecord)
def retrieve_compaction(request: ApiRequest, agent_id: AgentId, compaction_id: CompactionId) -> HttpResponse:
    """A compaction with the messages that it took out of the context."""
    row = compactions.get_compaction_for(caller=request.auth, agent_id=agent_id, compaction_id=compaction_id)
    return respond(CompactionRecord.of(row, compactions.left_messages(row)))


@router.post("/{agent_id}/compactions/{compaction_id}/undo", response=CompactionRecord)
def undo_compaction(request: ApiRequest, agent_id: AgentId, compaction_id: CompactionId) -> HttpResponse:
    """Put the messages back into the context in place of their summary."""
    row = compactions.undo_compaction(caller=request.auth, agent_id=agent_id, compaction_id=compaction_id)
    return respond(CompactionRecord.of(row))
