"""Bodies that make, change, derive and look for tools (spec/tools.md §2)."""

from __future__ import annotations

from typing import Any, Literal

from ninja import Field

from letta_ade.core.schemas import Body, Wire
from tools.api.schemas.tool import ToolResponse
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT
from tools.services.tool_search import FoundTool
from tools.services.tool_writes import ToolChanges, ToolDraft

#: Where the wire has another name than the row.
_COLUMNS = {"metadata_": "metadata"}


class Requirement(Body):
    """A package of pip or npm."""

    name: str
    version: str | None = None


class CreateTool(Body):
    """A custom tool; one of the same name is overwritten."""

    source_code: str
    source_type: str = "python"
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    description: str | None = None
    tags: list[str] | None = None
    return_char_limit: int | None = None
    pip_requirements: list[Requirement] | None = None
    npm_requirements: list[Requirement] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    #: Ours: with `error` a name that is taken is 409, which tells who has that tool.
    if_exists: Literal["overwrite", "error"] = "overwrite"

    def draft(self) -> ToolDraft:
        """The tool that is asked for."""
        values = self.model_dump(exclude={"if_exists"})
        limit = DEFAULT_RETURN_CHAR_LIMIT if self.return_char_limit is None else self.return_char_limit
        return ToolDraft(
            **values
            | {
                "tags": tuple(self.tags or ()),
                "return_char_limit": limit,
                "enable_parallel_execution": bool(self.enable_parallel_execution),
            }
        )


class UpdateTool(Body):
    """What is to change; what is not sent stays."""

    source_code: str | None = None
    source_type: str | None = None
    json_schema: dict[str, Any] | None = None
    args_json_schema: dict[str, Any] | None = None
    description: str | None = None
    tags: list[str] | None = None
    return_char_limit: int | None = None
    pip_requirements: list[Requirement] | None = None
    npm_requirements: list[Requirement] | None = None
    default_requires_approval: bool | None = None
    enable_parallel_execution: bool | None = None
    metadata_: dict[str, Any] | None = None
    #: Ours: the version that the caller looks at; with it a tool that has moved on is 409.
    base_version: int | None = None

    def changes(self) -> ToolChanges:
        """The fields that were sent."""
        sent = self.model_dump(include=self.sent() - {"base_version"})
        return ToolChanges(values={_COLUMNS.get(name, name): value for name, value in sent.items()})


class GenerateSchema(Body):
    """A source whose schema is wanted; nothing is stored."""

    code: str
    source_type: str | None = "python"


class SearchTools(Body):
    query: str | None = None
    search_mode: str = "hybrid"
    tool_types: list[str] | None = None
    tags: list[str] | None = None
    limit: int = Field(50)


class ToolSearchResult(Wire):
    """A hit; a rank is null where it was not found that way."""

    tool: ToolResponse
    embedded_text: str | None
    fts_rank: int | None
    vector_rank: int | None = None
    combined_score: float

    @classmethod
    def of(cls, found: FoundTool) -> ToolSearchResult:
        """The hit of a search."""
        return cls(
            tool=ToolResponse.of(found.tool),
            embedded_text=found.text,
            fts_rank=found.fts_rank,
            vector_rank=found.vector_rank,
            combined_score=found.score,
        )
