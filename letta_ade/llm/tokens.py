"""Estimates of how many tokens something takes, before a provider has counted.

The provider's own count is the truth; these are for deciding before a call and are labelled as estimates where shown.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    OmittedReasoningPart,
    Part,
    ReasoningPart,
    RedactedReasoningPart,
    SummarizedReasoningPart,
    TextPart,
    ToolSpec,
)

#: bytes/4 is 46 % too low on JSON, whose punctuation takes tokens of its own.
_TEXT_BYTES_PER_TOKEN = 4
_JSON_BYTES_PER_TOKEN = 2
_MESSAGE_OVERHEAD = 4
#: A middling figure: providers count between 85 and 1,600 for one image.
_IMAGE_TOKENS = 1000


def estimate_text(text: str, *, factor: float = 1.0) -> int:
    """Tokens of a text; as JSON when it looks like JSON. `factor` is what a model was found to need beside this."""
    is_json = text[:1] in ("{", "[") and text[-1:] in ("}", "]")
    return _tokens(text, _JSON_BYTES_PER_TOKEN if is_json else _TEXT_BYTES_PER_TOKEN, factor)


def estimate_json(value: Any, *, factor: float = 1.0) -> int:
    """Tokens of a value sent as JSON."""
    return _tokens(
        json.dumps(value, ensure_ascii=False, separators=(",", ":")), _JSON_BYTES_PER_TOKEN, factor
    )


def estimate_messages(messages: Iterable[ChatMessage], *, factor: float = 1.0) -> int:
    """Tokens of a conversation, each message with its small overhead."""
    return math.ceil(sum(_message_tokens(message) for message in messages) * factor)


def estimate_tools(tools: Sequence[ToolSpec], *, factor: float = 1.0) -> int:
    """Tokens of the tool schemas of a request."""
    return sum(
        estimate_json(
            {"name": tool.name, "description": tool.description, "parameters": tool.parameters}, factor=factor
        )
        for tool in tools
    )


def estimate_payload(payload: Mapping[str, Any]) -> int:
    """Tokens of a request as it is sent: its messages are mostly text, its tools are JSON."""
    texts = {key: payload[key] for key in ("system", "messages", "instructions", "input") if key in payload}
    return estimate_json(texts) * _JSON_BYTES_PER_TOKEN // _TEXT_BYTES_PER_TOKEN + estimate_json(
        payload.get("tools") or []
    )


def learn_factor(previous: float, *, estimated: int, counted: int) -> float:
    """The factor after a provider counted what was estimated with factor 1; moves slowly, and stays in 0.25–4."""
    if estimated <= 0 or counted <= 0:
        return previous
    return min(4.0, max(0.25, previous * 0.8 + counted / estimated * 0.2))


def _tokens(text: str, bytes_per_token: int, factor: float) -> int:
    return math.ceil(len(text.encode("utf-8", "surrogatepass")) / bytes_per_token * factor)


def _message_tokens(message: ChatMessage) -> int:
    calls = sum(estimate_text(call.name) + estimate_text(call.arguments) for call in message.tool_calls)
    returns = sum(estimate_text(tool_return.text) for tool_return in message.tool_returns)
    return _MESSAGE_OVERHEAD + sum(_part_tokens(part) for part in message.parts) + calls + returns


def _part_tokens(part: Part) -> int:
    match part:
        case TextPart():
            return estimate_text(part.text)
        case ReasoningPart():
            return estimate_text(part.reasoning)
        case ImagePart():
            return _IMAGE_TOKENS
        case RedactedReasoningPart():
            return estimate_text(part.data)
        case SummarizedReasoningPart():
            return estimate_text(part.encrypted_content or part.text)
        case OmittedReasoningPart():
            return 0
