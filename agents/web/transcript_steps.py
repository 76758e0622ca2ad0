"""A stored step as the transcript shows it: what was said, thought and called, and what came of the calls."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from agents.models import Message, Step
from agents.models.message import MessageRole
from agents.runtime.spoken import AnswerTool
from agents.web.transcript import (
    CallItem,
    CallState,
    Decision,
    Item,
    MemoryLine,
    NoteItem,
    Records,
    StepItem,
    TextItem,
    ThoughtItem,
    called_tools,
    decisions_from,
    text_of,
)
from letta_ade.llm.messages import reasoning_text
from memory.history import count_changed_lines
from memory.models import BlockVersion

ANSWER_TOOL = AnswerTool()
_REFUSED = ("denied", "cancelled", "expired")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Outcomes:
    """What came of the calls of a step, by tool call id."""

    returns: Mapping[str, Mapping[str, Any]]
    decisions: Mapping[str, Decision]
    #: Some of its calls wait, or waited, for somebody outside.
    is_request: bool


def step_from(step_id: str, number: int, messages: Sequence[Message], records: Records) -> StepItem:
    """A stored step, its inputs left out. `messages`: what it wrote, and the answers that its calls got in a later run."""
    row = records.steps.get(step_id)
    requests = [message for message in messages if message.role == MessageRole.APPROVAL]
    decisions = decisions_from(requests, records.names, called_tools(messages))
    outcomes = _Outcomes(
        returns={each["tool_call_id"]: each for message in messages for each in message.tool_returns},
        decisions={each.tool_call_id: each for each in decisions},
        is_request=any(message.tool_calls for message in requests),
    )
    items: list[Item] = []
    place = 0
    for message in messages:
        match message.role:
            case MessageRole.ASSISTANT | MessageRole.APPROVAL:
                said = _said(message, row)
                for call in message.tool_calls:
                    said.append(_called(step_id, place, message, call, outcomes, records, said))
                    place += 1
                items += [_placed(each, message, records) for each in said]
            case MessageRole.USER:
                items.append(NoteItem(id=message.id, text=_note(text_of(message.content))))
    said_by = (
        message for message in messages if message.role in (MessageRole.ASSISTANT, MessageRole.APPROVAL)
    )
    first = next(said_by, None)
    return StepItem(
        id=step_id,
        number=number,
        items=tuple(items),
        at=first.created_at if first else None,
        tokens=row.completion_tokens if row else None,
    )


def _placed(item: Item, message: Message, records: Records) -> Item:
    """The first text of a message with the place of that message."""
    if isinstance(item, TextItem) and item.id == message.id:
        return replace(item, place=records.places.get(message.id, ""))
    return item


def _called(
    step_id: str,
    place: int,
    message: Message,
    call: Mapping[str, Any],
    outcomes: _Outcomes,
    records: Records,
    said: Sequence[Item],
) -> Item:
    """A call as a row; as words, when it is how the agent speaks and they were sent."""
    answer = outcomes.returns.get(call["id"])
    if records.speaks_by_tool and message.role == MessageRole.ASSISTANT:
        words = ANSWER_TOOL.words_of([dict(call)])
        if words is not None and (answer is None or answer["status"] == "success"):
            return TextItem(id=item_id(message.id, said, TextItem), text=words)
    return _call(step_id, place, call, outcomes, records)


def _said(message: Message, row: Step | None) -> list[Item]:
    items: list[Item] = []
    total = sum(len(part.get("text") or reasoning_text(part)) for part in message.content)
    for part in message.content:
        match part.get("type"):
            case "text" if part["text"]:
                last = items[-1] if items else None
                if isinstance(last, TextItem):
                    items[-1] = replace(last, text=last.text + part["text"])
                else:
                    items.append(TextItem(id=item_id(message.id, items, TextItem), text=part["text"]))
            case "reasoning" | "summarized_reasoning" if thought := reasoning_text(part):
                elapsed = _share_of_call(len(thought), total, row)
                last = items[-1] if items else None
                if isinstance(last, ThoughtItem):
                    elapsed = (last.elapsed_ms or 0) + (elapsed or 0) if elapsed is not None else None
                    items[-1] = replace(last, text=last.text + thought, elapsed_ms=elapsed)
                else:
                    items.append(
                        ThoughtItem(
                            id=item_id(message.id, items, ThoughtItem),
                            text=thought,
                            elapsed_ms=elapsed,
                            is_about=True,
                        )
                    )
            case "redacted_reasoning" | "omitted_reasoning" | "summarized_reasoning":
                items.append(ThoughtItem(id=item_id(message.id, items, ThoughtItem), text="", is_hidden=True))
    return items


def _share_of_call(characters: int, total: int, row: Step | None) -> float | None:
    """How long a part took, by its share of what the call streamed."""
    if row is None or row.llm_request_ns is None or not total:
        return None
    return row.llm_request_ns / 1e6 * characters / total


def item_id(message_id: str, items: Sequence[Any], kind: type[Any]) -> str:
    """The id of the next item of this kind in a message; the first text has the message's own."""
    count = sum(isinstance(each, kind) for each in items)
    prefix = message_id if kind is TextItem else f"thought-{message_id}"
    return prefix if count == 0 else f"{prefix}-{count + 1}"


def _call(
    step_id: str, place: int, call: Mapping[str, Any], outcomes: _Outcomes, records: Records
) -> CallItem:
    answer, decision = outcomes.returns.get(call["id"]), outcomes.decisions.get(call["id"])
    return CallItem(
        id=call_id(step_id, place),
        tool_call_id=call["id"],
        name=call["name"],
        arguments=call["arguments"],
        state=_state(answer, decision, is_request=outcomes.is_request),
        result=answer["text"] if answer else None,
        stdout="\n".join(answer.get("stdout") or ()) if answer else "",
        stderr="\n".join(answer.get("stderr") or ()) if answer else "",
        elapsed_ms=answer.get("duration_ms") if answer else None,
        changes=records.changes.get(call["id"], ()),
        decision=decision,
    )


def _state(answer: Mapping[str, Any] | None, decision: Decision | None, *, is_request: bool) -> CallState:
    if answer is None:
        return "waiting" if is_request else "done"
    if answer["status"] != "error":
        return "done"
    return "denied" if decision is not None and decision.verdict in _REFUSED else "failed"


def call_id(step_id: str, place: int) -> str:
    """The element id of a call: a provider's own id may hold any character."""
    return f"call-{step_id}-{place}"


def _note(text: str) -> str:
    """What a note of the loop says; it is stored as JSON with a reason."""
    try:
        data = json.loads(text)
    except ValueError:
        return text
    return str(data.get("reason", text)) if isinstance(data, dict) else text


def memory_lines(
    versions: Iterable[BlockVersion], before: Mapping[tuple[str, int], str]
) -> dict[str, tuple[MemoryLine, ...]]:
    """Writes by the tool call that made them; `before` has the values of (block id, number)."""
    found: dict[str, tuple[MemoryLine, ...]] = {}
    for version in versions:
        lines = count_changed_lines(before.get((version.block_id, version.number - 1), ""), version.value)
        line = MemoryLine(
            block_id=version.block_id,
            label=version.label,
            from_version=version.number - 1,
            to_version=version.number,
            added=lines.added,
            removed=lines.removed,
        )
        call = version.tool_call_id or ""
        found[call] = (*found.get(call, ()), line)
    return found
