"""The tools of an agent."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.agent_states import agent_state
from agents.api.schemas.agent import AgentState
from agents.models import Agent
from agents.services import agent_tools
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.clients import is_old_sdk
from letta_ade.core.schemas import AgentId, PageQuery, ToolId, respond
from tools.api.schemas.tool import ToolResponse

router = Router()


@router.get("/{agent_id}/tools", response=list[ToolResponse])
def list_agent_tools(request: ApiRequest, agent_id: AgentId, query: Query[PageQuery]) -> HttpResponse:
    found = agent_tools.list_agent_tools(caller=request.auth, agent_id=agent_id, page=query.page(limit=10))
    return respond([ToolResponse.of(tool) for tool in found])


@router.patch("/{agent_id}/tools/attach/{tool_id}", response=AgentState | None)
def attach_tool(request: ApiRequest, agent_id: AgentId, tool_id: ToolId) -> HttpResponse:
    return _answer(request, agent_tools.attach_tool(caller=request.auth, agent_id=agent_id, tool_id=tool_id))


@router.patch("/{agent_id}/tools/detach/{tool_id}", response=AgentState | None)
def detach_tool(request: ApiRequest, agent_id: AgentId, tool_id: ToolId) -> HttpResponse:
    return _answer(request, agent_tools.detach_tool(caller=request.auth, agent_id=agent_id, tool_id=tool_id))


def _answer(request: ApiRequest, agent: Agent) -> HttpResponse:
    # SDK 1.x expects null here, 0.x the agent.
    return respond(agent_state(request, agent) if is_old_sdk(request) else None)
