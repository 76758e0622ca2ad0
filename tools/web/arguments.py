"""The arguments of a tool, as its schema tells of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

#: Objects inside objects beyond this are not opened on a page.
_DEEPEST = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Argument:
    """One argument, or one property of an argument."""

    name: str
    type: str
    description: str
    is_required: bool
    #: Of an object, and of the objects in a list.
    properties: tuple[Argument, ...] = ()


def arguments_of(schema: dict[str, Any]) -> tuple[Argument, ...]:
    """The arguments in the order of the schema of a tool."""
    parameters = schema.get("parameters")
    return _properties(parameters, 0) if isinstance(parameters, dict) else ()


def _properties(schema: dict[str, Any], depth: int) -> tuple[Argument, ...]:
    properties, required = schema.get("properties"), schema.get("required")
    if not isinstance(properties, dict) or depth > _DEEPEST:
        return ()
    names = set(required) if isinstance(required, list) else set()
    return tuple(
        Argument(
            name=name,
            type=type_name(each),
            description=each.get("description") or "",
            is_required=name in names,
            properties=_properties(each.get("items") or each, depth + 1)
            if isinstance(each.get("items") or each, dict)
            else (),
        )
        for name, each in properties.items()
        if isinstance(each, dict)
    )


def type_name(schema: dict[str, Any]) -> str:
    """The type of a schema in a few words, as a page shows it."""
    if "anyOf" in schema:
        return " or ".join(type_name(each) for each in schema["anyOf"])
    if "enum" in schema:
        return " | ".join(json.dumps(value, ensure_ascii=False) for value in schema["enum"])
    kind = schema.get("type", "any")
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "array" and isinstance(schema.get("prefixItems"), list):
        return f"({', '.join(type_name(each) for each in schema['prefixItems'])})"
    if kind == "array" and isinstance(schema.get("items"), dict):
        return f"list of {type_name(schema['items'])}"
    return str(kind)
