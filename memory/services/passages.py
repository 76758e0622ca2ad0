"""Passages: kept in archives, found again by words and by meaning."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from django.contrib.postgres.search import SearchRank
from django.db import transaction
from django.db.models import F, Func, Q, QuerySet
from django.utils import timezone
from pgvector.django import CosineDistance

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import AdeError, Invalid, NotFound
from letta_ade.llm.catalog import get_embedder
from letta_ade.llm.tokens import estimate_text
from memory.models import Archive, Passage, PassageVector
from memory.search import AnyWord, candidate_count, fuse
from memory.texts import check_json, check_tags, check_text, searchable

logger = logging.getLogger(__name__)

TagMatch = Literal["any", "all"]

DEFAULT_LIMIT = 5
MOST_TOKENS = 8192
_BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageDraft:
    """A passage that is to be stored."""

    text: str
    tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    #: What it is about in time; now by default.
    dated_at: datetime | None = None
    # Who writes it, when an agent does.
    agent_id: str | None = None
    run_id: str | None = None
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PassageHit:
    """A found passage; ranks count from 1, None where it was not found that way."""

    passage: Passage
    #: The fused score; a list without a query has none.
    score: float
    vector_rank: int | None
    fts_rank: int | None


def embed_texts(
    archive: Archive | str | None, texts: Sequence[str], *, workspace_id: str | None = None
) -> list[list[float]] | None:
    """A vector for each text, by the archive's embedding model or the one of this handle. Never call it in a transaction.

    `workspace_id` beside a handle: its own providers count, too. None when there is no model or it fails: the text is stored
    all the same, and found by its words.
    """
    if isinstance(archive, Archive):
        handle, workspace_id = archive.embedding, archive.workspace_id
    else:
        handle = archive
    if not handle or not texts:
        return None
    try:
        return get_embedder(handle, workspace_id=workspace_id).embed(texts)
    except AdeError as error:
        logger.warning("The embedding model %r failed; going on without vectors: %s", handle, error.message)
        return None


def insert_passages(
    *,
    caller: Caller,
    archive: Archive,
    drafts: Sequence[PassageDraft],
    vectors: Sequence[Sequence[float]] | None,
) -> list[Passage]:
    """Store the passages, in order, with their vectors (as `embed_texts` gave them) if there are any.

    Raises Invalid for an empty text or one over `MOST_TOKENS`, Unprocessable for a character that cannot be stored.
    """
    caller.check("edit")
    now = timezone.now()
    passages = [
        Passage(
            workspace_id=archive.workspace_id,
            archive=archive,
            created_by_id=caller.id,
            last_updated_by_id=caller.id,
            text=_checked(draft.text),
            tags=check_tags(draft.tags),
            metadata=check_json("The metadata of a passage", dict(draft.metadata)),
            dated_at=draft.dated_at or now,
            agent_id=draft.agent_id,
            run_id=draft.run_id,
            message_id=draft.message_id,
        )
        for draft in drafts
    ]
    with transaction.atomic():
        Passage.objects.bulk_create(passages, batch_size=_BATCH)
        if vectors is not None and _fit(archive, vectors):
            PassageVector.objects.bulk_create(
                [
                    PassageVector(passage=passage, archive=archive, embedding=list(vector))
                    for passage, vector in zip(passages, vectors, strict=True)
                ],
                batch_size=_BATCH,
            )
    return passages


def get_passage_for(*, caller: Caller, passage_id: str) -> Passage:
    """The passage. Raises NotFound, also for another workspace's."""
    caller.check("read")
    passage = (
        Passage.objects.filter(id=passage_id, workspace_id=caller.workspace_id)
        .select_related("archive")
        .defer("search")
        .first()
    )
    if passage is None:
        raise NotFound(f"There is no passage {passage_id!r}.")
    return passage


def list_passages(
    *,
    caller: Caller,
    archives: Sequence[Archive],
    search: str | None = None,
    tags: Sequence[str] = (),
    tag_match_mode: TagMatch = "any",
    start: datetime | None = None,
    end: datetime | None = None,
) -> QuerySet[Passage]:
    """The passages of these archives by date, oldest first. `search` is a substring, in any case."""
    caller.check("read")
    where = _filter(caller, archives, tags, tag_match_mode, start, end)
    if search and (text := searchable(search)):
        where &= Q(text__icontains=text)
    return Passage.objects.filter(where).defer("search")


def delete_passage(*, caller: Caller, passage_id: str, archives: Sequence[Archive] | None = None) -> None:
    """Delete the passage; with `archives` only one of theirs. Raises NotFound."""
    caller.check("edit")
    passages = Passage.objects.filter(id=passage_id, workspace_id=caller.workspace_id)
    if archives is not None:
        passages = passages.filter(archive__in=archives)
    if not passages.delete()[0]:
        raise NotFound(f"There is no passage {passage_id!r}.")


