"""An annotation as JSON schema (spec/tools.md §3.2)."""

from __future__ import annotations

import ast
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from tools.schemas.budget import Budget
from tools.schemas.errors import SchemaError
from tools.schemas.module import Module, parse_expression

Schema = dict[str, Any]

_SCALARS = {
    "int": "integer",
    "str": "string",
    "bool": "boolean",
    "float": "number",
    "None": "null",
    "NoneType": "null",
}
_LISTS = frozenset({"list", "List", "Sequence", "Iterable", "MutableSequence"})
_TUPLES = frozenset({"tuple", "Tuple"})
_OBJECTS = frozenset({"dict", "Dict", "Mapping", "MutableMapping"})
#: They say something about the value or the field, and nothing about its type.
_TRANSPARENT = frozenset({"Final", "Required", "NotRequired", "ReadOnly"})
_LITERAL_TYPES: dict[type, str] = {bool: "boolean", int: "integer", str: "string", float: "number"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Typed:
    """What an annotation says."""

    schema: Schema
    #: Whether None is one of its values; the schema does not say so.
    is_optional: bool = False
    #: Of `Annotated[int, Field(description="…")]` and `Annotated[int, "…"]`.
    description: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an annotation stands."""

    module: Module
    #: As the message names it: "The argument 'guests'".
    subject: str
    #: The schema of a class of the source: its fields have annotations again.
    of_class: Callable[[ast.ClassDef, Place, ast.expr], Schema]
    budget: Budget
    #: Inside a class a mapping is a plain object, as it is in the schemas that pydantic makes; an argument may not be one.
    is_field: bool = False
    #: The classes and aliases on the way here, so that none contains itself.
    inside: tuple[str, ...] = ()

    def into(self, name: str) -> Place:
        return replace(self, inside=(*self.inside, name))

    def error(self, reason: str, node: ast.expr) -> SchemaError:
        return SchemaError(f"{self.subject} {reason}", line=node.lineno)


def type_of(node: ast.expr, place: Place) -> Typed:
    """The annotation as schema. Raises SchemaError, with its line, for one that no schema stands for."""
    place.budget.spend(line=node.lineno)
    match node:
        case ast.Constant(value=None):
            return Typed(schema={"type": "null"})
        case ast.Constant(value=str() as text):
            return type_of(parse_expression(text, node), place)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _union([left, right], node, place)
        case ast.Subscript(value=generic, slice=inner):
            return _generic(generic, inner, node, place)
        case ast.Name() | ast.Attribute():
            return _named(node, place)
        case _:
            raise place.error(f"has an annotation that no schema stands for: {ast.unparse(node)}.", node)


def elements(node: ast.expr) -> list[ast.expr]:
    """What stands between the brackets of a generic."""
    return list(node.elts) if isinstance(node, ast.Tuple) else [node]


def described_by(node: ast.expr, module: Module) -> str | None:
    """The text of `Field(description="…")`, `Doc("…")` or a plain string, as metadata of `Annotated`."""
    match node:
        case ast.Constant(value=str() as text):
            return text
        case ast.Call(func=function, args=arguments, keywords=keywords):
            name = (module.name_of(function) or "").rpartition(".")[2]
            if name == "Doc" and arguments:
                return described_by(arguments[0], module)
            for keyword in keywords if name == "Field" else ():
                if keyword.arg == "description":
                    return text_of(keyword.value)
    return None


def text_of(node: ast.expr) -> str | None:
    """The text of a literal, also one in several pieces; None for anything that must be run to be known."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
            left, right = text_of(node.left), text_of(node.right)
            return None if left is None or right is None else left + right
        return None
    return value if isinstance(value, str) else None


def literal_schema(values: list[Any]) -> Schema:
    """A schema that allows just these values; they are texts, numbers and booleans."""
    types = list(dict.fromkeys(_LITERAL_TYPES[type(value)] for value in values))
    return {"type": types[0] if len(types) == 1 else types, "enum": values}


def _named(node: ast.Name | ast.Attribute, place: Place) -> Typed:
    module = place.module
    name = module.name_of(node)
    assert name is not None, "names and attributes of names only"
    if name in place.inside:
        raise place.error(f"has the type {name}, which contains itself; a schema of a tool cannot.", node)
    if name in module.classes:
        return Typed(schema=place.of_class(module.classes[name], place.into(name), node))
    if name in module.aliases:
        return type_of(module.aliases[name], place.into(name))
    if name in _SCALARS:
        return Typed(schema={"type": _SCALARS[name]})
    if name in _LISTS:
        return Typed(schema={"type": "array", "items": {"type": "string"}})
    if name in _OBJECTS:
        return Typed(schema={"type": "object"})
    if name in _TUPLES:
        raise place.error("is a tuple: say of what, as in tuple[int, str].", node)
    if name in {"Optional", "Union", "Literal", "Annotated"}:
        raise place.error(f"has the annotation {name}, which says no type: write {name}[…].", node)
    raise place.error(
        f"has the type {ast.unparse(node)}, for which there is no JSON type. Use str, int, float, bool, list, dict, Literal, an Enum, "
        "or a model, dataclass or TypedDict of this source.",
        node,
    )


def _generic(generic: ast.expr, inner: ast.expr, node: ast.expr, place: Place) -> Typed:
    name = place.module.name_of(generic) or ast.unparse(generic)
    parts = elements(inner)
    if name == "Optional" and len(parts) == 1:
        return _union([*parts, ast.copy_location(ast.Constant(value=None), node)], node, place)
    if name == "Union":
        return _union(parts, node, place)
    if name == "Literal":
        return _literal(parts, node, place)
    if name == "Annotated" and len(parts) > 1:
        texts = (described_by(each, place.module) for each in parts[1:])
        typed = type_of(parts[0], place)
        description = next((text for text in texts if text), typed.description)
        return Typed(schema=typed.schema, is_optional=typed.is_optional, description=description)
    if name in _TRANSPARENT and len(parts) == 1:
        return type_of(parts[0], place)
    if name in _LISTS and len(parts) == 1:
        return Typed(schema={"type": "array", "items": type_of(parts[0], place).schema})
    if name in _TUPLES:
        return _tuple(parts, node, place)
    if name in _OBJECTS and place.is_field:
        return Typed(schema={"type": "object"})
    if name in _OBJECTS:
        raise place.error(
            f"is a {ast.unparse(node)}: a model cannot know its keys. Use a pydantic model, a dataclass or a TypedDict, or plain dict.",
            node,
        )
    raise place.error(f"has an annotation that no schema stands for: {ast.unparse(node)}.", node)


def _union(parts: list[ast.expr], node: ast.expr, place: Place) -> Typed:
    found = [type_of(part, place) for part in parts]
    others = [each for each in found if each.schema != {"type": "null"}]
    is_optional = len(others) < len(found) or any(each.is_optional for each in others)
    if not others:
        return Typed(schema={"type": "null"}, is_optional=True)
    choices: list[Schema] = []
    for each in others:
        for choice in each.schema.get("anyOf", [each.schema]):
            if choice not in choices:
                choices.append(choice)
    schema = choices[0] if len(choices) == 1 else {"anyOf": choices}
    description = next((each.description for each in others if each.description), None)
    return Typed(schema=schema, is_optional=is_optional, description=description)


def _literal(parts: list[ast.expr], node: ast.expr, place: Place) -> Typed:
    # By type too: 1 and True are not the same here.
    values: dict[tuple[type, Any], Any] = {}
    is_optional = False
    for part in parts:
        try:
            value = ast.literal_eval(part)
        except (ValueError, TypeError, SyntaxError):
            raise place.error(f"has a Literal of {ast.unparse(part)}, which is no literal.", node) from None
        if value is None:
            is_optional = True
        elif type(value) not in {bool, int, str}:
            raise place.error(
                f"has a Literal of {ast.unparse(part)}; use texts, whole numbers or booleans.", node
            )
        else:
            values.setdefault((type(value), value), value)
    schema = literal_schema(list(values.values())) if values else {"type": "null"}
    return Typed(schema=schema, is_optional=is_optional)


def _tuple(parts: list[ast.expr], node: ast.expr, place: Place) -> Typed:
    if not parts or any(isinstance(part, ast.Constant) and part.value is ... for part in parts):
        raise place.error(
            f"is a {ast.unparse(node)}: a tuple needs a fixed number of items. Use list[…] for any number.",
            node,
        )
    items = [type_of(part, place).schema for part in parts]
    return Typed(
        schema={"type": "array", "prefixItems": items, "minItems": len(items), "maxItems": len(items)}
    )
