"""Charts that the server draws as SVG: positions only, the colours are the sheet's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

#: Room for the numbers at the left, for the hours below, and a little above.
_LEFT, _RIGHT, _BOTTOM, _TOP = 34.0, 4.0, 18.0, 8.0
_HEIGHT = 168.0
_WIDE, _NARROW = 760.0, 340.0
_RULES = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    is_bad: bool
    #: Read out and shown on hover.
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A rule with its number, or an hour under the axis."""

    at: float
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    width: float
    bars: tuple[Bar, ...]
    rules: tuple[Mark, ...]
    hours: tuple[Mark, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """The same chart for a wide and for a narrow place, and in words."""

    wide: Plot
    narrow: Plot
    summary: str
    total: int


def draw_bars(hours: Sequence[tuple[datetime, int, int]]) -> Bars:
    """Runs by hour. `hours` are (its start, all runs, those of them that failed), oldest first."""
    total = sum(count for _, count, _ in hours)
    failed = sum(bad for _, _, bad in hours)
    busiest = max(hours, key=lambda hour: hour[1])
    summary = f"Runs by hour: {total} in all, {failed} failed"
    if total:
        summary += f", most at {busiest[0]:%H:%M} with {busiest[1]}"
    return Bars(wide=_plot(hours, _WIDE, 6), narrow=_plot(hours, _NARROW, 12), summary=summary, total=total)


def _plot(hours: Sequence[tuple[datetime, int, int]], width: float, label_every: int) -> Plot:
    top = nice_ceiling(max(count for _, count, _ in hours))
    room = _HEIGHT - _BOTTOM - _TOP
    slot = (width - _LEFT - _RIGHT) / len(hours)
    bar_width = slot * 0.68
    bars = []
    for place, (hour, count, bad) in enumerate(hours):
        x = _LEFT + place * slot + (slot - bar_width) / 2
        title = f"{hour:%H:%M}: {count} runs, {bad} failed"
        for number, is_bad in ((count, False), (bad, True)):
            if number:
                height = number * room / top
                bars.append(
                    Bar(
                        x=round(x, 2),
                        y=round(_HEIGHT - _BOTTOM - height, 2),
                        width=round(bar_width, 2),
                        height=round(height, 2),
                        is_bad=is_bad,
                        title=title,
                    )
                )
    return Plot(
        width=width,
        bars=tuple(bars),
        rules=tuple(
            Mark(at=round(_HEIGHT - _BOTTOM - room * step / _RULES, 2), text=f"{top * step // _RULES:,}")
            for step in range(_RULES + 1)
        ),
        hours=tuple(
            Mark(at=round(_LEFT + (place + 0.5) * slot, 2), text=f"{hour:%H:%M}")
            for place, (hour, _, _) in enumerate(hours)
            if place % label_every == 0
        ),
    )


def nice_ceiling(most: int) -> int:
    """The end of the axis: divisible by the number of rules, and not far above the highest value."""
    least = max(most, _RULES)
    magnitude = max(0, math.floor(math.log10(least)) - 1)
    step = int(10**magnitude) * _RULES
    return math.ceil(least / step) * step
