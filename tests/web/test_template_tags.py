"""How numbers, times and ids are written."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from letta_ade.web import template_tags as tags


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (0, "now"),
        (4, "now"),
        (8, "8 s"),
        (59, "59 s"),
        (60, "1 min"),
        (7200, "2 h"),
        (3 * 86_400, "3 d"),
        (29 * 86_400, "29 d"),
    ],
)
def test_an_age_has_one_number_and_its_unit(seconds: int, expected: str) -> None:
    assert tags.age(timezone.now() - timedelta(seconds=seconds)) == expected


def test_an_old_age_is_a_date() -> None:
    assert tags.age(datetime(2024, 10, 12, 9, tzinfo=UTC)) == "12 Oct 2024"
    assert tags.age(None) == ""


def test_a_time_carries_its_moment() -> None:
    html = tags.ago(datetime(2024, 10, 12, 9, 30, 1, tzinfo=UTC))
    assert 'datetime="2024-10-12T09:30:01.000+00:00"' in html
    assert 'title="2024-10-12 09:30:01 UTC"' in html
    assert tags.ago(None) == "—"


@pytest.mark.parametrize(
    ("number", "expected"),
    [(950, "950"), (1000, "1k"), (31_140, "31.1k"), (128_000, "128k"), (14_200_000, "14.2M")],
)
def test_large_numbers_are_told_short(number: int, expected: str) -> None:
    assert tags.compact(number) == expected


@pytest.mark.parametrize(
    ("number", "expected"), [(41, "41 ms"), (7200, "7.2 s"), (21_600, "22 s"), (200_000, "3 min 20 s")]
)
def test_durations_have_the_unit_that_fits(number: int, expected: str) -> None:
    assert tags.milliseconds(number) == expected


def test_ids_names_and_counts() -> None:
    assert tags.short_id("agent-7c1e9a52-4b0d-4e9f-a1c3-5d20f6e81b94") == "agent-7c1e…1b94"
    assert tags.short_id("default") == "default"
    assert [tags.initials(name) for name in ("Ines Moreau", "nightly", "a_b c", "", "!")] == [
        "IM",
        "N",
        "AC",
        "?",
        "?",
    ]
    assert [tags.plural(number, "agent,agents") for number in (0, 1, 1200)] == [
        "0 agents",
        "1 agent",
        "1,200 agents",
    ]
    assert [tags.percent(*pair) for pair in ((0, 5), (1, 1000), (5, 5), (None, 5))] == [0, 1, 100, 0]
    assert [tags.meter_level(*pair) for pair in ((5, 10), (9, 10), (10, 10))] == ["", "warn", "bad"]
