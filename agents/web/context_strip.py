"""The strip of a conversation's context over its steps: stacked tokens by segment, and where it was compacted. Positions only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from django.utils.safestring import SafeString

from agents.models import Compaction, Conversation, Step
from agents.services.request_segments import SEGMENTS, SegmentName
from agents.services.step_context import measured_steps

TITLES: Mapping[SegmentName, str] = {
    "system": "System",
    "tools": "Tools",
    "blocks": "Blocks",
    "summary": "Summary",
    "messages": "Messages",
}
_TOP, _BASE = 18.0, 86.0
_HIT_TOP = 12.0
HEIGHT = 100
#: A bar is never wider than this share of the strip.
_LEAST_SLOTS = 12
_FILLED = 0.72
#: The limit of the window is drawn when the bars come near it.
_NEAR = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A segment of one bar."""

    name: SegmentName
    #: Attributes of its rectangle.
    place: SafeString


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """The mark of a compaction, behind the step after which it happened."""

    compaction_id: str
    #: The step on whose page it is told: the one after it, or while there is none the one before.
    step_id: str
    x: float
    tokens_before: int
    tokens_after: int

    @property
    def evicted(self) -> int:
        return max(0, self.tokens_before - self.tokens_after)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepBar:
    """One step. Without pieces nobody measured its segments."""

    step_id: str
    number: int
    tokens: int
    #: Attributes of its rectangles: as high as its tokens, and as high as the strip.
    place: SafeString
    hit_place: SafeString
    #: Where its label is.
    middle: SafeString
    pieces: tuple[Piece, ...]
    is_current: bool
    has_label: bool
    #: What the step said, on top of what it was sent.
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Strip:
    width: float
    bars: tuple[StepBar, ...]
    cuts: tuple[Cut, ...]
    #: Where the limit of the window is; None when it is far above.
    limit_y: float | None
    limit: int
    height: int = HEIGHT
    base: float = _BASE


def load_strip(
    conversation: Conversation,
    *,
    limit: int,
    width: float,
    most: int,
    current: Step | None = None,
    until: Step | None = None,
) -> Strip:
    """The strip of the last steps. Two queries.

    Args:
        limit: tokens of the context window.
        most: steps that are shown.
        current: the step that is looked at; the last one without it.
        until: the last step that is shown.
    """
    steps = measured_steps(conversation, limit=most, until=until)
    rows = compactions_since(conversation, steps)
    return draw_strip(steps, rows, limit=limit, width=width, current=current)


def compactions_since(conversation: Conversation, steps: Sequence[Step]) -> list[Compaction]:
    """Those that were not undone, from the first of these steps on, oldest first; none without steps."""
    if not steps:
        return []
    rows = Compaction.objects.filter(
        conversation=conversation, undone_at=None, created_at__gte=steps[0].started_at
    )
    return list(rows.order_by("created_at", "id"))


def draw_strip(
    steps: Sequence[Step],
    compactions: Sequence[Compaction],
    *,
    limit: int,
    width: float,
    current: Step | None = None,
) -> Strip:
    """The strip of these steps, oldest first; `current` is the one that is looked at, the last one without it."""
    if not steps:
        return Strip(width=width, bars=(), cuts=(), limit_y=None, limit=limit)
    current_id = current.id if current is not None else steps[-1].id
    most = max(step.prompt_tokens for step in steps)
    is_near = most >= limit * _NEAR
    scale = (_BASE - _TOP) / max(most, limit if is_near else 1)
    slot = width / max(_LEAST_SLOTS, len(steps))
    every = max(1, round(len(steps) / 8))
    bars = tuple(
        _bar(
            step,
            x=place * slot,
            width=slot * _FILLED,
            scale=scale,
            current_id=current_id,
            has_label=place in (0, len(steps) - 1)
            or (place % every == 0 and len(steps) - 1 - place >= every),
        )
        for place, step in enumerate(steps)
    )
    return Strip(
        width=width,
        bars=bars,
        cuts=tuple(cut for each in compactions if (cut := _cut(each, steps, slot)) is not None),
        limit_y=round(_BASE - limit * scale, 2) if is_near else None,
        limit=limit,
    )


def _bar(
    step: Step,
    *,
    x: float,
    width: float,
    scale: float,
    current_id: str,
    has_label: bool,
) -> StepBar:
    height = max(1.0, step.prompt_tokens * scale)
    return StepBar(
        step_id=step.id,
        number=step.place,
        tokens=step.prompt_tokens,
        place=_rectangle(x, width, _BASE - height, height),
        hit_place=_rectangle(x, width, _HIT_TOP, _BASE - _HIT_TOP),
        middle=SafeString(f"{x + width / 2:.2f}"),
        pieces=_pieces(step, x, width, height),
        is_current=step.id == current_id,
        has_label=has_label or step.id == current_id,
        title=f"Step {step.place}, {step.prompt_tokens:,} tokens sent",
    )


def _rectangle(x: float, width: float, y: float, height: float) -> SafeString:
    # Hundreds of numbers: formatted one by one in the template they took a tenth of the time of a page.
    return SafeString(f'x="{x:.2f}" y="{y:.2f}" width="{width:.2f}" height="{height:.2f}"')


def _pieces(step: Step, x: float, width: float, height: float) -> tuple[Piece, ...]:
    """The segments from the ground up, in the order of the legend; the height is the provider's count."""
    measured = step.segments or {}
    whole = sum(measured.values())
    if not whole:
        return ()
    pieces = []
    ground = _BASE
    for name in SEGMENTS:
        part = measured.get(name, 0) * height / whole
        if part:
            ground -= part
            pieces.append(Piece(name=name, place=_rectangle(x, width, ground, part)))
    return tuple(pieces)


def _cut(compaction: Compaction, steps: Sequence[Step], slot: float) -> Cut | None:
    before = [place for place, step in enumerate(steps) if step.started_at <= compaction.created_at]
    if not before:
        return None
    following = min(before[-1] + 1, len(steps) - 1)
    return Cut(
        compaction_id=compaction.id,
        step_id=steps[following].id,
        x=round((before[-1] + (1 + _FILLED) / 2) * slot, 2),
        tokens_before=compaction.tokens_before,
        tokens_after=compaction.tokens_after,
    )
