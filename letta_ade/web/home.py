"""The first page: what ran in the last hours, what runs now, which memory changed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, OuterRef, Q, Subquery, Sum
from django.db.models.functions import Coalesce, TruncHour
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agents.models import Agent, AgentBlock, Run, Step
from agents.models.run import ACTIVE_STATUSES, RunStatus
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.version import product_version
from letta_ade.llm import catalog
from letta_ade.web.charts import Bars, draw_bars
from memory.models import Block

HOURS = 24
_SHOWN = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The tiles. Times are None when nothing was measured."""

    runs: int
    runs_before: int
    failed: int
    cancelled: int
    ttft_p50_ms: float | None
    ttft_p95_ms: float | None
    input_tokens: int
    output_tokens: int


@require_GET
def home_page(request: PageRequest) -> HttpResponse:
    """The dashboard; on a server without agents, how to begin."""
    caller = request.caller
    caller.check("read")
    agents = Agent.objects.filter(workspace_id=caller.workspace_id).exclude(hidden=True)
    if not agents.exists():
        return render(
            request,
            "home_empty.html",
            {"snippet_model": catalog.suggested_handle(workspace_id=caller.workspace_id)},
        )
    now = timezone.now()
    since = now - timedelta(hours=HOURS)
    runs = Run.objects.filter(workspace_id=caller.workspace_id)
    hours, models = _by_hour(caller.workspace_id, since), _by_model(caller.workspace_id, since)
    context: dict[str, Any] = {
        "figures": _figures(caller.workspace_id, since, hours, models),
        "bars": _bars(now, hours),
        "blocks": _changed_blocks(caller.workspace_id),
        "running": runs.filter(status__in=ACTIVE_STATUSES)
        .select_related("agent")
        .order_by("-created_at")[:_SHOWN],
        "failed_runs": runs.filter(status=RunStatus.FAILED, created_at__gte=since)
        .select_related("agent")
        .order_by("-created_at")[:_SHOWN],
        "models": _with_shares(models),
        "version": product_version(),
    }
    return render(request, "home.html", context)


def _changed_blocks(workspace_id: str) -> list[Block]:
    links = AgentBlock.objects.filter(block_id=OuterRef("id")).order_by().values("block_id")
    count = Subquery(links.annotate(n=Count("id")).values("n"))
    changed = Block.objects.filter(workspace_id=workspace_id, version__gt=1).exclude(hidden=True)
    return list(changed.annotate(agent_count=Coalesce(count, 0)).order_by("-updated_at")[:_SHOWN])


def _by_hour(workspace_id: str, since: datetime) -> list[dict[str, Any]]:
    """How many runs began in each hour, failed, and were cancelled; the first hour may have begun before."""
    runs = Run.objects.filter(workspace_id=workspace_id, created_at__gte=since).order_by()
    counted = runs.values(hour=TruncHour("created_at")).annotate(
        n=Count("id"),
        failed=Count("id", filter=Q(status=RunStatus.FAILED)),
        cancelled=Count("id", filter=Q(status=RunStatus.CANCELLED)),
    )
    return [dict(line) for line in counted]


def _by_model(workspace_id: str, since: datetime) -> list[dict[str, Any]]:
    """What each model was sent and said, in tokens, the one that had most first."""
    steps = Step.objects.filter(workspace_id=workspace_id, created_at__gte=since).order_by()
    counted = steps.values("model_handle").annotate(
        sent=Sum("prompt_tokens"), received=Sum("completion_tokens")
    )
    lines = [line | {"tokens": line["sent"] + line["received"]} for line in counted]
    return sorted(lines, key=lambda line: -line["tokens"])


def _figures(
    workspace_id: str, since: datetime, hours: Sequence[dict[str, Any]], models: Sequence[dict[str, Any]]
) -> Figures:
    runs = Run.objects.filter(workspace_id=workspace_id)
    before = runs.filter(created_at__gte=since - timedelta(hours=HOURS), created_at__lt=since).count()
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ns), percentile_cont(0.95) WITHIN GROUP (ORDER BY ttft_ns) "
            "FROM agents_run WHERE workspace_id = %s AND created_at >= %s AND ttft_ns IS NOT NULL",
            [workspace_id, since],
        )
        p50, p95 = cursor.fetchone()
    return Figures(
        runs=sum(line["n"] for line in hours),
        runs_before=before,
        failed=sum(line["failed"] for line in hours),
        cancelled=sum(line["cancelled"] for line in hours),
        ttft_p50_ms=p50 / 1e6 if p50 is not None else None,
        ttft_p95_ms=p95 / 1e6 if p95 is not None else None,
        input_tokens=sum(line["sent"] for line in models),
        output_tokens=sum(line["received"] for line in models),
    )


def _bars(now: datetime, counted: Sequence[dict[str, Any]]) -> Bars:
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    found = {line["hour"]: (line["n"], line["failed"]) for line in counted}
    hours = [first + timedelta(hours=step) for step in range(HOURS)]
    return draw_bars([(hour, *found.get(hour, (0, 0))) for hour in hours])


def _with_shares(models: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that had any tokens, each with its share of what the first one had."""
    lines = [line for line in models if line["tokens"]][:_SHOWN]
    return [line | {"share": round(line["tokens"] * 100 / lines[0]["tokens"])} for line in lines]
