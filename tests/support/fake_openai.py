"""OpenAI's wire formats on loopback: chat completions, responses, embeddings, the list of models.

`python -m tests.support.fake_openai --port 9001 --words 100 --word-ms 20` serves it as a process of its own.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterator
from typing import Any

from tests.support.fake_provider import (
    Answer,
    FakeProvider,
    FakeReply,
    Received,
    json_answer,
    serve_forever,
    words_of,
)

MODELS = ("gpt-4o-mini", "gpt-4o", "gpt-4.1-mini", "o4-mini")
DIMENSIONS = {"text-embedding-3-large": 3072}
_ERROR_TYPES = {401: "invalid_api_key", 402: "billing", 429: "rate_limit_exceeded"}


class FakeOpenAI(FakeProvider):
    """A server that speaks OpenAI's protocol."""

    def __init__(self, *, models: tuple[Any, ...] = MODELS, **options: Any) -> None:
        super().__init__(**options)
        #: Names, or whole rows of the listing.
        self.models = models
        self.listing_status = 200
        self.listing_text = "The fake lists nothing."

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def route(self, request: Received) -> Answer:
        match request.path.removeprefix("/v1"):
            case "/models":
                if self.listing_status != 200:
                    return _error(self.listing_status, self.listing_text)
                rows = [
                    row if isinstance(row, dict) else {"id": row, "object": "model"} for row in self.models
                ]
                return json_answer({"object": "list", "data": rows})
            case "/chat/completions":
                return self._chat(request.body)
            case "/responses":
                return self._responses(request.body)
            case "/embeddings":
                return _embeddings(request.body)
            case path:
                return _error(404, f"The fake has no {path}.")

    def _responses(self, body: dict[str, Any]) -> Answer:
        items = body["input"]
        said = [item for item in items if item.get("role") == "user"]
        last = items[-1] if items else {}
        text = _text(said[-1]["content"]) if said else ""
        reply = self.next_reply(text, last.get("output"))
        if reply.status >= 400:
            return _error(reply.status, reply.error, reply.headers)
        headers = {"content-type": reply.content_type, "x-request-id": "req_fake_openai", **reply.headers}
        if reply.frames is not None:
            return Answer(headers=headers, frames=reply.frames, reply=reply)
        events = response_events(reply, body)
        if reply.breaks_with:
            events.append({"type": "error", "code": "server_error", "message": reply.breaks_with})
        if not body.get("stream"):
            return json_answer(events[-1]["response"], headers=headers | {"content-type": "application/json"})
        return Answer(headers=headers, frames=[named_frame(event) for event in events], reply=reply)

    def _chat(self, body: dict[str, Any]) -> Answer:
        last = body["messages"][-1]
        said = [message for message in body["messages"] if message["role"] == "user"]
        text = _text(said[-1]["content"]) if said else ""
        reply = self.next_reply(text, last["content"] if last["role"] == "tool" else None)
        if reply.status >= 400:
            return _error(reply.status, reply.error, reply.headers)
        headers = {"content-type": reply.content_type, "x-request-id": "req_fake_openai", **reply.headers}
        if reply.frames is not None:
            return Answer(headers=headers, frames=reply.frames, reply=reply)
        if not body.get("stream"):
            return json_answer(
                completion(reply, body), headers=headers | {"content-type": "application/json"}
            )
        frames = [frame(chunk) for chunk in chunks(reply, body)]
        if reply.breaks_with:
            frames.append(frame({"error": {"message": reply.breaks_with, "type": "server_error"}}))
        elif not reply.is_unfinished:
            frames.append(b"data: [DONE]\n\n")
        return Answer(headers=headers, frames=frames, reply=reply)


