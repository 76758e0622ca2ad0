"""Messages as they are stored, in the shape that V1 stored them in (spec/objects.md §7.1)."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from agents.models import Message
from agents.models.message import MessageRole
from letta_ade.core.schemas import Wire


class StoredMessage(Wire):
    """A stored message; a list of an agent's messages shows it as one or more others."""

    id: str
    role: str
    agent_id: str | None
    conversation_id: str | None
    model: str | None
    content: list[dict[str, Any]] | None
    name: str | None
    tool_calls: list[dict[str, Any]] | None
    tool_call_id: str | None
    tool_returns: list[dict[str, Any]] | None
    step_id: str | None
    run_id: str | None
    otid: str | None
    group_id: str | None
    sender_id: str | None
    batch_item_id: str | None = None
    is_err: bool | None
    #: Of the older form of an answer, which names the request; the calls are named in `approvals`.
    approval_request_id: str | None = None
    approve: bool | None
    denial_reason: str | None
    approvals: list[dict[str, Any]] | None
    created_at: datetime
    updated_at: datetime | None = None
    created_by_id: str | None
    last_updated_by_id: str | None = None

    @classmethod
    def of(cls, message: Message) -> StoredMessage:
        """The message of a row."""
        returns = message.tool_returns
        decided = next((each for each in message.approvals or () if each["type"] == "approval"), None)
        return cls(
            id=message.id,
            role=message.role,
            agent_id=message.agent_id,
            conversation_id=message.conversation_id,
            model=message.model,
            content=_envelopes(message) if message.role == MessageRole.TOOL else message.content,
            name=returns[0].get("name") if returns else message.name,
            tool_calls=[_call(each) for each in message.tool_calls] or None,
            tool_call_id=returns[0]["tool_call_id"] if returns else None,
            tool_returns=[_return(each, "text") for each in returns] or None,
            step_id=message.step_id,
            run_id=message.run_id,
            otid=message.otid,
            group_id=message.group_id,
            sender_id=message.sender_id,
            is_err=True if message.is_err else None,
            approve=decided["approve"] if decided else None,
            denial_reason=decided.get("reason") if decided else None,
            approvals=None if message.approvals is None else [_answer(each) for each in message.approvals],
            created_at=message.created_at,
            created_by_id=message.created_by_id,
        )


def _envelopes(message: Message) -> list[dict[str, Any]]:
    """What the model was given for each return."""
    return [
        {
            "type": "text",
            "text": json.dumps(
                {
                    "status": "OK" if each["status"] == "success" else "Failed",
                    "message": each["text"],
                    "time": message.created_at.isoformat(),
                },
                ensure_ascii=False,
            ),
            "signature": None,
        }
        for each in message.tool_returns
    ]


def _call(call: dict[str, Any]) -> dict[str, Any]:
    function = {"name": call["name"], "arguments": call["arguments"]}
    return {"id": call["id"], "type": "function", "function": function}


def _return(returned: dict[str, Any], text: str) -> dict[str, Any]:
    return {
        "tool_call_id": returned["tool_call_id"],
        "status": returned["status"],
        "stdout": returned.get("stdout") or None,
        "stderr": returned.get("stderr") or None,
        "func_response": returned[text],
    }


def _answer(answer: dict[str, Any]) -> dict[str, Any]:
    if answer["type"] == "approval":
        return {name: answer.get(name) for name in ("type", "tool_call_id", "approve", "reason")}
    return _return(answer, "tool_return")
