"""Runs as they are looked at: found, listed, counted in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Q, QuerySet, Sum
from django.utils import timezone

from agents.models import Message, Run, Step
from agents.models.run import ACTIVE_STATUSES
from agents.services.messages import MessagePage, page_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.core.pagination import PageRequest, paginate

#: The longest pause of an SDK before it repeats a request is 8 s.
_REPEAT_WINDOW = timedelta(seconds=20)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFilters:
    """None and empty ask nothing."""

    agent_ids: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    is_active: bool = False
    background: bool | None = None
    stop_reason: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunUsage:
    """Tokens of a run: the sum over its steps. None: no step reported it."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_input_tokens: int | None = None
    cache_write_tokens: int | None = None
    reasoning_tokens: int | None = None
    step_count: int = 0


_COUNTED = (
    "prompt_tokens",
    "completion_tokens",
    "total_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "reasoning_tokens",
)


def get_run_for(*, caller: Caller, run_id: str) -> Run:
    """The run. Raises NotFound, also for one of another workspace."""
    run = (
        Run.objects.filter(id=run_id, workspace_id=caller.workspace_id).select_related("conversation").first()
    )
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.")
    return run


def find_same_request(*, caller: Caller, agent_id: str, fingerprint: str, but: str = "") -> Run | None:
    """The caller's run of the same request (`request_config["fingerprint"]`) that goes on or has just ended, or None.

    `but` is the id of a run that is not meant.
    SDKs post a message again, without a key to know it by, when they had no answer for a minute or lost the connection. An older
    run may have had the same words for a reason.
    """
    return (
        Run.objects.filter(
            Q(status__in=ACTIVE_STATUSES) | Q(completed_at__gt=timezone.now() - _REPEAT_WINDOW),
            workspace_id=caller.workspace_id,
            agent_id=agent_id,
            created_by_id=caller.id,
            request_config__fingerprint=fingerprint,
        )
        .exclude(id=but)
        .order_by("-created_at")
        .first()
    )


def public_metadata(run: Run) -> dict[str, Any]:
    """The metadata as others see it."""
    metadata: dict[str, Any] = dict(run.metadata)
    if "error" in metadata:
        metadata["error"] = public_error(metadata["error"])
    return metadata


def public_error(error: dict[str, Any] | None) -> dict[str, Any] | None:
    """The error of a run or step as others see it: the HTTP status of a plain answer is for our own doors."""
    return None if error is None else {name: value for name, value in error.items() if name != "http_status"}


def list_runs(
    *, caller: Caller, filters: RunFilters | None = None, page: PageRequest | None = None
) -> list[Run]:
    """A page of runs, the newest first unless asked otherwise."""
    filters = filters or RunFilters()
    everything = Run.objects.filter(workspace_id=caller.workspace_id)
    where = Q()
    if filters.agent_ids:
        where &= Q(agent_id__in=filters.agent_ids)
    if filters.statuses:
        where &= Q(status__in=filters.statuses)
    if filters.is_active:
        where &= Q(status__in=ACTIVE_STATUSES)
    if filters.background is not None:
        where &= Q(background=filters.background)
    if filters.stop_reason is not None:
        where &= Q(stop_reason=filters.stop_reason)
    if filters.conversation_id is not None:
        where &= Q(conversation_id=filters.conversation_id)
    return paginate(everything.filter(where), page or PageRequest(limit=100), among=everything)


def run_usage(*, caller: Caller, run_id: str) -> RunUsage:
    """The tokens of the run. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    sums: dict[str, Any] = run.steps.aggregate(**{name: Sum(name) for name in _COUNTED})
    counted = {name: value for name, value in sums.items() if value is not None}
    return RunUsage(step_count=run.steps.count(), **counted)


def list_run_messages(*, caller: Caller, run_id: str, page: PageRequest) -> list[Message]:
    """A page of what the run stored, its input included. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    rows = Message.objects.filter(run=run)
    return page_of(
        rows.filter(is_err=False),
        MessagePage(limit=page.limit, order=page.order, after=page.after, before=page.before),
        among=rows,
    )


def steps_of(run: Run) -> QuerySet[Step]:
    """The steps of a run in order."""
    return run.steps.order_by("number")


def list_run_steps(*, caller: Caller, run_id: str, page: PageRequest) -> list[Step]:
    """A page of the run's steps. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    return paginate(Step.objects.filter(run=run), page)
