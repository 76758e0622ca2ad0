"""Tools of the workspace."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import ToolId, respond
from tools.api.schemas.tool import ToolQuery, ToolResponse
from tools.models import Tool
from tools.services import tools

router = Router()


@router.get("/", response=list[ToolResponse])
def list_tools(request: ApiRequest, query: Query[ToolQuery]) -> HttpResponse:
    found = tools.list_tools(caller=request.auth, filters=query.filters())
    everything = Tool.objects.filter(workspace_id=request.auth.workspace_id)
    return respond([ToolResponse.of(tool) for tool in paginate(found, query.page(), among=everything)])


@router.get("/count", response=int)
def count_tools(request: ApiRequest, query: Query[ToolQuery]) -> HttpResponse:
    return respond(tools.list_tools(caller=request.auth, filters=query.filters()).count())


@router.get("/{tool_id}", response=ToolResponse)
def retrieve_tool(request: ApiRequest, tool_id: ToolId) -> HttpResponse:
    return respond(ToolResponse.of(tools.get_tool_for(caller=request.auth, tool_id=tool_id)))
