"""A request in the shape of Anthropic's messages API."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    OmittedReasoningPart,
    Part,
    ReasoningPart,
    RedactedReasoningPart,
    TextPart,
    ToolCall,
)
from letta_ade.llm.profiles import ModelProfile
from letta_ade.llm.provider_profiles import ProviderProfile
from letta_ade.llm.providers.json_answers import json_instruction, json_schema_of, wants_json
from letta_ade.llm.providers.openai_request import nearest_effort
from letta_ade.llm.strict_schemas import closed_schema, optional_count

_DEFAULT_MAX_TOKENS = 4096
_LEAST_BUDGET = 1024
_CACHED = {"type": "ephemeral"}
_FOREIGN_ID_CHARACTERS = re.compile(r"[^A-Za-z0-9_-]")
#: A conversation must begin with the user; compaction can leave an assistant at its head.
_OPENING = "(Earlier messages are not shown.)"
#: In one request: tools with the strict mark, and properties of theirs that may be left out or have several types.
_MOST_STRICT_TOOLS, _MOST_OPTIONAL = 20, 16
#: Budgets up to these mean a low and a medium effort to models that take no budget.
_LOW_BUDGET, _MEDIUM_BUDGET = 2048, 8192


def build_payload(
    request: ChatRequest, *, model: str, profile: ProviderProfile, known: ModelProfile
) -> dict[str, Any]:
    """The JSON body of the call."""
    max_tokens = request.max_output_tokens or _DEFAULT_MAX_TOKENS
    thinking = _thinking(request, known)
    payload: dict[str, Any] = {"model": model, "max_tokens": max_tokens, "stream": True}
    if system := _system(request, known):
        payload["system"] = system
    payload["messages"] = _messages(
        request.messages, replays_thinking=thinking is not None or profile.replays_reasoning
    )
    if request.tools:
        payload["tools"] = _tools(request, known)
        payload["tool_choice"] = _tool_choice(request, is_thinking=thinking is not None)
    if thinking is not None:
        payload["thinking"] = thinking
        if budget := thinking.get("budget_tokens"):
            # The limit includes the thinking; without this nothing might be left for the answer.
            payload["max_tokens"] = max_tokens if max_tokens > budget else budget + max_tokens
    elif request.temperature not in (None, 1.0) and not known.only_default_temperature:
        payload["temperature"] = request.temperature
    if output := _output(request, known, is_thinking=thinking is not None):
        payload["output_config"] = output
    if request.user:
        payload["metadata"] = {"user_id": request.user}
    _mark_cached(payload)
    return payload


def _thinking(request: ChatRequest, known: ModelProfile) -> dict[str, Any] | None:
    if not request.thinking_tokens or known.thinking == "none":
        return None
    if request.tools and request.tool_choice.is_forced and request.tool_choice.forces_by_rule:
        # While it thinks, a model may be asked for a tool and not forced to one (400).
        return None
    if known.thinking == "adaptive":
        return {"type": "adaptive", "display": "summarized"}
    if _continues_without_thinking(request.messages):
        return None
    return {"type": "enabled", "budget_tokens": max(_LEAST_BUDGET, request.thinking_tokens)}


def _continues_without_thinking(messages: Sequence[ChatMessage]) -> bool:
    """A turn that called tools without thinking may not begin to think before it ends (400)."""
    if not messages or messages[-1].role != "tool":
        return False
    said = next((message for message in reversed(messages) if message.tool_calls), None)
    return said is not None and not any(_replayed_thinking(part) for part in said.parts)


def _output(request: ChatRequest, known: ModelProfile, *, is_thinking: bool) -> dict[str, Any]:
    output: dict[str, Any] = {}
    asked = request.effort
    if asked is None and is_thinking and known.thinking == "adaptive":
        asked = _thinking_effort(request)
    if (effort := nearest_effort(asked, known.efforts)) is not None:
        output["effort"] = effort
    if (schema := _answer_schema(request, known)) is not None:
        output["format"] = {"type": "json_schema", "schema": schema}
    return output


def _answer_schema(request: ChatRequest, known: ModelProfile) -> dict[str, Any] | None:
    """The schema of the answer as newer models take it; None for the others, and for one that cannot be closed."""
    schema = json_schema_of(request.response_format) if known.json_schema else None
    return None if schema is None else closed_schema(schema)


def _thinking_effort(request: ChatRequest) -> str:
    asked = request.reasoning_effort
    if asked and asked != "none":
        return "low" if asked == "minimal" else asked
    budget = request.thinking_tokens or 0
    return "low" if budget <= _LOW_BUDGET else "medium" if budget <= _MEDIUM_BUDGET else "high"


def _tools(request: ChatRequest, known: ModelProfile) -> list[dict[str, Any]]:
    tools: list[dict[str, Any]] = []
    strict, optional = 0, 0
    for tool in request.tools:
        data: dict[str, Any] = {
            "name": tool.name,
            "description": tool.description,
            "input_schema": tool.parameters,
        }
        schema = closed_schema(tool.parameters) if request.strict and known.json_schema else None
        if schema is not None and tool.may_be_strict:
            loose = optional_count(schema)
            # More are refused, and a request that is only partly strict is better than none.
            if strict < _MOST_STRICT_TOOLS and optional + loose <= _MOST_OPTIONAL:
                data |= {"input_schema": schema, "strict": True}
                strict, optional = strict + 1, optional + loose
        tools.append(data)
    return tools


def _tool_choice(request: ChatRequest, *, is_thinking: bool) -> dict[str, Any]:
    choice = request.tool_choice
    if choice.mode == "none":
        return {"type": "none"}
    if is_thinking or choice.mode == "auto":
        data: dict[str, Any] = {"type": "auto"}
    elif choice.mode == "one":
        data = {"type": "tool", "name": choice.name}
    else:
        data = {"type": "any"}
    return {**data, "disable_parallel_tool_use": not request.parallel_tool_calls}


def _system(request: ChatRequest, known: ModelProfile) -> list[dict[str, Any]]:
    head = request.messages[: _head_length(request.messages)]
    texts = [message.text for message in head if message.text.strip()]
    # There is a field for a schema, at newer models, and none for just any JSON.
    if wants_json(request.response_format) and _answer_schema(request, known) is None:
        texts.append(json_instruction(request.response_format))
    return [{"type": "text", "text": text} for text in texts]


def _head_length(messages: Sequence[ChatMessage]) -> int:
    return next((at for at, message in enumerate(messages) if message.role != "system"), len(messages))


def _messages(messages: Sequence[ChatMessage], *, replays_thinking: bool) -> list[dict[str, Any]]:
    """The conversation after the system text, alternating between user and assistant."""
    merged: list[dict[str, Any]] = []
    for message in messages[_head_length(messages) :]:
        role = "assistant" if message.role in ("assistant", "approval") else "user"
        blocks = list(_blocks(message, replays_thinking=replays_thinking))
        if not blocks:
            continue
        if merged and merged[-1]["role"] == role:
            merged[-1]["content"] += blocks
        else:
            merged.append({"role": role, "content": blocks})
    if not merged or merged[0]["role"] != "user":
        merged.insert(0, {"role": "user", "content": [{"type": "text", "text": _OPENING}]})
    return merged


def _blocks(message: ChatMessage, *, replays_thinking: bool) -> Iterator[dict[str, Any]]:
    for part in message.parts:
        if isinstance(part, ReasoningPart | RedactedReasoningPart | OmittedReasoningPart):
            if replays_thinking and (block := _replayed_thinking(part)) is not None:
                yield block
        elif isinstance(part, TextPart):
            # A text of nothing but blanks is refused.
            if part.text.strip():
                yield {"type": "text", "text": part.text}
        elif isinstance(part, ImagePart):
            yield _image(part)
    for call in message.tool_calls:
        yield {"type": "tool_use", "id": _id(call.id), "name": call.name, "input": _input(call)}
    for tool_return in message.tool_returns:
        result = {
            "type": "tool_result",
            "tool_use_id": _id(tool_return.tool_call_id),
            "content": tool_return.text,
        }
        yield {**result, "is_error": True} if tool_return.is_error else result


def _replayed_thinking(part: Part) -> dict[str, Any] | None:
    """The block as it was received; thinking of another provider has no signature and stays out."""
    match part:
        case ReasoningPart(signature=str(signature)):
            return {"type": "thinking", "thinking": part.reasoning, "signature": signature}
        case OmittedReasoningPart(signature=str(signature)):
            return {"type": "thinking", "thinking": "", "signature": signature}
        case RedactedReasoningPart():
            return {"type": "redacted_thinking", "data": part.data}
        case _:
            return None


def _image(part: ImagePart) -> dict[str, Any]:
    source = part.source
    if url := source.get("url"):
        return {"type": "image", "source": {"type": "url", "url": url}}
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": source["media_type"], "data": source["data"]},
    }


def _id(call_id: str) -> str:
    return _FOREIGN_ID_CHARACTERS.sub("_", call_id)


def _input(call: ToolCall) -> dict[str, Any]:
    """The arguments as an object; what a model wrote badly was answered with an error, and counts as none."""
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def _mark_cached(payload: dict[str, Any]) -> None:
    """End the prefixes that the next request will repeat: tools, system text, the conversation so far."""
    for blocks in (payload.get("tools"), payload.get("system"), payload["messages"][-1]["content"]):
        # Thinking cannot be marked.
        if blocks and "thinking" not in blocks[-1].get("type", ""):
            blocks[-1]["cache_control"] = dict(_CACHED)
