"""Single blocks. Their list, and so their creation, count agents and are at home in agents/api/blocks.py."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import BlockId, respond
from memory.api.preconditions import base_version_of, respond_block, respond_change
from memory.api.schemas.block import UpdateBlock, VersionedBlock
from memory.services import blocks

router = Router()


@router.get("/{block_id}", response=VersionedBlock)
def retrieve_block(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    return respond_block(blocks.get_block_for(caller=request.auth, block_id=block_id))


@router.patch("/{block_id}", response=VersionedBlock)
def update_block(request: ApiRequest, block_id: BlockId, body: UpdateBlock) -> HttpResponse:
    change = blocks.change_block(
        caller=request.auth,
        block_id=block_id,
        changes=body.changes(),
        base_version=base_version_of(request, body.base_version),
    )
    return respond_change(change)


@router.delete("/{block_id}", response=None)
def delete_block(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    blocks.delete_block(caller=request.auth, block_id=block_id)
    return respond(None)
