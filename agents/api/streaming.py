"""From the events of a run to the messages that a client reads (spec/streaming.md §3–§6).

Streamed and plain answers come from the same translation: a plain one is the fold of the step-wise one.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from agents.api.schemas.message import LettaResponse, Logprobs, StopReason, UsageStatistics
from agents.api.spoken import answer_tool_asked, speaks_by_tool
from agents.api.wire import WireMessage, head, hidden_fields, summary_message, wire_messages
from agents.models import Message, Run
from agents.runtime.events import (
    CompactionStarted,
    ContextCompacted,
    Event,
    ReasoningDelta,
    ReasoningHidden,
    RunEnded,
    RunStarted,
    StepStored,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
)
from agents.runtime.spoken import AnswerTool, Spoken

#: What a run stores that is not said to the client: its own input, and notes to the model.
_SILENT_ROLES = frozenset({"user", "system", "summary"})
#: Providers whose pieces of a tool call each name the tool; those of all others do so once, at its beginning.
_NAMES_EACH_PIECE = frozenset({"anthropic", "bedrock"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """How a client wants a run told."""

    stream_tokens: bool = False
    #: None: all types.
    message_types: frozenset[str] | None = None
    #: The handle of the model, for a reader that comes in the middle; one from the start is told by the run.
    model: str = ""
    #: Of an agent that speaks through a tool. A reader from the start is told by the run whether it does.
    answer_tool: AnswerTool | None = None
    #: Whether compactions are told of.
    tells_compactions: bool = False

    @classmethod
    def of(cls, run: Run) -> Format:
        """The form in which a run was ordered."""
        types = run.request_config.get("include_return_message_types")
        return cls(
            stream_tokens=bool(run.request_config.get("stream_tokens")),
            message_types=None if types is None else frozenset(types),
            model=run.metadata.get("model", ""),
            answer_tool=answer_tool_asked(run.request_config) if speaks_by_tool(run.agent) else None,
            tells_compactions=bool(run.request_config.get("include_compaction_messages")),
        )


class Translator:
    """Gives the wire messages of each event of one run."""

    def __init__(self, run_id: str, format: Format) -> None:
        self._run_id = run_id
        self._format = format
        self._names_each_piece = _names_each_piece(format.model)
        #: The fields that the pieces of one message share, and what they were made for.
        self._head: WireMessage = {}
        self._head_of: tuple[str, str, str, int] | None = None
        #: The words of the calls that speak, by tool call id.
        self._spoken: dict[str, Spoken] = {}
        self._answer_tool = format.answer_tool

    def messages(self, event: Event) -> list[WireMessage]:
        """The messages that the event stands for; none for most. The end of a run is not among them (`ending`)."""
        found = self._stored(event) if isinstance(event, StepStored) else self._piece(event)
        wanted = self._format.message_types
        return found if wanted is None else [each for each in found if each["message_type"] in wanted]

    def _stored(self, event: StepStored) -> list[WireMessage]:
        found: list[WireMessage] = []
        for data in event.messages:
            if data["id"] in event.input_ids or data["role"] in _SILENT_ROLES:
                continue
            message = Message.from_data(data)
            if not self._format.stream_tokens or data["role"] == "tool":
                found += wire_messages(message, self._answer_tool)
            elif data["role"] == "assistant":
                found += self._unsaid(message)
        return found

    def _unsaid(self, message: Message) -> list[WireMessage]:
        """The pieces of a stored message were sent, but for words that did not come as a text."""
        tool = self._answer_tool
        words = tool.words_of(message.tool_calls) if tool is not None else None
        if words is None:
            return []
        spoken = self._spoken.pop(message.tool_calls[0]["id"], None)
        rest = spoken.rest(words) if spoken is not None else words
        whole = wire_messages(message, tool)[-1]
        return [{**whole, "content": rest}] if rest else []

    def _compaction(self, event: CompactionStarted | ContextCompacted) -> WireMessage:
        if isinstance(event, ContextCompacted):
            return summary_message(Message.from_data(event.message))
        data = {
            "trigger": event.trigger,
            "context_token_estimate": event.context_tokens,
            "context_window": event.context_window,
        }
        about = head(
            "event_message",
            message_id=event.compaction_id,
            otid=None,
            date=datetime.now(UTC),
            step_id=event.step_id,
            run_id=self._run_id,
        )
        return {**about, "event_type": "compaction", "event_data": data}

    def _piece(self, event: Event) -> list[WireMessage]:
        if isinstance(event, CompactionStarted | ContextCompacted):
            return [self._compaction(event)] if self._format.tells_compactions else []
        if isinstance(event, RunStarted):
            self._names_each_piece = _names_each_piece(event.model)
            self._answer_tool = self._format.answer_tool if event.loop == "heartbeat" else None
        if not self._format.stream_tokens:
            return []
        match event:
            case TextDelta():
                return [self._chunk("assistant_message", event, content=event.text)]
            case ReasoningDelta():
                source = "reasoner_model" if event.is_native else "non_reasoner_model"
                fields = {"reasoning": event.text, "source": source, "signature": None}
                return [self._chunk("reasoning_message", event, **fields)]
            case ReasoningHidden():
                return [self._chunk("hidden_reasoning_message", event, **hidden_fields(event.data))]
            case ToolCallStarted() | ToolCallDelta() if self._speaks(event):
                return self._say(event)
            case ToolCallStarted():
                return [self._call(event, {"name": event.name, "tool_call_id": event.tool_call_id})]
            case ToolCallDelta():
                name = {"name": event.name} if self._names_each_piece else {}
                piece = {"arguments": event.arguments, "tool_call_id": event.tool_call_id}
                return [self._call(event, {**name, **piece})]
            case _:
                return []

    def _speaks(self, event: ToolCallStarted | ToolCallDelta) -> bool:
        tool = self._answer_tool
        return tool is not None and event.name == tool.name and not event.is_request

    def _say(self, event: ToolCallStarted | ToolCallDelta) -> list[WireMessage]:
        tool = self._answer_tool
        if tool is None or isinstance(event, ToolCallStarted):
            return []
        spoken = self._spoken.setdefault(event.tool_call_id, Spoken(tool.argument))
        words = spoken.feed(event.arguments)
        return [self._chunk("assistant_message", event, content=words)] if words else []

    def _call(self, event: ToolCallStarted | ToolCallDelta, call: dict[str, str]) -> WireMessage:
        kind = "approval_request_message" if event.is_request else "tool_call_message"
        chunk = self._chunk(kind, event, tool_call=call, tool_calls=call)
        return {**chunk, "otid": event.message_id} if event.is_request else chunk

    def _chunk(
        self,
        message_type: str,
        event: TextDelta | ReasoningDelta | ReasoningHidden | ToolCallStarted | ToolCallDelta,
        **fields: Any,
    ) -> WireMessage:
        second = int(time.time())
        head_of = (message_type, event.message_id, event.otid, second)
        if head_of != self._head_of:
            self._head_of = head_of
            self._head = head(
                message_type,
                message_id=event.message_id,
                otid=event.otid,
                date=datetime.fromtimestamp(second, UTC),
                step_id=event.step_id,
                run_id=self._run_id,
            )
        return {**self._head, **fields}


def _names_each_piece(handle: str) -> bool:
    return handle.partition("/")[0] in _NAMES_EACH_PIECE


def ping(run_id: str, seq_id: int | None) -> WireMessage:
    """A sign of life; the first one tells the client which run it reads."""
    message = head(
        "ping",
        message_id=f"ping-{uuid.uuid4()}",
        otid=None,
        date=datetime.now(UTC),
        step_id=None,
        run_id=run_id,
    )
    return {**message, "seq_id": seq_id}


def stop_reason(event: RunEnded) -> StopReason:
    """Why the run ended."""
    return StopReason(stop_reason=event.stop_reason)


def usage(event: RunEnded) -> UsageStatistics:
    """The sums of the run; what nobody reported is null."""
    known = UsageStatistics.model_fields.keys() - {"message_type"}
    return UsageStatistics(**{name: value for name, value in event.usage.items() if name in known})


def error_message(error: dict[str, Any], seq_id: int | None) -> WireMessage:
    """The error of a run as clients read it, without what is for our own doors."""
    return {
        "message_type": "error_message",
        "run_id": error["run_id"],
        "error_type": error["error_type"],
        "message": error["message"],
        "detail": error.get("detail"),
        "seq_id": seq_id,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Folded:
    """A whole run as one answer; `error` when it failed by an error."""

    response: LettaResponse
    error: dict[str, Any] | None


async def fold(run_id: str, events: AsyncIterator[tuple[int, Event]], format: Format) -> Folded | None:
    """The answer of a run once it has ended; None when its events are gone."""
    translator = Translator(run_id, format)
    messages: list[WireMessage] = []
    async for _, event in events:
        messages += translator.messages(event)
        if isinstance(event, RunEnded):
            response = LettaResponse(
                messages=messages,
                stop_reason=stop_reason(event),
                usage=usage(event),
                logprobs=Logprobs.of(event.logprobs),
            )
            return Folded(response=response, error=event.error)
    return None
