"""The pages of a block's history: one version, two compared, the list, whether the chain holds."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET

from letta_ade.accounts.pages import PageRequest
from memory.diffs import diff_rows
from memory.models import Block, BlockCheckpoint, BlockVersion
from memory.services.block_versions import (
    compare_versions,
    find_problems,
    get_version_of,
    is_intact,
)
from memory.services.blocks import get_block_for
from memory.web.block_versions import list_writers, load_versions, version_line

FIELD_NAMES = {
    "label": "Label",
    "description": "Description",
    "limit": "Limit",
    "read_only": "Read-only for agents",
}


@require_GET
def version_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """One version: how it differs from the one before it, its whole value, where it comes from, and what can be done with it."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    version = get_version_of(block, number)
    before = BlockVersion.objects.filter(block=block, number=number - 1).first()
    context = {
        **versions_context(request, block),
        "version": version,
        "before": before,
        "after": BlockVersion.objects.filter(block=block, number=number + 1).exists(),
        "line": version_line(version, before),
        "is_intact": is_intact(version),
        "rows": diff_rows(before.value if before else "", version.value),
        "fields": _fields(before, version) if before else [],
        "value_lines": version.value.split("\n"),
        "shows_value": request.GET.get("show") == "value",
        "checkpoints": list(BlockCheckpoint.objects.filter(block=block, version=number)),
    }
    return render(request, "blocks/version.html", context)


@require_GET
def choose_versions(request: PageRequest, block_id: str) -> HttpResponse:
    """From the form of two versions to the address of their comparison; without an answer to that of the newest two."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    numbers = [_number(request.GET.get(name, "")) for name in ("old", "new")]
    old, new = (number or chosen for number, chosen in zip(numbers, _newest_two(block), strict=True))
    return redirect("blocks:compare", block_id=block_id, old=old, new=new)


@require_GET
def compare_page(request: PageRequest, block_id: str, old: int, new: int) -> HttpResponse:
    """What changed from one version to another, in either direction."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    diff = compare_versions(caller=request.caller, block_id=block_id, old=old, new=new)
    context = {
        **versions_context(request, block),
        "diff": diff,
        "fields": [(FIELD_NAMES[name], was, now) for name, (was, now) in diff.fields.items()],
        "compares": True,
    }
    return render(request, "blocks/compare.html", context)


@require_GET
def versions_part(request: PageRequest, block_id: str) -> HttpResponse:
    """The list of versions: its newest part, or what is older than `before`; of one writer with `actor`."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    before = _number(request.GET.get("before", ""))
    context = versions_context(request, block, before=before)
    if not request.htmx:
        return render(request, "blocks/versions.html", context)
    return render(request, "blocks/partials/version_items.html", context)


@require_GET
def verify_part(request: PageRequest, block_id: str) -> HttpResponse:
    """Whether the chain of versions holds, and which versions nobody explains."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    problems = find_problems(block)
    unexplained = [each for each in problems if each.kind == "unexplained" and each.version <= block.version]
    context = {
        "memory_block": block,
        "problems": [each for each in problems if each not in unexplained],
        "unexplained": [each.version for each in unexplained],
        "explained_count": block.version - len(unexplained),
    }
    return render(request, "blocks/partials/verified.html", context)


def versions_context(request: PageRequest, block: Block, *, before: int | None = None) -> dict[str, Any]:
    """What the pane of versions is given: the list, and the filter of the address."""
    actor = request.GET.get("actor", "")
    writers = list_writers(block)
    return {
        "memory_block": block,
        "versions": load_versions(caller=request.caller, block=block, before=before, actor=actor),
        "writers": writers,
        "actor": actor,
        "writer": next((each for each in writers if each.key == actor), None),
        # The list of the comparison has two columns of choices.
        "compares": "compares" in request.GET,
    }


def _fields(before: BlockVersion, version: BlockVersion) -> list[tuple[str, Any, Any]]:
    return [
        (title, getattr(before, name), getattr(version, name))
        for name, title in FIELD_NAMES.items()
        if getattr(before, name) != getattr(version, name)
    ]


def _newest_two(block: Block) -> tuple[int, int]:
    return max(1, block.version - 1), block.version


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
