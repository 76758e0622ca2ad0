"""What a text must be so that PostgreSQL can keep it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, TypeVar

from letta_ade.core.errors import Unprocessable

T = TypeVar("T")

_MOST_TAG_CHARACTERS = 255


def check_text(name: str, text: str) -> str:
    """The text itself. Raises Unprocessable for a NUL character or half a surrogate pair, naming where it stands."""
    at = text.find("\0")
    if at < 0:
        try:
            text.encode()
            return text
        except UnicodeEncodeError as error:
            at = error.start
    raise Unprocessable(
        f"{name} holds a character that cannot be stored (U+{ord(text[at]):04X}, at position {at + 1}). Remove it."
    )


def check_json(name: str, value: T) -> T:
    """The value itself, when all of its texts can be stored. Raises Unprocessable."""
    check_text(name, json.dumps(value, ensure_ascii=False).replace("\\u0000", "\0"))
    return value


def check_tags(tags: Iterable[Any]) -> list[str]:
    """The tags without repetitions, in order. Raises Unprocessable for one that is empty, too long or not storable."""
    distinct = list(dict.fromkeys(str(tag) for tag in tags))
    for tag in distinct:
        if not tag.strip() or len(tag) > _MOST_TAG_CHARACTERS:
            raise Unprocessable(f"A tag has between 1 and {_MOST_TAG_CHARACTERS} characters, not {len(tag)}.")
        check_text("A tag", tag)
    return distinct


def searchable(text: str) -> str:
    """A search text without what no stored text can hold."""
    return text.replace("\0", " ").encode(errors="ignore").decode().strip()
