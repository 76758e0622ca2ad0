"""Who may write to a block, and what waits for approval: extensions of ours, which the SDK does not know."""

from __future__ import annotations

from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import BlockId, path_id, respond
from memory.api.schemas.proposal import (
    MOST_CHANGES,
    ApproveProposal,
    PatchPolicy,
    PolicyResponse,
    ProposalDetail,
    ProposalQuery,
    ProposalResponse,
    PutPolicy,
    RejectProposal,
)
from memory.models import Block
from memory.services import block_policies, proposal_decisions, proposals
from memory.services.blocks import get_block_for

router = Router()
router_of_blocks = Router()
ProposalId = Annotated[str, path_id("proposal")]


@router_of_blocks.get("/{block_id}/policy", response=PolicyResponse)
def retrieve_policy(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    return _respond_policy(get_block_for(caller=request.auth, block_id=block_id))


@router_of_blocks.put("/{block_id}/policy", response=PolicyResponse)
def replace_policy(request: ApiRequest, block_id: BlockId, body: PutPolicy) -> HttpResponse:
    return _respond_policy(
        block_policies.set_policy(caller=request.auth, block_id=block_id, rules=body.rules)
    )


@router_of_blocks.patch("/{block_id}/policy", response=PolicyResponse)
def update_policy(request: ApiRequest, block_id: BlockId, body: PatchPolicy) -> HttpResponse:
    return _respond_policy(
        block_policies.change_policy(caller=request.auth, block_id=block_id, rules=body.rules)
    )


@router_of_blocks.get("/{block_id}/proposals", response=list[ProposalResponse])
def list_proposals_of_block(
    request: ApiRequest, block_id: BlockId, query: Query[ProposalQuery]
) -> HttpResponse:
    get_block_for(caller=request.auth, block_id=block_id)
    return _respond_list(request, query, block_id=block_id)


@router.get("/", response=list[ProposalResponse])
def list_proposals(request: ApiRequest, query: Query[ProposalQuery]) -> HttpResponse:
    return _respond_list(request, query)


@router.get("/{proposal_id}", response=ProposalDetail)
def retrieve_proposal(request: ApiRequest, proposal_id: ProposalId) -> HttpResponse:
    return respond(
        ProposalDetail.of(proposals.get_proposal_for(caller=request.auth, proposal_id=proposal_id))
    )


@router.post("/{proposal_id}/approve", response=ProposalDetail)
def approve_proposal(
    request: ApiRequest, proposal_id: ProposalId, body: ApproveProposal | None = None
) -> HttpResponse:
    sent = body or ApproveProposal()
    decided = proposal_decisions.approve_proposal(
        caller=request.auth, proposal_id=proposal_id, text=sent.value, base_version=sent.base_version
    )
    return respond(ProposalDetail.of(decided))


@router.post("/{proposal_id}/reject", response=ProposalDetail)
def reject_proposal(
    request: ApiRequest, proposal_id: ProposalId, body: RejectProposal | None = None
) -> HttpResponse:
    reason = (body.reason if body else None) or ""
    decided = proposal_decisions.reject_proposal(caller=request.auth, proposal_id=proposal_id, reason=reason)
    return respond(ProposalDetail.of(decided))


def _respond_policy(block: Block) -> HttpResponse:
    changes = list(block_policies.list_policy_changes(block)[:MOST_CHANGES])
    return respond(PolicyResponse.of(block, changes))


def _respond_list(request: ApiRequest, query: ProposalQuery, *, block_id: str | None = None) -> HttpResponse:
    found = proposals.list_proposals(caller=request.auth, filters=query.filters(block_id=block_id))
    # A cursor still holds its place when it was decided meanwhile.
    everything = proposals.list_proposals(caller=request.auth)
    return respond([ProposalResponse.of(each) for each in paginate(found, query.page(), among=everything)])
