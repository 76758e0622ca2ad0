"""What the list of agents says about each of them, read in a fixed number of queries."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Literal

from django.db.models import Count, Exists, F, Func, OuterRef, Q, QuerySet, Subquery, TextField
from django.db.models.functions import TruncDate
from django.utils import timezone

from agents.models import Agent, Run, Step
from agents.models.run import ACTIVE_STATUSES, RunStatus
from agents.services.agents import AgentFilters, agents_of
from letta_ade.accounts.auth import Caller

DotState = Literal["live", "ok", "bad", "idle"]

TREND_DAYS = 7
#: The drawing of the trend, in its own pixels.
_SPARK_WIDTH, _SPARK_HEIGHT = 72, 18
#: An agent that ran within this time is in use; its dot is full.
_IN_USE = timedelta(days=1)
#: From here on the context is called full.
_FULL_PERCENT = 95
_MOST_CHOICES = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """One line of the list."""

    agent: Agent
    dot: DotState
    state: str
    last_run_at: datetime | None
    #: How full the window was at the last step; None before the first.
    context_tokens: int | None
    context_percent: int | None
    runs_in_trend: int
    #: Points of a polyline; empty when nothing ran.
    spark: str

    @property
    def is_full(self) -> bool:
        return self.context_percent is not None and self.context_percent >= _FULL_PERCENT


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilters:
    """The list's filters as they stand in the address."""

    text: str = ""
    tags: tuple[str, ...] = ()
    model: str = ""

    @property
    def count(self) -> int:
        return bool(self.text) + len(self.tags) + bool(self.model)


def select_agents(*, caller: Caller, filters: ListFilters) -> QuerySet[Agent]:
    """The agents that pass. The text is looked for in names, and as an id, a tag, a block's label or a tool's name."""
    caller.check("read")
    agents = agents_of(caller=caller, filters=AgentFilters(tags=filters.tags, match_all_tags=True))
    if filters.model:
        agents = agents.filter(model=filters.model)
    if text := filters.text:
        own = {"agent_id": OuterRef("id")}
        has_block = Exists(Agent.blocks.through.objects.filter(block__label__iexact=text, **own))
        has_tool = Exists(Agent.tools.through.objects.filter(tool__name__iexact=text, **own))
        agents = agents.filter(
            Q(name__icontains=text) | Q(id__startswith=text) | Q(tags__contains=[text]) | has_block | has_tool
        )
    return agents


def with_latest(agents: QuerySet[Agent]) -> QuerySet[Agent]:
    """The agents with the ids of their last run and step, and whether one runs now."""
    runs = Run.objects.filter(agent_id=OuterRef("id")).order_by("-created_at", "-id")
    steps = Step.objects.filter(agent_id=OuterRef("id"), prompt_tokens__gt=0).order_by("-created_at", "-id")
    return agents.annotate(
        latest_run_id=Subquery(runs.values("id")[:1]),
        latest_step_id=Subquery(steps.values("id")[:1]),
        is_running=Exists(Run.objects.filter(agent_id=OuterRef("id"), status__in=ACTIVE_STATUSES)),
    )


def rows_of(agents: Sequence[Agent]) -> list[AgentRow]:
    """The lines of agents that `with_latest` annotated: three queries, however many there are."""
    found: list[Any] = list(agents)
    runs = Run.objects.in_bulk([agent.latest_run_id for agent in found if agent.latest_run_id])
    steps = Step.objects.only("prompt_tokens", "completion_tokens").in_bulk(
        [agent.latest_step_id for agent in found if agent.latest_step_id]
    )
    trend = _trend([agent.id for agent in found])
    return [
        _row(agent, runs.get(agent.latest_run_id), steps.get(agent.latest_step_id), trend[agent.id])
        for agent in found
    ]


def _row(agent: Any, run: Run | None, step: Step | None, trend: dict[date, int]) -> AgentRow:
    dot, state = _state(run, is_running=agent.is_running)
    tokens = step.prompt_tokens + step.completion_tokens if step else None
    return AgentRow(
        agent=agent,
        dot=dot,
        state=state,
        last_run_at=run.created_at if run else None,
        context_tokens=tokens,
        context_percent=round(tokens * 100 / agent.context_window_limit) if tokens is not None else None,
        runs_in_trend=sum(trend.values()),
        spark=spark_points(trend, today=timezone.localdate()),
    )


def _state(run: Run | None, *, is_running: bool) -> tuple[DotState, str]:
    if is_running:
        return "live", "running"
    if run is None:
        return "idle", "never run"
    if run.status == RunStatus.FAILED:
        return "bad", "failed"
    return ("ok" if timezone.now() - run.created_at < _IN_USE else "idle"), "idle"


def _trend(agent_ids: Sequence[str]) -> dict[str, dict[date, int]]:
    began = timezone.now() - timedelta(days=TREND_DAYS)
    counted = (
        Run.objects.filter(agent_id__in=agent_ids, created_at__gte=began)
        .order_by()
        .values("agent_id", day=TruncDate("created_at"))
        .annotate(n=Count("id"))
    )
    trend: dict[str, dict[date, int]] = defaultdict(dict)
    for line in counted:
        trend[line["agent_id"]][line["day"]] = line["n"]
    return trend


def spark_points(trend: dict[date, int], *, today: date) -> str:
    """The runs of each day as points of a polyline, oldest first; empty when there are none."""
    counts = [trend.get(today - timedelta(days=back), 0) for back in range(TREND_DAYS, -1, -1)]
    most = max(counts)
    if most == 0:
        return ""
    step = (_SPARK_WIDTH - 2) / (len(counts) - 1)
    room = _SPARK_HEIGHT - 3
    return " ".join(
        f"{1 + place * step:.1f},{_SPARK_HEIGHT - 1 - count * room / most:.1f}"
        for place, count in enumerate(counts)
    )


def filter_choices(*, caller: Caller) -> tuple[list[str], list[str]]:
    """The models and the tags that the workspace's agents have."""
    agents = agents_of(caller=caller).order_by()
    models = agents.values_list("model", flat=True).distinct().order_by("model")[:_MOST_CHOICES]
    each = Func(F("tags"), function="unnest", output_field=TextField())
    tags = agents.annotate(tag=each).values_list("tag", flat=True).distinct().order_by("tag")[:_MOST_CHOICES]
    return list(models), list(tags)
