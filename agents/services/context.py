"""The messages in context, and what a stored message says to a model."""

from __future__ import annotations

from typing import Any

from agents.models import Conversation, Message
from letta_ade.llm.messages import ChatMessage, Part, TextPart, ToolCall, ToolReturn, part_from_data


def load_context(conversation: Conversation) -> list[Message]:
    """The messages in context in order; the first is the system message. One query."""
    return list(
        Message.objects.filter(entries__conversation=conversation)
        .order_by("entries__position")
        .only("id", "role", "content", "tool_calls", "tool_returns", "name", "agent_id")
    )


def to_chat_message(message: Message) -> ChatMessage:
    """The message as the model reads it."""
    role = "user" if message.role == "summary" else message.role
    return ChatMessage(
        role=role,  # type: ignore[arg-type]  # the column holds a MessageRole
        parts=parts_of(message.content),
        tool_calls=tuple(
            ToolCall(id=call["id"], name=call["name"], arguments=call["arguments"])
            for call in message.tool_calls
        ),
        tool_returns=tuple(
            ToolReturn(
                tool_call_id=each["tool_call_id"],
                text=each["text"],
                is_error=each["status"] == "error",
                stdout=tuple(each.get("stdout") or ()),
                stderr=tuple(each.get("stderr") or ()),
            )
            for each in message.tool_returns
        ),
        name=message.name,
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
