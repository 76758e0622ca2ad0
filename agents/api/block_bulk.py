"""One change to many blocks (ours)."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict

from django.http import HttpResponse
from ninja import Router

from agents.services.block_bulk import BulkAction, BulkRequest, change_blocks
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import Body, respond

router = Router()


class BulkBody(Body):
    """What is to be done, and to which blocks."""

    action: BulkAction
    block_ids: list[str]
    agent_ids: list[str] = []
    tag: str = ""


@router.post("/bulk")
def change_many_blocks(request: ApiRequest, body: BulkBody) -> HttpResponse:
    wanted = BulkRequest(
        action=body.action,
        block_ids=tuple(body.block_ids),
        agent_ids=tuple(body.agent_ids),
        tag=body.tag,
    )
    results = change_blocks(caller=request.auth, request=wanted)
    counts = Counter(result.outcome for result in results)
    said = {name: counts[name] for name in ("done", "unchanged", "refused")}
    return respond(said | {"results": [asdict(result) for result in results]})
