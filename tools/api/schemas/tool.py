"""Tools on the wire (spec/objects.md §3)."""

from __future__ import annotations

from typing import Any

from letta_ade.core.schemas import PageQuery, Wire
from tools.models import Tool
from tools.services.tools import ToolFilters, tool_description, tool_schema


class ToolResponse(Wire):
    """A tool."""

    id: str
    name: str
    description: str | None
    tool_type: str
    source_type: str | None
    source_code: str | None
    json_schema: dict[str, Any] | None
    args_json_schema: dict[str, Any] | None
    tags: list[str]
    return_char_limit: int
    pip_requirements: list[dict[str, Any]] | None
    npm_requirements: list[dict[str, Any]] | None
    default_requires_approval: bool | None
    enable_parallel_execution: bool
    #: With an underscore, because the client's own word for it was taken.
    metadata_: dict[str, Any]
    project_id: str | None
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(cls, tool: Tool) -> ToolResponse:
        """The tool of a row; what a built-in one does and takes is this release's."""
        return cls(
            id=tool.id,
            name=tool.name,
            description=tool_description(tool),
            tool_type=tool.tool_type,
            source_type=tool.source_type,
            source_code=tool.source_code,
            json_schema=tool_schema(tool),
            args_json_schema=tool.args_json_schema,
            tags=tool.tags,
            return_char_limit=tool.return_char_limit,
            pip_requirements=tool.pip_requirements,
            npm_requirements=tool.npm_requirements,
            default_requires_approval=tool.default_requires_approval,
            enable_parallel_execution=tool.enable_parallel_execution,
            metadata_=tool.metadata,
            project_id=tool.project_id,
            created_by_id=tool.created_by_id,
            last_updated_by_id=tool.last_updated_by_id,
        )


class ToolQuery(PageQuery):
    """Filters of the list of tools. A list may be repeated or written with commas."""

    name: str | None = None
    names: list[str] | None = None
    tool_ids: list[str] | None = None
    search: str | None = None
    tool_types: list[str] | None = None
    exclude_tool_types: list[str] | None = None
    return_only_letta_tools: bool = False

    def filters(self) -> ToolFilters:
        return ToolFilters(
            name=self.name,
            names=_split(self.names),
            tool_ids=_split(self.tool_ids),
            search=self.search,
            tool_types=_split(self.tool_types),
            exclude_tool_types=_split(self.exclude_tool_types),
            return_only_letta_tools=self.return_only_letta_tools,
        )


def _split(values: list[str] | None) -> tuple[str, ...]:
    return tuple(part.strip() for value in values or () for part in value.split(",") if part.strip())
