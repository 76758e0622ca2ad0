"""Steps: what they did, what was sent to the model, what somebody thinks of them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.step import (
    ProviderTraceResponse,
    StepFeedback,
    StepMetricsResponse,
    StepQuery,
    StepResponse,
)
from agents.api.wire import wire_list
from agents.api.wire_steps import wire_metrics, wire_step, wire_steps
from agents.runtime.spoken import AnswerTool
from agents.services import steps
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import PageQuery, StepId, respond

router = Router()
#: Where older clients look for the trace of a step.
telemetry_router = Router()


@router.get("/", response=list[StepResponse])
def list_steps(request: ApiRequest, query: Query[StepQuery]) -> HttpResponse:
    found = steps.list_steps(caller=request.auth, filters=query.filters(), page=query.page())
    return respond(wire_steps(found))


@router.get("/{step_id}", response=StepResponse)
def retrieve_step(request: ApiRequest, step_id: StepId) -> HttpResponse:
    return respond(wire_step(steps.get_step_for(caller=request.auth, step_id=step_id)))


@router.get("/{step_id}/metrics", response=StepMetricsResponse)
def retrieve_step_metrics(request: ApiRequest, step_id: StepId) -> HttpResponse:
    return respond(wire_metrics(steps.get_step_for(caller=request.auth, step_id=step_id)))


@router.get("/{step_id}/messages", response=list[dict[str, Any]])
def list_step_messages(request: ApiRequest, step_id: StepId, query: Query[PageQuery]) -> HttpResponse:
    page = query.page(limit=100, order="asc")
    stored = steps.list_step_messages(caller=request.auth, step_id=step_id, page=page)
    return respond(wire_list(stored, AnswerTool()))


@router.get("/{step_id}/trace", response=ProviderTraceResponse | None)
def retrieve_step_trace(request: ApiRequest, step_id: StepId) -> HttpResponse:
    return respond(_trace(request, step_id))


@router.patch("/{step_id}/feedback", response=StepResponse)
def give_feedback(request: ApiRequest, step_id: StepId, body: StepFeedback) -> HttpResponse:
    step = steps.give_feedback(
        caller=request.auth,
        step_id=step_id,
        feedback=body.feedback,
        is_given="feedback" in body.sent(),
        tags=body.tags or (),
    )
    return respond(wire_step(step))


@telemetry_router.get("/{step_id}", response=ProviderTraceResponse | None, deprecated=True)
def retrieve_telemetry(request: ApiRequest, step_id: StepId) -> HttpResponse:
    return respond(_trace(request, step_id))


def _trace(request: ApiRequest, step_id: str) -> ProviderTraceResponse | None:
    call = steps.find_traced_call(caller=request.auth, step_id=step_id)
    return None if call is None else ProviderTraceResponse.of(call)
