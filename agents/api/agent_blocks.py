"""The memory blocks of an agent."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.agent_states import agent_state
from agents.api.schemas.agent import AgentState
from agents.services import agent_blocks
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import AgentId, BlockId, PageQuery, respond
from memory.api.preconditions import base_version_of, respond_block, respond_change
from memory.api.schemas.block import BlockResponse, UpdateBlock, VersionedBlock

router = Router()


@router.get("/{agent_id}/core-memory/blocks", response=list[BlockResponse])
def list_agent_blocks(request: ApiRequest, agent_id: AgentId, query: Query[PageQuery]) -> HttpResponse:
    found = agent_blocks.list_agent_blocks(caller=request.auth, agent_id=agent_id, page=query.page(limit=100))
    return respond([BlockResponse.of(block) for block in found])


@router.patch("/{agent_id}/core-memory/blocks/attach/{block_id}", response=AgentState)
def attach_block(request: ApiRequest, agent_id: AgentId, block_id: BlockId) -> HttpResponse:
    agent = agent_blocks.attach_block(caller=request.auth, agent_id=agent_id, block_id=block_id)
    return respond(agent_state(request, agent))


@router.patch("/{agent_id}/core-memory/blocks/detach/{block_id}", response=AgentState)
def detach_block(request: ApiRequest, agent_id: AgentId, block_id: BlockId) -> HttpResponse:
    agent = agent_blocks.detach_block(caller=request.auth, agent_id=agent_id, block_id=block_id)
    return respond(agent_state(request, agent))


# A label may hold slashes, so these two come last.
@router.get("/{agent_id}/core-memory/blocks/{path:block_label}", response=VersionedBlock)
def retrieve_agent_block(request: ApiRequest, agent_id: AgentId, block_label: str) -> HttpResponse:
    block = agent_blocks.get_block_by_label(caller=request.auth, agent_id=agent_id, label=block_label)
    return respond_block(block)


@router.patch("/{agent_id}/core-memory/blocks/{path:block_label}", response=VersionedBlock)
def update_agent_block(
    request: ApiRequest, agent_id: AgentId, block_label: str, body: UpdateBlock
) -> HttpResponse:
    change = agent_blocks.update_agent_block(
        caller=request.auth,
        agent_id=agent_id,
        label=block_label,
        changes=body.changes(),
        base_version=base_version_of(request, body.base_version),
    )
    return respond_change(change)
