"""Dates in searches: days, moments, time zones."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from letta_ade.core.errors import Invalid
from memory.dates import parse_end, parse_start, zone


def test_a_day_begins_and_ends_in_the_given_zone():
    start = parse_start("2026-01-05", timezone="Europe/Oslo")
    end = parse_end("2026-01-05", timezone="Europe/Oslo")
    assert start == datetime(2026, 1, 4, 23, tzinfo=UTC)
    assert end == datetime(2026, 1, 5, 22, 59, 59, 999999, tzinfo=UTC)


def test_a_moment_without_a_zone_is_in_the_given_one():
    assert parse_end("2026-01-05T10:00", timezone="America/New_York") == datetime(2026, 1, 5, 15, tzinfo=UTC)
    assert parse_start("2026-01-05 10:00:00Z", timezone="Europe/Oslo") == datetime(2026, 1, 5, 10, tzinfo=UTC)
    assert parse_start("2026-01-05T10:00:00+02:00") == datetime(2026, 1, 5, 8, tzinfo=UTC)


@pytest.mark.parametrize("text", [None, "", "  "])
def test_nothing_means_no_bound(text):
    assert parse_start(text) is None
    assert parse_end(text) is None


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "2026-01", "01/05/2026"])
def test_what_is_no_date_is_refused_with_an_example(text):
    with pytest.raises(Invalid, match=r"is not an ISO 8601 date\. Write a day such as 2026-01-31"):
        parse_end(text)


@pytest.mark.parametrize("name", ["Nowhere/City", "", "../etc", "Europe"])
def test_an_unknown_zone_is_utc(name):
    assert str(zone(name)) == "UTC"
