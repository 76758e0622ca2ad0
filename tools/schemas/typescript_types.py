"""A type of TypeScript as JSON schema."""

from __future__ import annotations

import json
import re
from typing import Any

from tools.schemas.annotations import Schema, literal_schema
from tools.schemas.budget import Budget
from tools.schemas.errors import SchemaError
from tools.schemas.typescript_text import TEXT, code_only, pieces

_SCALARS = {
    "string": "string",
    "number": "number",
    "boolean": "boolean",
    "null": "null",
    "bigint": "integer",
}
_OBJECT = re.compile(r"object|Record\s*<.*>|Map\s*<.*>|\{\s*\[.*\}|\{\s*\}", re.DOTALL)
_ARRAY = re.compile(r"(?:Readonly)?Array\s*<(.*)>", re.DOTALL)
_MEMBER = re.compile(r"(?:readonly\s+)?['\"]?([\w$]+)['\"]?\s*(\??)\s*:\s*(.+)", re.DOTALL)
_NUMBER = re.compile(r"-?\d+(\.\d+)?")
_NO_VALUES = frozenset({"null", "undefined", "void"})
_DEEPEST = 20


def type_of(text: str, budget: Budget, depth: int = 0) -> tuple[Schema, bool]:
    """The schema of a type without comments, and whether the value may be undefined.

    A type that is not known is a text, as in V1. Raises SchemaError for one that is too large or too deep.
    """
    budget.spend()
    if depth > _DEEPEST:
        raise SchemaError("The type is nested too deeply.")
    code = code_only(text)
    choices = [
        choice for start, end in pieces(code, 0, len(code), "|") if (choice := text[start:end].strip())
    ]
    others = [choice for choice in choices if choice not in _NO_VALUES]
    may_be_missing = "undefined" in choices
    if not others:
        return {"type": "string"}, may_be_missing
    if len(others) == 1:
        return _one_type(others[0], budget, depth + 1), may_be_missing
    literals = [_literal(choice) for choice in others]
    if all(literal is not None for literal in literals):
        return literal_schema(list(dict.fromkeys(literals))), may_be_missing
    schemas: list[Schema] = []
    for choice in others:
        schema = type_of(choice, budget, depth + 1)[0]
        if schema not in schemas:
            schemas.append(schema)
    return (schemas[0] if len(schemas) == 1 else {"anyOf": schemas}), may_be_missing


def _one_type(text: str, budget: Budget, depth: int) -> Schema:
    if text in _SCALARS:
        return {"type": _SCALARS[text]}
    if (literal := _literal(text)) is not None:
        return literal_schema([literal])
    text = text.removeprefix("readonly ").strip()
    if text.endswith("[]"):
        return {"type": "array", "items": type_of(text[:-2], budget, depth)[0]}
    if inner := _ARRAY.fullmatch(text):
        return {"type": "array", "items": type_of(inner.group(1), budget, depth)[0]}
    if text.startswith("(") and text.endswith(")") and "=>" not in text:
        return type_of(text[1:-1], budget, depth)[0]
    if _OBJECT.fullmatch(text):
        return {"type": "object"}
    if text.startswith("{") and text.endswith("}"):
        return _object(text[1:-1], budget, depth)
    return {"type": "string"}


def _object(text: str, budget: Budget, depth: int) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    code = code_only(text)
    for start, end in pieces(code, 0, len(code), ";,\n"):
        member = _MEMBER.fullmatch(text[start:end].strip())
        if member is None:
            continue
        name, mark, annotation = member.groups()
        properties[name], may_be_missing = type_of(annotation, budget, depth)
        if not mark and not may_be_missing:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _literal(text: str) -> Any:
    if TEXT.fullmatch(text):
        inner = text[1:-1]
        return inner if "\\" not in inner else re.sub(r"\\(.)", r"\1", inner)
    if text in {"true", "false"} or _NUMBER.fullmatch(text):
        return json.loads(text)
    return None
