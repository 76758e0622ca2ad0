"""What the transcript shows: runs, their steps, and what was said, called and written in each. Plain values, made from stored rows."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from agents.models import Message, Step
from agents.models.message import MessageRole
from letta_ade.llm.messages import reasoning_text
from memory.history import count_changed_lines
from memory.models import BlockVersion

CallState = Literal["writing", "running", "done", "failed"]

#: Of the arguments in a row; the whole is one click away.
_LINE_CHARACTERS = 200
#: JSON shorter than this stays on one line.
_ONE_LINE = 72
#: Beyond this a text is shown as it is: colouring megabytes helps nobody.
_MOST_COLOURED = 20_000

_JSON_TOKEN = re.compile(
    r'(?P<text>"(?:\\.|[^"\\])*")(?P<key>\s*:)?|(?P<number>-?\d[\d.eE+-]*)|(?P<word>true|false|null)'
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CodePiece:
    """A piece of JSON and the class of its colour."""

    text: str
    css: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class InputItem:
    """A message that somebody sent."""

    id: str
    role: str
    who: str
    text: str
    image_count: int
    at: datetime
    kind: Literal["input"] = "input"


@dataclass(frozen=True, slots=True, kw_only=True)
class ThoughtItem:
    """Reasoning. `is_hidden`: the provider keeps the text to itself."""

    id: str
    text: str
    is_hidden: bool = False
    is_live: bool = False
    elapsed_ms: float | None = None
    #: The time was worked out from the whole call, not measured.
    is_about: bool = False
    kind: Literal["thought"] = "thought"


@dataclass(frozen=True, slots=True, kw_only=True)
class TextItem:
    """What the agent said."""

    id: str
    text: str
    is_live: bool = False
    kind: Literal["text"] = "text"


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryLine:
    """A write to a block by a tool call."""

    block_id: str
    label: str
    from_version: int
    to_version: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CallItem:
    """A tool call as a row, with what went in and came out."""

    id: str
    tool_call_id: str
    name: str
    arguments: str
    state: CallState
    result: str | None = None
    stdout: str = ""
    stderr: str = ""
    elapsed_ms: float | None = None
    changes: tuple[MemoryLine, ...] = ()
    kind: Literal["call"] = "call"

    @property
    def arguments_line(self) -> str:
        return arguments_line(self.arguments)

    @property
    def arguments_code(self) -> tuple[CodePiece, ...]:
        return code_pieces(self.arguments)

    @property
    def result_code(self) -> tuple[CodePiece, ...]:
        return code_pieces(self.result or "")

    @property
    def is_open(self) -> bool:
        """Rows are closed unless something goes on or went wrong."""
        return self.state in ("running", "failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteItem:
    """What the loop itself said to the model."""

    id: str
    text: str
    kind: Literal["note"] = "note"


Item = ThoughtItem | TextItem | CallItem | NoteItem


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem:
    """A step: one call of the model and what followed from it. `number` counts those of the conversation."""

    id: str
    number: int
    items: tuple[Item, ...] = ()
    at: datetime | None = None
    tokens: int | None = None
    is_live: bool = False
    #: Where `items` begin to be asked again: the reason of the last retry.
    retry_reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a run failed, in the other side's own words."""

    title: str
    detail: str
    request_id: str | None
    can_retry: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class RunItem:
    """A run as the transcript shows it. `day` stands above the first one of a day."""

    id: str
    inputs: tuple[InputItem, ...] = ()
    steps: tuple[StepItem, ...] = ()
    day: datetime | None = None
    is_live: bool = False
    fault: Fault | None = None
    #: How it ended, when not by the agent's own decision.
    ending: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The rows around the messages of some runs."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    #: By tool call id.
    changes: Mapping[str, tuple[MemoryLine, ...]] = field(default_factory=dict)
    #: Public id → name.
    names: Mapping[str, str] = field(default_factory=dict)


_ENDINGS = {
    "cancelled": "Stopped",
    "max_steps": "Stopped: the run took as many steps as it was allowed",
    "max_tokens_exceeded": "Stopped: the answer reached the model's limit of output tokens",
    "no_tool_call": "Stopped: the model called no tool",
}


