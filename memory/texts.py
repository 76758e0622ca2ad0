"""What a text must be so that PostgreSQL can keep it."""

from __future__ import annotations

from letta_ade.core.errors import Unprocessable


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


def searchable(text: str) -> str:
    """A search text without what no stored text can hold."""
    return text.replace("\0", " ").encode(errors="ignore").decode().strip()
