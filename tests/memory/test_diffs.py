"""Differences in rows."""

from __future__ import annotations

from memory.diffs import diff_rows


def test_a_difference_skips_what_did_not_change() -> None:
    old = "\n".join(f"line {number}" for number in range(20))
    rows = diff_rows(old, old.replace("line 10", "changed"))
    assert [row.op for row in rows] == ["skipped", *["same"] * 3, "del", "add", *["same"] * 3, "skipped"]
    assert (rows[0].skipped, rows[-1].skipped) == (7, 6)
    assert (rows[4].old_number, rows[5].new_number, rows[5].text) == (11, 11, "changed")
    assert diff_rows(old, old) == []
    assert [row.op for row in diff_rows("", "a")] == ["add"]
    assert len(diff_rows("a\n" * 3000, "b\n" * 3000)) == 6001


def test_changes_near_each_other_are_shown_together() -> None:
    old = "\n".join(str(number) for number in range(20))
    near = diff_rows(old, old.replace("\n5\n", "\nx\n").replace("\n12\n", "\n"))
    assert [row.op for row in near if row.op != "same"] == ["skipped", "del", "add", "del", "skipped"]
    assert [row.new_number for row in near if row.text == "13"] == [13]
    far = diff_rows(old, old.replace("\n5\n", "\nx\n").replace("\n13\n", "\n"))
    assert [row.skipped for row in far if row.op == "skipped"] == [2, 1, 3]
