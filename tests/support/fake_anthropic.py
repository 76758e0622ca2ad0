"""Anthropic's wire format on loopback: messages and the list of models.

`python -m tests.support.fake_anthropic --port 9002` serves it as a process of its own.
"""

from __future__ import annotations

import json
from typing import Any

from tests.support.fake_provider import (
    STREAM,
    Answer,
    FakeProvider,
    FakeReply,
    Received,
    json_answer,
    serve_forever,
    words_of,
)

MODELS = ("claude-haiku-4-5-20251001", "claude-sonnet-4-5", "claude-sonnet-5-5")
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


class FakeAnthropic(FakeProvider):
    """A server that speaks Anthropic's protocol."""

    def __init__(self, *, models: tuple[Any, ...] = MODELS, **options: Any) -> None:
        super().__init__(**options)
        self.models = models
        self.listing_status = 200

    def route(self, request: Received) -> Answer:
        match request.path:
            case "/v1/models":
                if self.listing_status != 200:
                    return _error(self.listing_status, "The fake lists nothing.")
                rows = [
                    row if isinstance(row, dict) else {"type": "model", "id": row, "display_name": row}
                    for row in self.models
                ]
                return json_answer({"data": rows, "has_more": False})
            case "/v1/messages":
                return self._messages(request.body)
            case path:
                return _error(404, f"The fake has no {path}.")

    def _messages(self, body: dict[str, Any]) -> Answer:
        last = body["messages"][-1]["content"]
        blocks = [{"type": "text", "text": last}] if isinstance(last, str) else last
        returned = [_text(block["content"]) for block in blocks if block["type"] == "tool_result"]
        said = "".join(block["text"] for block in blocks if block["type"] == "text")
        reply = self.next_reply(said, returned[-1] if returned else None)
        if reply.status >= 400:
            return self._error(reply.status, reply.error, reply.headers)
        kind = {} if reply.content_type == STREAM else {"content-type": reply.content_type}
        headers = {**self._heads(), **kind, **reply.headers}
        frames = reply.frames if reply.frames is not None else self._frames(reply, body)
        return Answer(headers=headers, frames=frames, reply=reply)

    # What another framing does in its own way.

    def _heads(self) -> dict[str, str]:
        return {"content-type": STREAM, "request-id": "req_fake_anthropic"}

    def _frames(self, reply: FakeReply, body: dict[str, Any]) -> list[bytes]:
        frames = [frame(event) for event in events(reply, body)]
        if reply.breaks_with:
            error = {"type": "overloaded_error", "message": reply.breaks_with}
            frames.append(frame({"type": "error", "error": error}))
        return frames

    def _error(self, status: int, error: Any, headers: dict[str, str] | None = None) -> Answer:
        return _error(status, error, headers)


def events(reply: FakeReply, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a streamed reply."""
    usage = {
        "input_tokens": len(json.dumps(body["messages"])) // 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": 1,
        **(reply.usage or {}),
    }
    head = {"id": "msg_fake", "type": "message", "role": "assistant", "model": body["model"], "content": []}
    made: list[dict[str, Any]] = [
        {"type": "message_start", "message": {**head, "stop_reason": None, "usage": usage}}
    ]
    made.append({"type": "ping"})
    for index, (start, deltas) in enumerate(_blocks(reply, len(body["messages"]))):
        made.append({"type": "content_block_start", "index": index, "content_block": start})
        made += [{"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas]
        made.append({"type": "content_block_stop", "index": index})
    if reply.is_unfinished or reply.breaks_with:
        return made
    written = len(words_of(reply.text + reply.reasoning)) + 8 * len(reply.calls)
    reason = reply.finish_reason or ("tool_use" if reply.calls else "end_turn")
    counted = {"output_tokens": (reply.usage or {}).get("output_tokens", written)}
    made.append(
        {"type": "message_delta", "delta": {"stop_reason": reason, "stop_sequence": None}, "usage": counted}
    )
    made.append({"type": "message_stop"})
    return made


def frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def _blocks(reply: FakeReply, turn: int) -> list[tuple[dict[str, Any], list[dict[str, Any]]]]:
    made: list[tuple[dict[str, Any], list[dict[str, Any]]]] = []
    if reply.reasoning or reply.signature:
        deltas = [{"type": "thinking_delta", "thinking": word} for word in words_of(reply.reasoning)]
        deltas.append({"type": "signature_delta", "signature": reply.signature or "fake-signature"})
        made.append(({"type": "thinking", "thinking": "", "signature": ""}, deltas))
    if reply.redacted:
        made.append(({"type": "redacted_thinking", "data": reply.redacted}, []))
    if reply.text:
        made.append(
            (
                {"type": "text", "text": ""},
                [{"type": "text_delta", "text": word} for word in words_of(reply.text)],
            )
        )
    for number, call in enumerate(reply.calls):
        start = {
            "type": "tool_use",
            "id": call.id or f"toolu_fake_{turn}_{number}",
            "name": call.name,
            "input": {},
        }
        made.append(
            (start, [{"type": "input_json_delta", "partial_json": word} for word in words_of(call.arguments)])
        )
    return made


def _text(content: Any) -> str:
    return content if isinstance(content, str) else "".join(block.get("text", "") for block in content or ())


def _error(status: int, error: Any, headers: dict[str, str] | None = None) -> Answer:
    body = error
    if not isinstance(error, dict):
        kind = _ERROR_TYPES.get(status, "api_error")
        body = {
            "type": "error",
            "error": {"type": kind, "message": error or ""},
            "request_id": "req_fake_anthropic",
        }
    return json_answer(body, status=status, headers={"request-id": "req_fake_anthropic", **(headers or {})})


if __name__ == "__main__":
    serve_forever(FakeAnthropic)
