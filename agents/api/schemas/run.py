"""Runs on the wire: the run itself, its tokens, its times, its trace (spec/objects.md §11)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from ninja import Field, Schema

from agents.api.schemas.step import CompletionDetails, TokenDetails
from agents.models import Run
from agents.services.run_timing import RunMetrics, Span, trace_id_of
from agents.services.runs import RunFilters, RunUsage, public_metadata
from letta_ade.core.pagination import MOST_ROWS
from letta_ade.core.schemas import PageQuery, Wire

RunStatusName = Literal["created", "running", "completed", "failed", "cancelled"]
StopReasonName = Literal[
    "end_turn",
    "error",
    "llm_api_error",
    "invalid_llm_response",
    "invalid_tool_call",
    "max_steps",
    "max_tokens_exceeded",
    "no_tool_call",
    "tool_rule",
    "cancelled",
    "insufficient_credits",
    "requires_approval",
    "context_window_overflow_in_system_prompt",
]

_CONFIG_FIELDS = (
    "use_assistant_message",
    "assistant_message_tool_name",
    "assistant_message_tool_kwarg",
    "include_return_message_types",
)


class RunResponse(Wire):
    """A run."""

    id: str
    agent_id: str
    conversation_id: str | None
    status: str
    stop_reason: str | None
    background: bool | None
    created_at: datetime
    completed_at: datetime | None
    metadata: dict[str, Any] | None
    request_config: dict[str, Any] | None
    callback_url: str | None
    callback_sent_at: datetime | None
    callback_status_code: int | None
    callback_error: str | None
    ttft_ns: int | None
    total_duration_ns: int | None
    base_template_id: str | None = None

    @classmethod
    def of(cls, run: Run) -> RunResponse:
        """The run of a row."""
        return cls(
            id=run.id,
            agent_id=run.agent_id,
            conversation_id=run.conversation_id,
            status=run.status,
            stop_reason=run.stop_reason,
            background=run.background,
            created_at=run.created_at,
            completed_at=run.completed_at,
            metadata=public_metadata(run),
            request_config={name: run.request_config.get(name) for name in _CONFIG_FIELDS},
            callback_url=run.callback_url,
            callback_sent_at=run.callback_sent_at,
            callback_status_code=run.callback_status_code,
            callback_error=run.callback_error,
            ttft_ns=run.ttft_ns,
            total_duration_ns=run.total_duration_ns,
        )


class RunUsageResponse(Wire):
    """Tokens of a run."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: TokenDetails | None
    completion_tokens_details: CompletionDetails | None

    @classmethod
    def of(cls, usage: RunUsage) -> RunUsageResponse:
        return cls(
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            total_tokens=usage.total_tokens,
            prompt_tokens_details=TokenDetails.of(usage),
            completion_tokens_details=CompletionDetails.of(usage),
        )


class RunMetricsResponse(Wire):
    """How long a run took and with what; nanoseconds, the beginning in Unix time."""

    id: str
    agent_id: str | None
    run_start_ns: int | None
    run_ns: int | None
    num_steps: int | None
    tools_used: list[str] | None
    project_id: str | None
    template_id: str | None = None
    base_template_id: str | None = None

    @classmethod
    def of(cls, metrics: RunMetrics) -> RunMetricsResponse:
        return cls(
            id=metrics.run.id,
            agent_id=metrics.run.agent_id,
            run_start_ns=metrics.start_ns,
            run_ns=metrics.run_ns,
            num_steps=metrics.num_steps,
            tools_used=metrics.tools_used,
            project_id=metrics.project_id,
        )


class SpanResponse(Wire):
    """A piece of a run's time, with the names that OpenTelemetry's exporters give its columns."""

    Timestamp: str
    TraceId: str
    SpanId: str
    #: Empty for the run itself.
    ParentSpanId: str
    SpanName: str
    SpanKind: str = "Internal"
    ServiceName: str = "letta-ade"
    SpanAttributes: dict[str, Any]
    #: Nanoseconds; null while it goes on.
    Duration: int | None
    StatusCode: Literal["Ok", "Error", "Unset"]
    StatusMessage: str

    @classmethod
    def of(cls, span: Span, run_id: str) -> SpanResponse:
        """The span of a run."""
        ended = "Unset" if span.duration_ns is None else "Ok"
        return cls(
            Timestamp=wire_ns(span.start_ns),
            TraceId=trace_id_of(run_id),
            SpanId=span.id,
            ParentSpanId=span.parent_id or "",
            SpanName=span.name,
            SpanAttributes=span.attributes,
            Duration=span.duration_ns,
            StatusCode="Error" if span.error is not None else ended,
            StatusMessage=span.error or "",
        )


def wire_ns(nanoseconds: int) -> str:
    """A moment of Unix time with all of its digits."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


class TraceQuery(Schema):
    limit: int = Field(default=MOST_ROWS, ge=1, description=f"Spans; at most {MOST_ROWS} are given.")


class ActiveRunQuery(Schema):
    """Filters of the runs that go on."""

    agent_id: str | None = None
    agent_ids: list[str] | None = None
    background: bool | None = None

    def filters(self) -> RunFilters:
        one = [self.agent_id] if self.agent_id else []
        return RunFilters(
            agent_ids=tuple(one + (self.agent_ids or [])), is_active=True, background=self.background
        )


class RunQuery(PageQuery):
    """Filters of the list of runs."""

    agent_id: str | None = None
    agent_ids: list[str] | None = None
    statuses: list[RunStatusName] | None = None
    active: bool = False
    background: bool | None = None
    stop_reason: StopReasonName | None = None
    conversation_id: str | None = None

    def filters(self) -> RunFilters:
        one = [self.agent_id] if self.agent_id else []
        return RunFilters(
            agent_ids=tuple(one + (self.agent_ids or [])),
            statuses=tuple(self.statuses or ()),
            is_active=self.active,
            background=self.background,
            stop_reason=self.stop_reason,
            conversation_id=self.conversation_id,
        )
