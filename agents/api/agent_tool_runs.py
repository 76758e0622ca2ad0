"""Running a tool that an agent has, without a turn of it."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from agents.services.agent_tool_runs import run_agent_tool
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import AgentId, respond
from tools.api.schemas.tool_run import RunAttached, ToolExecutionResult

router = Router()


@router.post("/{agent_id}/tools/{tool_name}/run", response=ToolExecutionResult)
async def run_tool(
    request: ApiRequest, agent_id: AgentId, tool_name: str, body: RunAttached | None = None
) -> HttpResponse:
    run = await run_agent_tool(
        caller=request.auth,
        agent_id=agent_id,
        tool_name=tool_name,
        arguments=body.args if body else {},
    )
    return respond(ToolExecutionResult.of(run))
