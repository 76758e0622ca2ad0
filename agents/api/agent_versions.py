"""Versions of an agent's configuration: extensions of ours, which the SDK does not know."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.agent_version import AgentVersionResponse, FieldChangeResponse, RestoredResponse
from agents.services import agent_restores, agent_versions
from agents.services.agents import get_agent_for
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import AgentId, PageQuery, respond

router = Router()


@router.get("/{agent_id}/versions", response=list[AgentVersionResponse])
def list_versions(request: ApiRequest, agent_id: AgentId, query: Query[PageQuery]) -> HttpResponse:
    agent = get_agent_for(caller=request.auth, agent_id=agent_id)
    versions = agent_versions.list_versions(caller=request.auth, agent=agent)
    page = replace(query.page(), order_by="number")
    return respond([AgentVersionResponse.of(version) for version in paginate(versions, page)])


@router.get("/{agent_id}/versions/diff", response=list[FieldChangeResponse])
def compare_versions(request: ApiRequest, agent_id: AgentId, old: int, new: int) -> HttpResponse:
    agent = get_agent_for(caller=request.auth, agent_id=agent_id)
    older, newer = (
        agent_versions.get_version(caller=request.auth, agent=agent, number=number) for number in (old, new)
    )
    return respond([FieldChangeResponse.of(change) for change in agent_versions.compare(older, newer)])


@router.get("/{agent_id}/versions/{number}", response=AgentVersionResponse)
def retrieve_version(request: ApiRequest, agent_id: AgentId, number: int) -> HttpResponse:
    agent = get_agent_for(caller=request.auth, agent_id=agent_id)
    version = agent_versions.get_version(caller=request.auth, agent=agent, number=number)
    return respond(AgentVersionResponse.of(version))


@router.post("/{agent_id}/versions/{number}/restore", response=RestoredResponse)
def restore_version(request: ApiRequest, agent_id: AgentId, number: int) -> HttpResponse:
    restored = agent_restores.restore_version(caller=request.auth, agent_id=agent_id, number=number)
    return respond(RestoredResponse.of(restored))
