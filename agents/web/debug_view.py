"""The debug view of a conversation: every stored message with its ids, its step and its tokens, system messages and failed steps too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from agents.models import Conversation, Message, Step
from agents.services.conversations import history_of
from agents.web.code_pieces import CodePiece, code_pieces
from agents.web.context_places import Place, places_of
from agents.web.transcript_rows import author_names
from letta_ade.core.pagination import PageRequest, paginate
from letta_ade.llm.messages import reasoning_text

#: Messages that are shown at once.
AT_ONCE = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugPart:
    """One thing that a message holds. `about` says what is known of it besides its text."""

    label: str
    text: str
    about: str = ""
    is_failure: bool = False

    @property
    def code(self) -> tuple[CodePiece, ...]:
        return code_pieces(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugMessage:
    """A stored message as it is."""

    message: Message
    place: Place
    author: str
    parts: tuple[DebugPart, ...]
    #: The step that wrote it; only at its first message here.
    step: Step | None


@dataclass(frozen=True, slots=True, kw_only=True)
class DebugWindow:
    """Some messages, oldest first."""

    messages: tuple[DebugMessage, ...]
    #: The message before which there are more.
    older_than: str | None


def load_debug_window(conversation: Conversation, *, before: str | None = None) -> DebugWindow:
    """The newest messages, or those before one. Raises NotFound for a message that the conversation has not."""
    rows = history_of(conversation).defer("search", "text")
    found = paginate(rows, PageRequest(limit=AT_ONCE + 1, order="desc", after=before))
    messages = found[:AT_ONCE][::-1]
    steps = Step.objects.in_bulk({each.step_id for each in messages if each.step_id})
    places = places_of(conversation.id, messages)
    names = author_names({each.created_by_id for each in messages if each.created_by_id})
    return DebugWindow(
        messages=tuple(
            DebugMessage(
                message=message,
                place=places.get(message.id, ""),
                author=names.get(message.created_by_id or "", ""),
                parts=tuple(_parts(message)),
                # Once for all that it wrote.
                step=steps.pop(message.step_id or "", None),
            )
            for message in messages
        ),
        older_than=messages[0].id if len(found) > AT_ONCE else None,
    )


def _parts(message: Message) -> Iterator[DebugPart]:
    for part in message.content:
        yield _content(part)
    for call in message.tool_calls:
        yield DebugPart(label="tool call", text=call["arguments"], about=f"{call['name']} · {call['id']}")
    for item in message.tool_returns:
        took = f" · {item['duration_ms']:.0f} ms" if item.get("duration_ms") is not None else ""
        yield DebugPart(
            label="tool return",
            text=item["text"],
            about=f"{item['name']} · {item['tool_call_id']} · {item['status']}{took}",
            is_failure=item["status"] == "error",
        )
        for name in ("stdout", "stderr"):
            if lines := item.get(name):
                yield DebugPart(label=name, text="\n".join(lines))
    for item in message.approvals or ():
        yield DebugPart(label="answer", text=json.dumps(item, ensure_ascii=False), about=item["tool_call_id"])


def _content(part: dict[str, Any]) -> DebugPart:
    match part.get("type"):
        case "text":
            return DebugPart(label="text", text=part["text"])
        case "image":
            return DebugPart(
                label="image", text="", about=part["source"].get("media_type", "from an address")
            )
        case kind:
            text = reasoning_text(part)
            about = "" if text else "kept by the provider"
            return DebugPart(label=str(kind).replace("_", " "), text=text, about=about)
