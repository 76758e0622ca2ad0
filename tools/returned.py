"""What a tool returned, as a model reads it; and the images in it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from typing import Any

#: What providers take as images.
_MEDIA_TYPES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})


def returned_text(value: Any) -> str:
    """A tool's value as text: a text as it is, nothing as "None", anything else as JSON.

    Of a list of parts with images the texts are read, and of each image what it is: its data would fill the context with what no
    model can read as text.
    """
    if isinstance(value, str):
        return value
    if parts := image_parts(value):
        return "\n".join(part["text"] if part["type"] == "text" else _named(part) for part in parts)
    return "None" if value is None else json.dumps(value, ensure_ascii=False, default=str)


def image_parts(value: Any) -> Sequence[Mapping[str, Any]]:
    """The value when it is a list of text and image parts (spec/tools.md §6.6) with an image among them; else nothing."""
    if not isinstance(value, list) or not value:
        return ()
    if not all(_is_text(part) or _is_image(part) for part in value):
        return ()
    return value if any(part["type"] == "image" for part in value) else ()


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _is_image(part: Any) -> bool:
    source = part.get("source") if isinstance(part, dict) and part.get("type") == "image" else None
    if not isinstance(source, dict) or source.get("type") != "base64":
        return False
    data = source.get("data")
    media_type = source.get("media_type")
    if not isinstance(media_type, str) or media_type not in _MEDIA_TYPES or not isinstance(data, str):
        return False
    try:
        base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _named(part: Mapping[str, Any]) -> str:
    source = part["source"]
    return f"[{source['media_type']}, {len(source['data']) * 3 // 4096 + 1} KB: images of tools are not shown to models]"
