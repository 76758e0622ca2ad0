"""Tool schemas and answer schemas in the strict form, to which providers can hold a model (spec/tools.md §3.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_BRANCHES = ("anyOf", "allOf")
_DEFINITIONS = ("$defs", "definitions")
#: What neither OpenAI's strict form nor Anthropic's knows (400).
_BEYOND_BOTH = {
    "oneOf",
    "not",
    "if",
    "patternProperties",
    "propertyNames",
    "minProperties",
    "maxProperties",
    "dependentRequired",
    "dependentSchemas",
    "contains",
    "uniqueItems",
}
_BEYOND_OPENAI = _BEYOND_BOTH | {"allOf"}
_BEYOND_ANTHROPIC = _BEYOND_BOTH | {
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "maxItems",
}


class CannotBeStrict(Exception):
    """The schema has a part that no strict form can express, such as an object of any keys."""


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy where every object is closed and has all its properties required; optional ones may be null instead.

    None when the schema cannot be strict: it is sent as it is then.
    """
    try:
        return _closed(schema, requires_all=True)
    except CannotBeStrict:
        return None


def closed_schema(schema: Mapping[str, Any]) -> dict[str, Any] | None:
    """A copy where every object is closed; optional properties stay optional. None when that is not possible.

    This is what Anthropic asks of a strict tool and of an answer's schema.
    """
    try:
        return _closed(schema, requires_all=False)
    except CannotBeStrict:
        return None


def optional_count(schema: Any) -> int:
    """How many properties of a schema, at any depth, may be left out or have several types; providers allow few."""
    if isinstance(schema, list):
        return sum(optional_count(each) for each in schema)
    if not isinstance(schema, Mapping):
        return 0
    properties = schema.get("properties")
    own = 0
    if isinstance(properties, Mapping):
        own = len(properties.keys() - set(schema.get("required") or ()))
    has_several = "anyOf" in schema or isinstance(schema.get("type"), list)
    return own + has_several + sum(optional_count(value) for value in schema.values())


def _closed(schema: Mapping[str, Any], *, requires_all: bool) -> dict[str, Any]:
    copy = {key: value for key, value in schema.items() if key != "default" or not requires_all}
    if (_BEYOND_OPENAI if requires_all else _BEYOND_ANTHROPIC) & copy.keys():
        raise CannotBeStrict
    for name in _BRANCHES:
        if isinstance(branches := copy.get(name), list):
            copy[name] = [_closed(branch, requires_all=requires_all) for branch in branches]
    for name in _DEFINITIONS:
        if isinstance(definitions := copy.get(name), Mapping):
            copy[name] = {
                key: _closed(value, requires_all=requires_all) for key, value in definitions.items()
            }
    if isinstance(items := copy.get("items"), Mapping):
        copy["items"] = _closed(items, requires_all=requires_all)
    elif copy.get("type") == "array":
        # A list of anything.
        raise CannotBeStrict
    if _is_object(copy):
        _close_object(copy, requires_all=requires_all)
    elif not (copy.keys() & {"type", "$ref", "enum", "const", *_BRANCHES}):
        # A value of any type.
        raise CannotBeStrict
    return copy


def _is_object(schema: Mapping[str, Any]) -> bool:
    kind = schema.get("type")
    return kind == "object" or "properties" in schema or (isinstance(kind, list) and "object" in kind)


def _close_object(schema: dict[str, Any], *, requires_all: bool) -> None:
    properties = schema.get("properties")
    if schema.get("additionalProperties") not in (None, False) or not isinstance(properties, Mapping):
        raise CannotBeStrict
    required = set(schema.get("required") or ())
    closed = {name: _closed(value, requires_all=requires_all) for name, value in properties.items()}
    if requires_all:
        closed = {name: value if name in required else _nullable(value) for name, value in closed.items()}
        schema["required"] = list(closed)
    schema["properties"] = closed
    schema["additionalProperties"] = False


def _nullable(schema: dict[str, Any]) -> dict[str, Any]:
    kind = schema.get("type")
    if isinstance(branches := schema.get("anyOf"), list):
        has_null = any(branch.get("type") == "null" for branch in branches)
        return schema if has_null else {**schema, "anyOf": [*branches, {"type": "null"}]}
    if kind is None or "const" in schema:
        return {"anyOf": [schema, {"type": "null"}]}
    kinds = kind if isinstance(kind, list) else [kind]
    nullable = schema if "null" in kinds else {**schema, "type": [*kinds, "null"]}
    if isinstance(values := schema.get("enum"), list) and None not in values:
        nullable = {**nullable, "enum": [*values, None]}
    return nullable
