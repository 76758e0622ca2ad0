"""What the transcript shows: runs, their steps, and what was said, called, decided and written in each. Plain values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.urls import reverse

from agents.models import Message, Step
from agents.services.approvals import CANCELLED, EXPIRED
from agents.services.decision_notes import read_note
from agents.web.code_pieces import CodePiece, arguments_line, code_pieces
from agents.web.compaction_items import CompactionItem
from agents.web.context_places import Place

CallState = Literal["writing", "running", "waiting", "done", "failed", "denied"]
Verdict = Literal["approved", "denied", "returned", "failed", "cancelled", "expired"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageItem:
    """An image of a message, served from here."""

    url: str
    alt: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InputItem:
    """A message that somebody sent."""

    id: str
    role: str
    who: str
    text: str
    images: tuple[ImageItem, ...]
    at: datetime
    place: Place = ""
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
    #: Where the message stands that begins with it; of one that has several texts only the first has it.
    place: Place = ""
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
class Decision:
    """What somebody decided about a call that waited.

    `failed`: the client's tool returned an error; `cancelled`: nobody answered, and the request was taken back;
    `expired`: nobody answered in time.
    """

    id: str
    tool_call_id: str
    tool: str
    verdict: Verdict
    who: str
    at: datetime
    reason: str = ""


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
    decision: Decision | None = None
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


#: Stored reasons that nobody gave.
_CLOSED: dict[str | None, Verdict] = {CANCELLED.reason: "cancelled", EXPIRED.reason: "expired"}

Item = ThoughtItem | TextItem | CallItem | NoteItem | CompactionItem


@dataclass(frozen=True, slots=True, kw_only=True)
class StepItem:
    """A step: one call of the model and what followed from it. `number` counts those of the conversation."""

    id: str
    number: int
    items: tuple[Item, ...] = ()
    at: datetime | None = None
    tokens: int | None = None
    is_live: bool = False
    #: Why it begins anew: the reason of the last retry, or that another process took the run up.
    remark: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """Why a run failed, in the other side's own words."""

    title: str
    detail: str
    request_id: str | None
    #: The HTTP status that a client is told.
    status: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunItem:
    """A run as the transcript shows it. `day` stands above the first one of a day."""

    id: str
    #: About calls of an earlier step.
    decisions: tuple[Decision, ...] = ()
    inputs: tuple[InputItem, ...] = ()
    #: Compactions before its first step, and those between it and the next run; others are among the items of its steps.
    first_marks: tuple[CompactionItem, ...] = ()
    last_marks: tuple[CompactionItem, ...] = ()
    steps: tuple[StepItem, ...] = ()
    day: datetime | None = None
    is_live: bool = False
    fault: Fault | None = None
    #: How it ended, when not by the agent's own decision.
    ending: str = ""
    #: What befell the processes that worked on it.
    remark: str = ""

    def placed(self) -> Iterator[InputItem | TextItem]:
        """What is, or was, in the context and can be seen."""
        for item in (*self.inputs, *(item for step in self.steps for item in step.items)):
            if isinstance(item, InputItem | TextItem) and item.place:
                yield item


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """The rows around the messages of some runs."""

    steps: Mapping[str, Step] = field(default_factory=dict)
    #: By tool call id.
    changes: Mapping[str, tuple[MemoryLine, ...]] = field(default_factory=dict)
    #: Public id → name.
    names: Mapping[str, str] = field(default_factory=dict)
    #: By message id.
    places: Mapping[str, Place] = field(default_factory=dict)
    #: What the agent says are calls of a tool (`AnswerTool`).
    speaks_by_tool: bool = False


_ENDINGS = {
    "cancelled": "Stopped",
    "max_steps": "Stopped: the run took as many steps as it was allowed",
    "max_tokens_exceeded": "Stopped: the answer reached the model's limit of output tokens",
    "no_tool_call": "Stopped: the model called no tool",
    "invalid_tool_call": "Stopped: a tool rule prefills arguments that the tool does not take",
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
        status=error.get("http_status"),
    )


def remark_on(attempts: int) -> str:
    """What is said about a run that cost so many processes their life."""
    if not attempts:
        return ""
    times = "once" if attempts == 1 else f"{attempts} times"
    return f"Its server process ended {times}; another one went on after the last stored step"


def input_from(
    message: Message, names: Mapping[str, str], default_name: str = "", place: Place = ""
) -> InputItem:
    """The message of a request, or what this server put before it."""
    if (words := read_note(message)) is not None:
        return InputItem(
            id=message.id,
            role="system",
            who="Letta ADE",
            text=words,
            images=(),
            at=message.created_at,
            place=place,
        )
    who = message.name or names.get(message.created_by_id or "") or default_name or message.role
    return InputItem(
        id=message.id,
        role=message.role,
        who=who,
        text=text_of(message.content),
        images=_images_of(message, who),
        at=message.created_at,
        place=place,
    )


def _images_of(message: Message, who: str) -> tuple[ImageItem, ...]:
    count = sum(part.get("type") == "image" for part in message.content)
    query = f"?run={message.run_id}" if message.run_id else ""
    return tuple(
        ImageItem(
            url=reverse("agents:image", args=[message.agent_id, message.id, place]) + query,
            alt=f"Image {place} of {count}, sent by {who}" if count > 1 else f"Image sent by {who}",
        )
        for place in range(1, count + 1)
    )


def decisions_from(
    answers: Iterable[Message], names: Mapping[str, str], tools: Mapping[str, str], default_name: str = ""
) -> tuple[Decision, ...]:
    """What these answers decide; `tools` has the name of the tool by tool call id."""
    return tuple(
        Decision(
            id=f"decision-{message.id}-{place}",
            tool_call_id=item["tool_call_id"],
            tool=tools.get(item["tool_call_id"], "a call"),
            verdict=_verdict(item),
            who=names.get(message.created_by_id or "") or default_name or "Somebody",
            at=message.created_at,
            reason="" if item.get("reason") in _CLOSED else str(item.get("reason") or ""),
        )
        for message in answers
        for place, item in enumerate(message.approvals or ())
    )


def _verdict(item: Mapping[str, Any]) -> Verdict:
    if closed := _CLOSED.get(item.get("reason")):
        return closed
    if item["type"] == "approval":
        return "approved" if item["approve"] else "denied"
    return "failed" if item["status"] == "error" else "returned"


def called_tools(messages: Iterable[Message]) -> dict[str, str]:
    """The names of the tools that these messages call, by tool call id."""
    return {call["id"]: call["name"] for message in messages for call in message.tool_calls}


def text_of(content: Iterable[Mapping[str, Any]]) -> str:
    """The text of stored content parts."""
    return "".join(part["text"] for part in content if part.get("type") == "text")
