"""Where the lines of two texts differ."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.lines import Change, changed_lines, split_lines

#: Few different lines, so that they repeat; also empty ones and ends of lines.
TEXTS = st.lists(st.sampled_from(["a", "b", "c", "", "a b", "a\r"]), max_size=12).map("\n".join)


@pytest.mark.parametrize(
    ("old", "new", "changes"),
    [
        ("a\nb", "a\nb", []),
        ("", "a\nb", [Change(0, 0, 0, 2)]),
        ("a\nb", "", [Change(0, 2, 0, 0)]),
        ("a\nb", "a\nb\nc", [Change(2, 2, 2, 3)]),
        ("a\nb\nc", "a\nx\ny\nc", [Change(1, 2, 1, 3)]),
        ("one\ntwo", "one\ntwo\n", [Change(2, 2, 2, 3)]),
        ("aa\naa", "aa\naaa", [Change(1, 2, 1, 2)]),
        ("a\nb\nc\nd\ne", "x\nb\nc\nd\ny", [Change(0, 1, 0, 1), Change(4, 5, 4, 5)]),
        ("a\nb\nc", "c\na\nb", [Change(0, 0, 0, 1), Change(2, 3, 3, 3)]),
    ],
)
def test_changes_are_found(old: str, new: str, changes: list[Change]) -> None:
    assert changed_lines(old, new) == changes


@given(TEXTS, TEXTS)
def test_the_changes_turn_the_old_text_into_the_new_one(old: str, new: str) -> None:
    lines, goal = split_lines(old), split_lines(new)
    made: list[str] = []
    done = new_done = 0
    for change in changed_lines(old, new):
        assert change.old_from > done or change.new_from > new_done or not made
        made += lines[done : change.old_from] + goal[change.new_from : change.new_to]
        done, new_done = change.old_to, change.new_to
    assert made + lines[done:] == goal


def test_lines_without_an_order_in_common_are_one_change() -> None:
    old, new = "\n".join("ab" * 400), "\n".join("ba" * 300 + "c")
    assert [(each.old_from, each.old_to) for each in changed_lines(old, new)] == [(0, 800)]


def test_a_large_text_changed_in_many_places_is_compared_in_time() -> None:
    lines = [f"line {number}" for number in range(100_000)]
    other = [f"{line}!" if number % 10 == 0 else line for number, line in enumerate(lines)]
    began = time.process_time()
    assert len(changed_lines("\n".join(lines), "\n".join(other))) == 10_000
    assert time.process_time() - began < 5
