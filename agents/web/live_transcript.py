"""A run that goes on, as a fold of its events: what is there so far, and what the last events changed of it."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from agents.models import Message
from agents.runtime.events import (
    BlockChanged,
    CallRetried,
    CompactionStarted,
    ContextCompacted,
    Event,
    ReasoningDelta,
    ReasoningHidden,
    RunEnded,
    RunResumed,
    RunStarted,
    StepStarted,
    StepStored,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    ToolStarted,
)
from agents.runtime.spoken import Spoken
from agents.web.compaction_items import CompactionItem, why
from agents.web.live_frame import LiveChanges, RunFrame
from agents.web.run_line import Phase, RunLine, end_of
from agents.web.transcript import (
    CallItem,
    Item,
    MemoryLine,
    Records,
    RunItem,
    StepItem,
    TextItem,
    ThoughtItem,
    called_tools,
    decisions_from,
    ending_words,
    fault_from,
    input_from,
)
from agents.web.transcript_steps import ANSWER_TOOL, call_id, item_id, step_from


class LiveRun:
    """Takes events in order. `item()` is everything; `take_changes()` what is new since it was last asked."""

    def __init__(self, frame: RunFrame, *, names: Mapping[str, str] | None = None) -> None:
        self.frame = frame
        self.steps: dict[str, StepItem] = {}
        self.has_ended = False
        #: Whether nobody has drawn it yet.
        self.is_first_frame = True
        self._names = names or {}
        self._message_ids: dict[str, str] = {}
        #: By step, the ids of its tool calls; by call, the words that it says.
        self._calls: dict[str, list[str]] = {}
        self._spoken: dict[str, Spoken] = {}
        self._speaks = frame.speaks_by_tool
        #: The events that are told first are those of a process that has left the run.
        self._is_left = frame.is_handed_over
        #: What the next step begins with.
        self._remark = ""
        self._run = RunItem(id=frame.run_id, day=frame.day, is_live=True)
        self._line = RunLine(run_id=frame.run_id, phase="queued")
        self._changes = LiveChanges()
        #: Why the context is being compacted.
        self._reason = ""
        self._caller_name = frame.queued_by
        self._model = ""
        self._started: datetime | None = None
        #: When what is going on began, on this process's clock.
        self._since: dict[str, float] = {}
        if frame.asked is not None:
            self.steps[frame.asked.id] = frame.asked.item()
        if frame.queued is not None:
            self._show_inputs(frame.queued)

    @property
    def asked_id(self) -> str | None:
        """The step of an earlier run that this one answers: among `steps`, and no part of `item()`."""
        return self.frame.asked.id if self.frame.asked is not None else None

    def item(self) -> RunItem:
        """The whole run as it stands."""
        own = tuple(step for step_id, step in self.steps.items() if step_id != self.asked_id)
        return replace(self._run, steps=own)

    def line(self) -> RunLine:
        """The run line as it stands."""
        elapsed = self._line.elapsed_ms
        if self._line.is_busy and self._started is not None:
            elapsed = max(0.0, (datetime.now(self._started.tzinfo) - self._started).total_seconds() * 1000)
        return replace(self._line, elapsed_ms=elapsed)

    def find(self, step_id: str, element_id: str) -> Item | None:
        """An item of a step."""
        return next((each for each in self.steps[step_id].items if each.id == element_id), None)

    def take_changes(self) -> LiveChanges:
        """What changed since the last call."""
        changes, self._changes = self._changes, LiveChanges()
        return changes

    def apply_all(self, events: Sequence[Event]) -> None:
        """Take the next events, all that are there."""
        for event in events:
            self.apply(event)
        if self._is_left and not any(isinstance(event, RunResumed | RunEnded) for event in events):
            self.wait_for_worker()
        self._is_left = False

    def apply(self, event: Event) -> None:
        """Take the next event."""
        match event:
            case RunStarted():
                self._start(event)
            case StepStarted():
                self._begin_step(event)
            case ReasoningDelta():
                self._add_text(event.step_id, ThoughtItem, event.text)
                self._phase("thinking", self._model)
            case ReasoningHidden():
                self._append(event.step_id, self._new(event.step_id, ThoughtItem, is_hidden=True))
            case TextDelta():
                self._add_text(event.step_id, TextItem, event.text)
                self._phase("writing", self._model)
            case ToolCallStarted() | ToolCallDelta():
                self._add_call(event)
            case CallRetried():
                self._retry(event)
            case ToolStarted():
                self._run_call(event)
            case StepStored():
                self._store(event)
            case BlockChanged():
                self._change_block(event)
            case CompactionStarted():
                self._reason = why(event.trigger)
                self._phase("saving", "compacts the context")
            case ContextCompacted():
                self._mark(event)
            case RunResumed():
                self._resume(event)
            case RunEnded():
                self._end(event)

    def _start(self, event: RunStarted) -> None:
        self._caller_name, self._model = event.caller_name, event.model
        self._speaks = event.loop == "heartbeat"
        self._started = datetime.fromisoformat(event.started_at)
        self._show_inputs([Message.from_data(data) for data in event.inputs])
        self._phase("queued", "")

    def _show_inputs(self, messages: Iterable[Message]) -> None:
        inputs = tuple(input_from(message, self._names, self._caller_name) for message in messages)
        self._run = replace(self._run, inputs=inputs)
        self._changes.has_inputs = True

    def wait_for_worker(self) -> None:
        """Nobody works on the run at the moment; its next event says that somebody does."""
        self._phase("queued", "waits for a worker")

    def _resume(self, event: RunResumed) -> None:
        """What was told of a step that was not stored is void."""
        self.steps = {step_id: step for step_id, step in self.steps.items() if not step.is_live}
        self._changes = LiveChanges(has_inputs=True, has_line=True, is_whole=True)
        stored = "1 step was" if event.steps == 1 else f"{event.steps} steps were"
        self._remark = f"Taken up by another process; {stored} stored before"
        self._phase("queued", "taken up again")

    def _begin_step(self, event: StepStarted) -> None:
        number = self.frame.first_number + event.number - 1
        for step_id in [step_id for step_id, step in self.steps.items() if step.is_live]:
            # Its request was too long and is asked again in this one.
            del self.steps[step_id]
            self._changes.is_whole = True
        self.steps[event.step_id] = StepItem(
            id=event.step_id, number=number, is_live=True, remark=self._remark
        )
        self._remark = ""
        self._message_ids[event.step_id] = event.message_id
        self._changes.new_steps.append(event.step_id)
        self._phase("thinking", self._model)
        self._line = replace(self._line, step_count=event.number)
        self._changes.has_line = True

    def _add_text(self, step_id: str, kind: type[TextItem] | type[ThoughtItem], text: str) -> None:
        last = self._last(step_id)
        if isinstance(last, kind):
            self._put(step_id, replace(last, text=last.text + text), is_seen=True)
            if not self._is_new(step_id, last.id):
                pair = (step_id, last.id)
                self._changes.tails[pair] = self._changes.tails.get(pair, "") + text
        else:
            self._append(step_id, self._new(step_id, kind, text=text))

    def _new(self, step_id: str, kind: type[Any], **values: Any) -> Any:
        element_id = item_id(self._message_ids[step_id], self.steps[step_id].items, kind)
        self._since[element_id] = time.monotonic()
        return kind(id=element_id, is_live=not values.get("is_hidden"), **{"text": "", **values})

    def _add_call(self, event: ToolCallStarted | ToolCallDelta) -> None:
        known = self._calls.setdefault(event.step_id, [])
        if event.tool_call_id not in known:
            known.append(event.tool_call_id)
        if self._speaks and event.name == ANSWER_TOOL.name and not event.is_request:
            self._say(event)
            return
        call = self._call(event.step_id, event.tool_call_id)
        if call is None:
            call = CallItem(
                id=call_id(event.step_id, known.index(event.tool_call_id)),
                tool_call_id=event.tool_call_id,
                name=event.name,
                arguments="",
                state="writing",
            )
            self._append(event.step_id, call)
        if isinstance(event, ToolCallDelta):
            self._put(event.step_id, replace(call, arguments=call.arguments + event.arguments))
        self._phase("writing", event.name)

    def _say(self, event: ToolCallStarted | ToolCallDelta) -> None:
        """A call that is what the agent says."""
        spoken = self._spoken.setdefault(event.tool_call_id, Spoken(ANSWER_TOOL.argument))
        if isinstance(event, ToolCallDelta) and (words := spoken.feed(event.arguments)):
            self._add_text(event.step_id, TextItem, words)
        self._phase("writing", self._model)

    def _retry(self, event: CallRetried) -> None:
        self._message_ids[event.step_id] = event.message_id
        step = self.steps[event.step_id]
        reason = f"Attempt {event.attempt + 1}: {event.reason}"
        self.steps[event.step_id] = replace(step, items=(), remark=reason)
        for tool_call_id in self._calls.pop(event.step_id, ()):
            self._spoken.pop(tool_call_id, None)
        self._redraw(event.step_id)
        self._phase("thinking", self._model)

    def _run_call(self, event: ToolStarted) -> None:
        if event.step_id in self.steps:
            self._finish_texts(event.step_id)
        known = self._call(event.step_id, event.tool_call_id)
        if known is not None:
            self._since[known.id] = time.monotonic()
            self._put(event.step_id, replace(known, arguments=event.arguments, state="running"))
        if event.tool_call_id not in self._spoken:
            self._phase("tool", event.name)

    def _store(self, event: StepStored) -> None:
        inputs = set(event.input_ids)
        messages = [Message.from_data(data) for data in event.messages]
        if event.number == 0:
            self._store_answers(event.step_id, messages)
            return
        step = self.steps.get(event.step_id)
        if inputs:
            self._show_inputs(message for message in messages if message.id in inputs)
        if step is not None:
            stored = step_from(
                event.step_id,
                step.number,
                [message for message in messages if message.id not in inputs],
                Records(speaks_by_tool=self._speaks),
            )
            timed = tuple(self._with_time(each) for each in stored.items)
            tokens = event.usage.get("completion_tokens")
            self.steps[event.step_id] = replace(stored, items=timed, tokens=tokens, remark=step.remark)
            self._redraw(event.step_id)
        self._line = replace(
            self._line,
            prompt_tokens=self._line.prompt_tokens + (event.usage.get("prompt_tokens") or 0),
            completion_tokens=self._line.completion_tokens + (event.usage.get("completion_tokens") or 0),
        )
        self._changes.has_line = True
        self._phase("saving", "")

    def _store_answers(self, step_id: str, messages: Sequence[Message]) -> None:
        """What was decided about the calls of an earlier step, and what came of them."""
        asked = self.frame.asked
        tools = called_tools(asked.messages) if asked is not None else {}
        answers = [message for message in messages if message.approvals is not None]
        decisions = decisions_from(answers, self._names, tools, self._caller_name)
        self._run = replace(self._run, decisions=decisions)
        self._changes.has_inputs = True
        if asked is not None and asked.id == step_id:
            self.steps[step_id] = asked.item(messages)
            self._redraw(step_id)
        self._phase("saving", "")

    def _with_time(self, item: Item) -> Item:
        """The stored item with the time that was measured here, if it was."""
        ended = self._since.get(f"{item.id} end")
        if isinstance(item, ThoughtItem) and ended is not None:
            return replace(item, elapsed_ms=(ended - self._since[item.id]) * 1000, is_about=False)
        return item

    def _change_block(self, event: BlockChanged) -> None:
        known = self._call(event.step_id, event.tool_call_id)
        if known is None:
            return
        line = MemoryLine(
            block_id=event.block_id,
            label=event.label,
            from_version=event.from_version,
            to_version=event.to_version,
            added=event.added,
            removed=event.removed,
        )
        self._put(event.step_id, replace(known, changes=(*known.changes, line)))

    def _mark(self, event: ContextCompacted) -> None:
        mark = CompactionItem(
            id=event.compaction_id,
            tokens_before=event.tokens_before,
            tokens_after=event.tokens_after,
            replaced=event.messages_before - event.messages_after + 1,
            why=self._reason,
            is_last=True,
        )
        step = self.steps.get(event.step_id or "")
        if step is None:
            self._run = replace(self._run, first_marks=(*self._run.first_marks, mark))
            self._changes.is_whole = True
        else:
            self.steps[step.id] = replace(step, items=(*step.items, mark))
            self._redraw(step.id)

    def _end(self, event: RunEnded) -> None:
        self.has_ended = True
        for step_id, step in self.steps.items():
            if step.is_live:
                self._finish_texts(step_id)
                self.steps[step_id] = replace(self.steps[step_id], is_live=False)
                self._redraw(step_id)
        self._run = replace(
            self._run,
            is_live=False,
            fault=fault_from(event.error),
            ending=ending_words(event.stop_reason),
        )
        self._line = replace(self._line, elapsed_ms=event.duration_ms)
        self._phase(*end_of(event.status, event.stop_reason))

    def _finish_texts(self, step_id: str) -> None:
        for each in self.steps[step_id].items:
            if isinstance(each, TextItem | ThoughtItem) and each.is_live:
                self._finish(step_id, each)

    def _finish(self, step_id: str, item: TextItem | ThoughtItem) -> None:
        self._since.setdefault(f"{item.id} end", time.monotonic())
        if isinstance(item, ThoughtItem):
            elapsed = (self._since[f"{item.id} end"] - self._since[item.id]) * 1000
            self._put(step_id, replace(item, is_live=False, elapsed_ms=elapsed))
        else:
            self._put(step_id, replace(item, is_live=False))

    def _append(self, step_id: str, item: Item) -> None:
        last = self._last(step_id)
        if isinstance(last, TextItem | ThoughtItem) and last.is_live:
            self._finish(step_id, last)
        step = self.steps[step_id]
        self.steps[step_id] = replace(step, items=(*step.items, item))
        if not self._is_redrawn(step_id):
            self._changes.new_items.append((step_id, item.id))

    def _put(self, step_id: str, item: Item, *, is_seen: bool = False) -> None:
        """Replace the item of the same id; `is_seen`: its change is told as a tail."""
        step = self.steps[step_id]
        items = tuple(item if each.id == item.id else each for each in step.items)
        self.steps[step_id] = replace(step, items=items)
        pair = (step_id, item.id)
        if not is_seen and not self._is_new(step_id, item.id) and pair not in self._changes.items:
            self._changes.items.append(pair)
            self._changes.tails.pop(pair, None)

    def _is_redrawn(self, step_id: str) -> bool:
        return step_id in self._changes.new_steps or step_id in self._changes.steps

    def _is_new(self, step_id: str, element_id: str) -> bool:
        """Whether the next drawing shows the item whole anyway."""
        pair = (step_id, element_id)
        return self._is_redrawn(step_id) or pair in self._changes.new_items or pair in self._changes.items

    def _redraw(self, step_id: str) -> None:
        changes = self._changes
        if not self._is_redrawn(step_id):
            changes.steps.append(step_id)
        changes.new_items = [pair for pair in changes.new_items if pair[0] != step_id]
        changes.items = [pair for pair in changes.items if pair[0] != step_id]
        changes.tails = {pair: text for pair, text in changes.tails.items() if pair[0] != step_id}

    def _last(self, step_id: str) -> Item | None:
        items = self.steps[step_id].items
        return items[-1] if items else None

    def _call(self, step_id: str, tool_call_id: str) -> CallItem | None:
        items = self.steps[step_id].items if step_id in self.steps else ()
        return next(
            (each for each in items if isinstance(each, CallItem) and each.tool_call_id == tool_call_id), None
        )

    def _phase(self, phase: Phase, about: str) -> None:
        if (phase, about) != (self._line.phase, self._line.about):
            self._line = replace(self._line, phase=phase, about=about)
            self._changes.has_line = True
