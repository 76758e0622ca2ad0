"""The messages in context, and what a stored message says to a model."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection

from agents.models import Conversation, Message
from agents.runtime.prompt import ANSWER_TOOL
from letta_ade.llm.messages import (
    ChatMessage,
    Part,
    TextPart,
    ToolReturn,
    call_from_data,
    part_from_data,
)

_CONTEXT = """
SELECT message.id, entry.position, message.role, message.content, message.tool_calls, message.tool_returns, message.name,
  message.run_id, message.step_id, message.approvals
FROM agents_contextentry entry JOIN agents_message message ON message.id = entry.message_id
WHERE entry.conversation_id = %s ORDER BY entry.position
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextMessage:
    """A message in context: where it stands, and what the model reads of it."""

    message_id: str
    position: int
    chat: ChatMessage
    run_id: str | None = None
    step_id: str | None = None
    is_summary: bool = False
    #: Of an answer to calls that waited.
    approvals: list[dict[str, Any]] | None = None


def load_context(conversation: Conversation) -> list[ContextMessage]:
    """The context in order; the first is the system message.

    No model instances, and no statement built anew: a context has hundreds of messages, and every turn reads it.
    """
    with connection.cursor() as cursor:
        cursor.execute(_CONTEXT, [conversation.pk])
        rows = cursor.fetchall()
    return [
        ContextMessage(
            message_id=message_id,
            position=position,
            chat=_chat(role, json.loads(content), _list(calls), _list(returns), name),
            run_id=run_id,
            step_id=step_id,
            is_summary=role == "summary",
            approvals=json.loads(approvals) if approvals is not None else None,
        )
        for message_id, position, role, content, calls, returns, name, run_id, step_id, approvals in rows
    ]


def _list(text: str) -> list[dict[str, Any]]:
    """Of most messages it is empty, and reading that takes as long as anything else."""
    return json.loads(text) if text != "[]" else []


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
                was_run=each.get("was_run", True),
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


def searchable_text(content: list[dict[str, Any]], calls: Sequence[dict[str, Any]] = ()) -> str:
    """What a search should find: the text of the parts, and the words that an agent said through a tool; no reasoning."""
    texts = [data["text"] for data in content if data.get("type") == "text"]
    return "\n".join([*texts, *(said for call in calls if (said := _said_by(call)))])


def _said_by(call: dict[str, Any]) -> str:
    if call["name"] != ANSWER_TOOL:
        return ""
    try:
        words = json.loads(call["arguments"]).get("message")
    except (ValueError, AttributeError):
        return ""
    return words if isinstance(words, str) else ""


def text_content(text: str) -> list[dict[str, Any]]:
    """The content of a message that is one text."""
    return [{"type": "text", "text": text, "signature": None}]


def text_of(parts: tuple[Part, ...]) -> str:
    """All text parts, joined."""
    return "".join(part.text for part in parts if isinstance(part, TextPart))
