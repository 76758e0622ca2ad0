"""The JSON schema of a TypeScript tool, from the signature of its exported function and the JSDoc above (spec/tools.md §3.5).

A reader of signatures, not of the language: it knows comments, texts and brackets, which is all that finding one signature needs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from tools.schemas.annotations import Schema
from tools.schemas.budget import Budget
from tools.schemas.errors import SchemaError
from tools.schemas.module import MOST_CHARACTERS
from tools.schemas.typescript_text import COMMENT, closing, code_only, pieces, without_comments
from tools.schemas.typescript_types import type_of

_FUNCTION = re.compile(r"\bexport\s+(?:default\s+)?(?:async\s+)?function\s*\*?\s*([A-Za-z_$][\w$]*)\s*")
_NAME = re.compile(r"[A-Za-z_$][\w$]*")
_PARAM_TAG = re.compile(
    r"@param\s+(?:\{[^}]*\}\s*)?\[?([A-Za-z_$][\w$]*)[^\s\]]*\]?\s*(?:-\s*)?(.*)", re.DOTALL
)
_TAG = re.compile(r"^[ \t]*(?=@)", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Doc:
    description: str
    arguments: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Argument:
    name: str
    schema: Schema
    is_required: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class _Source:
    """A source three times, every character at the same place: as written, without comments, without texts too."""

    text: str
    uncommented: str
    code: str
    budget: Budget

    def error(self, reason: str, at: int) -> SchemaError:
        return SchemaError(reason, line=self.text.count("\n", 0, at) + 1)


def exported_names(source: str) -> list[str]:
    """The names of the exported functions, in the order of the source."""
    return [found.group(1) for found in _FUNCTION.finditer(code_only(source))]


def derive_typescript_schema(source: str) -> dict[str, Any]:
    """Name, description and parameters of the last exported function. Raises SchemaError with the line."""
    if len(source) > MOST_CHARACTERS:
        raise SchemaError(f"The source is too long: {len(source)} characters, at most {MOST_CHARACTERS}.")
    whole = _Source(
        text=source, uncommented=without_comments(source), code=code_only(source), budget=Budget()
    )
    functions = list(_FUNCTION.finditer(whole.code))
    if not functions:
        raise SchemaError("The source has no exported function: write `export function name(…) {…}`.")
    found = functions[-1]
    name = found.group(1)
    opening = _after_generics(whole.code, found.end())
    if opening >= len(source) or whole.code[opening] != "(":
        raise whole.error(f"The function {name!r} has no list of arguments.", found.start(1))
    end = closing(whole.code, opening)
    if end is None:
        raise whole.error(f"The list of arguments of {name!r} is not closed.", found.start(1))
    doc = _doc_above(whole, found.start())
    arguments: dict[str, _Argument] = {}
    for start, stop in pieces(whole.code, opening + 1, end, ","):
        if whole.code[start:stop].strip():
            argument = _argument(whole, start, stop)
            if argument.name in arguments:
                raise whole.error(
                    f"The argument {argument.name!r} is there twice.", _begin(whole, start, stop)
                )
            arguments[argument.name] = argument
    return {
        "name": name,
        "description": doc.description or f"Call the tool {name}.",
        "parameters": {
            "type": "object",
            "properties": {
                each.name: {**each.schema, "description": doc.arguments.get(each.name, "")}
                for each in arguments.values()
            },
            "required": [each.name for each in arguments.values() if each.is_required],
        },
    }


def _argument(whole: _Source, start: int, end: int) -> _Argument:
    start = _begin(whole, start, end)
    named = _NAME.match(whole.code, start, end)
    if named is None:
        written = whole.text[start:end].strip()
        raise whole.error(f"The argument {written!r} is no plain name; models give arguments by name.", start)
    name = named.group()
    declared, *default = pieces(whole.code, named.end(), end, "=")
    rest = whole.uncommented[declared[0] : declared[1]].strip()
    annotation = rest.lstrip("?").strip().removeprefix(":").strip()
    try:
        schema, may_be_missing = type_of(annotation, whole.budget)
    except SchemaError as error:
        raise whole.error(f"The argument {name!r}: {error.reason}", start) from None
    is_optional = rest.startswith("?") or bool(default) or may_be_missing
    return _Argument(name=name, schema=schema, is_required=not is_optional)


def _begin(whole: _Source, start: int, end: int) -> int:
    """Where the code of a piece begins."""
    text = whole.code[start:end]
    return start + len(text) - len(text.lstrip())


def _doc_above(whole: _Source, at: int) -> _Doc:
    """The JSDoc comment that ends right above the function."""
    after_code = len(whole.code[:at].rstrip())
    comments = [
        each for each in COMMENT.finditer(whole.text, after_code, at) if each.group().startswith("/**")
    ]
    if not comments:
        return _Doc(description="", arguments={})
    inner = comments[-1].group()[3:-2]
    lines = [re.sub(r"^\s*\*\s?", "", line) for line in inner.splitlines()]
    text, *tags = _TAG.split("\n".join(lines))
    arguments = {}
    for tag in tags:
        if told := _PARAM_TAG.match(tag):
            arguments[told.group(1)] = " ".join(told.group(2).split())
    return _Doc(description=text.strip(), arguments=arguments)


def _after_generics(code: str, at: int) -> int:
    if at < len(code) and code[at] == "<":
        end = closing(code, at)
        at = len(code) if end is None else end + 1
    while at < len(code) and code[at].isspace():
        at += 1
    return at
