"""From stored messages to messages on the wire: one gives one or more (spec/objects.md §7.3)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, assert_never

from agents.api.spoken import speaks_by_tool
from agents.models import Message
from agents.models.message import MessageRole
from agents.runtime.compaction import read_summary
from agents.runtime.spoken import AnswerTool
from letta_ade.core.ids import otid_at
from letta_ade.llm.messages import reasoning_text

WireMessage = dict[str, Any]


def wire_messages(message: Message, answer_tool: AnswerTool | None = None) -> list[WireMessage]:
    """The wire messages of a stored one, in natural order. All have its id; each has an otid of its own.

    With an answer tool, its calls are shown as what they say, and their returns are left out.
    """
    match MessageRole(message.role):
        case MessageRole.SYSTEM:
            return [_one(message, "system_message", content=_text(message))]
        case MessageRole.USER | MessageRole.SUMMARY:
            return [_one(message, "user_message", content=_user_content(message))]
        case MessageRole.ASSISTANT:
            return list(_assistant(message, answer_tool))
        case MessageRole.TOOL:
            if answer_tool is not None and answer_tool.is_only_said(message.tool_returns):
                return []
            return [_tool_return(message)]
        case MessageRole.APPROVAL:
            return list(_approval(message))
        case _ as other:
            assert_never(other)


def summary_message(message: Message) -> WireMessage:
    """The summary of a compaction, for who asked for such messages; to others it is a user's message in a list, and nothing in a run."""
    summary, stats = read_summary(_text(message))
    return _one(message, "summary_message", summary=summary, compaction_stats=stats)


def wire_list(
    messages: Iterable[Message], answer_tool: AnswerTool | None = None, *, tells_compactions: bool = False
) -> list[WireMessage]:
    """The wire messages of many stored ones, in their order; the answer tool is that of agents that speak through one.

    The messages come with their agent (`messages.of_agent`).
    """
    return [
        each
        for message in messages
        for each in (
            [summary_message(message)]
            if tells_compactions and message.role == MessageRole.SUMMARY
            else wire_one(message, answer_tool)
        )
    ]


def wire_one(message: Message, answer_tool: AnswerTool | None) -> list[WireMessage]:
    """The same for one message."""
    return wire_messages(message, answer_tool if answer_tool and speaks_by_tool(message.agent) else None)


def head(
    message_type: str,
    *,
    message_id: str,
    otid: str | None,
    date: datetime,
    step_id: str | None,
    run_id: str | None,
) -> WireMessage:
    """The fields that every message begins with. Dates have whole seconds."""
    return {
        "id": message_id,
        "date": wire_date(date),
        "name": None,
        "message_type": message_type,
        "otid": otid,
        "sender_id": None,
        "step_id": step_id,
        "is_err": None,
        "seq_id": None,
        "run_id": run_id,
    }


def wire_date(moment: datetime) -> str:
    """A time as messages carry it."""
    return moment.astimezone(UTC).replace(microsecond=0).isoformat()


def call_fields(calls: list[dict[str, Any]]) -> dict[str, Any]:
    """The fields of a message with tool calls: the list, and the first one under its older name."""
    listed = [
        {"name": call["name"], "arguments": call["arguments"], "tool_call_id": call["id"]} for call in calls
    ]
    return {"tool_call": listed[0], "tool_calls": listed}


def _one(message: Message, message_type: str, *, index: int | None = None, **fields: Any) -> WireMessage:
    otid = message.otid or otid_at(message.id, 0) if index is None else otid_at(message.id, index)
    return {
        **head(
            message_type,
            message_id=message.id,
            otid=otid,
            date=message.created_at,
            step_id=message.step_id,
            run_id=message.run_id,
        ),
        "name": message.name,
        "sender_id": message.sender_id,
        "is_err": True if message.is_err else None,
        **fields,
    }


def _text(message: Message) -> str:
    return "\n".join(part["text"] for part in message.content if part["type"] == "text")


