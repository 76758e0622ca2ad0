"""A compaction as the transcript shows it: a marker where it happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from agents.models import Compaction, Conversation, Run
from agents.services.compactions import last_compaction

_TRIGGERS = {
    "post_step_context_check": "the context was nearly full",
    "context_window_exceeded": "the request did not fit the window",
    "manual": "somebody asked for it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionItem:
    """A marker. `is_last`: it can be undone."""

    id: str
    tokens_before: int
    tokens_after: int
    #: How many the summary stands for.
    replaced: int
    why: str
    at: datetime | None = None
    is_undone: bool = False
    is_last: bool = False
    #: No model wrote the summary.
    is_without_summary: bool = False
    #: After which it happened.
    step_id: str | None = None
    #: In no run.
    is_outside: bool = False
    kind: Literal["compaction"] = "compaction"

    @classmethod
    def of(cls, row: Compaction, *, last_id: str | None) -> CompactionItem:
        return cls(
            id=row.id,
            tokens_before=row.tokens_before,
            tokens_after=row.tokens_after,
            replaced=row.messages_before - row.messages_after + 1,
            why=why(row.trigger),
            at=row.created_at,
            is_undone=row.undone_at is not None,
            is_last=row.id == last_id,
            is_without_summary=row.model is None,
            step_id=row.step_id,
            is_outside=not row.run_id,
        )


def why(trigger: str) -> str:
    """What brought it about."""
    return _TRIGGERS.get(trigger, trigger)


def compactions_of(conversation: Conversation, runs: Sequence[Run]) -> dict[str, list[CompactionItem]]:
    """Markers by the run in which, or after which, they happened; `runs` are consecutive, oldest first."""
    if not runs:
        return {}
    rows = Compaction.objects.filter(conversation=conversation, created_at__gte=runs[0].created_at)
    if not (found := list(rows)):
        return {}
    later = Run.objects.filter(conversation=conversation, created_at__gt=runs[-1].created_at)
    if (until := later.order_by("created_at").values_list("created_at", flat=True).first()) is not None:
        found = [row for row in found if row.created_at < until]
    last = last_compaction(conversation)
    by_run: dict[str, list[CompactionItem]] = {}
    for row in found:
        before = [run.id for run in runs if run.created_at <= row.created_at]
        item = CompactionItem.of(row, last_id=last.id if last else None)
        by_run.setdefault(row.run_id if row.run_id in before else before[-1], []).append(item)
    return by_run


def run_of_compaction(compaction_id: str) -> str | None:
    """The run in which it happened, or after which; None when there is none."""
    row = Compaction.objects.filter(id=compaction_id).first()
    if row is None:
        return None
    earlier = Run.objects.filter(conversation_id=row.conversation_id, created_at__lte=row.created_at)
    newest = earlier.order_by("-created_at", "-id").values_list("id", flat=True)
    return row.run_id or newest.first()
