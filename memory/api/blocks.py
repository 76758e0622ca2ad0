"""Single blocks. Their list, and so their creation, count agents and are at home in agents/api/blocks.py."""

from __future__ import annotations

from django.http import HttpResponse
from ninja import Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import BlockId, respond
from memory.api.schemas.block import BlockResponse, UpdateBlock
from memory.services import blocks

router = Router()


@router.get("/{block_id}", response=BlockResponse)
def retrieve_block(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    return respond(BlockResponse.of(blocks.get_block_for(caller=request.auth, block_id=block_id)))


@router.patch("/{block_id}", response=BlockResponse)
def update_block(request: ApiRequest, block_id: BlockId, body: UpdateBlock) -> HttpResponse:
    block = blocks.update_block(caller=request.auth, block_id=block_id, changes=body.changes())
    return respond(BlockResponse.of(block))


@router.delete("/{block_id}", response=None)
def delete_block(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    blocks.delete_block(caller=request.auth, block_id=block_id)
    return respond(None)