def _user_content(message: Message) -> str | list[dict[str, Any]]:
    """One text as a string, anything else as parts. The envelope that V1 put around user messages is taken off."""
    if any(part["type"] != "text" for part in message.content):
        return [_without_empty_signature(part) for part in message.content]
    if len(message.content) > 1:
        return [{"type": "text", "text": part["text"]} for part in message.content]
    text = _text(message)
    if text.startswith(('{"type": "user_message"', '{"type":"user_message"')):
        try:
            return str(json.loads(text)["message"])
        except (ValueError, KeyError):
            return text
    return text


def _without_empty_signature(part: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in part.items() if key != "signature" or value is not None}


def _kind(part: dict[str, Any]) -> str:
    match part["type"]:
        case "reasoning" if part.get("is_native") is False:
            return "inner"
        case "reasoning":
            return "reasoning"
        case "summarized_reasoning":
            return "reasoning" if reasoning_text(part) else "hidden"
        case "redacted_reasoning" | "omitted_reasoning":
            return "hidden"
        case _:
            return "text"


def _says_something(part: dict[str, Any]) -> bool:
    # A stream does not tell of an empty piece; a list must not either, or their otids would part.
    return bool(part.get("text", True)) and bool(part.get("reasoning", True))


def _assistant(message: Message, answer_tool: AnswerTool | None = None) -> Iterator[WireMessage]:
    index = 0
    for kind, group in groupby((part for part in message.content if _says_something(part)), key=_kind):
        parts = list(group)
        match kind:
            case "text":
                text = "".join(part["text"] for part in parts)
                yield _one(message, "assistant_message", index=index, content=text)
            case "reasoning" | "inner":
                yield _one(
                    message,
                    "reasoning_message",
                    index=index,
                    reasoning="".join(map(reasoning_text, parts)),
                    source="reasoner_model" if kind == "reasoning" else "non_reasoner_model",
                    signature=next((s for part in parts[::-1] if (s := part.get("signature"))), None),
                )
            case _:
                for part in parts:
                    yield _one(
                        message, "hidden_reasoning_message", index=index, **hidden_fields(part.get("data"))
                    )
        index += 1
    words = answer_tool.words_of(message.tool_calls) if answer_tool else None
    if words is not None:
        yield _one(message, "assistant_message", index=index, content=words)
    elif message.tool_calls:
        yield _one(message, "tool_call_message", index=index, **call_fields(message.tool_calls))


def hidden_fields(data: str | None) -> dict[str, Any]:
    """The fields of reasoning that is not shown: a redacted blob, or nothing at all."""
    return {"state": "redacted" if data else "omitted", "hidden_reasoning": data}


def _tool_return(message: Message) -> WireMessage:
    returns = [
        {
            "type": "tool",
            "tool_call_id": each["tool_call_id"],
            "status": each["status"],
            "tool_return": each["text"],
            "stdout": each.get("stdout") or None,
            "stderr": each.get("stderr") or None,
        }
        for each in message.tool_returns
    ]
    first = returns[0] if returns else {"status": "success", "tool_call_id": "", "tool_return": ""}
    return _one(
        message,
        "tool_return_message",
        index=0,
        tool_return=first["tool_return"],
        status=first["status"],
        tool_call_id=first["tool_call_id"],
        stdout=first.get("stdout"),
        stderr=first.get("stderr"),
        tool_returns=returns,
    )


def _approval(message: Message) -> Iterator[WireMessage]:
    if not message.tool_calls:
        yield _one(message, "approval_response_message", **_approval_answer(message))
        return
    yield from (each for each in _assistant(message) if each["message_type"] != "tool_call_message")
    request = _one(message, "approval_request_message", **call_fields(message.tool_calls))
    # The request's otid is its own id (spec/streaming.md §5).
    yield {**request, "otid": message.id}


def _approval_answer(message: Message) -> dict[str, Any]:
    approvals = message.approvals or []
    first = approvals[0] if approvals else {}
    return {
        "approvals": approvals,
        "approve": first.get("approve"),
        "approval_request_id": None,
        "reason": first.get("reason"),
    }
