"""Texts as lines, and where two of them differ: the one comparison behind counts, differences, blame and merges."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

#: Beyond this many pairs of lines without an anchor an exact comparison takes longer than a write may.
_MOST_PAIRS = 100_000


@dataclass(frozen=True, slots=True)
class Change:
    """Lines `old_from` to `old_to` (from 0, the end not included) became lines `new_from` to `new_to`."""

    old_from: int
    old_to: int
    new_from: int
    new_to: int


def packed(changes: Sequence[Change]) -> list[list[int]]:
    """The changes as JSON keeps them."""
    return [[each.old_from, each.old_to, each.new_from, each.new_to] for each in changes]


def split_lines(text: str) -> list[str]:
    """The lines, without their ends. An empty text has none; one that ends with a line break has an empty last one."""
    return text.split("\n") if text else []


def changed_lines(old: str, new: str) -> list[Change]:
    """Where the lines of two texts differ, top down; between two changes at least one line is the same.

    Of a huge rewrite without a line that stayed in its order, all between the first and the last change is one change.
    """
    if old == new:
        return []
    if not old or not new:
        return [Change(0, len(split_lines(old)), 0, len(split_lines(new)))]
    # Cut in the strings first: an edit is mostly small, and splitting a large text costs more than all the rest.
    start = old.rfind("\n", 0, _common_start(old, new)) + 1
    old_end, new_end = _common_end(old, new, start)
    skipped = old.count("\n", 0, start)
    found = _compare(old[start:old_end].split("\n"), new[start:new_end].split("\n"))
    return [
        Change(each.old_from + skipped, each.old_to + skipped, each.new_from + skipped, each.new_to + skipped)
        for each in found
    ]


def _common_start(old: str, new: str) -> int:
    """How many characters at the beginning are the same."""
    low, high = 0, min(len(old), len(new))
    if old[:high] == new[:high]:
        return high
    while high - low > 1:
        middle = (low + high) // 2
        if old[low:middle] == new[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _common_end(old: str, new: str, start: int) -> tuple[int, int]:
    """Where the whole lines that both texts end with begin, behind `start`: at the line break before them."""
    old_size, new_size = len(old), len(new)
    low, high = 0, min(old_size, new_size) - start
    if old[old_size - high :] == new[new_size - high :]:
        low = high
    while high - low > 1:
        middle = (low + high) // 2
        if old[old_size - middle : old_size - low] == new[new_size - middle : new_size - low]:
            low = middle
        else:
            high = middle
    cut = old.find("\n", old_size - low)
    return (old_size, new_size) if cut < 0 else (cut, new_size - (old_size - cut))


def _compare(old: Sequence[str], new: Sequence[str]) -> list[Change]:
    """The changes, joined where they touch."""
    found: list[Change] = []
    waiting = [(0, len(old), 0, len(new))]
    while waiting:
        old_from, old_to, new_from, new_to = _trimmed(old, new, *waiting.pop())
        if old_from == old_to or new_from == new_to:
            if old_from != old_to or new_from != new_to:
                _add(found, Change(old_from, old_to, new_from, new_to))
            continue
        anchors = _anchors(old[old_from:old_to], new[new_from:new_to])
        if not anchors:
            for each in _without_anchor(old[old_from:old_to], new[new_from:new_to]):
                change = Change(
                    each.old_from + old_from,
                    each.old_to + old_from,
                    each.new_from + new_from,
                    each.new_to + new_from,
                )
                _add(found, change)
            continue
        # The last range goes in first: ranges are taken from the end, top down.
        old_end, new_end = old_to, new_to
        for old_at, new_at in reversed(anchors):
            waiting.append((old_from + old_at + 1, old_end, new_from + new_at + 1, new_end))
            old_end, new_end = old_from + old_at, new_from + new_at
        waiting.append((old_from, old_end, new_from, new_end))
    return found


def _trimmed(
    old: Sequence[str], new: Sequence[str], old_from: int, old_to: int, new_from: int, new_to: int
) -> tuple[int, int, int, int]:
    """The range without the equal lines at both ends."""
    while old_from < old_to and new_from < new_to and old[old_from] == new[new_from]:
        old_from, new_from = old_from + 1, new_from + 1
    while old_from < old_to and new_from < new_to and old[old_to - 1] == new[new_to - 1]:
        old_to, new_to = old_to - 1, new_to - 1
    return old_from, old_to, new_from, new_to


def _anchors(old: Sequence[str], new: Sequence[str]) -> list[tuple[int, int]]:
    """Lines that occur once in each text, as many as stand in the same order (patience diff)."""
    old_counts, new_counts = Counter(old), Counter(new)
    new_places = {line: at for at, line in enumerate(new) if new_counts[line] == 1}
    pairs = [
        (at, new_places[line]) for at, line in enumerate(old) if old_counts[line] == 1 and line in new_places
    ]
    # The longest rising row of places in the new text: piles, each with the way back to the pile before it.
    tops: list[int] = []
    top_pairs: list[int] = []
    before: list[int] = []
    for number, (_, new_at) in enumerate(pairs):
        pile = bisect_left(tops, new_at)
        before.append(top_pairs[pile - 1] if pile else -1)
        tops[pile : pile + 1] = [new_at]
        top_pairs[pile : pile + 1] = [number]
    row: list[tuple[int, int]] = []
    number = top_pairs[-1] if top_pairs else -1
    while number >= 0:
        row.append(pairs[number])
        number = before[number]
    return row[::-1]


def _without_anchor(old: Sequence[str], new: Sequence[str]) -> Iterator[Change]:
    if len(old) * len(new) > _MOST_PAIRS:
        yield Change(0, len(old), 0, len(new))
        return
    for tag, *places in SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if tag != "equal":
            yield Change(*places)


def _add(found: list[Change], change: Change) -> None:
    last = found[-1] if found else None
    if last is not None and (last.old_to, last.new_to) == (change.old_from, change.new_from):
        found[-1] = Change(last.old_from, change.old_to, last.new_from, change.new_to)
    else:
        found.append(change)
