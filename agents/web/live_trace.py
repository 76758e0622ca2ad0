"""What a run is doing at this moment, told by its events: calls that have begun and are not stored yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from agents.runtime.events import (
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
    ToolCallStarted,
    ToolStarted,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenCall:
    """A tool call that is being executed."""

    step_id: str
    tool_call_id: str
    name: str
    began: datetime | None


class LiveTrace:
    """The events of a run, folded. What a step stored is read from its rows."""

    def __init__(self) -> None:
        #: The step whose model is being asked, or whose calls are being executed; None between steps.
        self.step_id: str | None = None
        #: The model has said its first word.
        self.has_spoken = False
        self.calls: list[OpenCall] = []
        #: By step, why its model was asked again.
        self.retries: dict[str, list[str]] = {}
        #: When a compaction began that is not done; `is_compacting` also where nobody says when.
        self.is_compacting = False
        self.compacting_since: datetime | None = None

    def apply_all(self, events: Iterable[Event]) -> bool:
        """Take the next events; whether the trace looks different now."""
        return sum(self._apply(event) for event in events) > 0

    def _apply(self, event: Event) -> bool:
        match event:
            case StepStarted():
                self._begin(event.step_id)
            case CallRetried():
                self.retries.setdefault(event.step_id, []).append(event.reason)
                self.has_spoken = False
            case ReasoningDelta() | ReasoningHidden() | TextDelta() | ToolCallStarted():
                if self.has_spoken:
                    return False
                self.has_spoken = True
            case ToolStarted():
                self.calls.append(
                    OpenCall(
                        step_id=event.step_id,
                        tool_call_id=event.tool_call_id,
                        name=event.name,
                        began=_moment(event.started_at),
                    )
                )
            case StepStored():
                self._begin(None)
            case CompactionStarted():
                self.is_compacting, self.compacting_since = True, _moment(event.started_at)
            case ContextCompacted():
                self.is_compacting = False
            case RunStarted() | RunResumed() | RunEnded():
                self._begin(None)
                self.is_compacting = False
            case _:
                return False
        return True

    def _begin(self, step_id: str | None) -> None:
        self.step_id, self.has_spoken, self.calls = step_id, False, []


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)
