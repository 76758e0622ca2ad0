"""Searching by words and by meaning, and making one ranking of both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery

#: Reciprocal rank fusion: a higher constant makes the first places matter less.
_RANK_CONSTANT = 60
_SHARE = 0.5
#: Each ranking is read this far, so that what is second in both can win over what is first in one.
_CANDIDATES = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Fused:
    """A row's place in the common ranking; ranks count from 1, None where the row was not found that way."""

    id: str
    score: float
    vector_rank: int | None
    fts_rank: int | None


class AnyWord(SearchQuery):
    """A text search query that matches texts with any word of a text; `SearchRank` puts those with more of them first.

    Natural questions have words that no answer has: all words at once, as Django's own query asks, would find nothing.
    """

    template = "replace(%(function)s(%(expressions)s)::text, ' & ', ' | ')::tsquery"

    def __init__(self, text: str) -> None:
        super().__init__(text, config="english", search_type="plain")


def candidate_count(limit: int) -> int:
    """How many rows each ranking contributes when `limit` are wanted."""
    return max(_CANDIDATES, limit)


def fuse(by_vector: Sequence[str], by_words: Sequence[str]) -> list[Fused]:
    """One ranking of ids, best first: each list adds `0.5 / (60 + rank)`, a list without the id adds nothing."""
    vector_ranks = {row_id: rank for rank, row_id in enumerate(by_vector, 1)}
    word_ranks = {row_id: rank for rank, row_id in enumerate(by_words, 1)}
    found = [
        Fused(
            id=row_id,
            score=sum(
                _SHARE / (_RANK_CONSTANT + rank) for rank in (vector_rank, word_rank) if rank is not None
            ),
            vector_rank=vector_rank,
            fts_rank=word_rank,
        )
        for row_id in dict.fromkeys([*by_vector, *by_words])
        for vector_rank, word_rank in [(vector_ranks.get(row_id), word_ranks.get(row_id))]
    ]
    return sorted(found, key=lambda each: -each.score)
