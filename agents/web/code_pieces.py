"""JSON as people read it: on one line, or in pieces with colours."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

#: Of the arguments in a row; the whole is one click away.
_LINE_CHARACTERS = 200
#: JSON shorter than this stays on one line.
_ONE_LINE = 72
#: Beyond this a text is shown as it is: colouring megabytes helps nobody.
_MOST_COLOURED = 20_000

_JSON_TOKEN = re.compile(
    r'(?P<text>"(?:\\.|[^"\\])*")(?P<key>\s*:)?|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePiece:
    """A piece of JSON and the class of its colour."""

    text: str
    css: str = ""


def arguments_line(arguments: str) -> str:
    """`label="human", insert_line=12`: the arguments of a call on one line."""
    try:
        data = json.loads(arguments)
    except ValueError:
        return arguments[:_LINE_CHARACTERS]
    if not isinstance(data, dict):
        return arguments[:_LINE_CHARACTERS]
    pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items())
    return ", ".join(pairs)[:_LINE_CHARACTERS]


def code_pieces(text: str) -> tuple[CodePiece, ...]:
    """JSON in pieces with colours, broken into lines when it is long; any other text as it is."""
    if len(text) > _MOST_COLOURED or text[:1] not in ("{", "["):
        return (CodePiece(text=text),) if text else ()
    try:
        data = json.loads(text)
    except ValueError:
        return (CodePiece(text=text),)
    line = json.dumps(data, ensure_ascii=False)
    pretty = line if len(line) <= _ONE_LINE else json.dumps(data, ensure_ascii=False, indent=2)
    pieces, end = [], 0
    for match in _JSON_TOKEN.finditer(pretty):
        if match.start() > end:
            pieces.append(CodePiece(text=pretty[end : match.start()]))
        if match["text"]:
            pieces.append(CodePiece(text=match["text"], css="ck" if match["key"] else "cs"))
            if match["key"]:
                pieces.append(CodePiece(text=match["key"]))
        else:
            pieces.append(CodePiece(text=match.group(), css="cn"))
        end = match.end()
    if end < len(pretty):
        pieces.append(CodePiece(text=pretty[end:]))
    return tuple(pieces)
