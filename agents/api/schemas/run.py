"""Runs and steps on the wire (spec/objects.md §11)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from agents.models import Run, Step
from agents.services.runs import RunFilters, RunUsage, public_error, public_metadata
from letta_ade.core.schemas import PageQuery, Wire

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


class TokenDetails(Wire):
    cached_tokens: int | None
    cache_read_tokens: int | None
    cache_creation_tokens: int | None


class CompletionDetails(Wire):
    reasoning_tokens: int | None


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
            prompt_tokens_details=_token_details(usage),
            completion_tokens_details=_completion_details(usage),
        )


class StepResponse(Wire):
    """One call of the model."""

    id: str
    run_id: str | None
    agent_id: str | None
    origin: str | None = None
    provider_id: str | None = None
    provider_name: str | None
    provider_category: str | None = "base"
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
    trace_id: str | None = None
    request_id: str | None = None
    messages: list[dict[str, Any]] = []
    feedback: str | None
    project_id: str | None = None

    @classmethod
    def of(cls, step: Step) -> StepResponse:
        """The step of a row."""
        return cls(
            id=step.id,
            run_id=step.run_id,
            agent_id=step.agent_id,
            provider_name=step.provider_name,
            model=step.model_handle.partition("/")[2],
            model_handle=step.model_handle,
            model_endpoint=step.model_endpoint,
            context_window_limit=step.context_window_limit,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            total_tokens=step.total_tokens,
            cached_input_tokens=step.cached_input_tokens,
            cache_write_tokens=step.cache_write_tokens,
            reasoning_tokens=step.reasoning_tokens,
            prompt_tokens_details=_token_details(step),
            completion_tokens_details=_completion_details(step),
            stop_reason=step.stop_reason,
            status=step.status,
            error_type=step.error_type,
            error_data=public_error(step.error_data),
            tags=step.tags,
            feedback=step.feedback,
        )


class RunQuery(PageQuery):
    """Filters of the list of runs."""

    agent_id: str | None = None
    agent_ids: list[str] | None = None
    statuses: list[str] | None = None
    active: bool = False
    background: bool | None = None
    stop_reason: str | None = None
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


def _token_details(counted: RunUsage | Step) -> TokenDetails | None:
    if counted.cached_input_tokens is None and counted.cache_write_tokens is None:
        return None
    return TokenDetails(
        cached_tokens=counted.cached_input_tokens,
        cache_read_tokens=counted.cached_input_tokens,
        cache_creation_tokens=counted.cache_write_tokens,
    )


def _completion_details(counted: RunUsage | Step) -> CompletionDetails | None:
    if counted.reasoning_tokens is None:
        return None
    return CompletionDetails(reasoning_tokens=counted.reasoning_tokens)
