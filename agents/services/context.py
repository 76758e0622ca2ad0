"""The messages in context, and what a stored message says to a model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from agents.models import Conversation, Message
from letta_ade.llm.messages import (
    ChatMessage,
    Part,
    TextPart,
    ToolReturn,
    call_from_data,
    part_from_data,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextMessage:
    """A message in context: where it stands, and what the model reads of it."""

    message_id: str
    position: int
    chat: ChatMessage


def load_context(conversation: Conversation) -> list[ContextMessage]:
    """The context in order; the first is the system message.

    One query, and no model instances: a context has hundreds of messages, and building their rows took most of a turn.
    """
    rows = conversation.entries.order_by("position").values_list(
        "message_id",
        "position",
        "message__role",
        "message__content",
        "message__tool_calls",
        "message__tool_returns",
        "message__name",
    )
    return [
        ContextMessage(
            message_id=message_id, position=position, chat=_chat(role, content, calls, returns, name)
        )
        for message_id, position, role, content, calls, returns, name in rows
    ]


def to_chat_message(message: Message) -> ChatMessage:
    """The message as the model reads it."""
    return _chat(message.role, message.content, message.tool_calls, message.tool_returns, message.name)


def _chat(
    role: str,
    content: list[dict[str, Any]],
    calls: list[dict[str, Any]],
    returns: list[dict[str, Any]],
    name: str | None,
) -> ChatMessage:
    return ChatMessage(
        role="user" if role == "summary" else role,  # type: ignore[arg-type]  # the column holds a MessageRole
        parts=parts_of(content),
        tool_calls=tuple(call_from_data(call) for call in calls),
        tool_returns=tuple(
            ToolReturn(
                tool_call_id=each["tool_call_id"],
                text=each["text"],
                is_error=each["status"] == "error",
                stdout=tuple(each.get("stdout") or ()),
                stderr=tuple(each.get("stderr") or ()),
            )
            for each in returns
        ),
        name=name,
    )


def parts_of(content: list[dict[str, Any]]) -> tuple[Part, ...]:
    """The stored content parts."""
    return tuple(part_from_data(data) for data in content)


def searchable_text(content: list[dict[str, Any]]) -> str:
    """The text of the parts that a search should find: reasoning is left out."""
    return "\n".join(data["text"] for data in content if data.get("type") == "text")


def text_content(text: str) -> list[dict[str, Any]]:
    """The content of a message that is one text."""
    return [{"type": "text", "text": text, "signature": None}]


def text_of(parts: tuple[Part, ...]) -> str:
    """All text parts, joined."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
