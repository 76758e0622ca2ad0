"""A request in the shape of OpenAI's chat completions, which many servers speak."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.messages import ChatMessage, ImagePart, ReasoningPart, TextPart, ToolCall, ToolSpec
from letta_ade.llm.profiles import ModelProfile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.provider_profiles import ProviderProfile
from letta_ade.llm.providers.call_ids import nine_character_call_id, short_call_id
from letta_ade.llm.providers.json_answers import json_instruction, json_schema_of, wants_json
from letta_ade.llm.strict_schemas import strict_schema

#: OpenAI refuses other names of speakers.
_SPEAKER = re.compile(r"^[A-Za-z0-9_-]{1,64}$")
_EFFORT_ORDER = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
#: Google's word for a call that another model made.
_FOREIGN_SIGNATURE = "skip_thought_signature_validator"
_CALL_IDS: Mapping[str, Callable[[str], str]] = {"openai": short_call_id, "mistral": nine_character_call_id}


def build_payload(
    request: ChatRequest, *, model: str, config: ProviderConfig, known: ModelProfile
) -> dict[str, Any]:
    """The JSON body of the call."""
    profile = config.profile
    payload: dict[str, Any] = {
        "model": model,
        "messages": list(_messages(request.messages, profile, known)),
        "stream": True,
    }
    if profile.sends_usage_option:
        payload["stream_options"] = {"include_usage": True}
    if request.tools:
        payload["tools"] = [_tool(tool, is_strict=request.strict) for tool in request.tools]
        payload["tool_choice"] = _tool_choice(request.tool_choice, profile)
        if known.parallel and profile.sends_parallel:
            payload["parallel_tool_calls"] = request.parallel_tool_calls
    if request.max_output_tokens is not None:
        payload[_output_field(config, known)] = request.max_output_tokens
    payload |= _sampling(request, profile, known)
    payload |= _thinking(request, profile, known)
    if request.verbosity and known.verbosity:
        payload["verbosity"] = request.verbosity
    if request.response_format is not None:
        _ask_for_format(payload, request.response_format, profile)
    if request.user and profile.sends_user:
        payload["user"] = request.user
    return payload


def hides_reasoning(payload: Mapping[str, Any], config: ProviderConfig, known: ModelProfile) -> bool:
    """Whether the model will reason where chat completions do not show it."""
    # A model that knows "none" begins there; the others always reason.
    effort = payload.get("reasoning_effort", "none" if "none" in known.efforts else "some")
    return config.hosts_openai_models and bool(known.efforts) and effort != "none"


def nearest_effort(asked: str | None, offered: Sequence[str]) -> str | None:
    """The effort among those offered that is nearest to the one asked for; None sends no field."""
    if asked is None or asked == "none" or asked not in _EFFORT_ORDER:
        return None
    wanted = _EFFORT_ORDER.index(asked)
    reasoning = [effort for effort in offered if effort != "none"]
    return min(reasoning, key=lambda effort: abs(_EFFORT_ORDER.index(effort) - wanted), default=None)


def image_url(part: ImagePart) -> str:
    """The image as an address, its own or one that holds its bytes."""
    source = part.source
    return str(source.get("url") or f"data:{source['media_type']};base64,{source['data']}")


def running_turn(messages: Sequence[ChatMessage]) -> int:
    """Where the turn begins that is still going on: after the last thing that a person said."""
    return max((at for at, message in enumerate(messages) if message.role in ("user", "summary")), default=0)


def named_format(asked: Mapping[str, Any]) -> dict[str, Any]:
    """The response format; a schema without a name gets one, because OpenAI insists on it."""
    schema = asked.get("json_schema")
    if asked.get("type") == "json_schema" and isinstance(schema, Mapping) and not schema.get("name"):
        return {**asked, "json_schema": {"name": "response", **schema}}
    return dict(asked)


def _sampling(request: ChatRequest, profile: ProviderProfile, known: ModelProfile) -> dict[str, Any]:
    fields: dict[str, Any] = {}
    if known.only_default_temperature:
        return {"temperature": 1.0}
    if request.temperature is not None:
        fields["temperature"] = request.temperature
    if request.frequency_penalty is not None and known.penalties:
        fields["frequency_penalty"] = request.frequency_penalty
    if request.return_logprobs and profile.sends_logprobs:
        fields["logprobs"] = True
        if request.top_logprobs is not None:
            fields["top_logprobs"] = request.top_logprobs
    return fields


def _thinking(request: ChatRequest, profile: ProviderProfile, known: ModelProfile) -> dict[str, Any]:
    match profile.thinking_style:
        case "google":
            if known.thinking == "none" or request.thinking_tokens is None:
                return {}
            thinking = {
                "thinking_budget": request.thinking_tokens,
                "include_thoughts": request.shows_thoughts and request.thinking_tokens != 0,
            }
            return {"extra_body": {"google": {"thinking_config": thinking}}}
        case "zai":
            if request.thinks is None:
                return {}
            return {"thinking": {"type": "enabled" if request.thinks else "disabled"}}
        case "effort":
            effort = _effort(request, known)
            return {} if effort is None else {"reasoning_effort": effort}


def _effort(request: ChatRequest, known: ModelProfile) -> str | None:
    if request.tools and known.efforts and known.effort_with_tools != "as_asked":
        return "none" if known.effort_with_tools == "none" else None
    return nearest_effort(request.reasoning_effort, known.efforts)


def _messages(
    messages: Sequence[ChatMessage], profile: ProviderProfile, known: ModelProfile
) -> Iterator[dict[str, Any]]:
    turn_starts = running_turn(messages)
    call_id = _CALL_IDS[profile.call_id_style]
    for at, message in enumerate(messages):
        match message.role:
            case "system":
                yield {"role": "system", "content": message.text}
            case "user" | "summary":
                yield _user_message(message)
            case "assistant" | "approval":
                # A message that would say nothing: reasoning alone, or the answer to an approval request.
                if message.text or message.tool_calls:
                    yield _assistant_message(
                        message,
                        profile,
                        known,
                        replays_reasoning=profile.replays_reasoning and at > turn_starts,
                    )
            case "tool":
                for tool_return in message.tool_returns:
                    yield {
                        "role": "tool",
                        "tool_call_id": call_id(tool_return.tool_call_id),
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
    image = {"url": image_url(part)}
    if part.source.get("detail"):
        image["detail"] = part.source["detail"]
    return {"type": "image_url", "image_url": image}


def _assistant_message(
    message: ChatMessage, profile: ProviderProfile, known: ModelProfile, *, replays_reasoning: bool
) -> dict[str, Any]:
    data: dict[str, Any] = {"role": "assistant", "content": message.text or None}
    if message.tool_calls:
        data["tool_calls"] = [
            _call(call, profile, known, is_first=number == 0)
            for number, call in enumerate(message.tool_calls)
        ]
    if replays_reasoning:
        reasoning = "".join(part.reasoning for part in message.parts if isinstance(part, ReasoningPart))
        if reasoning:
            data["reasoning_content"] = reasoning
    return data


def _call(call: ToolCall, profile: ProviderProfile, known: ModelProfile, *, is_first: bool) -> dict[str, Any]:
    data: dict[str, Any] = {
        "id": _CALL_IDS[profile.call_id_style](call.id),
        "type": "function",
        "function": {"name": call.name, "arguments": call.arguments or "{}"},
    }
    if profile.thinking_style == "google":
        signature = call.signature or (_FOREIGN_SIGNATURE if known.signs_calls and is_first else None)
        if signature:
            data["extra_content"] = {"google": {"thought_signature": signature}}
    return data


def _tool(tool: ToolSpec, *, is_strict: bool) -> dict[str, Any]:
    function: dict[str, Any] = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters,
    }
    if is_strict and tool.may_be_strict and (strict := strict_schema(tool.parameters)) is not None:
        function |= {"parameters": strict, "strict": True}
    return {"type": "function", "function": function}


def _tool_choice(choice: ToolChoice, profile: ProviderProfile) -> str | dict[str, Any]:
    if choice.mode != "one":
        return choice.mode
    if profile.names_no_tool:
        return "required"
    return {"type": "function", "function": {"name": choice.name}}


def _output_field(config: ProviderConfig, known: ModelProfile) -> str:
    """Another host under OpenAI's name may be any server; most know the old field, and reasoners only the new one."""
    if config.hosts_openai_models and not config.is_official_host and not known.reasons:
        return "max_tokens"
    return config.profile.output_field


def _ask_for_format(payload: dict[str, Any], asked: Mapping[str, Any], profile: ProviderProfile) -> None:
    if asked.get("type") != "json_schema" or profile.knows_json_schema:
        payload["response_format"] = named_format(asked)
        return
    payload["response_format"] = {"type": "json_object"}
    if wants_json(asked) and json_schema_of(asked):
        head = next(
            (at for at, message in enumerate(payload["messages"]) if message["role"] != "system"),
            len(payload["messages"]),
        )
        payload["messages"].insert(head, {"role": "system", "content": json_instruction(asked)})
