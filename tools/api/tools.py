"""Tools of the workspace."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import ToolId, respond
from tools.api.schemas.tool import ToolQuery, ToolResponse
from tools.api.schemas.tool_version import SchemaCheckResponse
from tools.api.schemas.tool_write import CreateTool, GenerateSchema, SearchTools, ToolSearchResult, UpdateTool
from tools.models import Tool
from tools.services import tool_schemas, tool_search, tool_writes, tools

router = Router()


@router.get("/", response=list[ToolResponse])
def list_tools(request: ApiRequest, query: Query[ToolQuery]) -> HttpResponse:
    found = tools.list_tools(caller=request.auth, filters=query.filters())
    everything = Tool.objects.filter(workspace_id=request.auth.workspace_id)
    return respond([ToolResponse.of(tool) for tool in paginate(found, query.page(), among=everything)])


@router.post("/", response=ToolResponse)
def create_tool(request: ApiRequest, body: CreateTool) -> HttpResponse:
    write = tool_writes.create_tool if body.if_exists == "error" else tool_writes.upsert_tool
    return respond(ToolResponse.of(write(caller=request.auth, draft=body.draft())))


@router.put("/", response=ToolResponse)
def upsert_tool(request: ApiRequest, body: CreateTool) -> HttpResponse:
    return create_tool(request, body)


@router.get("/count", response=int)
def count_tools(request: ApiRequest, query: Query[ToolQuery]) -> HttpResponse:
    return respond(tools.list_tools(caller=request.auth, filters=query.filters()).count())


@router.post("/add-base-tools", response=list[ToolResponse])
def add_base_tools(request: ApiRequest) -> HttpResponse:
    return respond([ToolResponse.of(tool) for tool in tools.add_base_tools(caller=request.auth)])


@router.post("/search", response=list[ToolSearchResult])
def search_tools(request: ApiRequest, body: SearchTools) -> HttpResponse:
    found = tool_search.search_tools(
        caller=request.auth,
        query=body.query,
        mode=body.search_mode,
        tool_types=tuple(body.tool_types or ()),
        tags=tuple(body.tags or ()),
        limit=body.limit,
    )
    answer = respond([ToolSearchResult.of(each) for each in found.hits])
    # Without an embedding model all modes are a search in texts; the body has no place to say so.
    answer.headers["X-Search-Mode"] = found.mode
    return answer


@router.post("/generate-schema", response=dict[str, Any])
def generate_schema(request: ApiRequest, body: GenerateSchema) -> HttpResponse:
    request.auth.check("read")
    return respond(tool_schemas.schema_of_source(source=body.code, source_type=body.source_type or "python"))


@router.get("/{tool_id}", response=ToolResponse)
def retrieve_tool(request: ApiRequest, tool_id: ToolId) -> HttpResponse:
    return respond(ToolResponse.of(tools.get_tool_for(caller=request.auth, tool_id=tool_id)))


@router.patch("/{tool_id}", response=ToolResponse)
def update_tool(request: ApiRequest, tool_id: ToolId, body: UpdateTool) -> HttpResponse:
    tool = tool_writes.update_tool(
        caller=request.auth, tool_id=tool_id, changes=body.changes(), base_version=body.base_version
    )
    return respond(ToolResponse.of(tool))


@router.delete("/{tool_id}", response=None)
def delete_tool(request: ApiRequest, tool_id: ToolId) -> HttpResponse:
    tool_writes.delete_tool(caller=request.auth, tool_id=tool_id)
    return respond(None)


@router.get("/{tool_id}/schema-check", response=SchemaCheckResponse)
def check_schema(request: ApiRequest, tool_id: ToolId) -> HttpResponse:
    tool = tools.get_tool_for(caller=request.auth, tool_id=tool_id)
    return respond(SchemaCheckResponse.of(tool_schemas.check_stored_schema(tool)))
