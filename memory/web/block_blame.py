"""The value of a block with the origin of each line: rows in groups of one version, and what is typed but not saved among them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from django.http import HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from letta_ade.accounts.pages import PageRequest
from memory.lines import changed_lines, split_lines
from memory.models import BlockVersion
from memory.services.block_versions import BlameLine, blame_block
from memory.services.blocks import get_block_for

#: Younger than these is drawn stronger in the gutter, the first the strongest.
_AGES = (timedelta(days=1), timedelta(days=7), timedelta(days=30))


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameRow:
    """A line. `op` is add or del for what is typed and not saved; such lines have no origin yet."""

    text: str
    number: int | None
    op: Literal["", "add", "del"] = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BlameGroup:
    """Lines that follow each other and come from one version; None: from no version, or not saved."""

    version: BlockVersion | None
    rows: tuple[BlameRow, ...]
    #: 0 for the newest lines to 3 for the oldest.
    age: int
    is_unsaved: bool = False

    @property
    def key(self) -> str:
        """Tells the group apart on its page."""
        first = self.rows[0]
        return f"{first.op or 'l'}{first.number}"


@require_http_methods(["GET", "POST"])
def blame_part(request: PageRequest, block_id: str) -> HttpResponse:
    """The lines and who wrote them; of a post also how what is typed differs from them."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    typed = request.POST.get("value")
    lines = blame_block(caller=request.caller, block_id=block_id)
    value = "\n".join(line.text for line in lines)
    mine = value if typed is None else typed.replace("\r\n", "\n")
    context = {"memory_block": block, "groups": list(blame_groups(lines, value, mine))}
    return render(request, "blocks/partials/blame.html", context)


def blame_groups(lines: Sequence[BlameLine], value: str, mine: str) -> Iterator[BlameGroup]:
    """The groups top down; `mine` is what is typed, or the value itself."""
    now = timezone.now()
    done, shift = 0, 0
    typed = split_lines(mine)
    for change in changed_lines(value, mine):
        yield from _saved_groups(lines, done, change.old_from, shift, now)
        gone = tuple(
            BlameRow(text=line.text, number=at + 1, op="del")
            for at, line in enumerate(lines[change.old_from : change.old_to], start=change.old_from)
        )
        come = tuple(
            BlameRow(text=text, number=at + 1, op="add")
            for at, text in enumerate(typed[change.new_from : change.new_to], start=change.new_from)
        )
        for rows in (gone, come):
            if rows:
                yield BlameGroup(version=None, rows=rows, age=0, is_unsaved=True)
        done, shift = change.old_to, change.new_to - change.old_to
    yield from _saved_groups(lines, done, len(lines), shift, now)


def _saved_groups(
    lines: Sequence[BlameLine], start: int, end: int, shift: int, now: datetime
) -> Iterator[BlameGroup]:
    while start < end:
        version = lines[start].version
        number = version.number if version else None
        stop = start
        while stop < end and _number_of(lines[stop]) == number:
            stop += 1
        yield BlameGroup(
            version=version,
            rows=tuple(BlameRow(text=lines[at].text, number=at + shift + 1) for at in range(start, stop)),
            age=_age(version, now),
        )
        start = stop


def _number_of(line: BlameLine) -> int | None:
    return line.version.number if line.version else None


def _age(version: BlockVersion | None, now: datetime) -> int:
    if version is None:
        return 0
    return next((at for at, limit in enumerate(_AGES) if now - version.created_at < limit), len(_AGES))
