"""The JSON schema of a Python tool, derived from its source (spec/tools.md §3). The source is parsed, never run."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from typing import Any

from tools.schemas.annotations import Place, Schema, Typed, type_of
from tools.schemas.args_schema import convert_arguments
from tools.schemas.budget import Budget
from tools.schemas.classes import class_schema
from tools.schemas.docstrings import Docstring, read_docstring
from tools.schemas.errors import SchemaError
from tools.schemas.module import Function, read_module

#: Given by the server, whatever their annotation.
_RESERVED = frozenset({"self", "agent_state"})
#: Given by the server when they have no annotation; with one they are arguments like others.
_INJECTED = frozenset({"agent_id", "client"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parameter:
    node: ast.arg
    has_default: bool


def function_name(source: str) -> str:
    """The name of the tool of a source. Raises SchemaError."""
    return read_module(source).tool.name


def derive_schema(source: str) -> dict[str, Any]:
    """Name, description and parameters of the last function of the source.

    Raises SchemaError, with the line, for what does not parse or lacks what a model must know.
    """
    module = read_module(source)
    tool = module.tool
    docstring = read_docstring(tool)
    if docstring is None:
        raise SchemaError(
            f"The function {tool.name!r} has no docstring: say in it what the tool does and what each argument is.",
            line=tool.lineno,
        )
    properties: dict[str, Schema] = {}
    required: list[str] = []
    budget = Budget()
    for parameter in _parameters(tool):
        node = parameter.node
        place = Place(
            module=module, subject=f"The argument {node.arg!r}", of_class=class_schema, budget=budget
        )
        if node.annotation is None:
            raise SchemaError(
                f"{place.subject} has no annotation: write {node.arg}: str, or another type.",
                line=node.lineno,
            )
        typed = _typed(node.annotation, place)
        description = docstring.arguments.get(node.arg) or typed.description or ""
        # A docstring that speaks of no argument at all is taken as it is; one that leaves some out has forgotten them.
        if not description and docstring.has_arguments:
            raise SchemaError(
                f"{place.subject} is not described: the docstring of {tool.name!r} must say what it is, under Args.",
                line=node.lineno,
            )
        properties[node.arg] = {**typed.schema, "description": description}
        if not parameter.has_default and not typed.is_optional:
            required.append(node.arg)
    return _schema(tool.name, docstring.description, properties, required)


def derive_schema_from_args(
    source: str | None, args_json_schema: dict[str, Any], *, name: str | None = None
) -> dict[str, Any]:
    """Name and docstring of the source, the arguments from a JSON schema; `name` wins over the function's.

    Raises SchemaError.
    """
    docstring: Docstring | None = None
    if source is not None:
        tool = read_module(source).tool
        docstring, name = read_docstring(tool), name or tool.name
    if name is None:
        raise SchemaError("The tool has neither source nor name.")
    properties, required = convert_arguments(args_json_schema)
    description = docstring.text if docstring else f"Call the tool {name}."
    return _schema(name, description, properties, required)


def ignored_parameters(source: str) -> list[str]:
    """`*args` and `**kwargs` of the tool, as written: a model cannot fill them, so they are not in the schema."""
    arguments = read_module(source).tool.args
    starred = (("*", arguments.vararg), ("**", arguments.kwarg))
    return [f"{stars}{node.arg}" for stars, node in starred if node is not None]


def default_texts(source: str) -> dict[str, str]:
    """What the tool's arguments are when they are not given, as the source writes it. Raises SchemaError."""
    arguments = read_module(source).tool.args
    plain = [*arguments.posonlyargs, *arguments.args]
    pairs = [
        *zip(plain[len(plain) - len(arguments.defaults) :], arguments.defaults, strict=True),
        *zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True),
    ]
    return {node.arg: ast.unparse(default) for node, default in pairs if default is not None}


def _parameters(tool: Function) -> list[_Parameter]:
    """The arguments that a model fills, in the order of the signature."""
    arguments = tool.args
    seen: set[str] = set()
    starred = [node for node in (arguments.vararg, arguments.kwarg) if node is not None]
    for node in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, *starred]:
        if node.arg in seen:
            raise SchemaError(f"The argument {node.arg!r} is there twice.", line=node.lineno)
        seen.add(node.arg)
    for node in arguments.posonlyargs:
        if not _is_injected(node):
            raise SchemaError(
                f"The argument {node.arg!r} can only be given by its position, and models give names: remove the `/`.",
                line=node.lineno,
            )
    first_default = len(arguments.args) - len(arguments.defaults)
    found = [
        _Parameter(node=node, has_default=position >= first_default)
        for position, node in enumerate(arguments.args)
    ]
    found += [
        _Parameter(node=node, has_default=default is not None)
        for node, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    ]
    return [parameter for parameter in found if not _is_injected(parameter.node)]


def _typed(annotation: ast.expr, place: Place) -> Typed:
    try:
        return type_of(annotation, place)
    except RecursionError:
        raise place.error("has an annotation that is nested too deeply.", annotation) from None


def _is_injected(node: ast.arg) -> bool:
    return node.arg in _RESERVED or (node.arg in _INJECTED and node.annotation is None)


def _schema(
    name: str, description: str, properties: dict[str, Schema], required: list[str]
) -> dict[str, Any]:
    return {
        "name": name,
        "description": description,
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
