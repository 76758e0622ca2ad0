"""Versions of tools, and schemas against their sources, on the wire: extensions of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from letta_ade.core.schemas import Wire
from memory.diffs import DiffRow
from tools.models import ToolVersion
from tools.services.tool_schemas import SchemaCheck
from tools.services.tool_versions import ToolDiff, values_of


class ToolVersionAuthor(Wire):
    """Who saved a version, and when."""

    version: int
    actor_kind: str
    actor_id: str
    actor_name: str
    #: The version whose state was put back.
    restored_from: int | None
    created_at: datetime

    @classmethod
    def of(cls, version: ToolVersion) -> ToolVersionAuthor:
        """The author of a row."""
        return cls(**_author(version))


class ToolVersionResponse(ToolVersionAuthor):
    """A version of a tool."""

    id: str
    tool_id: str
    name: str
    description: str | None
    source_type: str
    source_code: str | None
    json_schema: dict[str, Any]
    args_json_schema: dict[str, Any] | None
    tags: list[str]
    return_char_limit: int
    pip_requirements: list[dict[str, Any]] | None
    npm_requirements: list[dict[str, Any]] | None
    default_requires_approval: bool | None
    enable_parallel_execution: bool

    @classmethod
    def of(cls, version: ToolVersion) -> ToolVersionResponse:
        """The version of a row."""
        return cls(id=version.id, tool_id=version.tool_id, **_author(version), **values_of(version))


class ToolDiffLine(Wire):
    """A line of a difference; `skipped` ones stand for unchanged lines."""

    op: str
    old_number: int | None
    new_number: int | None
    text: str
    skipped: int

    @classmethod
    def of(cls, row: DiffRow) -> ToolDiffLine:
        """The line of a row."""
        return cls(
            op=row.op,
            old_number=row.old_number,
            new_number=row.new_number,
            text=row.text,
            skipped=row.skipped,
        )


class ToolFieldChange(Wire):
    old: Any
    new: Any


class ToolDiffResponse(Wire):
    """What changed from one version to another."""

    old: ToolVersionAuthor
    new: ToolVersionAuthor
    source_lines: list[ToolDiffLine]
    schema_lines: list[ToolDiffLine]
    fields: dict[str, ToolFieldChange]

    @classmethod
    def of(cls, diff: ToolDiff) -> ToolDiffResponse:
        """The difference of two rows."""
        return cls(
            old=ToolVersionAuthor.of(diff.old),
            new=ToolVersionAuthor.of(diff.new),
            source_lines=[ToolDiffLine.of(row) for row in diff.source],
            schema_lines=[ToolDiffLine.of(row) for row in diff.schema],
            fields={name: ToolFieldChange(old=old, new=new) for name, (old, new) in diff.fields.items()},
        )


class SchemaCheckResponse(Wire):
    """A stored schema beside the one that its source gives."""

    is_current: bool
    #: A sentence each.
    differences: list[str]
    derived_schema: dict[str, Any] | None
    #: Why the source gives none, and the line.
    error: str | None
    error_line: int | None
    #: `*args` and `**kwargs`, which are not in the schema.
    ignored_parameters: list[str]

    @classmethod
    def of(cls, check: SchemaCheck) -> SchemaCheckResponse:
        """The check of a tool."""
        return cls(
            is_current=check.is_current,
            differences=list(check.differences),
            derived_schema=check.derived,
            error=check.error.message if check.error else None,
            error_line=check.error.line if check.error else None,
            ignored_parameters=list(check.ignored),
        )


def _author(version: ToolVersion) -> dict[str, Any]:
    return {
        "version": version.number,
        "actor_kind": version.actor_kind,
        "actor_id": version.actor_id,
        "actor_name": version.actor_name,
        "restored_from": version.restored_from,
        "created_at": version.created_at,
    }
