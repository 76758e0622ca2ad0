"""Where a tool is used: an extension of ours, so that a client can tell before it overwrites or deletes one."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from agents.api.schemas.tool_usage import ToolUsageResponse
from agents.services.tool_usage import usage_of_tool
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import ToolId, respond

router = Router()


@router.get("/{tool_id}/usage", response=ToolUsageResponse)
def retrieve_usage(request: ApiRequest, tool_id: ToolId) -> HttpResponse:
    return respond(ToolUsageResponse.of(usage_of_tool(caller=request.auth, tool_id=tool_id)))
