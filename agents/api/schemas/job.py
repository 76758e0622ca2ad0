"""Runs in the shape of jobs, which older clients poll (spec/objects.md §11)."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator

from agents.models import Run
from agents.services.runs import RunFilters, public_metadata
from letta_ade.core.ids import PREFIXES
from letta_ade.core.schemas import PageQuery, Wire, path_id

_JOB_PREFIX = "job-"


def _as_run_id(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(_JOB_PREFIX):
        return f"{PREFIXES['run']}-{value.removeprefix(_JOB_PREFIX)}"
    return value


#: The id of a run; its prefix may be the one that jobs had.
JobId = Annotated[str, BeforeValidator(_as_run_id), path_id("run")]


class JobResponse(Wire):
    """A run as a job."""

    id: str
    status: str
    job_type: Literal["run"] = "run"
    agent_id: str | None
    user_id: str | None
    background: bool | None
    stop_reason: str | None
    metadata: dict[str, Any] | None
    callback_url: str | None
    callback_sent_at: datetime | None
    callback_status_code: int | None
    callback_error: str | None
    ttft_ns: int | None
    total_duration_ns: int | None
    created_at: datetime
    completed_at: datetime | None
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(cls, run: Run) -> JobResponse:
        """The job that the run is."""
        return cls(
            id=run.id,
            status=run.status,
            agent_id=run.agent_id,
            user_id=run.created_by_id,
            background=run.background,
            stop_reason=run.stop_reason,
            metadata=public_metadata(run),
            callback_url=run.callback_url,
            callback_sent_at=run.callback_sent_at,
            callback_status_code=run.callback_status_code,
            callback_error=run.callback_error,
            ttft_ns=run.ttft_ns,
            total_duration_ns=run.total_duration_ns,
            created_at=run.created_at,
            completed_at=run.completed_at,
            updated_at=run.updated_at,
            created_by_id=run.created_by_id,
            last_updated_by_id=run.last_updated_by_id,
        )


class JobQuery(PageQuery):
    """Filters of the list of jobs."""

    active: bool = False
    #: Only jobs that loaded a source have one, and none of these is a run.
    source_id: str | None = None

    def filters(self) -> RunFilters:
        return RunFilters(is_active=self.active)
