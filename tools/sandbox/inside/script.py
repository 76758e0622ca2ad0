"""A script whose value is that of its last expression, as in a notebook."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from types import CodeType
from typing import Any

NAME = "script.py"


@dataclass(frozen=True, slots=True)
class Halves:
    """A script and its last expression, when it ends in one."""

    body: CodeType
    last: CodeType | None


def split(source: str) -> Halves:
    """Raises SyntaxError, ValueError."""
    tree = ast.parse(source, NAME)
    last = None
    if tree.body and isinstance(end := tree.body[-1], ast.Expr):
        tree.body.pop()
        last = compile(ast.Expression(end.value), NAME, "eval")
    return Halves(compile(tree, NAME, "exec"), last)


def run(halves: Halves, scope: dict[str, Any]) -> str | None:
    """How the value of the last expression reads, or None when there is none."""
    exec(halves.body, scope)  # noqa: S102 (this is what a sandbox is for)
    value = eval(halves.last, scope) if halves.last is not None else None  # noqa: S307
    return None if value is None else repr(value)
