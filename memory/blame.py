"""Which version each line of a text comes from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from memory.lines import changed_lines, packed


def owners_of_lines(versions: Iterable[tuple[int, str]]) -> list[int]:
    """For each line of the last value the number of the version that wrote it. `versions` are numbers and values, oldest first."""
    owners: list[int] = []
    before = ""
    for number, value in versions:
        hand_over(owners, number, packed(changed_lines(before, value)))
        before = value
    return owners


def hand_over(owners: list[int], number: int, changes: Sequence[Sequence[int]]) -> None:
    """Give the lines that changed to the version of that number. `changes` are numbers of `Change`s."""
    # From the end, so that earlier places stay true.
    for old_from, old_to, new_from, new_to in reversed(changes):
        owners[old_from:old_to] = [number] * (new_to - new_from)
