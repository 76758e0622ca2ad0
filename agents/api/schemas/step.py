"""Steps on the wire: the step itself, its times, its model call (spec/objects.md §11)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from agents.api.schemas.stored_message import StoredMessage
from agents.models import Step
from agents.services.run_timing import trace_id_of, unix_ns
from agents.services.runs import RunUsage, public_error
from agents.services.steps import StepFacts, StepFilters, TracedCall
from letta_ade.core.schemas import Body, PageQuery, Wire
from letta_ade.llm.environment import split_handle
from memory.dates import parse_end, parse_start

FeedbackValue = Literal["positive", "negative"]


class TokenDetails(Wire):
    """What of the prompt came from a cache, and what was written to one."""

    cached_tokens: int | None
    cache_read_tokens: int | None
    cache_creation_tokens: int | None

    @classmethod
    def of(cls, counted: RunUsage | Step) -> TokenDetails | None:
        """None where the provider reported neither."""
        if counted.cached_input_tokens is None and counted.cache_write_tokens is None:
            return None
        return cls(
            cached_tokens=counted.cached_input_tokens,
            cache_read_tokens=counted.cached_input_tokens,
            cache_creation_tokens=counted.cache_write_tokens,
        )


class CompletionDetails(Wire):
    reasoning_tokens: int | None

    @classmethod
    def of(cls, counted: RunUsage | Step) -> CompletionDetails | None:
        """None where the provider did not report them."""
        if counted.reasoning_tokens is None:
            return None
        return cls(reasoning_tokens=counted.reasoning_tokens)


class StepResponse(Wire):
    """One call of the model."""

    id: str
    run_id: str | None
    agent_id: str | None
    origin: str | None = None
    provider_id: str | None
    provider_name: str | None
    provider_category: str | None
    model: str | None
    model_handle: str | None
    model_endpoint: str | None
    context_window_limit: int | None
    prompt_tokens: int | None
    completion_tokens: int | None
    total_tokens: int | None
    cached_input_tokens: int | None
    cache_write_tokens: int | None
    reasoning_tokens: int | None
    prompt_tokens_details: TokenDetails | None
    completion_tokens_details: CompletionDetails | None
    stop_reason: str | None
    status: str
    error_type: str | None
    error_data: dict[str, Any] | None
    tags: list[str]
    tid: str | None = None
    trace_id: str | None
    request_id: str | None
    #: Deprecated, and filled only where one step is asked for: it has a list of its own.
    messages: list[StoredMessage]
    feedback: str | None
    project_id: str | None

    @classmethod
    def of(cls, step: Step, facts: StepFacts, messages: Sequence[StoredMessage] = ()) -> StepResponse:
        """The step of a row."""
        return cls(
            id=step.id,
            run_id=step.run_id,
            agent_id=step.agent_id,
            provider_id=facts.provider_id,
            provider_name=step.provider_name,
            provider_category="byok" if facts.provider_id else "base",
            model=split_handle(step.model_handle)[1],
            model_handle=step.model_handle,
            model_endpoint=step.model_endpoint,
            context_window_limit=step.context_window_limit,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            total_tokens=step.total_tokens,
            cached_input_tokens=step.cached_input_tokens,
            cache_write_tokens=step.cache_write_tokens,
            reasoning_tokens=step.reasoning_tokens,
            prompt_tokens_details=TokenDetails.of(step),
            completion_tokens_details=CompletionDetails.of(step),
            stop_reason=step.stop_reason,
            status=step.status,
            error_type=step.error_type,
            error_data=public_error(step.error_data),
            tags=step.tags,
            trace_id=trace_id_of(step.run_id),
            request_id=facts.request_log_id,
            messages=list(messages),
            feedback=step.feedback,
            project_id=facts.project_id,
        )


class StepMetricsResponse(Wire):
    """How long a step took, in nanoseconds; beginnings are Unix time. Null: it did not come to that, or nobody knows."""

    id: str
    run_id: str | None
    agent_id: str | None
    provider_id: str | None
    step_start_ns: int | None
    llm_request_start_ns: int | None
    llm_request_ns: int | None
    tool_execution_ns: int | None
    step_ns: int | None
    project_id: str | None
    template_id: str | None = None
    base_template_id: str | None = None

    @classmethod
    def of(cls, step: Step, facts: StepFacts) -> StepMetricsResponse:
        """The times of a row."""
        return cls(
            id=step.id,
            run_id=step.run_id,
            agent_id=step.agent_id,
            provider_id=facts.provider_id,
            step_start_ns=unix_ns(step.started_at),
            llm_request_start_ns=step.llm_request_start_ns,
            llm_request_ns=step.llm_request_ns,
            tool_execution_ns=step.tool_execution_ns,
            step_ns=step.step_ns,
            project_id=facts.project_id,
        )


class ProviderTraceResponse(Wire):
    """A model call: what was sent, word for word, and what came back."""

    id: str
    request_json: dict[str, Any]
    #: Empty while nothing has come back; the error when that is what came.
    response_json: dict[str, Any]
    step_id: str | None
    agent_id: str | None
    agent_tags: list[str]
    run_id: str | None
    call_type: str
    source: str = "letta-ade"
    org_id: str | None
    user_id: str | None
    compaction_settings: dict[str, Any] | None = None
    llm_config: dict[str, Any] | None
    latency_ms: int | None
    billing_context: None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(cls, call: TracedCall) -> ProviderTraceResponse:
        """The call as it was kept."""
        trace, step = call.trace, call.step
        error = {"error": public_error(trace.error)} if trace.error else {}
        return cls(
            id=trace.id,
            request_json=json.loads(trace.request_text),
            response_json=json.loads(trace.response_text) if trace.response_text else error,
            step_id=trace.step_id,
            agent_id=step.agent_id,
            agent_tags=call.agent_tags,
            run_id=trace.run_id,
            call_type=trace.call_type,
            org_id=trace.workspace_id,
            user_id=trace.created_by_id,
            # What the row tells of it; what was sent of the settings is in the request.
            llm_config={
                "handle": step.model_handle,
                "model": split_handle(step.model_handle)[1],
                "provider_name": step.provider_name,
                "model_endpoint": step.model_endpoint,
                "context_window": step.context_window_limit,
            },
            latency_ms=trace.latency_ms,
            created_at=trace.created_at,
            updated_at=trace.updated_at,
            created_by_id=trace.created_by_id,
            last_updated_by_id=trace.last_updated_by_id,
        )


class StepFeedback(Body):
    """What somebody thinks of a step. Null takes it back; what is not sent stays."""

    feedback: FeedbackValue | None = None
    tags: list[str] | None = None


class StepQuery(PageQuery):
    """Filters of the list of steps."""

    agent_id: str | None = None
    start_date: str | None = None
    end_date: str | None = None
    model: str | None = None
    trace_ids: list[str] | None = None
    feedback: FeedbackValue | None = None
    has_feedback: bool | None = None
    tags: list[str] | None = None
    project_id: str | None = None

    def filters(self) -> StepFilters:
        """Raises Invalid for a date that is none."""
        return StepFilters(
            agent_id=self.agent_id,
            project_id=self.project_id,
            model=self.model,
            trace_ids=tuple(self.trace_ids or ()),
            feedback=self.feedback,
            has_feedback=self.has_feedback,
            tags=tuple(self.tags or ()),
            start=parse_start(self.start_date),
            end=parse_end(self.end_date),
        )
