"""The JSON schema of a TypeScript tool, from the signature of its exported function and the JSDoc above (spec/tools.md §3.5).

A reader of signatures, not of the language: it knows comments, texts and brackets, which is all that finding one signature needs.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from tools.schemas.annotations import Schema, literal_schema
from tools.schemas.errors import SchemaError
from tools.schemas.module import MOST_CHARACTERS

_FUNCTION = re.compile(r"\bexport\s+(?:default\s+)?(?:async\s+)?function\s*\*?\s*([A-Za-z_$][\w$]*)\s*")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_TEXT = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""", re.DOTALL)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_PARAM_TAG = re.compile(
    r"@param\s+(?:\{[^}]*\}\s*)?\[?([A-Za-z_$][\w$]*)[^\s\]]*\]?\s*(?:-\s*)?(.*)", re.DOTALL
)
_SCALARS = {"string": "string", "number": "number", "boolean": "boolean", "null": "null", "bigint": "integer"}
_OBJECT = re.compile(r"(object|Record\s*<.*>|Map\s*<.*>|\{\s*\[.*\}|\{\s*\})", re.DOTALL)
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}
_NO_VALUES = frozenset({"null", "undefined", "void"})


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doc:
    description: str
    arguments: dict[str, str]


def exported_names(source: str) -> list[str]:
    """The names of the exported functions, in the order of the source."""
    return [found.group(1) for found in _FUNCTION.finditer(_blanked(source))]


def derive_typescript_schema(source: str) -> dict[str, Any]:
    """Name, description and parameters of the last exported function. Raises SchemaError with the line."""
    if len(source) > MOST_CHARACTERS:
        raise SchemaError(f"The source is too long: {len(source)} characters, at most {MOST_CHARACTERS}.")
    bare = _blanked(source)
    functions = list(_FUNCTION.finditer(bare))
    if not functions:
        raise SchemaError("The source has no exported function: write `export function name(…) {…}`.")
    found = functions[-1]
    name, line = found.group(1), _line_of(source, found.start(1))
    opening = _after_generics(bare, found.end())
    if opening >= len(bare) or bare[opening] != "(":
        raise SchemaError(f"The function {name!r} has no list of arguments.", line=line)
    closing = _closing(bare, opening)
    if closing is None:
        raise SchemaError(f"The list of arguments of {name!r} is not closed.", line=line)
    doc = _doc_above(source, bare, found.start())
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for start, end in _pieces(bare, opening + 1, closing, ","):
        if not bare[start:end].strip():
            continue
        _add_argument(source, bare, start, end, doc, properties, required)
    return {
        "name": name,
        "description": doc.description or f"Call the tool {name}.",
        "parameters": {"type": "object", "properties": properties, "required": required},
    }


def _add_argument(
    source: str,
    bare: str,
    start: int,
    end: int,
    doc: _Doc,
    properties: dict[str, Schema],
    required: list[str],
) -> None:
    text = bare[start:end]
    start += len(text) - len(text.lstrip())
    line = _line_of(source, start)
    named = _NAME.match(bare, start, end)
    if named is None:
        raise SchemaError(
            f"The argument {source[start:end].strip()!r} is no plain name; models give arguments by name.",
            line=line,
        )
    name = named.group()
    if name in properties:
        raise SchemaError(f"The argument {name!r} is there twice.", line=line)
    declared, *default = _pieces(bare, named.end(), end, "=")
    rest = source[declared[0] : declared[1]].strip()
    is_optional = rest.startswith("?") or bool(default)
    annotation = rest.lstrip("?").strip().removeprefix(":").strip()
    try:
        schema, may_be_missing = _type_of(annotation)
    except RecursionError:
        raise SchemaError(f"The type of the argument {name!r} is nested too deeply.", line=line) from None
    properties[name] = {**schema, "description": doc.arguments.get(name, "")}
    if not is_optional and not may_be_missing:
        required.append(name)


def _type_of(text: str) -> tuple[Schema, bool]:
    """The schema, and whether the value may be undefined; a type that is not known is a text, as in V1."""
    bare = _blanked(text)
    choices = [text[start:end].strip() for start, end in _pieces(bare, 0, len(bare), "|")]
    choices = [choice for choice in choices if choice]
    others = [choice for choice in choices if choice not in _NO_VALUES]
    may_be_missing = "undefined" in choices
    if len(others) > 1:
        literals = [_literal(choice) for choice in others]
        if all(literal is not None for literal in literals):
            return literal_schema(literals), may_be_missing
        schemas: list[Schema] = []
        for choice in others:
            schema = _type_of(choice)[0]
            if schema not in schemas:
                schemas.append(schema)
        return (schemas[0] if len(schemas) == 1 else {"anyOf": schemas}), may_be_missing
    return (_one_type(others[0]) if others else {"type": "string"}), may_be_missing


