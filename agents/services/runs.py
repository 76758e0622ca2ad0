"""Runs as they are looked at: found, listed, counted in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet, Sum
from django.utils import timezone

from agents.models import Conversation, Message, Run, Step
from agents.models.run import ACTIVE_STATUSES
from agents.services.approvals import waiting_entries
from agents.services.conversations import DEFAULT
from agents.services.messages import MessagePage, of_agent, page_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Gone, Invalid, NotFound
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
    #: May be `default`: the default conversation of each agent.
    conversation_id: str | None = None
    #: Began at this moment or later; began before this one.
    since: datetime | None = None
    until: datetime | None = None
    #: Of all its steps. One that goes on has not been counted yet.
    least_tokens: int | None = None
    #: Nothing ran in their conversation since.
    is_last: bool = False


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


def get_run_for(*, caller: Caller, run_id: str, for_update: bool = False) -> Run:
    """The run. Raises NotFound, also for one of another workspace."""
    runs = Run.objects.select_for_update(of=("self",)) if for_update else Run.objects.all()
    run = (
        runs.filter(id=run_id, workspace_id=caller.workspace_id)
        .select_related("conversation", "agent")
        .first()
    )
    if run is None:
        raise NotFound(f"There is no run {run_id!r}.")
    return run


def check_events_are_kept(run: Run) -> None:
    """Raise Gone for a run whose stream nobody can read any more; what it said is in its messages."""
    hours: int = settings.EVENT_RETENTION_HOURS
    if run.has_ended and run.created_at < timezone.now() - timedelta(hours=hours):
        raise Gone(
            f"The events of run {run.id} were kept for {hours} hours; its messages are in the agent's list."
        )


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


def find_run_of_stream(
    *, caller: Caller, conversation: Conversation, run_id: str | None = None, otid: str | None = None
) -> Run:
    """The run of the conversation whose stream is wanted: the one that is named, by its id or by the otid of a message that was
    sent to it, or the newest that goes on.

    Raises NotFound for one that there is not, or Invalid when none is named and none goes on.
    """
    caller.check("read")
    found = conversation.runs.select_related("agent", "conversation").order_by("-created_at", "-id")
    if run_id is not None or otid is not None:
        run = found.filter(id=run_id) if run_id is not None else found.filter(otids__contains=[otid])
        if (named := run.first()) is None:
            raise NotFound(f"The conversation has no run {run_id or otid!r}.")
        return named
    active = found.filter(status__in=ACTIVE_STATUSES).first()
    if active is None:
        raise Invalid("No run of this conversation is going on: there is no stream to come back to.")
    return active


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
    """A page of runs, the newest first unless asked otherwise. Raises NotFound (cursor)."""
    everything = Run.objects.filter(workspace_id=caller.workspace_id)
    chosen = select_runs(caller=caller, filters=filters or RunFilters())
    return paginate(chosen, page or PageRequest(limit=100), among=everything)


def select_runs(*, caller: Caller, filters: RunFilters) -> QuerySet[Run]:
    """The workspace's runs that pass."""
    caller.check("read")
    where = Q(workspace_id=caller.workspace_id)
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
    if filters.conversation_id == DEFAULT:
        where &= Q(conversation__is_default=True)
    elif filters.conversation_id is not None:
        where &= Q(conversation_id=filters.conversation_id)
    if filters.since is not None:
        where &= Q(created_at__gte=filters.since)
    if filters.until is not None:
        where &= Q(created_at__lt=filters.until)
    if filters.least_tokens is not None:
        where &= Q(total_tokens__gte=filters.least_tokens)
    if filters.is_last:
        where &= nothing_since()
    return Run.objects.filter(where)


def nothing_since() -> Q:
    """Runs after which nothing ran in their conversation."""
    later = Run.objects.filter(
        conversation_id=OuterRef("conversation_id"), created_at__gt=OuterRef("created_at")
    )
    return Q(~Exists(later))


def delete_run(*, caller: Caller, run_id: str) -> Run:
    """Delete the record of a run: its steps, what was sent to the model, its events. It is returned as it was.

    Its messages stay in their conversation and name no run and no step any more. Raises NotFound, Forbidden, or Conflict while
    the run goes on or somebody is to answer a call of it: the answers are stored in the step that asked.
    """
    caller.check("edit")
    with transaction.atomic():
        run = get_run_for(caller=caller, run_id=run_id, for_update=True)
        if not run.has_ended:
            raise Conflict(f"The run {run_id} goes on. Cancel it before you delete it.", run_id=run_id)
        if any(entry.message.run_id == run_id for entry in waiting_entries([run.agent_id])):
            raise Conflict(
                f"A tool call of the run {run_id} waits for an answer. Answer it before you delete the run.",
                run_id=run_id,
            )
        Run.objects.filter(id=run_id).delete()
    return run


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
    messages = page_of(
        rows.filter(is_err=False),
        MessagePage(limit=page.limit, order=page.order, after=page.after, before=page.before),
        among=rows,
    )
    return of_agent(run.agent, messages)


def steps_of(run: Run) -> QuerySet[Step]:
    """The steps of a run in order."""
    return run.steps.order_by("number")


def list_run_steps(*, caller: Caller, run_id: str, page: PageRequest) -> list[Step]:
    """A page of the run's steps. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    return paginate(Step.objects.filter(run=run), page)
