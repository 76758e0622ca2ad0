"""Dates as people and models write them in a search: a day or a moment, in a time zone."""

from __future__ import annotations

from datetime import date, datetime, time
from zoneinfo import ZoneInfo

from letta_ade.core.errors import Invalid


def zone(name: str) -> ZoneInfo:
    """The time zone of that IANA name; UTC when this machine does not know it."""
    try:
        return ZoneInfo(name)
    except (
        KeyError,
        ValueError,
        OSError,
    ):  # ZoneInfoNotFoundError is a KeyError; a folder's name gives an OSError
        return ZoneInfo("UTC")


def parse_start(text: str | None, *, timezone: str = "UTC") -> datetime | None:
    """The first moment that is meant; None for None or an empty text. A day means its beginning. Raises Invalid."""
    return _parse(text, timezone, time.min)


def parse_end(text: str | None, *, timezone: str = "UTC") -> datetime | None:
    """The last moment that is meant, itself included: a day means its end. Raises Invalid."""
    return _parse(text, timezone, time.max)


def _parse(text: str | None, timezone: str, time_of_day: time) -> datetime | None:
    text = (text or "").strip()
    if not text:
        return None
    try:
        return datetime.combine(date.fromisoformat(text), time_of_day, zone(timezone))
    except ValueError:
        pass  # not a day alone
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Invalid(
            f"{text!r} is not an ISO 8601 date. Write a day such as 2026-01-31, or a moment such as 2026-01-31T14:00."
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=zone(timezone))
