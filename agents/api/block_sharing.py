"""A block and the conversations that show it: the impact of a value, who is behind, pins. Extensions of ours."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.block_sharing import (
    AskImpact,
    ConversationOfBlock,
    ConversationsQuery,
    ConversationWithDiff,
    ImpactResponse,
    Most,
    RecompileResponse,
)
from agents.services import block_pins, stale_conversations
from agents.services.block_impact import get_impact
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import BlockId, ConversationId, respond

router = Router()


@router.get("/{block_id}/impact", response=ImpactResponse)
def retrieve_impact(request: ApiRequest, block_id: BlockId, limit: Most = 50) -> HttpResponse:
    return respond(ImpactResponse.of(get_impact(caller=request.auth, block_id=block_id), most=limit))


@router.post("/{block_id}/impact", response=ImpactResponse)
def ask_impact(request: ApiRequest, block_id: BlockId, body: AskImpact, limit: Most = 50) -> HttpResponse:
    impact = get_impact(caller=request.auth, block_id=block_id, value=body.value)
    return respond(ImpactResponse.of(impact, most=limit))


@router.get("/{block_id}/conversations", response=list[ConversationOfBlock])
def list_conversations(
    request: ApiRequest, block_id: BlockId, query: Query[ConversationsQuery]
) -> HttpResponse:
    found = stale_conversations.get_readership(caller=request.auth, block_id=block_id).readers
    wanted = [
        reader
        for reader in found
        if query.stale in (None, reader.is_stale) and query.pinned in (None, reader.pinned is not None)
    ]
    page = wanted[query.offset : query.offset + query.limit]
    return respond([ConversationOfBlock.of(reader) for reader in page])


@router.post("/{block_id}/conversations/recompile", response=RecompileResponse)
def recompile_conversations(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    done = stale_conversations.recompile_stale(caller=request.auth, block_id=block_id)
    return respond(RecompileResponse.of(done))


@router.get("/{block_id}/conversations/{conversation_id}", response=ConversationWithDiff)
def retrieve_conversation(
    request: ApiRequest, block_id: BlockId, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    reader, diff = stale_conversations.compare_shown(
        caller=request.auth, block_id=block_id, conversation_id=conversation_id, agent_id=agent_id
    )
    return respond(ConversationWithDiff.with_diff(reader, diff))


@router.put("/{block_id}/conversations/{conversation_id}/pin", response=ConversationOfBlock)
def pin(
    request: ApiRequest, block_id: BlockId, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    pinned = block_pins.pin_block(
        caller=request.auth, conversation_id=conversation_id, block_id=block_id, agent_id=agent_id
    )
    return respond(ConversationOfBlock.of(pinned))


@router.delete("/{block_id}/conversations/{conversation_id}/pin", response=ConversationOfBlock)
def unpin(
    request: ApiRequest, block_id: BlockId, conversation_id: ConversationId, agent_id: str | None = None
) -> HttpResponse:
    unpinned = block_pins.unpin_block(
        caller=request.auth, conversation_id=conversation_id, block_id=block_id, agent_id=agent_id
    )
    return respond(ConversationOfBlock.of(unpinned))
