"""Usage as OpenAI's chat completions and their many imitations report it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letta_ade.llm.messages import Usage
from letta_ade.llm.tokens import estimate_payload, estimate_text


def read_usage(
    usage: Mapping[str, Any] | None,
    *,
    payload: Mapping[str, Any],
    said: str,
    counts_thoughts_apart: bool = False,
) -> Usage:
    """The tokens that were counted, or estimates of what was sent and said where the server counted nothing.

    `counts_thoughts_apart`: thoughts are in the server's total and not in its `completion_tokens` (Gemini).
    """
    usage = usage or {}
    prompt = _count(usage.get("prompt_tokens"))
    completion = _count(usage.get("completion_tokens"))
    if not prompt:
        return Usage(
            prompt_tokens=estimate_payload(payload), completion_tokens=completion or estimate_text(said)
        )
    completion = completion or 0
    read = _mapping(usage.get("prompt_tokens_details"))
    written = _mapping(usage.get("completion_tokens_details"))
    reasoning = _count(written.get("reasoning_tokens"))
    apart = (_count(usage.get("total_tokens")) or 0) - prompt - completion
    if apart > 0 and (counts_thoughts_apart or apart == reasoning):
        # Output that is paid for; xAI, too, leaves it out of `completion_tokens`.
        completion += apart
        reasoning = apart if reasoning is None else reasoning
    cached = (
        read.get("cached_tokens"),
        usage.get("prompt_cache_hit_tokens"),
        usage.get("cached_tokens"),
    )
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_input_tokens=next((count for value in cached if (count := _count(value)) is not None), None),
        cache_write_tokens=_count(read.get("cache_write_tokens")),
        reasoning_tokens=reasoning,
    )


def _count(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
