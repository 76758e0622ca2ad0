"""A request in the shape of OpenAI's chat completions, which many servers speak."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.environment import ProviderConfig
from letta_ade.llm.messages import ChatMessage, ImagePart, ReasoningPart, TextPart, ToolSpec
from letta_ade.llm.profiles import ModelProfile, model_profile

#: OpenAI refuses longer call ids, and other providers make longer ones; cut alike on the call and on its return.
CALL_ID_CHARACTERS = 29
#: OpenAI refuses other names of speakers.
_SPEAKER = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_EFFORT_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def build_payload(request: ChatRequest, *, model: str, config: ProviderConfig) -> dict[str, Any]:
    """The JSON body of the call."""
    known = model_profile(model)
    payload: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request.messages, config)),
        "stream": True,
    }
    if config.profile.sends_usage_option:
        payload["stream_options"] = {"include_usage": True}
    if request.tools:
        payload["tools"] = [_tool(tool) for tool in request.tools]
        payload["tool_choice"] = _tool_choice(request.tool_choice, config)
        if known.parallel:
            payload["parallel_tool_calls"] = request.parallel_tool_calls
    if request.max_output_tokens is not None:
        payload[_output_field(config, known)] = request.max_output_tokens
    if known.only_default_temperature:
        payload["temperature"] = 1.0
    elif request.temperature is not None:
        payload["temperature"] = request.temperature
    effort = _effort(request, known)
    if effort is not None:
        payload["reasoning_effort"] = effort
    if request.response_format is not None:
        payload["response_format"] = _response_format(request.response_format)
    if request.user and config.profile.sends_user:
        payload["user"] = request.user
    return payload


def hides_reasoning(payload: Mapping[str, Any], config: ProviderConfig) -> bool:
    """Whether the model will reason where chat completions do not show it."""
    efforts = model_profile(payload["model"]).efforts
    # A model that knows "none" begins there; the others always reason.
    effort = payload.get("reasoning_effort", "none" if "none" in efforts else "some")
    return config.is_openai and bool(efforts) and effort != "none"


def _messages(messages: Sequence[ChatMessage], config: ProviderConfig) -> Iterator[dict[str, Any]]:
    # Reasoning is wanted back only for the turn that is still running.
    turn_starts = max(
        (at for at, message in enumerate(messages) if message.role in ("user", "summary")), default=0
    )
    for at, message in enumerate(messages):
        match message.role:
            case "system":
                yield {"role": "system", "content": message.text}
            case "user" | "summary":
                yield _user_message(message)
            case "assistant" | "approval":
                replays_reasoning = config.profile.replays_reasoning and at > turn_starts
                if (
                    assistant := _assistant_message(message, replays_reasoning=replays_reasoning)
                ) is not None:
                    yield assistant
            case "tool":
                for tool_return in message.tool_returns:
                    yield {
                        "role": "tool",
                        "tool_call_id": tool_return.tool_call_id[:CALL_ID_CHARACTERS],
                        "content": tool_return.text,
                    }


def _user_message(message: ChatMessage) -> dict[str, Any]:
    content: str | list[dict[str, Any]] = message.text
    if any(isinstance(part, ImagePart) for part in message.parts):
        content = [
            {"type": "text", "text": part.text} if isinstance(part, TextPart) else _image(part)
            for part in message.parts
            if isinstance(part, TextPart | ImagePart)
        ]
    data: dict[str, Any] = {"role": "user", "content": content}
    if message.name and _SPEAKER.match(message.name):
        data["name"] = message.name
    return data


def _image(part: ImagePart) -> dict[str, Any]:
    source = part.source
    image = {"url": source.get("url") or f"data:{source['media_type']};base64,{source['data']}"}
    if source.get("detail"):
        image["detail"] = source["detail"]
    return {"type": "image_url", "image_url": image}


def _assistant_message(message: ChatMessage, *, replays_reasoning: bool) -> dict[str, Any] | None:
    """None for a message that would say nothing: reasoning alone, or the answer to an approval request."""
    if not message.text and not message.tool_calls:
        return None
    data: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.tool_calls:
        data["tool_calls"] = [
            {
                "id": call.id[:CALL_ID_CHARACTERS],
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments or "{}"},
            }
            for call in message.tool_calls
        ]
    if replays_reasoning:
        reasoning = "".join(part.reasoning for part in message.parts if isinstance(part, ReasoningPart))
        if reasoning:
            data["reasoning_content"] = reasoning
    return data


def _tool(tool: ToolSpec) -> dict[str, Any]:
    return {
        "type": "function",
        "function": {"name": tool.name, "description": tool.description, "parameters": tool.parameters},
    }


def _tool_choice(choice: ToolChoice, config: ProviderConfig) -> str | dict[str, Any]:
    if choice.mode != "one":
        return choice.mode
    if config.profile.names_no_tool:
        return "required"
    return {"type": "function", "function": {"name": choice.name}}


def _output_field(config: ProviderConfig, known: ModelProfile) -> str:
    """Another host under OpenAI's name may be any server; most know the old field, and reasoners only the new one."""
    if config.is_openai and not config.is_official_host and not known.reasons:
        return "max_tokens"
    return config.profile.output_field


def _effort(request: ChatRequest, known: ModelProfile) -> str | None:
    """The effort nearest to the one asked for that the model accepts; None sends no field."""
    if not known.efforts:
        return None
    if request.tools and known.effort_with_tools != "as_asked":
        return "none" if known.effort_with_tools == "none" else None
    asked = request.reasoning_effort
    if asked is None or asked == "none" or asked not in _EFFORT_ORDER:
        return None
    wanted = _EFFORT_ORDER.index(asked)
    offered = [effort for effort in known.efforts if effort != "none"]
    return min(offered, key=lambda effort: abs(_EFFORT_ORDER.index(effort) - wanted))


def _response_format(asked: dict[str, Any]) -> dict[str, Any]:
    schema = asked.get("json_schema")
    if asked.get("type") == "json_schema" and isinstance(schema, dict) and not schema.get("name"):
        return {**asked, "json_schema": {"name": "response", **schema}}
    return asked
