"""Reading the arguments of a call as a model wrote them."""

from __future__ import annotations

import json
from typing import Any

#: Keys that the legacy loop adds to a schema, and that models go on sending.
_LOOP_KEYS = ("request_heartbeat", "thinking", "inner_thoughts")


class BadArguments(Exception):
    """The text is not a JSON object; the message says what is wrong with it."""


def parse_arguments(text: str, *, known: frozenset[str]) -> dict[str, Any]:
    """The arguments as an object. Raises BadArguments.

    Tolerates an empty text, JSON inside a JSON string, and two objects glued together (the first one counts): models do all
    three (spec/agent-loop.md §4). Keys of the legacy loop are dropped unless the tool has a parameter of that name.
    """
    value = _decoded(text)
    if value is None:
        value = {}
    if not isinstance(value, dict):
        raise BadArguments(f"The arguments must be a JSON object, not {type(value).__name__}: {text[:200]!r}")
    return {key: item for key, item in value.items() if key in known or key not in _LOOP_KEYS}


def wants_heartbeat(text: str) -> bool:
    """Whether the arguments of a call ask to go on after it (`request_heartbeat`); false when they cannot be read."""
    try:
        value = _decoded(text)
    except BadArguments:
        return False
    wanted = value.get("request_heartbeat") if isinstance(value, dict) else None
    return wanted is True or (isinstance(wanted, str) and wanted.strip().lower() == "true")


def _decoded(text: str) -> Any:
    value = _first_json(text.strip() or "{}")
    return _first_json(value.strip() or "{}") if isinstance(value, str) else value


def _first_json(text: str) -> Any:
    try:
        value, end = json.JSONDecoder(strict=False).raw_decode(text)
    except ValueError as error:
        raise BadArguments(f"The arguments are not valid JSON ({error}): {text[:200]!r}") from None
    rest = text[end:].strip()
    if rest and not (isinstance(value, dict) and rest.startswith("{")):
        raise BadArguments(f"The arguments are not valid JSON (text after the object): {rest[:200]!r}")
    return value


def check_prefilled(args: dict[str, Any], parameters: dict[str, Any]) -> str | None:
    """Why the values that a tool rule sets do not fit the tool, or None when they do."""
    properties: dict[str, Any] = parameters.get("properties") or {}
    for name, value in args.items():
        schema = properties.get(name)
        if schema is None:
            return f"the rule sets {name!r}, which is not a parameter of the tool"
        if problem := _problem(value, schema):
            return f"the rule sets {name!r} to {value!r}, which {problem}"
    return None


def _problem(value: Any, schema: Any) -> str | None:
    """Why the value is none that this schema allows."""
    if not isinstance(schema, dict):
        return None  # just true: anything
    branches = schema.get("anyOf") or schema.get("oneOf")
    if branches and all(_problem(value, branch) for branch in branches):
        return f"fits none of {branches}"
    expected = schema.get("type")
    types = [expected] if isinstance(expected, str) else expected or []
    if types and not any(_is_of_type(value, each) for each in types):
        return f"is not of type {' or '.join(types)}"
    if "enum" in schema and not any(_is_same(value, each) for each in schema["enum"]):
        return f"is not one of {schema['enum']}"
    if "const" in schema and not _is_same(value, schema["const"]):
        return f"must be {schema['const']!r}"
    return None


def _is_same(value: Any, other: Any) -> bool:
    # For Python true is 1; for JSON it is not.
    return bool(value == other) and isinstance(value, bool) == isinstance(other, bool)


def _is_of_type(value: Any, expected: str) -> bool:
    match expected:
        case "string":
            return isinstance(value, str)
        case "integer":
            return isinstance(value, int) and not isinstance(value, bool)
        case "number":
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        case "boolean":
            return isinstance(value, bool)
        case "array":
            return isinstance(value, list)
        case "object":
            return isinstance(value, dict)
        case "null":
            return value is None
        case _:
            return True