def ending_words(stop_reason: str | None) -> str:
    """How a run ended that did not come to its own end; empty for the usual ends."""
    return _ENDINGS.get(stop_reason or "", "")


def fault_from(error: Mapping[str, Any] | None) -> Fault | None:
    """The fault that a run's stored error describes."""
    if not error:
        return None
    detail = error.get("detail")
    return Fault(
        title=str(error.get("message") or "The run failed."),
        detail="" if detail is None else str(detail),
        request_id=error.get("request_id"),
        can_retry=True,
    )


def input_from(message: Message, names: Mapping[str, str], default_name: str = "") -> InputItem:
    """The message of a request."""
    who = message.name or names.get(message.created_by_id or "") or default_name or message.role
    return InputItem(
        id=message.id,
        role=message.role,
        who=who,
        text=text_of(message.content),
        image_count=sum(part.get("type") == "image" for part in message.content),
        at=message.created_at,
    )


def step_from(step_id: str, number: int, messages: Sequence[Message], records: Records) -> StepItem:
    """A stored step: the messages that it wrote, its inputs left out."""
    row = records.steps.get(step_id)
    returns = {each["tool_call_id"]: each for message in messages for each in message.tool_returns}
    items: list[Item] = []
    for message in messages:
        if message.role == MessageRole.ASSISTANT:
            items += _said(message, row)
            items += [
                _call(step_id, place, call, returns.get(call["id"]), records)
                for place, call in enumerate(message.tool_calls)
            ]
        elif message.role == MessageRole.USER:
            items.append(NoteItem(id=message.id, text=_note(text_of(message.content))))
    said = next((message for message in messages if message.role == MessageRole.ASSISTANT), None)
    return StepItem(
        id=step_id,
        number=number,
        items=tuple(items),
        at=said.created_at if said else None,
        tokens=row.completion_tokens if row else None,
    )


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
    step_id: str, place: int, call: Mapping[str, Any], answer: Mapping[str, Any] | None, records: Records
) -> CallItem:
    return CallItem(
        id=call_id(step_id, place),
        tool_call_id=call["id"],
        name=call["name"],
        arguments=call["arguments"],
        state="failed" if answer and answer["status"] == "error" else "done",
        result=answer["text"] if answer else None,
        stdout="\n".join(answer.get("stdout") or ()) if answer else "",
        stderr="\n".join(answer.get("stderr") or ()) if answer else "",
        elapsed_ms=answer.get("duration_ms") if answer else None,
        changes=records.changes.get(call["id"], ()),
    )


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


def text_of(content: Iterable[Mapping[str, Any]]) -> str:
    """The text of stored content parts."""
    return "".join(part["text"] for part in content if part.get("type") == "text")


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


def arguments_line(arguments: str) -> str:
    """`label="human", insert_line=12`: the arguments of a call on one line."""
    try:
        data = json.loads(arguments)
    except ValueError:
        return arguments[:_LINE_CHARACTERS]
    if not isinstance(data, dict):
        return arguments[:_LINE_CHARACTERS]
    pairs = (f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items())
    return ", ".join(pairs)[:_LINE_CHARACTERS]


def code_pieces(text: str) -> tuple[CodePiece, ...]:
    """JSON in pieces with colours, broken into lines when it is long; any other text as it is."""
    if len(text) > _MOST_COLOURED or text[:1] not in ("{", "["):
        return (CodePiece(text=text),) if text else ()
    try:
        data = json.loads(text)
    except ValueError:
        return (CodePiece(text=text),)
    line = json.dumps(data, ensure_ascii=False)
    pretty = line if len(line) <= _ONE_LINE else json.dumps(data, ensure_ascii=False, indent=2)
    pieces, end = [], 0
    for match in _JSON_TOKEN.finditer(pretty):
        if match.start() > end:
            pieces.append(CodePiece(text=pretty[end : match.start()]))
        if match["text"]:
            pieces.append(CodePiece(text=match["text"], css="ck" if match["key"] else "cs"))
            if match["key"]:
                pieces.append(CodePiece(text=match["key"]))
        else:
            pieces.append(CodePiece(text=match.group(), css="cn"))
        end = match.end()
    if end < len(pretty):
        pieces.append(CodePiece(text=pretty[end:]))
    return tuple(pieces)
