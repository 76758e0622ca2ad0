"""The blame of a block: its lines in groups, each with who wrote it, with what, and how long ago."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from letta_ade.accounts.pages import PageRequest
from memory.diffs import diff_rows
from memory.models import Block, BlockVersion
from memory.services.block_versions import blame_lines
from memory.services.blocks import get_block_for
from memory.web.block_versions import mark_of

#: Lines younger than this have the strongest mark, then weaker ones.
_AGES = (timedelta(days=1), timedelta(days=7), timedelta(days=30))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameGroup:
    """Lines that follow each other and were written by one version; None: by nobody known."""

    version: BlockVersion | None
    #: Number of the first one, from 1.
    start: int
    lines: tuple[str, ...]
    #: 0 is the youngest.
    age: int

    @property
    def numbered(self) -> list[tuple[int, str]]:
        return list(enumerate(self.lines, self.start))

    @property
    def mark(self) -> str:
        """How the author's mark is drawn."""
        return mark_of(self.version) if self.version else "unknown"


def load_groups(block: Block) -> list[BlameGroup]:
    """The lines of the block as it is now, top down."""
    now = timezone.now()
    groups: list[BlameGroup] = []
    lines = blame_lines(block)
    start = 0
    for at in range(1, len(lines) + 1):
        if at < len(lines) and lines[at].version == lines[start].version:
            continue
        version = lines[start].version
        old = now - version.created_at if version else timedelta(0)
        groups.append(
            BlameGroup(
                version=version,
                start=start + 1,
                lines=tuple(line.text for line in lines[start:at]),
                age=sum(old > each for each in _AGES),
            )
        )
        start = at
    return groups


@require_GET
def blame_part(request: PageRequest, block_id: str) -> HttpResponse:
    """The blame alone, for a page that began with the text."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    context = {"memory_block": block, "groups": load_groups(block)}
    return render(request, "blocks/partials/blame.html", context)


@require_POST
def draft_diff(request: PageRequest, block_id: str) -> HttpResponse:
    """What is typed against what is stored."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    typed = request.POST.get("value", "").replace("\r\n", "\n")
    context = {"rows": diff_rows(block.value, typed), "same": "Nothing is changed."}
    return render(request, "blocks/partials/diff.html", context)
