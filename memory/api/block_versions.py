"""Versions of a block: extensions of ours, which the SDK does not know."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from django.http import HttpResponse
from ninja import Query, Router

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import paginate
from letta_ade.core.schemas import BlockId, PageQuery, path_id, respond
from memory.api.preconditions import base_version_of, respond_block
from memory.api.schemas.block import VersionedBlock
from memory.api.schemas.block_version import (
    BlamedLine,
    CheckpointResponse,
    CreateCheckpoint,
    DiffResponse,
    PutBack,
    RenameCheckpoint,
    RevertResponse,
    RevertWrites,
    VerifyResponse,
    VersionResponse,
    blamed_lines,
)
from memory.services import block_checkpoints, block_restores, block_reverts, block_versions
from memory.services.blocks import get_block_for

router = Router()
CheckpointId = Annotated[str, path_id("block_checkpoint")]


@router.get("/{block_id}/versions", response=list[VersionResponse])
def list_versions(request: ApiRequest, block_id: BlockId, query: Query[PageQuery]) -> HttpResponse:
    versions = block_versions.list_versions(caller=request.auth, block_id=block_id)
    page = replace(query.page(), order_by="number")
    return respond([VersionResponse.of(version) for version in paginate(versions, page)])


@router.get("/{block_id}/versions/diff", response=DiffResponse)
def compare_versions(request: ApiRequest, block_id: BlockId, old: int, new: int) -> HttpResponse:
    diff = block_versions.compare_versions(caller=request.auth, block_id=block_id, old=old, new=new)
    return respond(DiffResponse.of(diff))


@router.get("/{block_id}/versions/blame", response=list[BlamedLine])
def blame_block(request: ApiRequest, block_id: BlockId, version: int | None = None) -> HttpResponse:
    lines = block_versions.blame_block(caller=request.auth, block_id=block_id, number=version)
    return respond(blamed_lines(lines))


@router.get("/{block_id}/versions/verify", response=VerifyResponse)
def verify_versions(request: ApiRequest, block_id: BlockId) -> HttpResponse:
    block = get_block_for(caller=request.auth, block_id=block_id)
    return respond(VerifyResponse.of(block, block_versions.find_problems(block)))


@router.post("/{block_id}/versions/undo", response=VersionedBlock)
def undo(request: ApiRequest, block_id: BlockId, body: PutBack | None = None) -> HttpResponse:
    return respond_block(
        block_restores.undo(caller=request.auth, block_id=block_id, base_version=_base(request, body))
    )


@router.post("/{block_id}/versions/redo", response=VersionedBlock)
def redo(request: ApiRequest, block_id: BlockId, body: PutBack | None = None) -> HttpResponse:
    return respond_block(
        block_restores.redo(caller=request.auth, block_id=block_id, base_version=_base(request, body))
    )


@router.get("/{block_id}/versions/checkpoints", response=list[CheckpointResponse])
def list_checkpoints(request: ApiRequest, block_id: BlockId, query: Query[PageQuery]) -> HttpResponse:
    checkpoints = block_checkpoints.list_checkpoints(caller=request.auth, block_id=block_id)
    return respond([CheckpointResponse.of(each) for each in paginate(checkpoints, query.page())])


@router.post("/{block_id}/versions/checkpoints", response=CheckpointResponse)
def create_checkpoint(request: ApiRequest, block_id: BlockId, body: CreateCheckpoint) -> HttpResponse:
    checkpoint = block_checkpoints.create_checkpoint(
        caller=request.auth, block_id=block_id, name=body.name, version=body.version
    )
    return respond(CheckpointResponse.of(checkpoint))


@router.patch("/{block_id}/versions/checkpoints/{checkpoint_id}", response=CheckpointResponse)
def rename_checkpoint(
    request: ApiRequest, block_id: BlockId, checkpoint_id: CheckpointId, body: RenameCheckpoint
) -> HttpResponse:
    checkpoint = block_checkpoints.rename_checkpoint(
        caller=request.auth, block_id=block_id, checkpoint_id=checkpoint_id, name=body.name
    )
    return respond(CheckpointResponse.of(checkpoint))


@router.delete("/{block_id}/versions/checkpoints/{checkpoint_id}", response=None)
def delete_checkpoint(request: ApiRequest, block_id: BlockId, checkpoint_id: CheckpointId) -> HttpResponse:
    block_checkpoints.delete_checkpoint(caller=request.auth, block_id=block_id, checkpoint_id=checkpoint_id)
    return respond(None)


@router.post("/{block_id}/versions/checkpoints/{checkpoint_id}/restore", response=VersionedBlock)
def restore_checkpoint(
    request: ApiRequest, block_id: BlockId, checkpoint_id: CheckpointId, body: PutBack | None = None
) -> HttpResponse:
    block = block_checkpoints.restore_checkpoint(
        caller=request.auth,
        block_id=block_id,
        checkpoint_id=checkpoint_id,
        base_version=_base(request, body),
    )
    return respond_block(block)


@router.post("/{block_id}/versions/revert", response=RevertResponse)
def revert_writes(request: ApiRequest, block_id: BlockId, body: RevertWrites) -> HttpResponse:
    block, reversal = block_reverts.revert_writes(
        caller=request.auth,
        block_id=block_id,
        writes=body.writes(),
        base_version=base_version_of(request, body.base_version),
        keeps_clashes=body.keep_clashes,
    )
    return respond(RevertResponse.of(block, reversal))


@router.get("/{block_id}/versions/{version}", response=VersionResponse)
def retrieve_version(request: ApiRequest, block_id: BlockId, version: int) -> HttpResponse:
    block = get_block_for(caller=request.auth, block_id=block_id)
    return respond(VersionResponse.of(block_versions.get_version_of(block, version)))


@router.post("/{block_id}/versions/{version}/restore", response=VersionedBlock)
def restore_version(
    request: ApiRequest, block_id: BlockId, version: int, body: PutBack | None = None
) -> HttpResponse:
    block = block_restores.restore_version(
        caller=request.auth, block_id=block_id, number=version, base_version=_base(request, body)
    )
    return respond_block(block)


def _base(request: ApiRequest, body: PutBack | None) -> int | None:
    return base_version_of(request, body.base_version if body else None)
