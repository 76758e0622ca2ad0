"""AWS's event stream: each frame holds one event of the model's protocol, or an exception."""

from __future__ import annotations

import base64
import json
from typing import Any


class AwsEventCutter:
    """An `EventCutter` for Bedrock. Needs botocore, which comes with the extra."""

    def __init__(self) -> None:
        from botocore.eventstream import EventStreamBuffer

        self._buffer = EventStreamBuffer()

    def feed(self, data: bytes) -> list[bytes]:
        from botocore.eventstream import ParserError

        self._buffer.add_data(data)
        try:
            return [
                event for frame in self._buffer if (event := _event(frame.to_response_dict())) is not None
            ]
        except ParserError as error:
            raise ValueError(f"not AWS's event stream: {error}") from error

    def rest(self) -> list[bytes]:
        # A frame tells its length, so that one which is not whole is not an event.
        return []


def _event(frame: dict[str, Any]) -> bytes | None:
    body, headers = frame["body"], frame["headers"]
    if frame["status_code"] == 200:
        held = json.loads(body)
        return base64.b64decode(held["bytes"]) if "bytes" in held else None
    kind = headers.get(":exception-type") or headers.get(":error-code") or "internalServerException"
    try:
        told = json.loads(body)
    except ValueError:
        told = {"message": body.decode("utf-8", "replace") or headers.get(":error-message", "")}
    return json.dumps(
        {"type": "error", "error": {"type": kind, "message": told.get("message") or ""}}
    ).encode()
