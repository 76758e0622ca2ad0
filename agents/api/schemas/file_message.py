"""A message in an agent file, in the shape that V1 stored messages in."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from pydantic import Field, field_validator

from agents.models.message import MessageRole
from agents.services.file_histories import FileMessage
from agents.services.images import MEDIA_TYPES
from letta_ade.core.errors import Invalid
from letta_ade.core.schemas import Body
from letta_ade.llm.messages import ReasoningPart, TextPart, part_from_data, part_to_data

_ROLES = {"function": MessageRole.TOOL, **{role: MessageRole(role) for role in MessageRole.values}}
#: Content that says what the fields beside it say again.
_SAID_ELSEWHERE = frozenset({"tool_call", "tool_return"})
_NO_IMAGE = "[An image that the file does not hold.]"


class MessageInFile(Body):
    """One message."""

    id: str = Field(max_length=255)
    role: str
    content: str | list[dict[str, Any]] | None = None
    name: str | None = Field(default=None, max_length=255)
    model: str | None = Field(default=None, max_length=255)
    otid: str | None = Field(default=None, max_length=255)
    sender_id: str | None = Field(default=None, max_length=255)
    tool_calls: list[dict[str, Any]] | None = None
    tool_call_id: str | None = None
    tool_returns: list[dict[str, Any]] | None = None
    approvals: list[dict[str, Any]] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    denial_reason: str | None = None
    created_at: datetime | None = None

    @field_validator("created_at")
    @classmethod
    def _aware(cls, value: datetime | None) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value

    def message(self, *, is_heartbeat: bool) -> FileMessage:
        """The message as the database keeps it. Raises Invalid, naming it, for one that cannot be kept.

        `is_heartbeat`: of an agent that speaks by a tool. What its messages say beside a call are its thoughts.
        """
        try:
            return self._message(is_heartbeat=is_heartbeat)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise Invalid(f"The message {self.id!r} cannot be read: {error}") from error

    def _message(self, *, is_heartbeat: bool) -> FileMessage:
        if self.role not in _ROLES:
            raise ValueError(f"{self.role!r} is no role")
        role = _ROLES[self.role]
        is_return = role == MessageRole.TOOL
        return FileMessage(
            file_id=self.id,
            role=role,
            content=[] if is_return else self._parts(are_thoughts=is_heartbeat and bool(self.tool_calls)),
            tool_calls=[_call(each) for each in self.tool_calls or ()],
            tool_returns=self._returns() if is_return else [],
            approvals=self._approvals(),
            name=None if is_return else self.name,
            model=self.model,
            otid=self.otid,
            sender_id=self.sender_id,
            created_at=self.created_at,
        )

    def _parts(self, *, are_thoughts: bool) -> list[dict[str, Any]]:
        given = (
            [{"type": "text", "text": self.content}] if isinstance(self.content, str) else self.content or []
        )
        parts = [each for each in given if each.get("type") not in _SAID_ELSEWHERE]
        return [
            part_to_data(
                ReasoningPart(reasoning=part.text, is_native=False)
                if are_thoughts and isinstance(part, TextPart)
                else part
            )
            for part in (part_from_data(_with_image(each)) for each in parts)
        ]

    def _returns(self) -> list[dict[str, Any]]:
        if not self.tool_returns:
            return [self._return_in_content()]
        return [
            {
                "tool_call_id": _text(each.get("tool_call_id") or self.tool_call_id),
                "name": _text(each.get("name") or self.name or ""),
                "status": "success" if each.get("status") == "success" else "error",
                "text": _told(each.get("func_response")),
                "stdout": _texts(each.get("stdout")),
                "stderr": _texts(each.get("stderr")),
            }
            for each in self.tool_returns
        ]

    def _return_in_content(self) -> dict[str, Any]:
        """Of older messages: the words for the model are all there is."""
        words = (
            self.content
            if isinstance(self.content, str)
            else "\n".join(_text_of(each) for each in self.content or ())
        )
        status, text = "success", words
        try:
            envelope = json.loads(words)
        except (ValueError, RecursionError):
            envelope = None
        if isinstance(envelope, dict) and "message" in envelope:
            status = "success" if envelope.get("status", "OK") == "OK" else "error"
            text = _told(envelope["message"])
        return {
            "tool_call_id": _text(self.tool_call_id),
            "name": self.name or "",
            "status": status,
            "text": text,
            "stdout": [],
            "stderr": [],
        }

    def _approvals(self) -> list[dict[str, Any]] | None:
        if self.approvals is None:
            return None
        return [
            {
                "type": "approval",
                "tool_call_id": _text(each["tool_call_id"]),
                "approve": bool(each.get("approve")),
                "reason": each.get("reason"),
            }
            if each.get("type", "approval") == "approval"
            else {
                "type": "tool",
                "tool_call_id": _text(each["tool_call_id"]),
                "status": "success" if each.get("status") == "success" else "error",
                "tool_return": _told(each.get("func_response", each.get("tool_return"))),
                "stdout": _texts(each.get("stdout")),
                "stderr": _texts(each.get("stderr")),
            }
            for each in self.approvals
        ]


def _with_image(part: dict[str, Any]) -> dict[str, Any]:
    """The part; an image that is only an address, or none of those that models take, becomes a sentence."""
    if part.get("type") != "image":
        return part
    source = part.get("source")
    if (
        isinstance(source, dict)
        and source.get("type") in {"base64", "letta"}
        and source.get("media_type") in MEDIA_TYPES
        and isinstance(data := source.get("data"), str)
    ):
        kept = {"type": "base64", "media_type": source["media_type"], "data": data, "detail": None}
        return {"type": "image", "source": kept}
    return {"type": "text", "text": _NO_IMAGE}


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = call.get("function") or call
    return {
        "id": _text(call["id"]),
        "name": _text(function["name"]),
        "arguments": _told(function.get("arguments", "{}")),
    }


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {value!r:.80}")
    return value


def _told(value: Any) -> str:
    """A text; what is none, as JSON."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _texts(value: Any) -> list[str]:
    return [_told(each) for each in value or ()]


def _text_of(part: dict[str, Any]) -> str:
    return _told(part.get("text") or part.get("content") or "")
