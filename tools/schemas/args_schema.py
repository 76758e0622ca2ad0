"""A JSON schema of the arguments, as `Model.model_json_schema()` gives it, brought to the form of tools (spec/tools.md §3.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tools.schemas.budget import Budget
from tools.schemas.errors import SchemaError

Schema = dict[str, Any]

_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
#: A chain of references this long is a circle.
_DEEPEST = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    definitions: dict[str, Any]
    budget: Budget


def convert_arguments(args_json_schema: dict[str, Any]) -> tuple[dict[str, Schema], list[str]]:
    """Properties and required names, without references, titles and defaults. Raises SchemaError naming the property."""
    known = _Known(definitions=_definitions(args_json_schema), budget=Budget())
    whole: Any = args_json_schema
    if "$ref" in whole:  # pydantic writes a model so that contains itself
        whole = _referred(whole["$ref"], known, "the whole")
    properties = whole.get("properties", {}) if isinstance(whole, dict) else None
    if not isinstance(properties, dict):
        raise SchemaError("args_json_schema: `properties` must be an object.")
    converted = {
        name: _described(_convert(value, known, name, 0), value) for name, value in properties.items()
    }
    required = whole.get("required") or []
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise SchemaError("args_json_schema: `required` must be a list of names.")
    if unknown := [name for name in required if name not in converted]:
        raise SchemaError(
            f"args_json_schema: {unknown[0]!r} is required, but it is not among the properties."
        )
    return converted, list(required)


def _definitions(args_json_schema: dict[str, Any]) -> dict[str, Any]:
    found = args_json_schema.get("$defs", args_json_schema.get("definitions", {}))
    if not isinstance(found, dict):
        raise SchemaError("args_json_schema: `$defs` must be an object.")
    return found


def _convert(value: Any, known: _Known, path: str, depth: int) -> Schema:
    known.budget.spend()
    if depth > _DEEPEST:
        raise SchemaError(f"args_json_schema: {path!r} is nested too deeply, or contains itself.")
    if not isinstance(value, dict):
        raise SchemaError(f"args_json_schema: {path!r} must be an object with a type.")
    deeper = depth + 1
    if "$ref" in value:
        return _convert(_referred(value["$ref"], known, path), known, path, deeper)
    if isinstance(value.get("allOf"), list) and len(value["allOf"]) == 1:
        return _convert(value["allOf"][0], known, path, deeper)
    for key in ("anyOf", "oneOf"):
        if isinstance(value.get(key), list):
            return _union(value[key], known, path, deeper)
    if "const" in value:
        value = {**value, "enum": [value["const"]]}
    kind = value.get("type")
    if isinstance(kind, list):
        return _union([{**value, "type": each} for each in kind], known, path, deeper)
    if "enum" in value:
        return {**({"type": kind} if isinstance(kind, str) else {}), "enum": value["enum"]}
    if kind == "array":
        return _array(value, known, path, deeper)
    if kind == "object" or (kind is None and "properties" in value):
        return _object(value, known, path, deeper)
    if kind in _SCALARS:
        return {"type": kind}
    raise SchemaError(
        f"args_json_schema: {path!r} has {_said(kind)}; a tool takes string, integer, number, boolean, array or object."
    )


def _union(choices: list[Any], known: _Known, path: str, depth: int) -> Schema:
    """One type when the others are only null; what may be null need not be said, as in a signature."""
    found: list[Schema] = []
    for choice in choices:
        schema = _convert(choice, known, path, depth)
        if schema != {"type": "null"} and schema not in found:
            found.append(schema)
    if not found:
        return {"type": "null"}
    return found[0] if len(found) == 1 else {"anyOf": found}


def _array(value: Schema, known: _Known, path: str, depth: int) -> Schema:
    if isinstance(prefix := value.get("prefixItems"), list):
        items = [_convert(each, known, f"{path}[{index}]", depth) for index, each in enumerate(prefix)]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    items_schema = value.get("items")
    if not items_schema or items_schema is True:
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "array", "items": _convert(items_schema, known, f"{path}[]", depth)}


def _object(value: Schema, known: _Known, path: str, depth: int) -> Schema:
    properties = value.get("properties")
    if not isinstance(properties, dict):
        if value.get("additionalProperties") is False:
            raise SchemaError(
                f"args_json_schema: {path!r} is an object without properties that forbids any (additionalProperties: false)."
            )
        return {"type": "object"}
    if value.get("additionalProperties") is False:
        raise SchemaError(
            f"args_json_schema: {path!r} says additionalProperties: false, which a tool's argument may not; leave it out."
        )
    inner = {
        name: _described(_convert(each, known, f"{path}.{name}", depth), each)
        for name, each in properties.items()
    }
    return {"type": "object", "properties": inner, "required": list(value.get("required") or [])}


def _described(schema: Schema, value: Any) -> Schema:
    said = value.get("description") if isinstance(value, dict) else None
    return {**schema, "description": said if isinstance(said, str) else ""}


def _referred(reference: Any, known: _Known, path: str) -> Any:
    name = reference.rpartition("/")[2] if isinstance(reference, str) else None
    if name is None or name not in known.definitions:
        raise SchemaError(
            f"args_json_schema: {path!r} refers to {reference!r}, which is not among its $defs."
        )
    return known.definitions[name]


def _said(kind: Any) -> str:
    return "no type" if kind is None else f"the type {kind!r}"
