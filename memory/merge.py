"""Two people changed the same text: a three-way merge by lines.

Our own and not the library `merge3`, whose licence (GPL) ours does not allow.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from memory.lines import Change, changed_lines, split_lines


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreed:
    """Lines on which nobody disagrees."""

    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Clash:
    """Lines that both changed, each in another way. `base_line` is the number of the first one in the base, from 1."""

    base_line: int
    base: tuple[str, ...]
    mine: tuple[str, ...]
    theirs: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """A place that one or both changed: lines `start` to `end` (from 0, the end not included) of the base, and what became of them.

    `kind`: only mine changed, only theirs, both alike, or both differently.
    """

    kind: Literal["mine", "theirs", "both", "clash"]
    start: int
    end: int
    mine: tuple[str, ...]
    theirs: tuple[str, ...]

    @property
    def merged(self) -> tuple[str, ...] | None:
        """The lines when both changes are made; None for a clash."""
        if self.kind == "clash":
            return None
        return self.theirs if self.kind == "theirs" else self.mine

    def clash(self, base: Sequence[str]) -> Clash:
        """It as a clash, with the lines of this base."""
        was = tuple(base[self.start : self.end])
        return Clash(base_line=self.start + 1, base=was, mine=self.mine, theirs=self.theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Merge:
    """A merged text in parts, top down."""

    parts: tuple[Agreed | Clash, ...]

    @property
    def clashes(self) -> tuple[Clash, ...]:
        return tuple(part for part in self.parts if isinstance(part, Clash))

    @property
    def text(self) -> str:
        """The merged text. There is none while lines clash."""
        assert not self.clashes, "clashes are for a person to settle"
        return "\n".join(line for part in self.parts if isinstance(part, Agreed) for line in part.lines)


def join_insertions(merge: Merge) -> Merge:
    """The merge with both lines wherever both only added some at one place: theirs, then mine."""
    parts: list[Agreed | Clash] = []
    for part in merge.parts:
        if isinstance(part, Clash) and not part.base:
            _agree(parts, [*part.theirs, *part.mine])
        elif isinstance(part, Agreed):
            _agree(parts, part.lines)
        else:
            parts.append(part)
    return Merge(parts=tuple(parts))


def merge_texts(*, base: str, mine: str, theirs: str) -> Merge:
    """What becomes of `base` when both changes are made.

    Changes of different lines are both made, also of lines that follow each other; so is one change that both made. Changes of
    the same line clash, and so do lines put to one place, or put next to a line that the other changed: their order would be
    a guess.
    """
    base_lines = split_lines(base)
    parts: list[Agreed | Clash] = []
    done = 0
    for hunk in find_hunks(base=base, mine=mine, theirs=theirs):
        _agree(parts, base_lines[done : hunk.start])
        merged = hunk.merged
        if merged is None:
            parts.append(hunk.clash(base_lines))
        else:
            _agree(parts, merged)
        done = hunk.end
    _agree(parts, base_lines[done:])
    return Merge(parts=tuple(parts))


def find_hunks(*, base: str, mine: str, theirs: str) -> list[Hunk]:
    """The places that differ from the base, top down."""
    base_lines = split_lines(base)
    sides = tuple(
        _Side(lines=split_lines(text), changes=changed_lines(base, text)) for text in (mine, theirs)
    )
    return [_hunk(base_lines, sides, group) for group in _groups(sides)]


def compose(base: str, hunks: Sequence[Hunk], lines: Sequence[Sequence[str]]) -> str:
    """The base with these lines in the place of each hunk."""
    base_lines = split_lines(base)
    made: list[str] = []
    done = 0
    for hunk, chosen in zip(hunks, lines, strict=True):
        made += base_lines[done : hunk.start]
        made += chosen
        done = hunk.end
    return "\n".join([*made, *base_lines[done:]])


def _hunk(base: Sequence[str], sides: Sequence[_Side], group: Sequence[tuple[Change, int]]) -> Hunk:
    start = min(change.old_from for change, _ in group)
    end = max(change.old_to for change, _ in group)
    mine, theirs = (
        tuple(side.lines_for(base, start, end, [change for change, whose in group if whose == number]))
        for number, side in enumerate(sides)
    )
    changers = {whose for _, whose in group}
    if len(changers) == 1:
        kind: Literal["mine", "theirs", "both", "clash"] = "theirs" if changers.pop() else "mine"
    else:
        kind = "both" if mine == theirs else "clash"
    return Hunk(kind=kind, start=start, end=end, mine=mine, theirs=theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Side:
    lines: Sequence[str]
    changes: Sequence[Change]

    def lines_for(self, base: Sequence[str], start: int, end: int, changes: Iterable[Change]) -> list[str]:
        """What this side made of the base's lines `start` to `end`."""
        made: list[str] = []
        for change in changes:
            made += base[start : change.old_from]
            made += self.lines[change.new_from : change.new_to]
            start = change.old_to
        return [*made, *base[start:end]]


def _groups(sides: Sequence[_Side]) -> Iterable[list[tuple[Change, int]]]:
    """The changes of both, top down, those together that touch each other; each with the number of its side."""
    everything = sorted(
        ((change, number) for number, side in enumerate(sides) for change in side.changes),
        key=lambda each: (each[0].old_from, each[0].old_to, each[1]),
    )
    group: list[tuple[Change, int]] = []
    for change, number in everything:
        if group and not any(whose != number and _touch(change, other) for other, whose in group):
            yield group
            group = []
        group.append((change, number))
    if group:
        yield group


def _touch(one: Change, other: Change) -> bool:
    if one.old_from == one.old_to or other.old_from == other.old_to:
        return max(one.old_from, other.old_from) <= min(one.old_to, other.old_to)
    return max(one.old_from, other.old_from) < min(one.old_to, other.old_to)


def _agree(parts: list[Agreed | Clash], lines: Sequence[str]) -> None:
    if not lines:
        return
    if parts and isinstance(last := parts[-1], Agreed):
        parts[-1] = Agreed(lines=(*last.lines, *lines))
    else:
        parts.append(Agreed(lines=tuple(lines)))
