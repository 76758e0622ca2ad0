"""Steps as they are looked at and judged: found, listed, traced, given feedback."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, Q, QuerySet, Value
from django.db.models.functions import Concat

from agents.models import Message, ProviderTrace, Run, Step
from agents.services.messages import MessagePage, of_agent, page_of
from agents.services.run_timing import run_ids_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.core.pagination import PageRequest, paginate
from letta_ade.llm.services.providers import ids_of_providers
from memory.texts import check_tags


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFilters:
    """None and empty ask nothing."""

    agent_id: str | None = None
    #: Of the agent that took the step.
    project_id: str | None = None
    #: With or without its provider.
    model: str | None = None
    #: Trace ids of runs (`run_timing.trace_id_of`); one of them.
    trace_ids: tuple[str, ...] = ()
    feedback: str | None = None
    has_feedback: bool | None = None
    #: One of them.
    tags: tuple[str, ...] = ()
    #: Both moments included.
    start: datetime | None = None
    end: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepFacts:
    """What other rows say about a step."""

    #: None: its provider is the server's own.
    provider_id: str | None = None
    project_id: str | None = None
    #: Under which a gateway logged the request of its run.
    request_log_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TracedCall:
    """What was sent to a model and came back, with the step that it belongs to."""

    trace: ProviderTrace
    step: Step
    agent_tags: list[str]


def get_step_for(*, caller: Caller, step_id: str, for_update: bool = False) -> Step:
    """The step. Raises NotFound, also for one of another workspace."""
    steps = Step.objects.select_for_update() if for_update else Step.objects.all()
    step = steps.filter(id=step_id, workspace_id=caller.workspace_id).first()
    if step is None:
        raise NotFound(f"There is no step {step_id!r}.")
    return step


def list_steps(
    *, caller: Caller, filters: StepFilters | None = None, page: PageRequest | None = None
) -> list[Step]:
    """A page of the workspace's steps, the newest first unless asked otherwise. Raises NotFound (cursor)."""
    everything = Step.objects.filter(workspace_id=caller.workspace_id)
    wanted = _where(filters or StepFilters())
    return paginate(everything.filter(wanted), page or PageRequest(), among=everything)


def _where(filters: StepFilters) -> Q:
    where = Q()
    if filters.agent_id is not None:
        where &= Q(agent_id=filters.agent_id)
    if filters.project_id is not None:
        where &= Q(agent__project_id=filters.project_id)
    if filters.model is not None:
        # Names of models may hold slashes, so only the provider that the row names may stand before one.
        handle = Concat(F("provider_name"), Value(f"/{filters.model}"))
        where &= Q(model_handle=filters.model) | Q(model_handle=handle)
    if filters.trace_ids:
        where &= Q(run_id__in=run_ids_of(filters.trace_ids))
    if filters.feedback is not None:
        where &= Q(feedback=filters.feedback)
    if filters.has_feedback is not None:
        where &= Q(feedback__isnull=not filters.has_feedback)
    if filters.tags:
        where &= Q(tags__overlap=list(filters.tags))
    if filters.start is not None:
        where &= Q(created_at__gte=filters.start)
    if filters.end is not None:
        where &= Q(created_at__lte=filters.end)
    return where


def facts_of(steps: Sequence[Step]) -> dict[str, StepFacts]:
    """What other rows say about these steps of one workspace, by step. Two queries."""
    if not steps:
        return {}
    runs = {
        run_id: (project_id, config.get("request_log_id"))
        for run_id, project_id, config in Run.objects.filter(
            id__in={step.run_id for step in steps}
        ).values_list("id", "agent__project_id", "request_config")
    }
    providers = ids_of_providers(
        workspace_id=steps[0].workspace_id, names={step.provider_name for step in steps}
    )
    return {
        step.id: StepFacts(
            provider_id=providers.get(step.provider_name),
            project_id=runs[step.run_id][0],
            request_log_id=runs[step.run_id][1],
        )
        for step in steps
    }


def messages_of(step: Step) -> QuerySet[Message]:
    """Everything that the step stored, in order; also what was sent to a step that failed."""
    return step.messages.defer("search", "text").order_by("created_at", "id")


def list_step_messages(*, caller: Caller, step_id: str, page: PageRequest) -> list[Message]:
    """A page of what the step stored, the input of its run included. Raises NotFound (step, cursor)."""
    step = get_step_for(caller=caller, step_id=step_id)
    rows = Message.objects.filter(step=step)
    messages = page_of(
        rows.filter(is_err=False),
        MessagePage(limit=page.limit, order=page.order, after=page.after, before=page.before),
        among=rows,
    )
    return of_agent(step.agent, messages)


def find_traced_call(*, caller: Caller, step_id: str) -> TracedCall | None:
    """The model call of the step, word for word; None when nothing was kept of it. Raises NotFound."""
    step = get_step_for(caller=caller, step_id=step_id)
    trace = step.traces.filter(call_type="agent_step").order_by("-created_at", "-id").first()
    if trace is None:
        return None
    return TracedCall(trace=trace, step=step, agent_tags=step.agent.tags)


def give_feedback(
    *, caller: Caller, step_id: str, feedback: str | None, is_given: bool, tags: Collection[str] = ()
) -> Step:
    """The step with what somebody thinks of it; None takes it back, `is_given` False leaves it. Tags are added to those it has.

    Raises NotFound, Forbidden, or Unprocessable for a bad tag.
    """
    caller.check("review")
    with transaction.atomic():
        step = get_step_for(caller=caller, step_id=step_id, for_update=True)
        if is_given:
            step.feedback = feedback
        step.tags = check_tags([*step.tags, *tags])
        step.last_updated_by_id = caller.id
        step.save(update_fields=["feedback", "tags", "last_updated_by_id", "updated_at"])
    return step
