"""The list of blocks and what stands beside it: these count or show the agents that hold a block."""

from __future__ import annotations

from django.db.models import Count, QuerySet
from django.http import HttpResponse
from ninja import Query, Router

from agents.api.agent_states import agent_states
from agents.api.schemas.agent import AgentState
from agents.api.schemas.agent_query import RelatedQuery
from agents.services.agents import AgentFilters, list_agents
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import BlockId, respond
from memory.api.schemas.block import BlockQuery, BlockResponse, CreateBlock
from memory.models import Block
from memory.services import blocks

router = Router()


@router.get("/", response=list[BlockResponse])
def list_blocks(request: ApiRequest, query: Query[BlockQuery]) -> HttpResponse:
    everything = Block.objects.filter(workspace_id=request.auth.workspace_id)
    page = paginate(_found(request, query), query.page(order="asc"), among=everything)
    return respond([BlockResponse.of(block) for block in page])


@router.post("/", response=BlockResponse)
def create_block(request: ApiRequest, body: CreateBlock) -> HttpResponse:
    return respond(BlockResponse.of(blocks.create_block(caller=request.auth, draft=body.draft())))


@router.get("/count", response=int)
def count_blocks(request: ApiRequest, query: Query[BlockQuery]) -> HttpResponse:
    return respond(_found(request, query).count())


@router.get("/{block_id}/agents", response=list[AgentState])
def list_agents_of_block(request: ApiRequest, block_id: BlockId, query: Query[RelatedQuery]) -> HttpResponse:
    blocks.get_block_for(caller=request.auth, block_id=block_id)
    filters = AgentFilters(block_id=block_id, shows_hidden=True)
    agents = list_agents(caller=request.auth, filters=filters, page=query.page())
    return respond(agent_states(request, agents, include=query.included(request)))


def _found(request: ApiRequest, query: BlockQuery) -> QuerySet[Block]:
    found = blocks.list_blocks(caller=request.auth, filters=query.filters())
    if query.identity_id is not None or query.identifier_keys:
        # There are no identities on this server, so no block belongs to one.
        return found.none()
    bounds = {
        "gt": query.connected_to_agents_count_gt,
        "lt": query.connected_to_agents_count_lt,
        "in": query.connected_to_agents_count_eq or None,
    }
    asked = {f"holders__{lookup}": value for lookup, value in bounds.items() if value is not None}
    return found.annotate(holders=Count("agent_links")).filter(**asked) if asked else found
