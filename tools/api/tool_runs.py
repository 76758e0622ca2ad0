"""Running a source that is not stored."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import respond
from tools.api.schemas.tool_run import RunMessage, RunSource
from tools.services.tool_runs import run_source

router = Router()


@router.post("/run", response=RunMessage)
async def run_tool(request: ApiRequest, body: RunSource) -> HttpResponse:
    run = await run_source(
        caller=request.auth,
        draft=body.draft(),
        arguments=body.args,
        environment=body.environment(),
        name=body.name,
    )
    return respond(RunMessage.of(run))
