"""TypeScript as text: what of it is code, where brackets close, and what lies between marks."""

from __future__ import annotations

import re

TEXT = re.compile(r"""'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`""", re.DOTALL)
COMMENT = re.compile(r"//[^\n]*|/\*.*?(?:\*/|\Z)", re.DOTALL)
_EITHER = re.compile(f"({COMMENT.pattern})|{TEXT.pattern}", re.DOTALL)
_NOT_A_LINE_END = re.compile(r"[^\n]")
_CLOSING = {"(": ")", "[": "]", "{": "}", "<": ">"}


def without_comments(source: str) -> str:
    """The source with blanks for its comments; every other character stays where it was."""
    return _EITHER.sub(lambda found: _blank(found.group()) if found.group(1) else found.group(), source)


def code_only(source: str) -> str:
    """The same with blanks for texts too: every bracket and mark that is left is code."""
    return _EITHER.sub(lambda found: _blank(found.group()), source)


def closing(code: str, opening: int) -> int | None:
    """Where the bracket that opens there is closed; None when it is not."""
    expected: list[str] = []
    for at in range(opening, len(code)):
        mark = code[at]
        if mark in _CLOSING:
            expected.append(_CLOSING[mark])
        elif mark == ">" and code[at - 1] == "=":
            continue
        elif mark in ")]}>":
            if not expected or expected.pop() != mark:
                return None
            if not expected:
                return at
    return None


def pieces(code: str, start: int, end: int, marks: str) -> list[tuple[int, int]]:
    """What lies between the marks, those inside brackets not counted; a mark `=` is not the one of `=>`."""
    found: list[tuple[int, int]] = []
    depth, begin = 0, start
    for at in range(start, end):
        mark = code[at]
        if mark in "([{<":
            depth += 1
        elif mark in ")]}" or (mark == ">" and code[at - 1] != "="):
            depth -= 1
        elif mark in marks and not depth and not (mark == "=" and code[at + 1 : at + 2] == ">"):
            found.append((begin, at))
            begin = at + 1
    return [*found, (begin, end)]


def _blank(text: str) -> str:
    return _NOT_A_LINE_END.sub(" ", text)
