"""The classes of a source as JSON schema: pydantic models, dataclasses, TypedDicts and enums."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, replace

from tools.schemas.annotations import Place, Schema, described_by, literal_schema, text_of, type_of
from tools.schemas.docstrings import read_docstring
from tools.schemas.errors import SchemaError
from tools.schemas.module import Module

_MODELS = frozenset({"BaseModel", "RootModel"})
_TYPED_DICTS = frozenset({"TypedDict"})
_ENUMS = frozenset({"Enum", "IntEnum", "StrEnum"})
_KINDS = {
    **dict.fromkeys(_MODELS, "model"),
    **dict.fromkeys(_TYPED_DICTS, "typed_dict"),
    **dict.fromkeys(_ENUMS, "enum"),
}
#: Fields of a class that are none.
_NO_FIELDS = frozenset({"ClassVar", "InitVar", "PrivateAttr"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    name: str
    schema: Schema
    is_required: bool


def class_schema(node: ast.ClassDef, place: Place, at: ast.expr) -> Schema:
    """The class as a schema without references; `at` is where it is used. Raises SchemaError with the line."""
    kind = _kind_of(node, place.module)
    match kind:
        case "enum":
            return _enum_schema(node, place.module)
        case "model" | "dataclass" | "typed_dict":
            fields = {each.name: each for each in _fields(node, place, kind)}
            return {
                "type": "object",
                "properties": {each.name: each.schema for each in fields.values()},
                "required": [each.name for each in fields.values() if each.is_required],
            }
        case _:
            raise place.error(
                f"has the type {node.name}, which is a plain class: make it a pydantic model, a dataclass, a TypedDict or an Enum.",
                at,
            )


def _kind_of(node: ast.ClassDef, module: Module, depth: int = 0) -> str | None:
    if any(module.name_of(_called(each)) == "dataclass" for each in node.decorator_list):
        return "dataclass"
    for base in node.bases:
        name = module.name_of(_unsubscripted(base)) or ""
        if name in _KINDS:
            return _KINDS[name]
        if (
            name in module.classes
            and depth < 20
            and (kind := _kind_of(module.classes[name], module, depth + 1))
        ):
            return kind
    return None


def _fields(node: ast.ClassDef, place: Place, kind: str, depth: int = 0) -> Iterator[_Field]:
    """Inherited ones first; a later one of the same name replaces an earlier."""
    if depth > 20:
        raise SchemaError(f"The class {node.name} inherits from itself.", line=node.lineno)
    for base in node.bases:
        name = place.module.name_of(base)
        if name in place.module.classes:
            yield from _fields(place.module.classes[name], place, kind, depth + 1)
    told = _descriptions(node) if kind != "model" else {}
    is_total = not any(
        keyword.arg == "total" and isinstance(keyword.value, ast.Constant) and keyword.value.value is False
        for keyword in node.keywords
    )
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            if name.startswith("_") or name == "model_config" or _is_no_field(statement, place.module):
                continue
            yield _field(name, statement, replace(place, is_field=True), told.get(name), kind, is_total)


def _field(
    name: str, statement: ast.AnnAssign, place: Place, told: str | None, kind: str, is_total: bool
) -> _Field:
    module, value = place.module, statement.value
    place = replace(place, subject=f"The field {place.inside[-1]}.{name}")
    typed = type_of(statement.annotation, place)
    keywords = _keywords(value)
    description = told or typed.description
    if value is not None and (of_field := described_by(value, module)) and isinstance(value, ast.Call):
        description = of_field
    if "metadata" in keywords and isinstance(keywords["metadata"], ast.Dict):
        for key, each in zip(keywords["metadata"].keys, keywords["metadata"].values, strict=True):
            if key is not None and text_of(key) == "description":
                description = text_of(each) or description
    if not description:
        how = (
            "give it Field(description=…)" if kind == "model" else "tell of it in the docstring of its class"
        )
        raise SchemaError(f"{place.subject} has no description: {how}.", line=statement.lineno)
    if kind == "model":
        alias = keywords.get("validation_alias") or keywords.get("alias")
        name = (text_of(alias) if alias is not None else None) or name
    return _Field(
        name=name,
        schema={**typed.schema, "description": description},
        is_required=_is_required(statement, module, kind, is_total),
    )


def _is_required(statement: ast.AnnAssign, module: Module, kind: str, is_total: bool) -> bool:
    if kind == "typed_dict":
        outer = statement.annotation
        said = module.name_of(outer.value) if isinstance(outer, ast.Subscript) else None
        return said == "Required" or (is_total and said != "NotRequired")
    value = statement.value
    if value is None:
        return True
    if not isinstance(value, ast.Call) or module.name_of(value.func) not in {"Field", "field"}:
        return _is_ellipsis(value)
    keywords = _keywords(value)
    if "default_factory" in keywords:
        return False
    default = keywords.get("default") or (value.args[0] if value.args else None)
    return default is None or _is_ellipsis(default)


def _enum_schema(node: ast.ClassDef, module: Module) -> Schema:
    """Its values, as a model writes them."""
    bases = {module.name_of(base) for base in node.bases}
    values: list[object] = []
    for statement in node.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id=name)], value=value) if not name.startswith("_"):
                values.append(_enum_value(name, value, values, module, is_text="StrEnum" in bases))
    if not values:
        raise SchemaError(f"The enum {node.name} has no values.", line=node.lineno)
    return literal_schema(values)


def _enum_value(name: str, node: ast.expr, before: list[object], module: Module, *, is_text: bool) -> object:
    if isinstance(node, ast.Call) and (module.name_of(node.func) or "").rpartition(".")[2] == "auto":
        numbers = [each for each in before if isinstance(each, int)]
        return name.lower() if is_text else max(numbers, default=0) + 1
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError):
        value = None
    if type(value) not in {str, int, bool, float}:
        raise SchemaError(
            f"The value of {name} must be a text, a number or auto(), not {ast.unparse(node)}.",
            line=node.lineno,
        )
    return value


def _descriptions(node: ast.ClassDef) -> dict[str, str]:
    """What the class says of its fields: in its docstring, or in a text below a field."""
    docstring = read_docstring(node)
    told = dict(docstring.arguments) if docstring else {}
    for field, below in zip(node.body, node.body[1:], strict=False):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str() as text)):
                told[name] = text.strip()
    return told


def _is_no_field(statement: ast.AnnAssign, module: Module) -> bool:
    annotation, value = statement.annotation, statement.value
    named = module.name_of(annotation.value if isinstance(annotation, ast.Subscript) else annotation)
    made = module.name_of(value.func) if isinstance(value, ast.Call) else None
    return named in _NO_FIELDS or made in _NO_FIELDS


def _keywords(value: ast.expr | None) -> dict[str, ast.expr]:
    if not isinstance(value, ast.Call):
        return {}
    return {keyword.arg: keyword.value for keyword in value.keywords if keyword.arg}


def _called(node: ast.expr) -> ast.expr:
    return node.func if isinstance(node, ast.Call) else node


def _unsubscripted(node: ast.expr) -> ast.expr:
    return node.value if isinstance(node, ast.Subscript) else node


def _is_ellipsis(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant) and node.value is ...
