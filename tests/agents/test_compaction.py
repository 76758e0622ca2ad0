"""When a context is compacted, and what of it: decisions, without a model."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from agents.runtime.compaction import (
    CompactionSettings,
    ContextItem,
    Gauge,
    clip_summary,
    frees_enough,
    plan_compaction,
    read_summary,
    summary_text,
)
from letta_ade.llm.messages import ChatMessage, TextPart, ToolCall, ToolReturn

_CALL = ToolCall(id="c1", name="echo", arguments="{}")


def _items(roles: str) -> list[ContextItem]:
    """A context by letters: s system, S summary, u user, a assistant, c assistant with a call, r its return, w a request that waits,
    y the answer to it. Each message is 10 tokens long."""
    chats = {
        "s": ChatMessage(role="system", parts=(TextPart(text="s"),)),
        "S": ChatMessage(role="user", parts=(TextPart(text="S"),)),
        "u": ChatMessage(role="user", parts=(TextPart(text="u"),)),
        "a": ChatMessage(role="assistant", parts=(TextPart(text="a"),)),
        "c": ChatMessage(role="assistant", tool_calls=(_CALL,)),
        "r": ChatMessage(role="tool", tool_returns=(ToolReturn(tool_call_id="c1", text="r"),)),
        "w": ChatMessage(role="approval", tool_calls=(_CALL,)),
        "y": ChatMessage(role="approval"),
    }
    return [
        ContextItem(message_id=f"{place}{letter}", chat=chats[letter], is_summary=letter == "S")
        for place, letter in enumerate(roles)
    ]


def _gauge(window: int = 1000) -> Gauge:
    return Gauge(estimate=lambda message: 10, window=window)


def _kept(roles: str, *, window: int = 1000, takes_all: bool = False, **settings: object) -> str | None:
    """The letters that stay behind the summary; None when nothing is compacted."""
    chosen = CompactionSettings(**settings)  # type: ignore[arg-type]  # the names of its fields
    plan = plan_compaction(_items(roles), chosen, _gauge(window), takes_all=takes_all)
    if plan is None:
        return None
    assert [item.message_id for item in (*plan.replaced, *plan.kept)] == [
        item.message_id for item in _items(roles)[1:]
    ], "together they are the context"
    return "".join(item.message_id[-1] for item in plan.kept)


@pytest.mark.parametrize(
    ("roles", "expected"),
    [
        ("s", None),
        ("sS", None),
        ("suauauauaua", "auauaua"),
        ("sucrucrucr", "crucrucr"),
        ("suuuuuuu", ""),
        ("sSuaua", "aua"),
        ("suyuyw", "w"),
    ],
)
def test_the_window_slides_to_where_the_agent_speaks(roles: str, expected: str | None) -> None:
    assert _kept(roles) == expected


@pytest.mark.parametrize(
    ("roles", "expected"),
    [("suauaw", "aw"), ("suauw", "w"), ("sucrcw", "cw"), ("sw", None), ("saw", None)],
)
@pytest.mark.parametrize("mode", ["all", "self_compact_all"])
def test_a_request_that_waits_stays_with_the_turn_that_made_it(
    roles: str, expected: str | None, mode: str
) -> None:
    assert _kept(roles, mode=mode) == expected


def test_the_sliding_window_takes_more_until_what_stays_fits() -> None:
    roles = "s" + "ua" * 20
    assert _kept(roles, window=1000) == "a" + "ua" * 12
    # 0.7 of the window are 140 tokens: the system message and at most twelve others.
    kept = _kept(roles, window=200)
    assert kept is not None
    assert 0 < len(kept) <= 12


def test_a_window_in_which_nothing_fits_takes_all() -> None:
    assert _kept("s" + "ua" * 20, window=20) == ""
    assert _kept("s" + "ua" * 20, takes_all=True) == ""


@pytest.mark.parametrize("share", [0.05, 0.3, 0.5, 0.85])
def test_a_larger_share_leaves_less(share: float) -> None:
    kept = _kept("s" + "ua" * 50, window=100_000, sliding_window_percentage=share)
    assert kept is not None
    assert len(kept) <= 100 * (1 - share)


def test_inputs_that_are_not_stored_count_with_what_stays() -> None:
    items, settings = _items("s" + "ua" * 20), CompactionSettings()
    waiting = [items[1].chat] * 60
    plan = plan_compaction(items, settings, _gauge(1000), unstored=waiting)
    assert plan is not None
    assert len(plan.kept) < 10


def test_what_the_provider_counts_sets_the_scale() -> None:
    gauge = _gauge()
    sent = [item.chat for item in _items("suaua")]
    assert gauge.measured(sent, 100).size(sent) == 100
    assert gauge.measured(sent, 30).size(sent) == 30
    # Nothing, or too little to be all of it: our own estimate stands.
    assert gauge.measured(sent, 0).size(sent) == 50
    assert gauge.measured(sent, 20).size(sent) == 50


def test_little_is_left_where_it_is() -> None:
    plan = plan_compaction(_items("sua"), CompactionSettings(mode="all"), _gauge(1000))
    assert plan is not None
    assert not frees_enough(plan, _gauge(1000))
    assert frees_enough(plan, _gauge(100))


def test_a_summary_is_cut_to_what_was_asked_and_to_the_window() -> None:
    long = "word " * 10_000
    assert len(clip_summary(long, CompactionSettings(clip_chars=100), 100_000)) < 200
    assert clip_summary("short", CompactionSettings(clip_chars=None), 100) == "short"
    # A fifth of a window of 1,000 tokens are 800 characters.
    assert len(clip_summary(long, CompactionSettings(clip_chars=None), 1000)) < 1000


def test_a_stored_summary_gives_its_words_and_its_counts_back() -> None:
    stats = {"trigger": "manual", "context_window": 10}
    text = summary_text(
        "Ada likes tea.\n\nShe said so.", hidden=3, stats=stats, moment=datetime.now(UTC), timezone="UTC"
    )
    assert json.loads(text)["type"] == "system_alert"
    assert "3 earlier messages are" in text
    assert read_summary(text) == ("Ada likes tea.\n\nShe said so.", stats)
    assert read_summary("no envelope") == ("no envelope", None)
