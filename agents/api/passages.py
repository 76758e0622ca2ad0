"""The archival memory of an agent."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from django.http import HttpResponse
from ninja import Query, Router

from agents.services import agent_passages
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import PageRequest
from letta_ade.core.schemas import AgentId, PassageId, respond
from memory.api.schemas.passage import (
    CreatePassage,
    PassageQuery,
    PassageResponse,
    SearchQuery,
    SearchResult,
    SearchResults,
)

router = Router()


@router.get("/{agent_id}/archival-memory", response=list[PassageResponse])
def list_passages(request: ApiRequest, agent_id: AgentId, query: Query[PassageQuery]) -> HttpResponse:
    page = PageRequest(
        limit=query.limit or 100,
        order=query.order or query.direction(),
        after=query.after or None,
        before=query.before or None,
        order_by="dated_at",
    )
    found = agent_passages.list_agent_passages(
        caller=request.auth, agent_id=agent_id, search=query.text(), page=page
    )
    return respond([PassageResponse.of(passage) for passage in found])


@router.post("/{agent_id}/archival-memory", response=list[PassageResponse])
def create_passage(request: ApiRequest, agent_id: AgentId, body: CreatePassage) -> HttpResponse:
    passage = agent_passages.insert_passage(caller=request.auth, agent_id=agent_id, draft=body.draft())
    return respond([PassageResponse.of(passage)])


@router.get("/{agent_id}/archival-memory/search", response=SearchResults)
def search_passages(request: ApiRequest, agent_id: AgentId, query: Query[SearchQuery]) -> HttpResponse:
    agent, hits = agent_passages.search_agent_passages(
        caller=request.auth,
        agent_id=agent_id,
        query=query.query,
        tags=query.tags or (),
        tag_match_mode=query.tag_match_mode,
        start=query.start_datetime,
        end=query.end_datetime,
        limit=query.top_k,
    )
    zone = ZoneInfo(agent.timezone)
    results = [SearchResult.of(hit, zone) for hit in hits]
    return respond(SearchResults(results=results, count=len(results)))


@router.delete("/{agent_id}/archival-memory/{passage_id}", response=dict[str, str])
def delete_passage(request: ApiRequest, agent_id: AgentId, passage_id: PassageId) -> HttpResponse:
    agent_passages.delete_agent_passage(caller=request.auth, agent_id=agent_id, passage_id=passage_id)
    return respond({"message": f"The passage {passage_id} was deleted."})
