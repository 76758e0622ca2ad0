"""A request in the shape of OpenAI's Responses API."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    Part,
    SummarizedReasoningPart,
    TextPart,
    ToolSpec,
)
from letta_ade.llm.profiles import ModelProfile
from letta_ade.llm.providers.call_ids import short_call_id
from letta_ade.llm.providers.openai_request import image_url, named_format, nearest_effort
from letta_ade.llm.strict_schemas import strict_schema

_ENCRYPTED_REASONING = "reasoning.encrypted_content"
_LOGPROBS = "message.output_text.logprobs"


def build_responses_payload(request: ChatRequest, *, model: str, known: ModelProfile) -> dict[str, Any]:
    """The JSON body of the call. Nothing is stored at OpenAI: the reasoning travels with the conversation, encrypted."""
    head = next(
        (at for at, message in enumerate(request.messages) if message.role != "system"), len(request.messages)
    )
    payload: dict[str, Any] = {"model": model, "stream": True, "store": False}
    if instructions := "\n\n".join(message.text for message in request.messages[:head] if message.text):
        payload["instructions"] = instructions
    payload["input"] = [item for message in request.messages[head:] for item in _items(message)]
    if request.tools:
        payload["tools"] = [_tool(tool, is_strict=request.strict) for tool in request.tools]
        payload["tool_choice"] = _tool_choice(request.tool_choice)
        if known.parallel:
            payload["parallel_tool_calls"] = request.parallel_tool_calls
    if request.max_output_tokens is not None:
        payload["max_output_tokens"] = request.max_output_tokens
    payload |= _reasoning(request, known) if known.efforts else _sampling(request)
    if text := _text(request, known):
        payload["text"] = text
    if request.user:
        payload["safety_identifier"] = request.user
    return payload


def has_reasoning(payload: Mapping[str, Any]) -> bool:
    """Whether the payload gives reasoning of earlier replies back."""
    return any(item.get("type") == "reasoning" for item in payload["input"])


def without_reasoning(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload without the reasoning of earlier replies."""
    return {**payload, "input": [item for item in payload["input"] if item.get("type") != "reasoning"]}


def without_summary(payload: Mapping[str, Any]) -> dict[str, Any]:
    """The payload that asks for no summary of the reasoning."""
    if "reasoning" not in payload:
        return dict(payload)
    asked = {key: value for key, value in payload["reasoning"].items() if key != "summary"}
    rest = {key: value for key, value in payload.items() if key != "reasoning"}
    return {**rest, "reasoning": asked} if asked else rest


def _reasoning(request: ChatRequest, known: ModelProfile) -> dict[str, Any]:
    reasoning: dict[str, Any] = {"summary": "auto"}
    if (effort := nearest_effort(request.reasoning_effort, known.efforts)) is not None:
        reasoning["effort"] = effort
    elif request.reasoning_effort == "none" and "none" in known.efforts:
        reasoning["effort"] = "none"
    return {"reasoning": reasoning, "include": [_ENCRYPTED_REASONING]}


def _sampling(request: ChatRequest) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.return_logprobs:
        fields["include"] = [_LOGPROBS]
        if request.top_logprobs is not None:
            fields["top_logprobs"] = request.top_logprobs
    return fields


def _text(request: ChatRequest, known: ModelProfile) -> dict[str, Any]:
    text: dict[str, Any] = {}
    if request.response_format is not None:
        asked = named_format(request.response_format)
        # What chat completions nest below `json_schema` stands beside the type here.
        text["format"] = {"type": asked.get("type", "text"), **(asked.get("json_schema") or {})}
    if request.verbosity and known.verbosity:
        text["verbosity"] = request.verbosity
    return text


def _items(message: ChatMessage) -> Iterator[dict[str, Any]]:
    match message.role:
        case "system":
            yield {"role": "developer", "content": message.text}
        case "user" | "summary":
            yield {"role": "user", "content": [_content(part) for part in message.parts if _is_shown(part)]}
        case "assistant" | "approval":
            yield from _assistant_items(message)
        case "tool":
            for tool_return in message.tool_returns:
                yield {
                    "type": "function_call_output",
                    "call_id": short_call_id(tool_return.tool_call_id),
                    "output": tool_return.text,
                }


def _assistant_items(message: ChatMessage) -> Iterator[dict[str, Any]]:
    # Reasoning goes before what came of it, and is refused where nothing did.
    if message.text or message.tool_calls:
        for part in message.parts:
            if isinstance(part, SummarizedReasoningPart) and part.encrypted_content:
                yield {
                    "type": "reasoning",
                    "id": part.id,
                    "summary": [{"type": "summary_text", "text": each["text"]} for each in part.summary],
                    "encrypted_content": part.encrypted_content,
                }
    if message.text:
        yield {"role": "assistant", "content": message.text}
    for call in message.tool_calls:
        yield {
            "type": "function_call",
            "call_id": short_call_id(call.id),
            "name": call.name,
            "arguments": call.arguments or "{}",
        }


def _is_shown(part: Part) -> bool:
    return isinstance(part, TextPart | ImagePart)


def _content(part: Part) -> dict[str, Any]:
    if isinstance(part, ImagePart):
        return {
            "type": "input_image",
            "image_url": image_url(part),
            "detail": part.source.get("detail") or "auto",
        }
    assert isinstance(part, TextPart), "_is_shown lets nothing else through"
    return {"type": "input_text", "text": part.text}


def _tool(tool: ToolSpec, *, is_strict: bool) -> dict[str, Any]:
    strict = strict_schema(tool.parameters) if is_strict and tool.may_be_strict else None
    return {
        "type": "function",
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters if strict is None else strict,
        # Left out it would mean yes here.
        "strict": strict is not None,
    }


def _tool_choice(choice: ToolChoice) -> str | dict[str, Any]:
    return {"type": "function", "name": choice.name} if choice.mode == "one" else choice.mode


def used_call_ids(items: Sequence[Mapping[str, Any]]) -> set[str]:
    """The ids of the calls in an `input`."""
    return {item["call_id"] for item in items if item.get("type") == "function_call"}
