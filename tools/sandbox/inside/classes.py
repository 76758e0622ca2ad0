"""Classes that stand only in a tool's `args_json_schema`: made before its source runs, so that its annotations find them."""

from __future__ import annotations

import typing
from dataclasses import dataclass
from typing import Any

_PLAIN: dict[str, Any] = {
    "string": str,
    "integer": int,
    "number": float,
    "boolean": bool,
    "null": type(None),
    "object": dict,
}


@dataclass(frozen=True, slots=True)
class Classes:
    """Pydantic models."""

    #: Of the schema itself: its fields are the arguments.
    whole: Any
    #: By the name under which a source knows them: the schema's title and the entries of `$defs`.
    named: dict[str, Any]


def classes_of(schema: dict[str, Any]) -> Classes:
    """The classes of the schema. Raises ImportError without pydantic."""
    return _Maker(schema).make()


class _Maker:
    def __init__(self, schema: dict[str, Any]) -> None:
        from pydantic import Field, create_model

        self._field, self._create = Field, create_model
        self._schema = schema
        self._definitions: dict[str, Any] = schema.get("$defs") or schema.get("definitions") or {}
        self._made: dict[str, Any] = {}
        self._now: set[str] = set()

    def make(self) -> Classes:
        for name in self._definitions:
            self._defined(name)
        title = str(self._schema.get("title") or "Arguments")
        whole = self._model(title, self._schema)
        named = {title: whole, **self._made}
        return Classes(whole, {name: made for name, made in named.items() if name.isidentifier()})

    def _defined(self, name: str) -> Any:
        if name not in self._made:
            if name in self._now or name not in self._definitions:
                return Any  # it holds itself, or there is no such entry
            self._now.add(name)
            self._made[name] = self._of(self._definitions[name], name)
            self._now.discard(name)
        return self._made[name]

    def _model(self, name: str, schema: dict[str, Any]) -> Any:
        required = set(schema.get("required") or [])
        fields: dict[str, Any] = {}
        for key, inner in (schema.get("properties") or {}).items():
            kind = self._of(inner, f"{name}_{key}")
            if key in required:
                fields[key] = (kind, ...)
            else:
                given = inner.get("default") if isinstance(inner, dict) else None
                fields[key] = (typing.Optional[kind], self._field(default=given))  # noqa: UP045 (a value, not an annotation)
        return self._create(name, **fields)

    def _of(self, schema: Any, name: str) -> Any:
        if not isinstance(schema, dict):
            return Any
        if reference := schema.get("$ref"):
            return self._defined(str(reference).rpartition("/")[2])
        if choices := schema.get("enum"):
            return typing.Literal[tuple(choices)]
        if "allOf" in schema and len(schema["allOf"]) == 1:
            return self._of(schema["allOf"][0], name)
        if branches := schema.get("anyOf") or schema.get("oneOf"):
            return typing.Union[tuple(self._of(each, name) for each in branches)]  # noqa: UP007 (a value)
        kind = schema.get("type")
        if isinstance(kind, list):
            return typing.Union[tuple(self._of({**schema, "type": each}, name) for each in kind)]  # noqa: UP007 (a value)
        if kind == "array":
            return list[self._of(schema.get("items"), name)]  # type: ignore[misc]  # a type that is made here
        if kind == "object" and schema.get("properties"):
            return self._model(name, schema)
        return _PLAIN.get(str(kind), Any)
