"""Arguments as a model wrote them, brought to the types that the tool's schema names (spec/tools.md §5)."""

from __future__ import annotations

import ast
import json
from typing import Any


class MissingArguments(Exception):
    """Required arguments are not there; the message names them and all that the tool takes."""


def coerce_arguments(parameters: dict[str, Any], arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the schema knows, each of its type where that can be done; else the value as it came.

    Raises MissingArguments. A null for an argument counts as left out, unless the schema allows null.
    """
    check_arguments(parameters, arguments)
    properties: dict[str, Any] = parameters.get("properties") or {}
    return {
        name: _coerce(value, properties[name])
        for name, value in arguments.items()
        if _is_given(name, value, properties)
    }


def check_arguments(parameters: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Raise MissingArguments unless everything is there that the schema requires."""
    properties: dict[str, Any] = parameters.get("properties") or {}
    given = [name for name, value in arguments.items() if _is_given(name, value, properties)]
    missing = [name for name in parameters.get("required") or [] if name not in given]
    if missing:
        raise MissingArguments(
            f"missing required argument{'s' if len(missing) > 1 else ''} {', '.join(map(repr, missing))}. "
            f"The tool takes: {', '.join(properties) or 'no arguments'}."
        )


def _is_given(name: str, value: Any, properties: dict[str, Any]) -> bool:
    return name in properties and (value is not None or _allows_null(properties[name]))


def _allows_null(schema: Any) -> bool:
    # A schema may also be just true.
    if not isinstance(schema, dict):
        return True
    expected = schema.get("type")
    return expected is None or "null" in (expected if isinstance(expected, list) else [expected])


def _coerce(value: Any, schema: Any) -> Any:
    expected = schema.get("type") if isinstance(schema, dict) else None
    if isinstance(expected, list):
        expected = next((each for each in expected if each != "null"), None)
    if value is None or not isinstance(expected, str):
        return value
    if expected == "string":
        return _to_string(value)
    if isinstance(value, str):
        value = _parsed(value)
    try:
        return _converted(value, expected, schema)
    except (ValueError, TypeError, OverflowError):
        return value


def _to_string(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)


def _parsed(text: str) -> Any:
    """What the text says as JSON or as a Python literal; the text itself when it is neither."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return text


def _converted(value: Any, expected: str, schema: dict[str, Any]) -> Any:
    match expected:
        case "integer" if isinstance(value, (bool, float)) and value != int(value):
            return value
        case "integer":
            return int(value)
        case "number":
            return value if isinstance(value, (int, float)) and not isinstance(value, bool) else float(value)
        case "boolean":
            return _to_boolean(value)
        case "array" if isinstance(value, (list, tuple, set)):
            items = schema.get("items")
            return [_coerce(item, items) if isinstance(items, dict) else item for item in value]
        case "object" if isinstance(value, dict):
            inner = schema.get("properties") or {}
            return {key: _coerce(item, inner[key]) if key in inner else item for key, item in value.items()}
        case _:
            return value


def _to_boolean(value: Any) -> Any:
    if isinstance(value, str):
        return {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}.get(
            value.strip().lower(), value
        )
    return bool(value) if isinstance(value, (int, float)) else value
