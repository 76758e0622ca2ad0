"""Everything that waits for an answer, of all agents: our addition to the API."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Query, Router

from agents.api.schemas.approval import WaitingQuery, WaitingResponse
from agents.services.waiting import list_waiting
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import respond

router = Router()


@router.get("/", response=list[WaitingResponse])
def list_approvals(request: ApiRequest, query: Query[WaitingQuery]) -> HttpResponse:
    found = list_waiting(caller=request.auth, filters=query.filters(), page=query.page())
    return respond([WaitingResponse.of(waiting) for waiting in found])
