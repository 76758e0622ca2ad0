"""Blocks to and from files, in the pages."""

from __future__ import annotations

from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.http import HttpResponse, QueryDict
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from memory.models import Block
from memory.services.block_files import FileKind, ImportReport, OnCollision, import_blocks, write_blocks
from memory.services.blocks import list_blocks
from memory.web.block_list import filters_of

COLLISIONS: dict[str, str] = {
    OnCollision.SKIP: "leave it as it is",
    OnCollision.UPDATE: "write a new version of it",
    OnCollision.NEW: "make another block beside it",
}
#: Rows of a report that the page shows; refused ones come first.
SHOWN_RESULTS = 200


@require_http_methods(["GET", "POST"])
def export_file(request: PageRequest) -> HttpResponse:
    """A file: of the blocks that a form names, or else of those that pass the filters of the address."""
    sent: QueryDict = request.POST if request.method == "POST" else request.GET
    chosen = (
        [] if sent.get("all") else [block_id for block_id in sent.getlist("block") if "\0" not in block_id]
    )
    if chosen:
        blocks = Block.objects.filter(id__in=chosen)
    else:
        blocks = list_blocks(caller=request.caller, filters=filters_of(request.GET).wanted())
    kind = FileKind.JSON if sent.get("format") == FileKind.JSON else FileKind.JSONL
    try:
        text = write_blocks(
            caller=request.caller, blocks=blocks, kind=kind, has_versions=bool(sent.get("versions"))
        )
    except AdeError as error:
        return _import_page(request, error=error.message, status=error.status)
    return HttpResponse(text, headers=kind.headers)


@require_http_methods(["GET", "POST"])
def import_page(request: PageRequest) -> HttpResponse:
    """Takes a file and says of each line what became of it; a dry run says what would."""
    request.caller.check("edit")
    if request.method == "GET":
        return _import_page(request)
    file: UploadedFile[bytes] | None = request.FILES.get("file")
    chosen = request.POST.get("collisions", "")
    try:
        if file is None:
            raise Invalid("Choose a file.")
        report = import_blocks(
            caller=request.caller,
            data=file.read(),
            on_collision=OnCollision(chosen) if chosen in COLLISIONS else OnCollision.SKIP,
            is_dry_run="dry_run" in request.POST,
        )
    except AdeError as error:
        return _import_page(request, error=error.message, status=422)
    return _import_page(request, report=report)


def _import_page(
    request: PageRequest, *, report: ImportReport | None = None, error: str | None = None, status: int = 200
) -> HttpResponse:
    results = sorted(report.results, key=lambda each: each.outcome != "refused") if report else []
    context: dict[str, Any] = {
        "report": report,
        "results": results[:SHOWN_RESULTS],
        "left_out": max(0, len(results) - SHOWN_RESULTS),
        "error": error,
        "collisions": COLLISIONS,
        "collision": request.POST.get("collisions", OnCollision.SKIP),
    }
    return render(request, "blocks/import.html", context, status=status)