def chunks(reply: FakeReply, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The chunks of a streamed reply, as OpenAI cuts them."""
    head = {"id": "chatcmpl-fake", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}

    def chunk(delta: dict[str, Any], finish_reason: str | None = None) -> dict[str, Any]:
        return {**head, "choices": [{"index": 0, "delta": delta, "finish_reason": finish_reason}]}

    made = [chunk({"role": "assistant", "content": ""})]
    made += [chunk({"reasoning_content": word}) for word in words_of(reply.reasoning)]
    made += [chunk({"content": word}) for word in words_of(reply.text)]
    for index, call in enumerate(reply.calls):
        call_id = call.id or f"call_fake_{len(body['messages'])}_{index}"
        function = {"name": call.name, "arguments": ""}
        made.append(
            chunk({"tool_calls": [{"index": index, "id": call_id, "type": "function", "function": function}]})
        )
        for word in words_of(call.arguments):
            made.append(chunk({"tool_calls": [{"index": index, "function": {"arguments": word}}]}))
    if not (reply.is_unfinished or reply.breaks_with):
        made.append(chunk({}, reply.finish_reason or ("tool_calls" if reply.calls else "stop")))
    if reply.usage is not None and (body.get("stream_options") or {}).get("include_usage"):
        made.append({**head, "choices": [], "usage": {**_usage(reply, body), **reply.usage}})
    return made


def completion(reply: FakeReply, body: dict[str, Any]) -> dict[str, Any]:
    """The same reply in one piece."""
    calls = [
        {
            "id": call.id or f"call_fake_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for index, call in enumerate(reply.calls)
    ]
    message = {"role": "assistant", "content": reply.text or None, "tool_calls": calls or None}
    reason = reply.finish_reason or ("tool_calls" if calls else "stop")
    return {
        "id": "chatcmpl-fake",
        "object": "chat.completion",
        "model": body["model"],
        "choices": [{"index": 0, "message": message, "finish_reason": reason}],
        "usage": {**_usage(reply, body), **(reply.usage or {})},
    }


def response_events(reply: FakeReply, body: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of a streamed response; the reasoning is its summary, the signature the encrypted rest."""
    head = {"id": "resp_fake", "object": "response", "created_at": 1, "model": body["model"], "error": None}
    echo = {"instructions": body.get("instructions"), "tools": body.get("tools", [])}
    made: list[dict[str, Any]] = [
        {"type": "response.created", "response": {**head, **echo, "status": "in_progress", "output": []}}
    ]
    output = list(_output_items(reply, len(body["input"])))
    for index, (item, deltas) in enumerate(output):
        growing = {
            key: value
            for key, value in item.items()
            if key not in ("content", "summary", "encrypted_content")
        }
        if item["type"] == "function_call":
            growing["arguments"] = ""
        made.append({"type": "response.output_item.added", "output_index": index, "item": growing})
        made += [{"output_index": index, "item_id": item["id"], **delta} for delta in deltas]
        made.append({"type": "response.output_item.done", "output_index": index, "item": item})
    if reply.is_unfinished or reply.breaks_with:
        return made
    cut = reply.finish_reason
    end: dict[str, Any] = {**head, **echo, "status": "incomplete" if cut else "completed"}
    end["output"] = [item for item, _ in output]
    end["incomplete_details"] = {"reason": cut} if cut else None
    end["usage"] = None if reply.usage is None else {**_response_usage(reply, body), **reply.usage}
    made.append({"type": "response.incomplete" if cut else "response.completed", "response": end})
    return made


def _output_items(reply: FakeReply, turn: int) -> Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]:
    if reply.reasoning or reply.signature:
        parts = reply.reasoning.split("\n\n") if reply.reasoning else []
        deltas = [
            {"type": "response.reasoning_summary_text.delta", "summary_index": at, "delta": word}
            for at, part in enumerate(parts)
            for word in words_of(part)
        ]
        summary = [{"type": "summary_text", "text": part} for part in parts]
        yield (
            {
                "type": "reasoning",
                "id": f"rs_{turn}",
                "summary": summary,
                "encrypted_content": reply.signature or "encrypted",
            },
            deltas,
        )
    for kind, text in (("output_text", reply.text), ("refusal", reply.redacted)):
        if text:
            deltas = [
                {"type": f"response.{kind}.delta", "content_index": 0, "delta": word}
                for word in words_of(text)
            ]
            content = [{"type": kind, "text" if kind == "output_text" else "refusal": text}]
            yield {"type": "message", "id": "msg_1", "role": "assistant", "content": content}, deltas
    for number, call in enumerate(reply.calls):
        deltas = [
            {"type": "response.function_call_arguments.delta", "delta": word}
            for word in words_of(call.arguments)
        ]
        yield (
            {
                "type": "function_call",
                "id": f"fc_{number}",
                "call_id": call.id or f"call_fake_{turn}_{number}",
                "name": call.name,
                "arguments": call.arguments,
            },
            deltas,
        )


def _response_usage(reply: FakeReply, body: dict[str, Any]) -> dict[str, Any]:
    read = len(json.dumps(body["input"])) // 4
    written = len(words_of(reply.text + reply.reasoning)) + 8 * len(reply.calls)
    return {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}


def named_frame(event: dict[str, Any]) -> bytes:
    return f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()


def frame(data: Any) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()


def _usage(reply: FakeReply, body: dict[str, Any]) -> dict[str, int]:
    read = len(json.dumps(body["messages"])) // 4
    written = len(words_of(reply.text + reply.reasoning)) + 8 * len(reply.calls)
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


def _text(content: Any) -> str:
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content or ())


def _error(status: int, error: Any, headers: dict[str, str] | None = None) -> Answer:
    body = error
    if not isinstance(error, dict):
        kind = _ERROR_TYPES.get(status, "server_error" if status >= 500 else "invalid_request_error")
        body = {"error": {"message": error or "", "type": kind, "param": None, "code": None}}
    return json_answer(body, status=status, headers={"x-request-id": "req_fake_openai", **(headers or {})})


def _embeddings(body: dict[str, Any]) -> Answer:
    texts = body["input"] if isinstance(body["input"], list) else [body["input"]]
    size = body.get("dimensions") or DIMENSIONS.get(body["model"], 1536)
    rows = [
        {"object": "embedding", "index": index, "embedding": vector(text, size)}
        for index, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": len(texts), "total_tokens": len(texts)}
    # In any order: the index says which text a vector belongs to.
    return json_answer({"object": "list", "data": rows[::-1], "model": body["model"], "usage": usage})


def vector(text: str, size: int) -> list[float]:
    """Texts that share words have vectors that are near; length 1."""
    numbers = [0.0] * size
    for word in re.findall(r"\w+", text.lower()) or [" "]:
        numbers[int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest()) % size] += 1.0
    length = math.sqrt(sum(number * number for number in numbers))
    return [number / length for number in numbers]


if __name__ == "__main__":
    serve_forever(FakeOpenAI)