def _one_type(text: str) -> Schema:
    if text in _SCALARS:
        return {"type": _SCALARS[text]}
    if (literal := _literal(text)) is not None:
        return literal_schema([literal])
    text = text.removeprefix("readonly ").strip()
    if text.endswith("[]"):
        return {"type": "array", "items": _type_of(text[:-2])[0]}
    if inner := re.fullmatch(r"(?:Readonly)?Array\s*<(.*)>", text, re.DOTALL):
        return {"type": "array", "items": _type_of(inner.group(1))[0]}
    if text.startswith("(") and text.endswith(")") and "=>" not in text:
        return _type_of(text[1:-1])[0]
    if _OBJECT.fullmatch(text):
        return {"type": "object"}
    if text.startswith("{") and text.endswith("}"):
        return _object(text[1:-1])
    return {"type": "string"}


def _object(text: str) -> Schema:
    properties: dict[str, Schema] = {}
    required: list[str] = []
    bare = _blanked(text)
    for start, end in _pieces(bare, 0, len(bare), ";,\n"):
        member = re.fullmatch(
            r"(?:readonly\s+)?['\"]?([\w$]+)['\"]?\s*(\??)\s*:\s*(.+)", text[start:end].strip(), re.DOTALL
        )
        if member is None:
            continue
        name, mark, annotation = member.groups()
        properties[name], may_be_missing = _type_of(annotation)
        if not mark and not may_be_missing:
            required.append(name)
    return {"type": "object", "properties": properties, "required": required}


def _literal(text: str) -> Any:
    if _TEXT.fullmatch(text):
        inner = text[1:-1]
        return inner if "\\" not in inner else re.sub(r"\\(.)", r"\1", inner)
    if text in {"true", "false"} or re.fullmatch(r"-?\d+(\.\d+)?", text):
        return json.loads(text)
    return None


def _doc_above(source: str, bare: str, at: int) -> _Doc:
    """The JSDoc comment that ends right above the function."""
    before = source[: len(bare[:at].rstrip())]
    comments = [each for each in _COMMENT.finditer(source, len(before), at) if each.group().startswith("/**")]
    if not comments:
        return _Doc(description="", arguments={})
    inner = comments[-1].group()[3:-2]
    lines = [re.sub(r"^\s*\*\s?", "", line) for line in inner.splitlines()]
    text, *tags = re.split(r"(?m)^\s*(?=@)", "\n".join(lines))
    arguments = {}
    for tag in tags:
        if told := _PARAM_TAG.match(tag.strip()):
            arguments[told.group(1)] = " ".join(told.group(2).split())
    return _Doc(description=text.strip(), arguments=arguments)


def _blanked(source: str) -> str:
    """The source with comments and texts as blanks of the same length, line ends kept: only code is left."""

    def blank(found: re.Match[str]) -> str:
        return re.sub(r"[^\n]", " ", found.group())

    return re.sub(f"{_COMMENT.pattern}|{_TEXT.pattern}", blank, source, flags=re.DOTALL)


def _after_generics(bare: str, at: int) -> int:
    if at < len(bare) and bare[at] == "<":
        closing = _closing(bare, at)
        at = len(bare) if closing is None else closing + 1
    while at < len(bare) and bare[at].isspace():
        at += 1
    return at


def _closing(bare: str, opening: int) -> int | None:
    """Where the bracket that opens there is closed."""
    open_brackets: list[str] = []
    for at in range(opening, len(bare)):
        mark = bare[at]
        if mark in _CLOSING:
            open_brackets.append(_CLOSING[mark])
        elif mark == ">" and bare[at - 1] == "=":
            continue
        elif mark in ")]}>":
            if not open_brackets or open_brackets.pop() != mark:
                return None
            if not open_brackets:
                return at
    return None


def _pieces(bare: str, start: int, end: int, marks: str) -> list[tuple[int, int]]:
    """What lies between the marks, those inside brackets not counted; a mark `=` is not the one of `=>`."""
    pieces: list[tuple[int, int]] = []
    depth, begin = 0, start
    for at in range(start, end):
        mark = bare[at]
        if mark in "([{<":
            depth += 1
        elif mark in ")]}" or (mark == ">" and bare[at - 1] != "="):
            depth -= 1
        elif mark in marks and not depth and not (mark == "=" and bare[at + 1 : at + 2] == ">"):
            pieces.append((begin, at))
            begin = at + 1
    return [*pieces, (begin, end)]


def _line_of(source: str, at: int) -> int:
    return source.count("\n", 0, at) + 1
