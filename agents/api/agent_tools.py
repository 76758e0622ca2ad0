"""The tools of an agent."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.agent_states import state_for_old_sdk
from agents.api.schemas.agent import AgentState, ToolApproval
from agents.services import agent_tools
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import AgentId, PageQuery, ToolId, respond
from tools.api.schemas.tool import ToolResponse

router = Router()


@router.get("/{agent_id}/tools", response=list[ToolResponse])
def list_agent_tools(request: ApiRequest, agent_id: AgentId, query: Query[PageQuery]) -> HttpResponse:
    found = agent_tools.list_agent_tools(caller=request.auth, agent_id=agent_id, page=query.page(limit=10))
    return respond([ToolResponse.of(tool) for tool in found])


@router.patch("/{agent_id}/tools/attach/{tool_id}", response=AgentState | None)
def attach_tool(request: ApiRequest, agent_id: AgentId, tool_id: ToolId) -> HttpResponse:
    agent = agent_tools.attach_tool(caller=request.auth, agent_id=agent_id, tool_id=tool_id)
    return state_for_old_sdk(request, agent)


@router.patch("/{agent_id}/tools/detach/{tool_id}", response=AgentState | None)
def detach_tool(request: ApiRequest, agent_id: AgentId, tool_id: ToolId) -> HttpResponse:
    agent = agent_tools.detach_tool(caller=request.auth, agent_id=agent_id, tool_id=tool_id)
    return state_for_old_sdk(request, agent)


@router.patch("/{agent_id}/tools/approval/{tool_name}", response=AgentState | None)
def update_approval(
    request: ApiRequest,
    agent_id: AgentId,
    tool_name: str,
    requires_approval: bool | None = None,
    body: ToolApproval | None = None,
) -> HttpResponse:
    wanted = requires_approval if body is None or body.requires_approval is None else body.requires_approval
    if wanted is None:
        raise Unprocessable("requires_approval is missing: send true or false in the body.")
    agent = agent_tools.set_approval(
        caller=request.auth, agent_id=agent_id, tool_name=tool_name, requires_approval=wanted
    )
    return state_for_old_sdk(request, agent)
