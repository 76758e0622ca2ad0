"""Patches on memory blocks: what is read, what is refused, and that a diff leads from one text to the other."""

from __future__ import annotations

import difflib
import random

import pytest

from memory.patches import (
    AddBlock,
    DeleteBlock,
    Hunk,
    PatchError,
    UpdateBlock,
    apply_hunks,
    has_headers,
    parse_hunks,
    parse_sections,
)


def applied(value: str, patch: str) -> str:
    return apply_hunks(value, parse_hunks(patch))


@pytest.mark.parametrize(
    ("value", "patch", "expected"),
    [
        ("one\ntwo\nthree", " one\n-two\n+2\n three", "one\n2\nthree"),
        ("one\ntwo", "-two", "one"),
        ("one\ntwo", "-one\n-two", ""),
        ("one\ntwo", "@@\n-one\n+1\n@@\n-two\n+2", "1\n2"),
        ("one\ntwo", "--- a\n+++ b\n@@ -1,2 +1,2 @@ section\n one\n-two\n+2\n", "one\n2"),
        # A hunk that only adds goes to the end.
        ("one", "+two\n+three", "one\ntwo\nthree"),
        ("", "+one\n+two", "one\ntwo"),
        ("", "@@ -1 +1,2 @@\n-\n+one\n+two", "one\ntwo"),
        # Blank lines: inside a hunk with or without their space, around it they are layout.
        ("one\n\ntwo", "\n one\n\n-two\n+2\n\n", "one\n\n2"),
        ("one\n\ntwo", " one\n \n-two", "one\n"),
        ("one\ntwo", " one\n+\n two", "one\n\ntwo"),
        ("a", " a\n+b\n\\ No newline at end of file", "a\nb"),
        # Without a hunk header, these are no file names.
        ("-- note", "--- note\n+++ note", "++ note"),
        ("tea\ncake\ntea\nmilk", " tea\n-milk\n+honey", "tea\ncake\ntea\nhoney"),
        # A later hunk meets what an earlier one wrote.
        ("one", "@@\n one\n+two\n@@\n two\n+three", "one\ntwo\nthree"),
    ],
)
def test_a_patch_changes_what_it_says(value: str, patch: str, expected: str) -> None:
    assert applied(value, patch) == expected


@pytest.mark.parametrize(
    ("value", "patch", "words"),
    [
        ("one", "-two", "Hunk 1 does not fit: the block does not hold these lines one after another: 'two'"),
        ("one\ntwo\nthree", " one\n-three", "'one\\nthree'"),
        ("one ", "-one", "does not fit"),
        ("tea\ncake\ntea", "-tea\n+milk", "Hunk 1 fits in 2 places, at lines 1, 3"),
        ("one\ntwo", "@@\n-one\n@@\n-three", "Hunk 2 does not fit"),
        ("one", " one", "Hunk 1 changes nothing"),
        ("one", "", "The patch changes nothing"),
        ("one", "@@ @@\n\n", "The patch changes nothing"),
        ("one", "one\n+two", "'one' in hunk 1 begins with no sign"),
        ("", "-one", "does not fit"),
    ],
)
def test_a_patch_that_does_not_fit_is_refused(value: str, patch: str, words: str) -> None:
    with pytest.raises(PatchError) as refused:
        applied(value, patch)
    assert words in str(refused.value)


def test_many_places_are_not_all_named() -> None:
    with pytest.raises(PatchError, match=r"30 places, at lines 1, 2, .*, 20\. Add"):
        applied("\n".join(["x"] * 30), "-x")


SECTIONS = """\
*** Begin Patch
*** Add Block: notes/today
Description: What happened today.

+one
+
+two

*** Update Block: human
*** Move to: person
@@
-Ada
+Grace
*** Delete Block: scratch
*** End Patch
"""


def test_sections_are_read_in_order() -> None:
    assert has_headers(SECTIONS)
    assert parse_sections(SECTIONS) == (
        AddBlock(label="notes/today", value="one\n\ntwo", description="What happened today."),
        UpdateBlock(label="human", hunks=(Hunk(old=("Ada",), new=("Grace",)),), new_label="person"),
        DeleteBlock(label="scratch"),
    )


@pytest.mark.parametrize(
    ("patch", "section"),
    [
        ("*** Add Block: a", AddBlock(label="a", value="")),
        ("*** Add Block: a\n+x", AddBlock(label="a", value="x")),
        ("*** Update Block: a\n*** Move to: b", UpdateBlock(label="a", hunks=(), new_label="b")),
        ("*** Delete Block:a\n\n", DeleteBlock(label="a")),
    ],
)
def test_a_section_may_be_short(patch: str, section: object) -> None:
    assert parse_sections(patch) == (section,)


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        ("*** Begin Patch\n*** End Patch", "The patch holds no section."),
        ("hello\n*** Delete Block: a", "'hello' stands before the first header."),
        ("*** Delete Block: a\n*** End Patch\n+x", "'+x' stands before the first header."),
        ("*** Rename Block: a", "'*** Rename Block: a' is no header. The headers are '*** Add Block:'"),
        ("*** Add Block: ", "'*** Add Block:' needs a label."),
        ("*** Add Block: a\nx", "Every line of a new block begins with '+'; 'x' does not."),
        ("*** Delete Block: a\n-x", "Nothing stands below '*** Delete Block: a'"),
        ("*** Update Block: a", "The patch changes nothing"),
        ("*** Update Block: a\n*** Move to:\n+x", "'*** Move to:' needs the new label."),
        ("*** Delete Block: a\n*** Add Block: a\n+x", "names the block 'a' twice"),
        ("*** Update Block: b\n*** Move to: a\n*** Delete Block: a", "names the block 'a' twice"),
    ],
)
def test_sections_that_cannot_be_read_are_refused(patch: str, words: str) -> None:
    with pytest.raises(PatchError) as refused:
        parse_sections(patch)
    assert words in str(refused.value)


@pytest.mark.parametrize("text", ["-a\n+b", " *** is a line of the text\n+x", ""])
def test_hunks_alone_have_no_header(text: str) -> None:
    assert not has_headers(text)


@pytest.mark.parametrize("seed", range(60))
def test_the_diff_of_two_texts_leads_from_one_to_the_other(seed: int) -> None:
    chance = random.Random(seed)
    # Distinct lines, so that every context is found once; some begin with what means something in a patch.
    pool = [f"{chance.choice(['', '+', '-', ' ', '@', '**'])}line {number}" for number in range(40)]
    old = pool[: chance.randint(0, 20)]
    new = [line for line in old if chance.random() > 0.3]
    for line in pool[20 : 20 + chance.randint(0, 8)]:
        new.insert(chance.randint(0, len(new)), line)
    if old == new:
        new.append("one more")
    context = chance.randint(1, 4)
    diff = difflib.unified_diff(
        "\n".join(old).split("\n"), "\n".join(new).split("\n"), "a", "b", lineterm="", n=context
    )
    assert applied("\n".join(old), "\n".join(diff)) == "\n".join(new)
