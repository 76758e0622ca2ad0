"""The first page: what ran in the last hours, what runs now, which memory changed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import Count, F, Q, Sum
from django.db.models.functions import TruncHour
from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from agents.models import Agent, Run, Step
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
    context: dict[str, Any] = {
        "figures": _figures(caller.workspace_id, since),
        "bars": _bars(caller.workspace_id, now),
        "blocks": Block.objects.filter(workspace_id=caller.workspace_id, version__gt=1)
        .exclude(hidden=True)
        .annotate(agent_count=Count("agent_links"))
        .order_by("-updated_at")[:_SHOWN],
        "running": runs.filter(status__in=ACTIVE_STATUSES)
        .select_related("agent")
        .order_by("-created_at")[:_SHOWN],
        "failed_runs": runs.filter(status=RunStatus.FAILED, created_at__gte=since)
        .select_related("agent")
        .order_by("-created_at")[:_SHOWN],
        "models": _tokens_by_model(caller.workspace_id, since),
        "version": product_version(),
    }
    return render(request, "home.html", context)


def _figures(workspace_id: str, since: datetime) -> Figures:
    runs = Run.objects.filter(workspace_id=workspace_id)
    counts = runs.filter(created_at__gte=since).aggregate(
        all=Count("id"),
        failed=Count("id", filter=Q(status=RunStatus.FAILED)),
        cancelled=Count("id", filter=Q(status=RunStatus.CANCELLED)),
    )
    before = runs.filter(created_at__gte=since - timedelta(hours=HOURS), created_at__lt=since).count()
    tokens = Step.objects.filter(workspace_id=workspace_id, created_at__gte=since).aggregate(
        sent=Sum("prompt_tokens"), received=Sum("completion_tokens")
    )
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT percentile_cont(0.5) WITHIN GROUP (ORDER BY ttft_ns), percentile_cont(0.95) WITHIN GROUP (ORDER BY ttft_ns) "
            "FROM agents_run WHERE workspace_id = %s AND created_at >= %s AND ttft_ns IS NOT NULL",
            [workspace_id, since],
        )
        p50, p95 = cursor.fetchone()
    return Figures(
        runs=counts["all"],
        runs_before=before,
        failed=counts["failed"],
        cancelled=counts["cancelled"],
        ttft_p50_ms=p50 / 1e6 if p50 is not None else None,
        ttft_p95_ms=p95 / 1e6 if p95 is not None else None,
        input_tokens=tokens["sent"] or 0,
        output_tokens=tokens["received"] or 0,
    )


def _bars(workspace_id: str, now: datetime) -> Bars:
    first = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=HOURS - 1)
    counted = (
        Run.objects.filter(workspace_id=workspace_id, created_at__gte=first)
        .order_by()
        .values(hour=TruncHour("created_at"))
        .annotate(n=Count("id"), failed=Count("id", filter=Q(status=RunStatus.FAILED)))
    )
    found = {line["hour"]: (line["n"], line["failed"]) for line in counted}
    hours = [first + timedelta(hours=step) for step in range(HOURS)]
    return draw_bars([(hour, *found.get(hour, (0, 0))) for hour in hours])


def _tokens_by_model(workspace_id: str, since: datetime) -> list[dict[str, Any]]:
    steps = Step.objects.filter(workspace_id=workspace_id, created_at__gte=since).order_by()
    counted = (
        steps.values("model_handle")
        .annotate(tokens=Sum(F("prompt_tokens") + F("completion_tokens")))
        .filter(tokens__gt=0)
        .order_by("-tokens")
    )
    lines = list(counted[:_SHOWN])
    most = max((line["tokens"] for line in lines), default=0)
    return [line | {"share": round(line["tokens"] * 100 / most)} for line in lines]
