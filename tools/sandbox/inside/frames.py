"""Messages on a stream: a head in JSON and a body in bytes, each behind its length."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from typing import Any

HEAD = struct.Struct("=II")
#: Neither side reads a longer head or body.
MOST_BYTES = 64 * 1024 * 1024


def pack(head: dict[str, Any], body: bytes = b"") -> bytes:
    """The message as bytes."""
    text = json.dumps(head).encode()
    return HEAD.pack(len(text), len(body)) + text + body


def unpack_lengths(data: bytes) -> tuple[int, int]:
    """The lengths of head and body. Raises ValueError for a message that is too long."""
    head, body = HEAD.unpack(data)
    if max(head, body) > MOST_BYTES:
        raise ValueError("a message is longer than both sides have agreed on")
    return head, body


def read(receive: Callable[[int], bytes]) -> tuple[dict[str, Any], bytes]:
    """The next message. Raises EOFError when the other side has closed, ValueError for what is none."""
    head, body = unpack_lengths(_exactly(receive, HEAD.size))
    fields = json.loads(_exactly(receive, head))
    return fields, _exactly(receive, body)


def _exactly(receive: Callable[[int], bytes], size: int) -> bytes:
    parts = []
    while size:
        part = receive(min(size, 1 << 20))
        if not part:
            raise EOFError("the other side has closed")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