def search_passages(
    *,
    caller: Caller,
    archives: Sequence[Archive],
    query: str,
    query_vector: Sequence[float] | None = None,
    embedding: str | None = None,
    tags: Sequence[str] = (),
    tag_match_mode: TagMatch = "any",
    start: datetime | None = None,
    end: datetime | None = None,
    limit: int = DEFAULT_LIMIT,
) -> list[PassageHit]:
    """The passages that fit the query best: by words, and by meaning where there is a vector. Empty for an empty query.

    Tags and dates (both ends included) narrow the search before it is ranked and cut. A query whose words are in no text is
    looked for as a piece of text, for parts of words and for languages that put no spaces between them.

    Args:
        query_vector: of the query, as `embed_texts` gave it.
        embedding: handle of the model that made it; by default that of the first archive with one. Archives of other models are
            searched by words only: vectors of different models cannot be compared.
    """
    caller.check("read")
    text = searchable(query)
    archives = [archive for archive in archives if archive.workspace_id == caller.workspace_id]
    if not text or not archives or limit < 1:
        return []
    where = _filter(caller, archives, tags, tag_match_mode, start, end)
    count = candidate_count(limit)
    by_vector: list[str] = []
    if query_vector:
        near = _near(archives, query_vector, embedding)
        if tags or start or end:
            near = near.filter(passage__in=Passage.objects.filter(where))
        by_vector = list(near.values_list("passage_id", flat=True)[:count])
    by_words = _with_words(where, text, count)
    if not by_vector and not by_words:
        by_words = list(
            Passage.objects.filter(where, text__icontains=text)
            .order_by("-dated_at", "-id")
            .values_list("id", flat=True)[:count]
        )
    best = fuse(by_vector, by_words)[:limit]
    passages = Passage.objects.defer("search").in_bulk([each.id for each in best])
    return [
        PassageHit(
            passage=passages[each.id],
            score=each.score,
            vector_rank=each.vector_rank,
            fts_rank=each.fts_rank,
        )
        for each in best
        if each.id in passages
    ]


def list_tags(*, caller: Caller, archives: Sequence[Archive]) -> list[str]:
    """The tags that passages of these archives carry, in alphabetical order."""
    caller.check("read")
    tags = (
        Passage.objects.filter(workspace_id=caller.workspace_id, archive__in=archives)
        .exclude(tags=[])
        .annotate(tag=Func(F("tags"), function="unnest"))
        .order_by()
        .values_list("tag", flat=True)
        .distinct()
    )
    return sorted(tags)


def count_passages(*, caller: Caller, archives: Sequence[Archive]) -> int:
    """How many passages these archives hold."""
    caller.check("read")
    return Passage.objects.filter(workspace_id=caller.workspace_id, archive__in=archives).count()


def _checked(text: str) -> str:
    if not text.strip():
        raise Invalid("The text of a passage is empty.")
    if (tokens := estimate_text(text)) > MOST_TOKENS:
        raise Invalid(
            f"The text of a passage has at most {MOST_TOKENS} tokens; this one has about {tokens}. Split it into several."
        )
    return check_text("The text of a passage", text)


def _fit(archive: Archive, vectors: Sequence[Sequence[float]]) -> bool:
    """Whether the vectors may stand in the archive; the first ones decide its size."""
    sizes = {len(vector) for vector in vectors}
    if len(sizes) != 1 or not all(math.isfinite(number) for vector in vectors for number in vector):
        logger.warning(
            "Archive %s: the embedding model sent unusable vectors; they are left out.", archive.id
        )
        return False
    size = sizes.pop()
    if archive.embedding_dim is None:
        # Somebody else may have been first.
        Archive.objects.filter(id=archive.id, embedding_dim=None).update(embedding_dim=size)
        archive.refresh_from_db(fields=["embedding_dim"])
    if archive.embedding_dim != size:
        logger.warning(
            "Archive %s holds vectors of %s numbers; those of %s are left out.",
            archive.id,
            archive.embedding_dim,
            size,
        )
        return False
    return True


def _filter(
    caller: Caller,
    archives: Sequence[Archive],
    tags: Sequence[str],
    tag_match_mode: TagMatch,
    start: datetime | None,
    end: datetime | None,
) -> Q:
    where = Q(workspace_id=caller.workspace_id, archive__in=[archive.id for archive in archives])
    if tags:
        where &= Q(**{"tags__contains" if tag_match_mode == "all" else "tags__overlap": list(tags)})
    if start is not None:
        where &= Q(dated_at__gte=start)
    if end is not None:
        where &= Q(dated_at__lte=end)
    return where


def _near(
    archives: Sequence[Archive], vector: Sequence[float], embedding: str | None
) -> QuerySet[PassageVector]:
    """Vectors of the same model, the nearest first. The narrow table alone: a join would double the time of the scan."""
    model = embedding or next((archive.embedding for archive in archives if archive.embedding), None)
    comparable = [
        archive.id
        for archive in archives
        if archive.embedding == model and archive.embedding_dim == len(vector)
    ]
    return (
        PassageVector.objects.filter(archive__in=comparable)
        .annotate(distance=CosineDistance("embedding", list(vector)))
        .order_by("distance", "passage_id")
    )


def _with_words(where: Q, text: str, count: int) -> list[str]:
    query = AnyWord(text)
    return list(
        Passage.objects.filter(where, search=query)
        .annotate(rank=SearchRank(F("search"), query))
        .order_by("-rank", "-dated_at", "-id")
        .values_list("id", flat=True)[:count]
    )
