"""Docstrings of tools: Google, NumPy, reST and Epydoc, as `docstring_parser` reads them."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import dataclass

import docstring_parser

from tools.schemas.errors import SchemaError

#: What V1 says of a function that describes nothing but its arguments.
NO_DESCRIPTION = "No description available"
_EXAMPLES = "Examples:"
_FIRST_SECTION = re.compile(r"(Args|Arguments|Parameters|Params|Attributes):[ \t]*\n")

_SECTION = re.compile(r"^(Args|Arguments|Parameters|Params|Attributes):?[ \t]*$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Docstring:
    """What a docstring tells of the function and its arguments."""

    #: Cleaned of its indentation.
    text: str
    description: str
    arguments: dict[str, str]
    #: Whether it speaks of arguments, of all or of some.
    has_arguments: bool


def read_docstring(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> Docstring | None:
    """The docstring of a function or class, None when it has none. Raises SchemaError for one that cannot be read."""
    # Not `get_docstring(clean=True)`: that one drops a docstring of white space only.
    raw = ast.get_docstring(node, clean=False)
    if raw is None or not raw.strip():
        return None
    text = inspect.cleandoc(raw)
    # docstring_parser does not see a section of Google's style that nothing stands before.
    whole = f"{NO_DESCRIPTION}\n\n{text}" if _FIRST_SECTION.match(text) else text
    try:
        parsed = docstring_parser.parse(whole)
    except docstring_parser.ParseError as error:
        raise SchemaError(
            f"The docstring of {node.name!r} cannot be read: {error}", line=node.body[0].lineno
        ) from None
    return Docstring(
        text=text,
        description=_description(parsed, text),
        arguments={each.arg_name.lstrip("*"): (each.description or "").strip() for each in parsed.params},
        has_arguments=bool(parsed.params) or _SECTION.search(text) is not None,
    )


def _description(parsed: docstring_parser.Docstring, text: str) -> str:
    parts = [part for part in (parsed.short_description, parsed.long_description) if part]
    description = "\n\n".join(parts) or NO_DESCRIPTION
    examples = _examples(text)
    if examples and examples not in description:
        description = f"{description}\n\n{examples}"
    return description


def _examples(text: str) -> str:
    """The section of examples, up to the next heading; its lines keep their indentation."""
    found: list[str] = []
    for line in text.splitlines():
        if found:
            if line.rstrip().endswith(":") and not line.startswith((" ", "\t")):
                break
            found.append(line)
        elif line.strip().startswith(_EXAMPLES):
            found.append(line)
    return "\n".join(found).strip()
