"""What a request says: messages, and the answers to calls that wait (spec/agent-loop.md §2.3, §6)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from agents.services.run_requests import AnswersInput, InputMessage
from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import Body
from letta_ade.llm.messages import (
    ImagePart,
    OmittedReasoningPart,
    Part,
    ReasoningPart,
    RedactedReasoningPart,
    TextPart,
)

_APPROVAL_FIELDS = ("approvals", "approve", "approval_request_id", "tool_returns")


class ApprovalReturn(Body):
    """Whether one call may run."""

    type: Literal["approval"] = "approval"
    tool_call_id: str
    approve: bool
    reason: str | None = None


class ToolReturn(Body):
    """What a tool of the client returned."""

    type: Literal["tool"] = "tool"
    tool_call_id: str
    tool_return: str | list[dict[str, Any]]
    status: Literal["success", "error"] = "success"
    stdout: list[str] | None = None
    stderr: list[str] | None = None


Approval = Annotated[ApprovalReturn | ToolReturn, Field(union_mode="left_to_right")]


class MessageInput(Body):
    """A message of a request. Without a type it is an approval if it has the fields of one."""

    type: Literal["message", "approval", "tool_return"] | None = None
    role: Literal["user", "system", "assistant"] = "user"
    content: str | list[dict[str, Any]] | None = None
    name: str | None = None
    otid: str | None = None
    sender_id: str | None = None
    group_id: str | None = None
    batch_item_id: str | None = None
    approvals: list[Approval] | None = None
    approve: bool | None = None
    approval_request_id: str | None = None
    reason: str | None = None
    tool_returns: list[ToolReturn] | None = None

    @model_validator(mode="after")
    def _answers_something(self) -> MessageInput:
        if self.is_answer and self.approve is None and not (self.approvals or self.tool_returns):
            raise ValueError("an approval needs 'approvals', and a tool_return 'tool_returns'")
        return self

    @property
    def is_answer(self) -> bool:
        if self.type is not None:
            return self.type != "message"
        return any(getattr(self, name) is not None for name in _APPROVAL_FIELDS)

    def as_answers(self) -> AnswersInput:
        """The answers that it holds."""
        items = [*(self.approvals or ()), *(self.tool_returns or ())]
        return AnswersInput(
            items=tuple(item.model_dump() for item in items),
            approve=None if items else self.approve,
            reason=self.reason,
            request_id=self.approval_request_id,
            otid=self.otid,
            group_id=self.group_id,
        )

    def as_input(self) -> InputMessage:
        """The message for a run. Raises Unprocessable for an answer that does not come first, and for bad content."""
        if self.is_answer:
            raise Unprocessable("The answers to calls that wait are the first message of a request.")
        if self.content is None:
            raise Unprocessable("A message needs content.")
        return InputMessage(
            role=self.role,
            content=parts_from(self.content, role=self.role),
            otid=self.otid,
            name=self.name,
            sender_id=self.sender_id,
            group_id=self.group_id,
        )


def parts_from(content: str | list[dict[str, Any]], *, role: str = "user") -> tuple[Part, ...]:
    """The parts of a message's content. Raises Unprocessable for one that is none, or that this role cannot say."""
    if isinstance(content, str):
        return (TextPart(text=content),)
    return tuple(_part_from(data, role) for data in content)


def _part_from(data: dict[str, Any], role: str) -> Part:
    part = _read_part(data)
    if isinstance(part, ImagePart) and role != "user":
        raise Unprocessable(f"Only a user's message holds images, not one of the role {role!r}.")
    if not isinstance(part, TextPart | ImagePart) and role != "assistant":
        raise Unprocessable(f"Only an assistant's message holds reasoning, not one of the role {role!r}.")
    return part


def _read_part(data: dict[str, Any]) -> Part:
    # What has no type is a text, as in the SDK.
    match {**data, "type": data.get("type") or "text"}:
        case {"type": "text", "text": str(text)}:
            return TextPart(text=text, signature=_signature(data))
        case {"type": "image", "source": dict(source)}:
            return ImagePart(source=_image_source(source))
        case {"type": "reasoning", "reasoning": str(reasoning)}:
            is_native = data.get("is_native") is not False
            return ReasoningPart(reasoning=reasoning, signature=_signature(data), is_native=is_native)
        case {"type": "redacted_reasoning", "data": str(blob)}:
            return RedactedReasoningPart(data=blob)
        case {"type": "omitted_reasoning"}:
            return OmittedReasoningPart(signature=_signature(data))
        case {"type": "tool_call" | "tool_return" as kind}:
            raise Unprocessable(
                f"A part of type {kind!r} cannot be sent: tool calls and their returns come from runs."
            )
    raise Unprocessable(
        "A part of a message is {'type': 'text', 'text': …}, {'type': 'image', 'source': …}, or in an assistant's message "
        "{'type': 'reasoning', 'reasoning': …}, {'type': 'redacted_reasoning', 'data': …}, {'type': 'omitted_reasoning'}."
    )


def _signature(data: dict[str, Any]) -> str | None:
    signature = data.get("signature")
    if not isinstance(signature, str | None):
        raise Unprocessable("The signature of a part is a text.")
    return signature


#: What an image's source must hold, by its type; the type may be left out.
_SOURCES: dict[str, tuple[str, ...]] = {
    "base64": ("media_type", "data"),
    "url": ("url",),
    "letta": ("file_id",),
}


def _image_source(data: dict[str, Any]) -> dict[str, Any]:
    for kind, fields in _SOURCES.items():
        if data.get("type") in (None, kind) and all(isinstance(data.get(field), str) for field in fields):
            detail = {"detail": data["detail"]} if isinstance(data.get("detail"), str) else {}
            return {"type": kind, **{field: data[field] for field in fields}, **detail}
    raise Unprocessable(
        "The source of an image is {'type': 'base64', 'media_type': …, 'data': …}, {'type': 'url', 'url': …} "
        "or {'type': 'letta', 'file_id': …}."
    )
