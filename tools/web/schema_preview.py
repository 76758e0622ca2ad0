"""What the schema of a source looks like while somebody writes it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from django.http import QueryDict

from letta_ade.core.errors import AdeError
from tools.models import Tool
from tools.schemas.drift import differences
from tools.schemas.errors import SchemaError
from tools.schemas.python import ignored_parameters
from tools.services.tool_checks import check_name, check_schema
from tools.services.tool_schemas import derived_schema
from tools.services.tool_versions import schema_text
from tools.web.arguments import Argument, arguments_of

#: The value of `schema_mode` for a schema that is written by hand.
BY_HAND = "json"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaPreview:
    """A schema, or why there is none."""

    schema: dict[str, Any] | None = None
    error: str = ""
    #: Of the error, counted from 1; None when it concerns the whole source.
    error_line: int | None = None
    #: Where a schema written by hand and the source differ; a sentence each.
    differences: tuple[str, ...] = ()
    ignored: tuple[str, ...] = ()

    @property
    def arguments(self) -> tuple[Argument, ...]:
        return arguments_of(self.schema) if self.schema else ()

    @property
    def undescribed(self) -> tuple[str, ...]:
        """Names of arguments of which the model is told no more."""
        return tuple(each.name for each in self.arguments if not each.description)

    @property
    def name(self) -> str:
        return str(self.schema.get("name") or "") if self.schema else ""

    @property
    def description(self) -> str:
        return str(self.schema.get("description") or "") if self.schema else ""

    @property
    def text(self) -> str:
        return schema_text(self.schema) if self.schema else ""


def preview_source(
    *, source: str, source_type: str, args_json_schema: dict[str, Any] | None
) -> SchemaPreview:
    """The schema that the source gives."""
    try:
        schema = derived_schema(source=source, source_type=source_type, args_json_schema=args_json_schema)
        check_name(schema["name"])
        ignored = ignored_parameters(source) if source_type == "python" else []
    except SchemaError as error:
        return SchemaPreview(error=error.reason, error_line=error.line)
    except AdeError as error:
        return SchemaPreview(error=error.message)
    return SchemaPreview(schema=schema, ignored=tuple(ignored))


def preview_by_hand(text: str, from_source: SchemaPreview) -> SchemaPreview:
    """A schema that was written by hand, beside the one of the source. Errors of the source keep their lines."""
    try:
        schema = parse_schema(text)
    except AdeError as error:
        return SchemaPreview(error=error.message)
    moved = differences(schema, from_source.schema) if from_source.schema else []
    return SchemaPreview(
        schema=schema,
        error=from_source.error,
        error_line=from_source.error_line,
        differences=tuple(moved),
        ignored=from_source.ignored,
    )


def preview_written(written: QueryDict | dict[str, Any], tool: Tool | None) -> SchemaPreview:
    """The schema of what stands in the editor, of this tool or of a new one."""
    source = str(written.get("source_code") or "").replace("\r\n", "\n")
    from_source = preview_source(
        source=source,
        source_type=str(written.get("source_type") or "python"),
        args_json_schema=tool.args_json_schema if tool else None,
    )
    if written.get("schema_mode") == BY_HAND:
        return preview_by_hand(str(written.get("json_schema") or ""), from_source)
    return from_source


def preview_tool(tool: Tool) -> SchemaPreview:
    """The stored schema of a tool beside its source."""
    from_source = preview_source(
        source=tool.source_code or "",
        source_type=tool.source_type,
        args_json_schema=tool.args_json_schema,
    )
    return preview_by_hand(schema_text(tool.json_schema), from_source)


def parse_schema(text: str) -> dict[str, Any]:
    """The schema of a text. Raises SchemaError for what is not JSON, Invalid for what is no schema of a tool."""
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        line = getattr(error, "lineno", None)
        raise SchemaError(f"This is not JSON: {error}.", line=line) from None
    if not isinstance(schema, dict):
        raise SchemaError("A schema is an object: {…}.")
    check_name(schema.get("name"))
    check_schema(schema)
    return schema
