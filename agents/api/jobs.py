"""Jobs: what older clients call runs. Every route has its twin among those of runs."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.job import JobId, JobQuery, JobResponse
from agents.services import execution, runs
from agents.services.runs import RunFilters
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core import threads
from letta_ade.core.schemas import respond

router = Router()


@router.get("/", response=list[JobResponse], deprecated=True)
def list_jobs(request: ApiRequest, query: Query[JobQuery]) -> HttpResponse:
    return _list(request, query, query.filters())


@router.get("/active", response=list[JobResponse], deprecated=True)
def list_active_jobs(request: ApiRequest, query: Query[JobQuery]) -> HttpResponse:
    return _list(request, query, RunFilters(is_active=True))


@router.get("/{job_id}", response=JobResponse, deprecated=True)
def retrieve_job(request: ApiRequest, job_id: JobId) -> HttpResponse:
    return respond(JobResponse.of(runs.get_run_for(caller=request.auth, run_id=job_id)))


@router.patch("/{job_id}/cancel", response=JobResponse, deprecated=True)
async def cancel_job(request: ApiRequest, job_id: JobId) -> HttpResponse:
    """The job after its end; one that has ended is left as it is."""
    run = await threads.run(runs.get_run_for, caller=request.auth, run_id=job_id)
    await execution.cancel_runs(caller=request.auth, agent_id=run.agent_id, run_ids=[run.id])
    run = await threads.run(runs.get_run_for, caller=request.auth, run_id=job_id)
    return respond(JobResponse.of(run))


@router.delete("/{job_id}", response=JobResponse, deprecated=True)
def delete_job(request: ApiRequest, job_id: JobId) -> HttpResponse:
    return respond(JobResponse.of(runs.delete_run(caller=request.auth, run_id=job_id)))


def _list(request: ApiRequest, query: JobQuery, filters: RunFilters) -> HttpResponse:
    if query.source_id is not None:
        return respond([])
    found = runs.list_runs(caller=request.auth, filters=filters, page=query.page())
    return respond([JobResponse.of(run) for run in found])
