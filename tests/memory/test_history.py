"""Counting changed lines, and hashes."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest

from memory.history import VersionFacts, chain_hash, count_changed_lines

FACTS = VersionFacts(
    block_id="block-1",
    number=1,
    label="human",
    value="Ada",
    description=None,
    limit=10,
    read_only=False,
    actor_kind="local",
    actor_id="user-1",
    actor_name="You",
    run_id=None,
    step_id=None,
    message_id=None,
    tool_call_id=None,
    tool_name=None,
    base_version=None,
    created_at=datetime(2026, 1, 5, 10, tzinfo=UTC),
)


@pytest.mark.parametrize(
    ("old", "new", "added", "removed"),
    [
        ("", "", 0, 0),
        ("", "one", 1, 0),
        ("one", "", 0, 1),
        ("one", "one\ntwo", 1, 0),
        ("one\ntwo\nthree", "one\n2\nthree", 1, 1),
        ("a\nb\nc\nd", "x\na\nc\nd\ny", 2, 1),
        ("same\nsame", "same\nsame\nsame", 1, 0),
    ],
)
def test_changed_lines_are_counted(old, new, added, removed):
    count = count_changed_lines(old, new)
    assert (count.added, count.removed) == (added, removed)


def test_a_huge_rewrite_is_counted_without_comparing_every_pair():
    old = "\n".join(f"old {number}" for number in range(20_000))
    new = "\n".join(f"new {number}" for number in range(10_000))
    count = count_changed_lines(old, new)
    assert (count.added, count.removed) == (10_000, 20_000)


@pytest.mark.parametrize(
    "changes",
    [{"value": "Bob"}, {"number": 2}, {"run_id": "run-1"}, {"read_only": True}, {"actor_name": "Me"}],
)
def test_every_fact_is_in_the_hash(changes):
    assert chain_hash("", replace(FACTS, **changes)) != chain_hash("", FACTS)
    assert chain_hash("0", FACTS) != chain_hash("", FACTS)


def test_the_same_moment_in_another_zone_has_the_same_hash():
    moved = FACTS.created_at.astimezone(timezone(timedelta(hours=5)))
    assert chain_hash("", replace(FACTS, created_at=moved)) == chain_hash("", FACTS)
