"""What a run that goes on is drawn with: what is known of it besides its events, and what they changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from agents.models import Message
from agents.web.transcript import Records, StepItem
from agents.web.transcript_steps import step_from


@dataclass(frozen=True, slots=True, kw_only=True)
class AskedStep:
    """A step of an earlier run whose calls are being answered."""

    id: str
    run_id: str
    number: int
    #: What it stored before.
    messages: tuple[Message, ...]
    records: Records

    def item(self, answered: Sequence[Message] = ()) -> StepItem:
        """The step with these answers and returns."""
        return step_from(self.id, self.number, [*self.messages, *answered], self.records)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFrame:
    """What is known of a run besides its events."""

    run_id: str
    agent_name: str
    #: The number of its first step, counted in the conversation.
    first_number: int
    day: datetime | None
    speaks_by_tool: bool = False
    #: What it is asked, while it waits for a process to work on it; None when one does.
    queued: tuple[Message, ...] | None = None
    #: A process had worked on it before it was queued again: its first events are from then.
    is_handed_over: bool = False
    #: Who asked it, as `RunStarted.caller_name` will say.
    queued_by: str = ""
    asked: AskedStep | None = None


@dataclass(slots=True, kw_only=True)
class LiveChanges:
    """What has to be drawn anew. Ids of elements; an element of a new or redrawn step is not named again."""

    new_steps: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    #: (step id, item id)
    new_items: list[tuple[str, str]] = field(default_factory=list)
    items: list[tuple[str, str]] = field(default_factory=list)
    #: Text that came after what is shown, by (step id, item id).
    tails: dict[tuple[str, str], str] = field(default_factory=dict)
    has_inputs: bool = False
    has_line: bool = False
    #: What is shown of the run may hold things that are void now.
    is_whole: bool = False
