"""What models cost, as far as it is known: what a provider lists, or the list prices of makers at their own address.

The table was checked on 2026-11-26 against stored copies of the makers' pages, developers.openai.com/api/docs/pricing and
platform.claude.com/docs/en/about-claude/pricing, where a copy was older than a change of price against notes on that change, and else
against `model_prices_and_context_window.json` of BerriAI/litellm. Standard tier, nothing in batches. Of the newest families and of some
older models the prices of caches rest on one of these alone. A model of which the sources differ is left out: no price is better than a
wrong one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_MILLION = 1_000_000
#: What a maker adds to a name to fix its date; the price is the same.
_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|latest)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """US dollars for a million tokens. None: the same as `sent`."""

    sent: float
    said: float
    #: Read from a cache, and written to one.
    cached: float | None = None
    written: float | None = None
    #: A longer prompt has another price, which is not known here.
    most_prompt: int | None = None

    def cost(
        self, *, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0, written_tokens: int = 0
    ) -> float | None:
        """US dollars for one call; None when its prompt is too long for this price. The prompt includes what was cached and written."""
        if self.most_prompt is not None and prompt_tokens > self.most_prompt:
            return None
        cached = self.sent if self.cached is None else self.cached
        written = self.sent if self.written is None else self.written
        plain = max(0, prompt_tokens - cached_tokens - written_tokens)
        dollars = (
            plain * self.sent
            + cached_tokens * cached
            + written_tokens * written
            + completion_tokens * self.said
        )
        return dollars / _MILLION


def _gpt(sent: float, cached: float, said: float) -> Price:
    return Price(sent=sent, cached=cached, said=said)


def _long_gpt(sent: float, cached: float, said: float, *, written: float | None = None) -> Price:
    # Beyond this all of a prompt has the price for long ones. Before GPT-5.6 it cost nothing to write to the cache.
    return Price(sent=sent, cached=cached, said=said, written=written, most_prompt=272_000)


def _claude(
    sent: float, said: float, *, cached: float | None = None, most_prompt: int | None = None
) -> Price:
    # A cache that lasts five minutes, which is the kind that is asked for.
    return Price(
        sent=sent,
        cached=sent / 10 if cached is None else cached,
        written=sent * 1.25,
        said=said,
        most_prompt=most_prompt,
    )


#: By provider type and name without its date; a name with its date where that one has another price.
LIST_PRICES: dict[str, dict[str, Price]] = {
    "openai": {
        "gpt-6.1-sol": _long_gpt(2, 0.1, 10, written=2.5),
        "gpt-6-sol": _long_gpt(2, 0.2, 10, written=2.5),
        "gpt-6-luna": _long_gpt(0.1, 0.01, 0.5, written=0.125),
        "gpt-5.6-terra": _long_gpt(2, 0.2, 12, written=2.5),
        "gpt-5.6-luna": _long_gpt(0.2, 0.02, 1.2, written=0.25),
        "gpt-5.5": _long_gpt(5, 0.5, 30),
        "gpt-5.4": _long_gpt(2.5, 0.25, 15),
        "gpt-5.4-mini": _gpt(0.75, 0.075, 4.5),
        "gpt-5.4-nano": _gpt(0.2, 0.02, 1.25),
        "gpt-5.2": _gpt(1.75, 0.175, 14),
        "gpt-5.1": _gpt(1.25, 0.125, 10),
        "gpt-5": _gpt(1.25, 0.125, 10),
        "gpt-5-mini": _gpt(0.25, 0.025, 2),
        "gpt-5-nano": _gpt(0.05, 0.005, 0.4),
        "gpt-4.1": _gpt(2, 0.5, 8),
        "gpt-4.1-mini": _gpt(0.4, 0.1, 1.6),
        "gpt-4.1-nano": _gpt(0.1, 0.025, 0.4),
        "gpt-4o": _gpt(2.5, 1.25, 10),
        # Older than the cache, and than the price of its name.
        "gpt-4o-2024-05-13": Price(sent=5, said=15),
        "gpt-4o-mini": _gpt(0.15, 0.075, 0.6),
        "o1": _gpt(15, 7.5, 60),
        "o3": _gpt(2, 0.5, 8),
        "o3-mini": _gpt(1.1, 0.55, 4.4),
        "o4-mini": _gpt(1.1, 0.275, 4.4),
    },
    "anthropic": {
        "claude-fable-5-1": _claude(10, 50, cached=0.25),
        "claude-fable-5": _claude(10, 50),
        "claude-opus-5-5": _claude(4, 20, cached=0.2),
        "claude-opus-5": _claude(5, 25),
        "claude-opus-4-8": _claude(5, 25),
        "claude-opus-4-7": _claude(5, 25),
        "claude-opus-4-6": _claude(5, 25),
        "claude-opus-4-5": _claude(5, 25),
        "claude-opus-4-1": _claude(15, 75),
        "claude-opus-4": _claude(15, 75),
        "claude-sonnet-5-5": _claude(2, 10, cached=0.1),
        "claude-sonnet-5": _claude(2, 10),
        "claude-sonnet-4-6": _claude(3, 15),
        "claude-sonnet-4-5": _claude(3, 15, most_prompt=200_000),
        "claude-sonnet-4": _claude(3, 15, most_prompt=200_000),
        "claude-3-7-sonnet": _claude(3, 15),
        "claude-haiku-5-5": _claude(0.1, 0.5, most_prompt=100_000),
        "claude-haiku-4-5": _claude(1, 5),
        "claude-3-5-haiku": _claude(0.8, 4),
    },
}


def list_price(provider_type: str, model: str) -> Price | None:
    """The maker's own price of a model; None when it is not known."""
    prices = LIST_PRICES.get(provider_type, {})
    return prices.get(model) or prices.get(_DATE.sub("", model))


def told_price(pricing: Any) -> Price | None:
    """What a listing says a token costs, in the words of OpenRouter: dollars for one token, as text. None when it says nothing."""
    if not isinstance(pricing, Mapping):
        return None
    sent, said = _dollars(pricing.get("prompt")), _dollars(pricing.get("completion"))
    if sent is None or said is None:
        return None
    return Price(
        sent=sent,
        said=said,
        cached=_dollars(pricing.get("input_cache_read")),
        written=_dollars(pricing.get("input_cache_write")),
    )


def _dollars(value: Any) -> float | None:
    """For a million tokens; a negative number says that it depends."""
    try:
        price = float(value)
    except (TypeError, ValueError):
        return None
    return price * _MILLION if price >= 0 else None
