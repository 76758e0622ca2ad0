"""Versions of a tool: extensions of ours, which the SDK does not know."""

from __future__ import annotations

from dataclasses import replace

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import PageQuery, ToolId, respond
from tools.api.schemas.tool import ToolResponse
from tools.api.schemas.tool_version import ToolDiffResponse, ToolVersionResponse
from tools.services import tool_versions, tool_writes

router = Router()


@router.get("/{tool_id}/versions", response=list[ToolVersionResponse])
def list_versions(request: ApiRequest, tool_id: ToolId, query: Query[PageQuery]) -> HttpResponse:
    versions = tool_versions.list_versions(caller=request.auth, tool_id=tool_id)
    page = replace(query.page(), order_by="number")
    return respond([ToolVersionResponse.of(version) for version in paginate(versions, page)])


@router.get("/{tool_id}/versions/diff", response=ToolDiffResponse)
def compare_versions(request: ApiRequest, tool_id: ToolId, old: int, new: int) -> HttpResponse:
    diff = tool_versions.compare_versions(caller=request.auth, tool_id=tool_id, old=old, new=new)
    return respond(ToolDiffResponse.of(diff))


@router.get("/{tool_id}/versions/{version}", response=ToolVersionResponse)
def retrieve_version(request: ApiRequest, tool_id: ToolId, version: int) -> HttpResponse:
    found = tool_versions.get_version(caller=request.auth, tool_id=tool_id, number=version)
    return respond(ToolVersionResponse.of(found))


@router.post("/{tool_id}/versions/{version}/restore", response=ToolResponse)
def restore_version(request: ApiRequest, tool_id: ToolId, version: int) -> HttpResponse:
    tool = tool_writes.restore_version(caller=request.auth, tool_id=tool_id, number=version)
    return respond(ToolResponse.of(tool))
