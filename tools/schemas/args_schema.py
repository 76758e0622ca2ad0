"""A JSON schema of the arguments, as `Model.model_json_schema()` gives it, brought to the form of tools (spec/tools.md §3.3)."""

from __future__ import annotations

from typing import Any

from tools.schemas.errors import SchemaError

Schema = dict[str, Any]

_SCALARS = frozenset({"string", "integer", "number", "boolean", "null"})
#: A chain of references this long is a circle.
_DEEPEST = 20


def convert_arguments(args_json_schema: dict[str, Any]) -> tuple[dict[str, Schema], list[str]]:
    """Properties and required names, without references, titles and defaults. Raises SchemaError naming the property."""
    properties = args_json_schema.get("properties", {})
    if not isinstance(properties, dict):
        raise SchemaError("args_json_schema: `properties` must be an object.")
    definitions = _definitions(args_json_schema)
    converted = {
        name: _described(_convert(value, definitions, name, 0), value) for name, value in properties.items()
    }
    required = args_json_schema.get("required") or []
    if not isinstance(required, list) or not all(isinstance(name, str) for name in required):
        raise SchemaError("args_json_schema: `required` must be a list of names.")
    if unknown := [name for name in required if name not in converted]:
        raise SchemaError(
            f"args_json_schema: {unknown[0]!r} is required, but it is not among the properties."
        )
    return converted, list(required)


def _definitions(args_json_schema: dict[str, Any]) -> dict[str, Any]:
    found = args_json_schema.get("$defs") or args_json_schema.get("definitions") or {}
    if not isinstance(found, dict):
        raise SchemaError("args_json_schema: `$defs` must be an object.")
    return found


def _convert(value: Any, definitions: dict[str, Any], path: str, depth: int) -> Schema:
    if depth > _DEEPEST:
        raise SchemaError(f"args_json_schema: {path!r} contains itself; a schema of a tool cannot.")
    if not isinstance(value, dict):
        raise SchemaError(f"args_json_schema: {path!r} must be an object with a type.")
    deeper = depth + 1
    if "$ref" in value:
        return _convert(_referred(value["$ref"], definitions, path), definitions, path, deeper)
    if isinstance(value.get("allOf"), list) and len(value["allOf"]) == 1:
        return _convert(value["allOf"][0], definitions, path, deeper)
    for key in ("anyOf", "oneOf"):
        if isinstance(value.get(key), list):
            return _union(value[key], definitions, path, deeper)
    if "const" in value:
        value = {**value, "enum": [value["const"]]}
    kind = value.get("type")
    if isinstance(kind, list):
        return _union([{**value, "type": each} for each in kind], definitions, path, deeper)
    if "enum" in value:
        return {**({"type": kind} if isinstance(kind, str) else {}), "enum": value["enum"]}
    if kind == "array":
        return _array(value, definitions, path, deeper)
    if kind == "object" or (kind is None and "properties" in value):
        return _object(value, definitions, path, deeper)
    if kind in _SCALARS:
        return {"type": kind}
    raise SchemaError(
        f"args_json_schema: {path!r} has {_said(kind)}; a tool takes string, integer, number, boolean, array or object."
    )


def _union(choices: list[Any], definitions: dict[str, Any], path: str, depth: int) -> Schema:
    """One type when the others are only null; what may be null need not be said, as in a signature."""
    found: list[Schema] = []
    for choice in choices:
        schema = _convert(choice, definitions, path, depth)
        if schema != {"type": "null"} and schema not in found:
            found.append(schema)
    if not found:
        return {"type": "null"}
    return found[0] if len(found) == 1 else {"anyOf": found}


def _array(value: Schema, definitions: dict[str, Any], path: str, depth: int) -> Schema:
    if isinstance(prefix := value.get("prefixItems"), list):
        items = [_convert(each, definitions, f"{path}[{index}]", depth) for index, each in enumerate(prefix)]
        return {"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    items_schema = value.get("items")
    if not items_schema or items_schema is True:
        return {"type": "array", "items": {"type": "string"}}
    return {"type": "array", "items": _convert(items_schema, definitions, f"{path}[]", depth)}


def _object(value: Schema, definitions: dict[str, Any], path: str, depth: int) -> Schema:
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
        name: _described(_convert(each, definitions, f"{path}.{name}", depth), each)
        for name, each in properties.items()
    }
    return {"type": "object", "properties": inner, "required": list(value.get("required") or [])}


def _described(schema: Schema, value: Any) -> Schema:
    said = value.get("description") if isinstance(value, dict) else None
    return {**schema, "description": said if isinstance(said, str) else ""}


def _referred(reference: Any, definitions: dict[str, Any], path: str) -> Any:
    name = reference.rpartition("/")[2] if isinstance(reference, str) else None
    if name is None or name not in definitions:
        raise SchemaError(
            f"args_json_schema: {path!r} refers to {reference!r}, which is not among its $defs."
        )
    return definitions[name]


def _said(kind: Any) -> str:
    return "no type" if kind is None else f"the type {kind!r}"
