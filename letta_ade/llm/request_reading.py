"""A request as it was sent, read back for people: its system text, its tools, its messages, whatever protocol it was written in."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Role = Literal["user", "assistant", "tool", "system"]

#: An image is shown by its kind: its bytes say nothing to a reader.
_IMAGE = "(an image)"
_ITEM_ROLES: Mapping[str, Role] = {
    "function_call": "assistant",
    "function_call_output": "tool",
    "reasoning": "assistant",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SentTool:
    name: str
    #: As it was sent, as JSON of several lines.
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SentMessage:
    """A message of the conversation, as text: what was said, what was called, what was returned."""

    role: Role
    text: str
    #: Names of the tools that it calls.
    calls: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SentRequest:
    system: str
    tools: tuple[SentTool, ...]
    messages: tuple[SentMessage, ...]
    #: Everything else: model, limits, choices.
    settings: Mapping[str, Any]


def read_request(payload: Mapping[str, Any]) -> SentRequest:
    """The parts of a payload. What it holds in a shape that is not known is kept as JSON, never left out."""
    items = list(_list(payload.get("messages")) or _list(payload.get("input")))
    head = _texts(payload.get("system")) or _texts(payload.get("instructions"))
    system = [head] if head else []
    while items and _role_of(items[0]) == "system":
        system.append(_text_of(items.pop(0)))
    rest = ("messages", "input", "system", "instructions", "tools")
    return SentRequest(
        system="\n\n".join(system),
        tools=tuple(_tool(tool) for tool in _list(payload.get("tools"))),
        messages=tuple(message for item in items for message in _messages(item)),
        settings={name: value for name, value in payload.items() if name not in rest},
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _role_of(item: Any) -> Role:
    if not isinstance(item, Mapping):
        return "user"
    role = item.get("role")
    if role in ("system", "developer"):
        return "system"
    if role in ("user", "assistant", "tool"):
        return role  # type: ignore[no-any-return]  # one of the three
    return _ITEM_ROLES.get(str(item.get("type")), "assistant" if role == "approval" else "user")


def _messages(item: Any) -> Iterator[SentMessage]:
    """One message of the wire; an answer of several tools is one message for each, and so are texts that were put together."""
    role = _role_of(item)
    if not isinstance(item, Mapping):
        yield SentMessage(role=role, text=_json(item))
        return
    returns = [part for part in _list(item.get("content")) if _type_of(part) == "tool_result"]
    returns += _list(item.get("tool_returns"))
    for each in returns:
        yield SentMessage(role="tool", text=_texts(each.get("content", each.get("text"))))
    if role == "user":
        # Anthropic's protocol takes one message where several follow each other.
        *earlier, last = _split_texts(_list(item.get("content")))
        for parts in earlier:
            yield SentMessage(role=role, text="\n".join(_part(part) for part in parts))
        item = {**item, "content": last} if earlier else item
    text = _text_of(item, but=returns)
    calls = tuple(_call_names(item))
    if text or calls or not returns:
        yield SentMessage(role=role, text=text, calls=calls)


def _split_texts(content: list[Any]) -> list[list[Any]]:
    """The parts in groups that begin with a text each, the returns of tools left out; at least one group."""
    groups: list[list[Any]] = [[]]
    for part in content:
        if _type_of(part) == "tool_result":
            continue
        if _type_of(part) in ("text", "input_text") and any(
            _type_of(each) == _type_of(part) for each in groups[-1]
        ):
            groups.append([])
        groups[-1].append(part)
    return groups


def _text_of(item: Mapping[str, Any], but: Iterable[Any] = ()) -> str:
    skipped = [id(each) for each in but]
    texts = []
    if isinstance(reasoning := item.get("reasoning_content"), str):
        texts.append(reasoning)
    content = item.get("content", item.get("parts", item.get("output")))
    if isinstance(content, list):
        texts += [_part(part) for part in content if id(part) not in skipped]
    elif content is not None:
        texts.append(_texts(content))
    if item.get("type") == "reasoning":
        texts += [_part(part) for part in _list(item.get("summary"))]
        texts += ["(reasoning that the provider encrypted)"] if item.get("encrypted_content") else []
    texts += [_call_text(call) for call in _calls(item)]
    return "\n".join(text for text in texts if text)


def _texts(value: Any) -> str:
    """The text of a value that is a text, or a list of parts."""
    if isinstance(value, str):
        return value
    if isinstance(value, list):
        return "\n\n".join(_part(part) for part in value)
    return "" if value is None else _json(value)


def _part(part: Any) -> str:
    if isinstance(part, str) or not isinstance(part, Mapping):
        return part if isinstance(part, str) else _json(part)
    kind = _type_of(part)
    for name in ("text", "thinking", "reasoning"):
        if isinstance(text := part.get(name), str):
            return text
    if "image" in kind or "source" in part:
        return _IMAGE
    if kind == "tool_use":
        return _call_text(part)
    if kind == "tool_result":
        return _texts(part.get("content"))
    return _json(part)


def _calls(item: Mapping[str, Any]) -> list[Any]:
    if item.get("type") == "function_call":
        return [item]
    return _list(item.get("tool_calls"))


def _call_names(item: Mapping[str, Any]) -> Iterator[str]:
    used = [part for part in _list(item.get("content")) if _type_of(part) == "tool_use"]
    for call in [*_calls(item), *used]:
        yield str(_function(call).get("name", ""))


def _call_text(call: Any) -> str:
    function = _function(call)
    arguments = function.get("arguments", function.get("input"))
    text = arguments if isinstance(arguments, str) else _json(arguments)
    return f"{function.get('name', '')}({text})"


def _function(call: Any) -> Mapping[str, Any]:
    if not isinstance(call, Mapping):
        return {}
    function = call.get("function")
    return function if isinstance(function, Mapping) else call


def _tool(tool: Any) -> SentTool:
    return SentTool(
        name=str(_function(tool).get("name", "")), text=json.dumps(tool, ensure_ascii=False, indent=2)
    )


def _type_of(part: Any) -> str:
    return str(part.get("type", "")) if isinstance(part, Mapping) else ""


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
