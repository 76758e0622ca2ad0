"""The three-way merge: what it joins, what it leaves to a person, and that nobody's line is lost."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memory.merge import Agreed, Clash, Merge, merge_texts

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "d", "", "a\r"]), max_size=8).map("\n".join)
BASE = [f"base {number}" for number in range(1, 31)]


def merge(base: str, mine: str, theirs: str) -> Merge:
    return merge_texts(base=base, mine=mine, theirs=theirs)


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "merged"),
    [
        ("a\nb\nc", "A\nb\nc", "a\nb\nC", "A\nb\nC"),
        ("a\nb", "A\nb", "a\nB", "A\nB"),
        ("a\nb\nc", "b\nc", "a\nb\nc\nd", "b\nc\nd"),
        ("a\nb", "a\nx\nb", "a\nb\ny", "a\nx\nb\ny"),
        ("a\nb", "a\nx\nb", "a\nx\nb", "a\nx\nb"),
        ("a\nb\nc", "a\nX\nc", "a\nX\nc\nd", "a\nX\nc\nd"),
        ("a\nb\n", "A\nb\n", "a\nb", "A\nb"),
        ("a\r\nb\r\n", "a\r\nb\r\nc\r\n", "A\r\nb\r\n", "A\r\nb\r\nc\r\n"),
        ("", "a", "", "a"),
        ("a\nb", "", "a\nb", ""),
    ],
)
def test_changes_of_different_lines_are_both_made(base: str, mine: str, theirs: str, merged: str) -> None:
    assert merge(base, mine, theirs).text == merged


@pytest.mark.parametrize(
    ("base", "mine", "theirs", "clash"),
    [
        ("a\nb\nc", "a\nX\nc", "a\nY\nc", Clash(base_line=2, base=("b",), mine=("X",), theirs=("Y",))),
        ("a\nb", "a\nX", "a", Clash(base_line=2, base=("b",), mine=("X",), theirs=())),
        ("a", "a\nx", "a\ny", Clash(base_line=2, base=(), mine=("x",), theirs=("y",))),
        ("", "x", "y", Clash(base_line=1, base=(), mine=("x",), theirs=("y",))),
        (
            "a\nb\nc",
            "X\nY\nc",
            "a\nZ\nc",
            Clash(base_line=1, base=("a", "b"), mine=("X", "Y"), theirs=("a", "Z")),
        ),
        ("a\nb", "a\nx\nb", "A\nb", Clash(base_line=1, base=("a",), mine=("a", "x"), theirs=("A",))),
    ],
)
def test_changes_of_the_same_lines_clash(base: str, mine: str, theirs: str, clash: Clash) -> None:
    found = merge(base, mine, theirs)
    assert found.clashes == (clash,)
    with pytest.raises(AssertionError):
        assert found.text


def test_what_stands_around_a_clash_is_merged() -> None:
    found = merge("a\nb\nc\nd\ne", "A\nb\nX\nd\ne", "a\nb\nY\nd\nE")
    assert found.parts == (
        Agreed(lines=("A", "b")),
        Clash(base_line=3, base=("c",), mine=("X",), theirs=("Y",)),
        Agreed(lines=("d", "E")),
    )


@given(TEXTS, TEXTS)
def test_a_change_of_one_side_is_made(base: str, text: str) -> None:
    assert merge(base, text, base).text == text
    assert merge(base, base, text).text == text
    assert merge(base, text, text).text == text


@given(TEXTS, TEXTS, TEXTS)
def test_it_does_not_matter_who_is_who(base: str, mine: str, theirs: str) -> None:
    one, other = merge(base, mine, theirs), merge(base, theirs, mine)
    turned = [
        Clash(base_line=part.base_line, base=part.base, mine=part.theirs, theirs=part.mine)
        if isinstance(part, Clash)
        else part
        for part in other.parts
    ]
    assert list(one.parts) == turned


@given(TEXTS, TEXTS, TEXTS)
def test_the_base_can_be_read_from_the_clashes_and_none_is_empty(base: str, mine: str, theirs: str) -> None:
    lines = base.split("\n") if base else []
    for clash in merge(base, mine, theirs).clashes:
        start = clash.base_line - 1
        assert tuple(lines[start : start + len(clash.base)]) == clash.base
        assert clash.mine != clash.theirs


@st.composite
def edits_apart(draw: st.DrawFn) -> tuple[list[str], list[str], set[str], set[str]]:
    """Two edited texts of `BASE` whose edits leave at least one line between them, with what is to come and to go."""
    mine, theirs = list[str](), list[str]()
    come, go = set[str](), set[str]()
    for number, line in enumerate(BASE):
        if number % 2:
            mine.append(line)
            theirs.append(line)
            continue
        writer, other = draw(st.sampled_from([(mine, theirs), (theirs, mine)]))
        name = "mine" if writer is mine else "theirs"
        fresh = [f"{name} {number} {step}" for step in range(draw(st.integers(0, 2)))]
        kind = draw(st.sampled_from(["keep", "replace", "insert"]))
        made: Sequence[str] = {"keep": [line], "replace": fresh, "insert": [line, *fresh]}[kind]
        writer += made
        other.append(line)
        come |= set(made)
        go |= {line} - set(made)
    return mine, theirs, come, go


@given(edits_apart())
def test_no_change_of_either_side_is_lost(edits: tuple[list[str], list[str], set[str], set[str]]) -> None:
    mine, theirs, come, go = edits
    merged = merge("\n".join(BASE), "\n".join(mine), "\n".join(theirs)).text.split("\n")
    assert come <= set(merged)
    assert not go & set(merged)
    assert len(merged) == len(mine) + len(theirs) - len(BASE)
    assert len(merged) == len(set(merged))
    for side in (mine, theirs):
        kept = [line for line in merged if line in side]
        assert kept == [line for line in side if line in kept]


@st.composite
def any_edits(draw: st.DrawFn) -> tuple[list[str], list[str]]:
    """Two texts of the base with edits anywhere, also in the same places; every new line is unlike all others."""
    texts = []
    for name in ("mine", "theirs"):
        text = list[str]()
        for number, line in enumerate(BASE[:10]):
            kind = draw(st.sampled_from(["keep"] * 6 + ["replace", "insert", "delete"]))
            fresh = [f"{name} {number}"]
            text += {"keep": [line], "replace": fresh, "insert": [line, *fresh], "delete": []}[kind]
        texts.append(text)
    return texts[0], texts[1]


@given(any_edits())
def test_every_new_line_of_both_is_in_the_text_or_in_a_clash(edits: tuple[list[str], list[str]]) -> None:
    base = BASE[:10]
    found = merge("\n".join(base), "\n".join(edits[0]), "\n".join(edits[1]))
    agreed = {line for part in found.parts if isinstance(part, Agreed) for line in part.lines}
    clashing = {line for clash in found.clashes for line in (*clash.mine, *clash.theirs)}
    for text in edits:
        assert set(text) - set(base) <= agreed | clashing
    gone = {line for line in base for text in edits if line not in text}
    contested = {line for clash in found.clashes for line in clash.base}
    assert not gone & agreed - contested
