"""The schema of a tool, from what its author wrote, and whether the stored one still says the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from letta_ade.core.errors import Invalid, Unprocessable
from tools.models import Tool, ToolType
from tools.schemas.drift import differences
from tools.schemas.errors import SchemaError
from tools.schemas.python import derive_schema, derive_schema_from_args, ignored_parameters
from tools.schemas.typescript import derive_typescript_schema

SOURCE_TYPES = ("python", "typescript")


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaCheck:
    """A stored schema beside the one of its source."""

    #: None when the source has none; `error` says why.
    derived: dict[str, Any] | None
    error: SchemaError | None
    #: A sentence each.
    differences: tuple[str, ...]
    #: `*args` and `**kwargs`, which no schema can have.
    ignored: tuple[str, ...]

    @property
    def is_current(self) -> bool:
        return self.error is None and not self.differences


def schema_of_source(*, source: str, source_type: str = "python") -> dict[str, Any]:
    """The schema that the source alone gives. Raises SchemaError with the line, or Unprocessable for an unknown source type."""
    check_source_type(source_type)
    return derive_typescript_schema(source) if source_type == "typescript" else derive_schema(source)


def check_source_type(source_type: str) -> None:
    """Raise Unprocessable for a language that tools are not written in."""
    if source_type not in SOURCE_TYPES:
        raise Unprocessable(f"source_type is python or typescript, not {source_type!r}.")


def schema_as_given(
    *,
    source: str,
    source_type: str,
    json_schema: dict[str, Any] | None,
    args_json_schema: dict[str, Any] | None,
) -> dict[str, Any]:
    """The schema of a new tool: as given, else from the schema of its arguments, else from its source.

    Raises SchemaError, or Unprocessable for TypeScript without a schema, as the server that clients know does.
    """
    check_source_type(source_type)
    if json_schema is not None:
        return json_schema
    if source_type == "typescript":
        raise Unprocessable("A TypeScript tool needs a json_schema; /v1/tools/generate-schema derives one.")
    if args_json_schema is not None:
        return derive_schema_from_args(source, args_json_schema)
    return derive_schema(source)


def derived_schema(
    *, source: str, source_type: str, args_json_schema: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The schema that the source gives, with its arguments from `args_json_schema` when there is one.

    Raises SchemaError with the line, or Unprocessable for an unknown source type.
    """
    if args_json_schema is None or source_type == "typescript":
        return schema_of_source(source=source, source_type=source_type)
    check_source_type(source_type)
    return derive_schema_from_args(source, args_json_schema)


def check_stored_schema(tool: Tool) -> SchemaCheck:
    """The tool's schema against its source. Raises Invalid for a tool whose schema has no source here."""
    if tool.tool_type != ToolType.CUSTOM or tool.source_code is None:
        raise Invalid(f"The schema of {tool.name!r} comes from the server, not from a source.")
    try:
        derived = derived_schema(
            source=tool.source_code, source_type=tool.source_type, args_json_schema=tool.args_json_schema
        )
        ignored = ignored_parameters(tool.source_code) if tool.source_type == "python" else []
    except SchemaError as error:
        return SchemaCheck(derived=None, error=error, differences=(), ignored=())
    return SchemaCheck(
        derived=derived,
        error=None,
        differences=tuple(differences(tool.json_schema, derived)),
        ignored=tuple(ignored),
    )
