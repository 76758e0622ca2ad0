"""Short ways to make a request, a provider, and to read a whole reply."""

from __future__ import annotations

from typing import Any

from letta_ade.llm.client import ChatModel, ChatRequest
from letta_ade.llm.environment import configured_providers
from letta_ade.llm.events import ChatEvent, ReasoningDelta, ReplyEnded, TextDelta
from letta_ade.llm.messages import ChatMessage, Reply, TextPart, ToolCall, ToolReturn, ToolSpec
from letta_ade.llm.provider_config import ProviderConfig

WEATHER = ToolSpec(
    name="weather",
    description="Tell the weather",
    parameters={"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]},
)
CLOCK = ToolSpec(name="clock", description="Tell the time", parameters={"type": "object", "properties": {}})


def provider(name: str, **environment: str) -> ProviderConfig:
    return next(config for config in configured_providers(environment) if config.profile.name == name)


def system(text: str) -> ChatMessage:
    return ChatMessage(role="system", parts=(TextPart(text=text),))


def user(text: str) -> ChatMessage:
    return ChatMessage(role="user", parts=(TextPart(text=text),))


def assistant(text: str = "", *calls: ToolCall, parts: tuple[Any, ...] = ()) -> ChatMessage:
    said = (TextPart(text=text),) if text else ()
    return ChatMessage(role="assistant", parts=(*parts, *said), tool_calls=calls)


def returned(*returns: ToolReturn) -> ChatMessage:
    return ChatMessage(role="tool", tool_returns=returns)


def asking(text: str = "Hello", **fields: Any) -> ChatRequest:
    return ChatRequest(messages=(system("Be kind."), user(text)), **fields)


async def events_of(model: ChatModel, payload: dict[str, Any]) -> list[ChatEvent]:
    stream = model.stream(payload)
    try:
        return [event async for event in stream]
    finally:
        await stream.aclose()


async def reply_of(model: ChatModel, request: ChatRequest) -> Reply:
    return ended(await events_of(model, model.payload(request)))


def ended(events: list[ChatEvent]) -> Reply:
    last = events[-1]
    assert isinstance(last, ReplyEnded)
    assert not any(isinstance(event, ReplyEnded) for event in events[:-1])
    return last.reply


def text_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def reasoning_of(events: list[ChatEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ReasoningDelta))
