"""Agents."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.agent_states import agent_state, agent_states
from agents.api.schemas.agent import AgentState, CreateAgent, UpdateAgent
from agents.api.schemas.agent_query import AgentQuery, IncludeQuery
from agents.services import agents
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import AgentId, respond

router = Router()


@router.post("/", response=AgentState)
def create_agent(request: ApiRequest, body: CreateAgent) -> HttpResponse:
    draft = body.draft()
    if draft.project_id is None and (project := request.headers.get("X-Project-Id")):
        draft = replace(draft, project_id=project)
    agent = agents.create_agent(caller=request.auth, draft=draft)
    return respond(agent_state(request, agent, include={"secrets", "managed_group"}))


@router.get("/", response=list[AgentState])
def list_agents(request: ApiRequest, query: Query[AgentQuery]) -> HttpResponse:
    found = agents.list_agents(caller=request.auth, filters=query.filters(), page=query.page())
    return respond(agent_states(request, found, include=query.included(request)))


@router.get("/count", response=int)
def count_agents(request: ApiRequest, query: Query[AgentQuery]) -> HttpResponse:
    return respond(agents.count_agents(caller=request.auth, filters=query.filters()))


@router.get("/{agent_id}", response=AgentState)
def retrieve_agent(request: ApiRequest, agent_id: AgentId, query: Query[IncludeQuery]) -> HttpResponse:
    agent = agents.get_agent_for(caller=request.auth, agent_id=agent_id)
    return respond(agent_state(request, agent, include=query.included(request)))


@router.patch("/{agent_id}", response=AgentState)
def update_agent(request: ApiRequest, agent_id: AgentId, body: UpdateAgent) -> HttpResponse:
    agent = agents.update_agent(caller=request.auth, agent_id=agent_id, changes=body.changes())
    return respond(agent_state(request, agent, include={"secrets", "managed_group"}))


@router.delete("/{agent_id}", response=None)
def delete_agent(request: ApiRequest, agent_id: AgentId) -> HttpResponse:
    agents.delete_agent(caller=request.auth, agent_id=agent_id)
    return respond(None)
