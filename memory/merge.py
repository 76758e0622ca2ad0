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


@dataclass(frozen=True, slots=True, kw_only=True)
class Hunk:
    """Lines of the base that somebody changed, and what each side has there; places count from 0.

    `mine` or `theirs` where only one side changed them, `both` where both did the same, `clash` where they did not.
    """

    kind: Literal["mine", "theirs", "both", "clash"]
    base_from: int
    base: tuple[str, ...]
    mine_from: int
    mine: tuple[str, ...]
    theirs_from: int
    theirs: tuple[str, ...]


def merge_hunks(*, base: str, mine: str, theirs: str) -> list[Hunk]:
    """Where the three texts differ, top down. Between two hunks all three are the same."""
    base_lines = split_lines(base)
    sides = tuple(
        _Side(lines=split_lines(text), changes=changed_lines(base, text)) for text in (mine, theirs)
    )
    hunks: list[Hunk] = []
    shifts = [0, 0]
    for group in _groups(sides):
        start = min(change.old_from for change, _ in group)
        end = max(change.old_to for change, _ in group)
        made = [
            tuple(
                sides[number].lines_for(
                    base_lines, start, end, [change for change, whose in group if whose == number]
                )
            )
            for number in (0, 1)
        ]
        changers = {whose for _, whose in group}
        hunk = Hunk(
            kind=_kind(changers, is_same=made[0] == made[1]),
            base_from=start,
            base=tuple(base_lines[start:end]),
            mine_from=start + shifts[0],
            mine=made[0],
            theirs_from=start + shifts[1],
            theirs=made[1],
        )
        hunks.append(hunk)
        shifts = [shift + len(lines) - (end - start) for shift, lines in zip(shifts, made, strict=True)]
    return hunks


def settled(base: str, hunks: Sequence[Hunk], chosen: Sequence[Sequence[str]]) -> str:
    """The base with each hunk's lines replaced by the chosen ones."""
    base_lines = split_lines(base)
    made: list[str] = []
    done = 0
    for hunk, lines in zip(hunks, chosen, strict=True):
        made += [*base_lines[done : hunk.base_from], *lines]
        done = hunk.base_from + len(hunk.base)
    return "\n".join([*made, *base_lines[done:]])


def _kind(changers: set[int], *, is_same: bool) -> Literal["mine", "theirs", "both", "clash"]:
    if changers == {0}:
        return "mine"
    if changers == {1}:
        return "theirs"
    return "both" if is_same else "clash"


def merge_texts(*, base: str, mine: str, theirs: str) -> Merge:
    """What becomes of `base` when both changes are made.

    Changes of different lines are both made, also of lines that follow each other; so is one change that both made. Changes of
    the same line clash, and so do lines put to one place, or put next to a line that the other changed: their order would be
    a guess.
    """
    base_lines = split_lines(base)
    parts: list[Agreed | Clash] = []
    done = 0
    for hunk in merge_hunks(base=base, mine=mine, theirs=theirs):
        _agree(parts, base_lines[done : hunk.base_from])
        if hunk.kind == "clash":
            clash = Clash(base_line=hunk.base_from + 1, base=hunk.base, mine=hunk.mine, theirs=hunk.theirs)
            parts.append(clash)
        else:
            _agree(parts, hunk.theirs if hunk.kind == "theirs" else hunk.mine)
        done = hunk.base_from + len(hunk.base)
    _agree(parts, base_lines[done:])
    return Merge(parts=tuple(parts))


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
