"""What a model call costs, and when nobody can say."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.llm.prices import _DATE, LIST_PRICES, Price, list_price, told_price
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_profiles import find_profile


def test_what_was_cached_and_written_has_a_price_of_its_own() -> None:
    price = Price(sent=3, said=15, cached=0.3, written=3.75)
    cost = price.cost(
        prompt_tokens=1_000_000, completion_tokens=100_000, cached_tokens=600_000, written_tokens=100_000
    )
    assert cost == pytest.approx(0.3 * 3 + 0.6 * 0.3 + 0.1 * 3.75 + 0.1 * 15)


def test_without_a_price_for_the_cache_all_of_the_prompt_costs_the_same() -> None:
    assert Price(sent=2, said=0).cost(prompt_tokens=500_000, completion_tokens=0, cached_tokens=400_000) == 1


def test_the_cost_of_a_prompt_beyond_the_price_is_not_known() -> None:
    price = Price(sent=3, said=15, most_prompt=200_000)
    assert price.cost(prompt_tokens=200_001, completion_tokens=1) is None
    assert price.cost(prompt_tokens=200_000, completion_tokens=0) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("provider_type", "name", "sent"),
    [
        ("openai", "gpt-4.1", 2),
        ("openai", "gpt-4.1-2025-04-14", 2),
        ("anthropic", "claude-sonnet-4-5-20250929", 3),
        ("anthropic", "claude-3-5-haiku-latest", 0.8),
    ],
)
def test_a_dated_name_costs_what_its_name_costs(provider_type: str, name: str, sent: float) -> None:
    price = list_price(provider_type, name)
    assert price is not None
    assert price.sent == sent


def test_nobody_knows_the_price_of_another_makers_model_of_the_same_name() -> None:
    assert list_price("ollama", "gpt-4.1") is None
    assert list_price("openai", "gpt-4.1-ours") is None


def test_a_listing_tells_dollars_for_one_token_as_text() -> None:
    price = told_price({"prompt": "0.000003", "completion": "0.000015", "input_cache_read": "0.0000003"})
    assert price is not None
    assert (price.sent, price.said, price.cached) == pytest.approx((3, 15, 0.3))
    assert price.written is None


@pytest.mark.parametrize("pricing", [None, "free", {}, {"prompt": "-1", "completion": "-1"}, {"prompt": "x"}])
def test_a_listing_that_tells_no_price_gives_none(pricing: Any) -> None:
    assert told_price(pricing) is None


EVERY_PRICE = [
    pytest.param(provider_type, name, price, id=f"{provider_type}/{name}")
    for provider_type, prices in LIST_PRICES.items()
    for name, price in prices.items()
]


@pytest.mark.parametrize(("provider_type", "name", "price"), EVERY_PRICE)
def test_each_row_of_the_table_is_one_that_a_maker_could_ask(
    provider_type: str, name: str, price: Price
) -> None:
    assert find_profile(provider_type) is not None
    # Dollars for a million tokens: a slip of a digit, or a price for a token or for a thousand, falls outside.
    assert 0.01 <= price.sent <= 50
    assert 2 <= price.said / price.sent <= 10
    if price.cached is not None:
        assert 0.02 <= price.cached / price.sent <= 0.5
    if price.written is not None:
        assert price.written == pytest.approx(price.sent * 1.25)
    # A price for short prompts is for fewer tokens than a window that it is said of.
    assert price.most_prompt is None or 100_000 <= price.most_prompt <= 272_000
    assert model_profile(name).window is not None


@pytest.mark.parametrize(("provider_type", "name", "price"), EVERY_PRICE)
def test_a_dated_row_is_there_only_for_another_price(provider_type: str, name: str, price: Price) -> None:
    undated = _DATE.sub("", name)
    assert undated == name or LIST_PRICES[provider_type][undated] != price


def test_a_dated_name_with_a_price_of_its_own_costs_that() -> None:
    old, current = list_price("openai", "gpt-4o-2024-05-13"), list_price("openai", "gpt-4o-2024-11-20")
    assert (old and old.sent, current and current.sent) == (5, 2.5)
