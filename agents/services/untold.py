"""What was stored and not told: a killed process takes with it the events that it had not written yet.

A step commits before its event is written (some dozens of milliseconds), and so does the end of a run. Whoever takes such a run
over, or ends it, writes the missing ones first, so that a stream that is read later has everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import groupby, takewhile
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Q, Subquery, Sum
from django.utils import timezone

from agents.event_rows import append_events, last_event
from agents.models import Message, Run, RunEvent, Step
from agents.models.run import ACTIVE_STATUSES
from agents.runtime.events import Event, RunEnded, RunStarted, StepStored
from agents.services.run_ends import started_after
from letta_ade.accounts.models import Workspace

#: So long after a run ended its last events may still be on their way.
_LAST_WORDS = timedelta(seconds=3)
_COUNTED = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def tell_stored_steps(run: Run) -> int:
    """Write the events of stored steps that nobody has told; the number of the run's last event after that, 0 for none.

    In the transaction of whoever has taken the run over.
    """
    last = last_event(run.id)
    told = set(
        RunEvent.objects.filter(run=run, type=StepStored.__name__).values_list("data__step_id", flat=True)
    )
    untold: list[Event] = [event for event in _stored_steps(run) if event.step_id not in told]
    if untold and not last and run.request is not None:
        append_events(run.id, [_started(run)], after=0)
        last = 1
    return append_events(run.id, untold, after=last)


def tell_end(run: Run) -> None:
    """Write the last event of a run that has ended without one, and the events of its steps."""
    usage = stored_usage(run)
    if run_ids := started_after(run):
        usage["run_ids"] = run_ids
    ended = RunEnded(
        status=run.status,
        stop_reason=run.stop_reason or "error",
        usage=usage,
        error=run.metadata.get("error"),
        duration_ms=(run.total_duration_ns or 0) // 1_000_000,
    )
    append_events(run.id, [ended], after=tell_stored_steps(run))


def tell_lost_ends(since: timedelta | None = None) -> list[str]:
    """Tell the ends of runs whose process died just after it had stored them; the ids of those runs.

    `since`: of runs that have ended since so long; by default of all whose events are kept.
    """
    now, kept = timezone.now(), timedelta(hours=settings.EVENT_RETENTION_HOURS)
    newest = RunEvent.objects.filter(run=OuterRef("pk")).order_by("-seq").values("type")[:1]
    runs = (
        # By workspace and age, as the index has them.
        Run.objects.filter(workspace__in=Workspace.objects.all(), created_at__gt=now - kept)
        .filter(completed_at__gt=now - (since or kept), completed_at__lt=now - _LAST_WORDS)
        .exclude(status__in=ACTIVE_STATUSES)
        .annotate(newest_event=Subquery(newest))
        .filter(Q(newest_event=None) | ~Q(newest_event=RunEnded.__name__))
        .values_list("id", flat=True)
    )
    return [run_id for run_id in runs if _tell_lost_end(run_id)]


def _tell_lost_end(run_id: str) -> bool:
    with transaction.atomic():
        run = Run.objects.select_for_update().filter(id=run_id).first()
        # Another process may look for the same.
        if run is None or run.events.filter(type=RunEnded.__name__).exists():
            return False
        tell_end(run)
    return True


def stored_usage(run: Run) -> dict[str, Any]:
    """The tokens of the run's stored steps, as `RunEnded.usage` has them."""
    stored = run.steps.filter(status="success")
    sums: dict[str, Any] = stored.aggregate(**{name: Sum(name) for name in _COUNTED})
    counted = {name: value for name, value in sums.items() if value}
    return {**counted, "step_count": stored.count()}


def stored_stop_reason(run: Run) -> str | None:
    """Why the run ended with its last stored step, whose process died while it compacted the context after it; None before that."""
    last = run.steps.exclude(status__in=("pending", "failed")).order_by("-number").first()
    return last.stop_reason if last is not None and last.status == "success" else None


def _started(run: Run) -> RunStarted:
    assert run.request is not None, "it is kept until the run ends"
    return RunStarted(
        run_id=run.id,
        agent_id=run.agent_id,
        conversation_id=run.conversation_id,
        model=run.metadata["model"],
        started_at=run.created_at.isoformat(),
        caller_name=run.request["caller"]["name"],
        inputs=run.request["inputs"],
    )


def _stored_steps(run: Run) -> Iterator[StepStored]:
    rows = Message.objects.filter(run=run, is_err=False, step__isnull=False).order_by("created_at", "id")
    steps = {step.id: step for step in run.steps.all()}
    for step_id, group in groupby(rows, key=lambda row: str(row.step_id)):
        messages = list(group)
        # Answers go into the step that asked, which is another run's: its tokens are not this one's.
        step = steps.get(step_id, Step(number=0))
        yield StepStored(
            step_id=step_id,
            number=step.number,
            messages=[message.to_data() for message in messages],
            input_ids=[message.id for message in takewhile(_is_input, messages)],
            usage={name: getattr(step, name) for name in _COUNTED},
            context_tokens=step.total_tokens,
            step_ms=(step.step_ns or 0) // 1_000_000,
        )


def _is_input(message: Message) -> bool:
    """Inputs are the first rows of a step."""
    return message.role in ("user", "system") or message.approvals is not None
