"""Where a stored schema and its source no longer say the same."""

from __future__ import annotations

from typing import Any

#: What other servers add to a schema and no source says.
_ADDED = frozenset({"request_heartbeat"})
_DECORATION = frozenset({"title", "default", "description"})


def differences(stored: dict[str, Any], derived: dict[str, Any]) -> list[str]:
    """What differs, a sentence each, name first and arguments in the order of the source; empty when both agree."""
    found: list[str] = []
    if stored.get("name") != derived["name"]:
        found.append(f"The schema is named {stored.get('name')!r}, the function {derived['name']!r}.")
    if (stored.get("description") or "").strip() != derived["description"].strip():
        found.append("The description is not the docstring's.")
    old, new = _arguments(stored), _arguments(derived)
    found += [f"The argument {name!r} is not in the schema." for name in new if name not in old]
    found += [f"The source has no argument {name!r}." for name in old if name not in new]
    old_required, new_required = _required(stored), _required(derived)
    for name in new:
        if name not in old:
            continue
        if _shape(old[name]) != _shape(new[name]):
            found.append(f"The argument {name!r} has another type in the source.")
        if name in new_required and name not in old_required:
            found.append(f"The argument {name!r} is required in the source only.")
        if name in old_required and name not in new_required:
            found.append(f"The argument {name!r} is required in the schema only.")
        if _description(old[name]) != _description(new[name]):
            found.append(f"The argument {name!r} is described differently.")
    return found


def _arguments(schema: dict[str, Any]) -> dict[str, Any]:
    parameters = schema.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    if not isinstance(properties, dict):
        return {}
    return {name: each for name, each in properties.items() if name not in _ADDED}


def _required(schema: dict[str, Any]) -> set[str]:
    parameters = schema.get("parameters")
    names = parameters.get("required") if isinstance(parameters, dict) else None
    return {name for name in names if isinstance(name, str)} if isinstance(names, list) else set()


def _description(schema: Any) -> str:
    return " ".join(str(schema.get("description") or "").split()) if isinstance(schema, dict) else ""


def _shape(schema: Any, *, is_inside: bool = False) -> Any:
    """What a value must be; of the outermost description `differences` tells apart."""
    if isinstance(schema, list):
        return [_shape(each, is_inside=is_inside) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shape: dict[str, Any] = {}
    for key, value in schema.items():
        if key == "properties" and isinstance(value, dict):
            shape[key] = {name: _shape(each, is_inside=True) for name, each in value.items()}
        elif key not in _DECORATION or (key == "description" and is_inside):
            shape[key] = sorted(value) if key == "required" and isinstance(value, list) else _shape(value)
    if not shape.get("required"):
        shape.pop("required", None)
    return shape
