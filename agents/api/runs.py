"""Runs: what they did, what they cost, and their stream once more."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, HttpResponseBase
from ninja import Query, Router

from agents.api.schemas.message import ResumeStream
from agents.api.schemas.run import (
    ActiveRunQuery,
    RunMetricsResponse,
    RunQuery,
    RunResponse,
    RunUsageResponse,
    SpanResponse,
    TraceQuery,
)
from agents.api.schemas.step import StepResponse
from agents.api.sse import Reader, sse_response
from agents.api.streaming import Format
from agents.api.wire import wire_one
from agents.api.wire_steps import wire_steps
from agents.models import Run
from agents.runtime.spoken import AnswerTool
from agents.services import runs
from agents.services.run_timing import run_metrics, run_spans
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.errors import Invalid
from letta_ade.core.pagination import MOST_ROWS, PageRequest
from letta_ade.core.schemas import PageQuery, RunId, respond

router = Router()


@router.get("/", response=list[RunResponse])
def list_runs(request: ApiRequest, query: Query[RunQuery]) -> HttpResponse:
    found = runs.list_runs(caller=request.auth, filters=query.filters(), page=query.page(limit=100))
    return respond([RunResponse.of(run) for run in found])


# Before the routes with an id, which would take the word for one.
@router.get("/active", response=list[RunResponse], deprecated=True)
def list_active_runs(request: ApiRequest, query: Query[ActiveRunQuery]) -> HttpResponse:
    page = PageRequest(limit=MOST_ROWS)
    found = runs.list_runs(caller=request.auth, filters=query.filters(), page=page)
    return respond([RunResponse.of(run) for run in found])


@router.get("/{run_id}", response=RunResponse)
def retrieve_run(request: ApiRequest, run_id: RunId) -> HttpResponse:
    return respond(RunResponse.of(runs.get_run_for(caller=request.auth, run_id=run_id)))


@router.delete("/{run_id}", response=None)
def delete_run(request: ApiRequest, run_id: RunId) -> HttpResponse:
    runs.delete_run(caller=request.auth, run_id=run_id)
    return respond(None)


@router.get("/{run_id}/messages", response=list[dict[str, Any]])
def list_run_messages(request: ApiRequest, run_id: RunId, query: Query[PageQuery]) -> HttpResponse:
    page = query.page(limit=100, order="asc")
    stored = runs.list_run_messages(caller=request.auth, run_id=run_id, page=page)
    step = -1 if page.order == "desc" else 1
    return respond([each for message in stored for each in wire_one(message, AnswerTool())[::step]])


@router.get("/{run_id}/steps", response=list[StepResponse])
def list_run_steps(request: ApiRequest, run_id: RunId, query: Query[PageQuery]) -> HttpResponse:
    found = runs.list_run_steps(caller=request.auth, run_id=run_id, page=query.page(limit=100))
    return respond(wire_steps(found))


@router.get("/{run_id}/usage", response=RunUsageResponse)
def retrieve_run_usage(request: ApiRequest, run_id: RunId) -> HttpResponse:
    return respond(RunUsageResponse.of(runs.run_usage(caller=request.auth, run_id=run_id)))


@router.get("/{run_id}/metrics", response=RunMetricsResponse)
def retrieve_run_metrics(request: ApiRequest, run_id: RunId) -> HttpResponse:
    return respond(RunMetricsResponse.of(run_metrics(caller=request.auth, run_id=run_id)))


@router.get("/{run_id}/trace", response=list[SpanResponse])
def retrieve_run_trace(request: ApiRequest, run_id: RunId, query: Query[TraceQuery]) -> HttpResponse:
    spans = run_spans(caller=request.auth, run_id=run_id, limit=min(query.limit, MOST_ROWS))
    return respond([SpanResponse.of(span, run_id) for span in spans])


@router.post("/{run_id}/stream")
async def stream_run(
    request: ApiRequest, run_id: RunId, body: ResumeStream | None = None
) -> HttpResponseBase:
    """The stream of a background run, from the start or from where a reader left it."""
    run = await threads.run(runs.get_run_for, caller=request.auth, run_id=run_id)
    return resume(run, body or ResumeStream())


def resume(run: Run, asked: ResumeStream) -> HttpResponseBase:
    """The stream of the run from where the reader left it. Raises Invalid for a run without one that lasts, Gone when it has expired."""
    if not run.background:
        raise Invalid("Only a run that was started with background: true has a stream to come back to.")
    runs.check_events_are_kept(run)
    return sse_response(
        Reader(
            run_id=run.id,
            format=Format.of(run),
            include_pings=asked.include_pings is not False,
            is_numbered=True,
            after=asked.starting_after or 0,
        )
    )
