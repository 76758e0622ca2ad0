"""The line above the composer: what a run does at the moment, or how it ended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Phase = Literal[
    "queued", "thinking", "writing", "tool", "saving", "waiting", "completed", "failed", "cancelled"
]
#: Phases in which nothing goes on.
_QUIET = frozenset({"waiting", "completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RunLine:
    """The line above the composer."""

    run_id: str
    phase: Phase
    #: The model, the tool, or the reason.
    about: str = ""
    elapsed_ms: float | None = None
    step_count: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0

    @property
    def is_busy(self) -> bool:
        return self.phase not in _QUIET


def end_of(status: str, stop_reason: str | None) -> tuple[Phase, str]:
    """The phase of a run that has ended, and what is said about it."""
    if stop_reason == "requires_approval" and status == "completed":
        return "waiting", ""
    about = (stop_reason or "").replace("_", " ")
    match status:
        case "failed":
            return "failed", about
        case "cancelled":
            return "cancelled", about
        case _:
            return "completed", about
