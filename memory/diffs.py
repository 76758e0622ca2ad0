"""The difference of two texts in rows, with a little of what stands around each change."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from memory.lines import changed_lines, split_lines

#: Unchanged lines around a change.
_CONTEXT_LINES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class DiffRow:
    """A line of a difference; `skipped` rows stand for unchanged lines that are not shown."""

    op: Literal["same", "add", "del", "skipped"]
    old_number: int | None = None
    new_number: int | None = None
    text: str = ""
    skipped: int = 0


def diff_rows(old: str, new: str) -> list[DiffRow]:
    """The rows, top down; none when the texts are the same."""
    before, after = split_lines(old), split_lines(new)
    changes = changed_lines(old, new)
    rows: list[DiffRow] = []
    shown_to = 0
    for place, change in enumerate(changes):
        start = max(change.old_from - _CONTEXT_LINES, shown_to)
        if start > shown_to:
            rows.append(DiffRow(op="skipped", skipped=start - shown_to))
        rows += _same(before, start, change.old_from, shift=change.new_from - change.old_from)
        rows += _numbered("del", before[change.old_from : change.old_to], old=change.old_from + 1)
        rows += _numbered("add", after[change.new_from : change.new_to], new=change.new_from + 1)
        following = changes[place + 1].old_from if place + 1 < len(changes) else len(before)
        shown_to = min(change.old_to + _CONTEXT_LINES, following)
        rows += _same(before, change.old_to, shown_to, shift=change.new_to - change.old_to)
    if rows and shown_to < len(before):
        rows.append(DiffRow(op="skipped", skipped=len(before) - shown_to))
    return rows


def _same(lines: Sequence[str], start: int, end: int, *, shift: int) -> Iterator[DiffRow]:
    for at in range(start, end):
        yield DiffRow(op="same", old_number=at + 1, new_number=at + shift + 1, text=lines[at])


def _numbered(
    op: Literal["add", "del"], texts: Sequence[str], *, old: int | None = None, new: int | None = None
) -> Iterator[DiffRow]:
    for step, text in enumerate(texts):
        yield DiffRow(
            op=op,
            old_number=old + step if old is not None else None,
            new_number=new + step if new is not None else None,
            text=text,
        )
