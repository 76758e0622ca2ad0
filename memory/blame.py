"""Which version each line of a text comes from."""

from __future__ import annotations

from collections.abc import Iterable

from memory.lines import changed_lines


def owners_of_lines(versions: Iterable[tuple[int, str]]) -> list[int]:
    """For each line of the last value the number of the version that wrote it. `versions` are numbers and values, oldest first."""
    owners: list[int] = []
    before = ""
    for number, value in versions:
        # From the end, so that earlier places stay true.
        for change in reversed(changed_lines(before, value)):
            owners[change.old_from : change.old_to] = [number] * (change.new_to - change.new_from)
        before = value
    return owners
