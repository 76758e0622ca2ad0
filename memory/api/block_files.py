"""Blocks to and from files (ours)."""

from __future__ import annotations

from typing import Annotated

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse
from ninja import Field, Query, Router, Schema

from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.schemas import respond
from memory.api.schemas.block import BlockQuery
from memory.services import block_files
from memory.services.block_files import FileKind, OnCollision
from memory.services.blocks import list_blocks

router = Router()


class ExportQuery(Schema):
    """What of the blocks a file holds; the filters of the list say which blocks."""

    format: FileKind = FileKind.JSONL
    versions: Annotated[bool, Field(description="With the history of each block.")] = False
    block_ids: Annotated[list[str] | None, Field(description="Only these.")] = None


class ImportQuery(Schema):
    """How a file is read in."""

    dry_run: Annotated[bool, Field(description="Say what would be done, and do nothing.")] = False
    collisions: Annotated[OnCollision, Field(description="What becomes of a block that is here.")] = (
        OnCollision.SKIP
    )


@router.get("/export")
def export_blocks(request: ApiRequest, query: Query[ExportQuery], filters: Query[BlockQuery]) -> HttpResponse:
    blocks = list_blocks(caller=request.auth, filters=filters.filters())
    if query.block_ids is not None:
        blocks = blocks.filter(id__in=query.block_ids)
    text = block_files.write_blocks(
        caller=request.auth, blocks=blocks, kind=query.format, has_versions=query.versions
    )
    return HttpResponse(text, headers=query.format.headers)


@router.post("/import")
def import_blocks(request: ApiRequest, query: Query[ImportQuery]) -> HttpResponse:
    file: UploadedFile[bytes] | None = request.FILES.get("file")
    report = block_files.import_blocks(
        caller=request.auth,
        data=file.read() if file else request.body,
        on_collision=query.collisions,
        is_dry_run=query.dry_run,
    )
    said = {"dry_run": report.is_dry_run, "written": report.is_written, **report.counts}
    lines = [
        {
            "line": each.line,
            "label": each.label,
            "outcome": each.outcome,
            "block_id": each.block_id,
            "message": each.message,
        }
        for each in report.results
    ]
    return respond(said | {"results": lines})
