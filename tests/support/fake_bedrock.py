"""AWS Bedrock on loopback: Anthropic's messages in AWS's event stream, and the list of inference profiles."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any
from urllib.parse import unquote
from zlib import crc32

from tests.support.fake_anthropic import FakeAnthropic, events
from tests.support.fake_provider import Answer, Received, json_answer

_TYPES = {400: "ValidationException", 403: "AccessDeniedException", 429: "ThrottlingException"}
_STREAM = "application/vnd.amazon.eventstream"

PROFILES = (
    {
        "inferenceProfileId": "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        "inferenceProfileArn": "arn:aws:bedrock:us-east-1:1:inference-profile/us.anthropic.claude-sonnet-4-5",
        "inferenceProfileName": "US Claude Sonnet 4.5",
        "type": "SYSTEM_DEFINED",
        "status": "ACTIVE",
        "models": [
            {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-sonnet-4-5-v1:0"}
        ],
    },
    {
        "inferenceProfileId": "abc",
        "inferenceProfileArn": "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc",
        "inferenceProfileName": "support",
        "type": "APPLICATION",
        "status": "ACTIVE",
        "models": [
            {"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/anthropic.claude-haiku-4-5-v1:0"}
        ],
    },
    {
        "inferenceProfileId": "us.meta.llama4",
        "inferenceProfileArn": "arn:aws:bedrock:us-east-1:1:inference-profile/us.meta.llama4",
        "inferenceProfileName": "Llama",
        "type": "SYSTEM_DEFINED",
        "status": "ACTIVE",
        "models": [{"modelArn": "arn:aws:bedrock:us-east-1::foundation-model/meta.llama4"}],
    },
)


class FakeBedrock(FakeAnthropic):
    """A server that speaks AWS's protocol."""

    profiles: tuple[dict[str, Any], ...] = PROFILES
    #: AWS's word for why it does not list.
    listing_error: str | None = None

    def route(self, request: Received) -> Answer:
        if request.path == "/inference-profiles":
            if self.listing_error is not None:
                headers = {"x-amzn-errortype": self.listing_error}
                return json_answer({"message": "The fake lists nothing."}, status=403, headers=headers)
            return json_answer({"inferenceProfileSummaries": self.profiles})
        _, _, model, action = request.path.split("/")
        assert action == "invoke-with-response-stream", action
        return self._messages({**request.body, "model": unquote(model)})

    def _error(self, status: int, error: Any, headers: dict[str, str] | None = None) -> Answer:
        kind = _TYPES.get(status, "InternalServerException")
        heads = {"x-amzn-errortype": kind, "x-amzn-requestid": "req_fake_bedrock", **(headers or {})}
        return json_answer(
            error if isinstance(error, dict) else {"message": error}, status=status, headers=heads
        )

    def _heads(self) -> dict[str, str]:
        return {"content-type": _STREAM, "x-amzn-requestid": "req_fake_bedrock"}

    def _frames(self, reply: Any, body: dict[str, Any]) -> list[bytes]:
        frames = [aws_event(event) for event in events(reply, body)]
        if reply.breaks_with:
            frames.append(aws_frame({"message": reply.breaks_with}, exception="throttlingException"))
        return frames


def aws_event(event: dict[str, Any]) -> bytes:
    return aws_frame({"bytes": base64.b64encode(json.dumps(event).encode()).decode()})


def aws_frame(data: Any, *, exception: str | None = None) -> bytes:
    """One message of AWS's event stream."""
    names = {":content-type": "application/json", ":message-type": "exception" if exception else "event"}
    names |= {":exception-type": exception} if exception else {":event-type": "chunk"}
    headers = b"".join(
        struct.pack("!B", len(name)) + name.encode() + struct.pack("!BH", 7, len(value)) + value.encode()
        for name, value in names.items()
    )
    payload = json.dumps(data).encode()
    prelude = struct.pack("!II", 16 + len(headers) + len(payload), len(headers))
    message = prelude + struct.pack("!I", crc32(prelude)) + headers + payload
    return message + struct.pack("!I", crc32(message))
