"""What messages mean, as vectors: made when somebody searches, and kept.

Most messages are never looked for by their meaning, so none is embedded when it is stored. A search embeds the newest of those that
it could find and that have no vector yet; what it leaves, the next one embeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from django.db.models import Exists, OuterRef, QuerySet
from pgvector.django import CosineDistance

from agents.models import Message, MessageVector
from memory.services.passages import embed_texts

#: Messages that one search embeds at most.
_AT_ONCE = 256
#: More of a message is not embedded: models take about 8,000 tokens, of some languages one a character.
_MOST_CHARACTERS = 8_000


def nearest(
    messages: QuerySet[Message], query: str, *, embedding: str, workspace_id: str, count: int
) -> list[str] | None:
    """Ids of the messages whose vectors are nearest to that of the query; None when the model does not answer.

    Only vectors of the same model are compared. Called outside transactions.
    """
    rows = messages.filter(~Exists(MessageVector.objects.filter(message=OuterRef("pk"), model=embedding)))
    missing = list(rows.order_by("-created_at", "-id").values_list("id", "text")[:_AT_ONCE])
    texts = [query, *(text[:_MOST_CHARACTERS] for _, text in missing)]
    vectors = embed_texts(embedding, texts, workspace_id=workspace_id)
    if not vectors:
        return None
    wanted = vectors[0]
    _store([message_id for message_id, _ in missing], vectors[1:], embedding)
    return list(
        MessageVector.objects.filter(
            model=embedding, dimensions=len(wanted), message__in=messages.order_by().values("pk")
        )
        .annotate(distance=CosineDistance("embedding", list(wanted)))
        .order_by("distance", "message_id")
        .values_list("message_id", flat=True)[:count]
    )


def _store(message_ids: Sequence[str], vectors: Sequence[Sequence[float]], embedding: str) -> None:
    # A message may have been deleted while the model was asked.
    still_there = set(Message.objects.filter(id__in=message_ids).values_list("id", flat=True))
    MessageVector.objects.bulk_create(
        [
            MessageVector(
                message_id=message_id, model=embedding, dimensions=len(vector), embedding=list(vector)
            )
            for message_id, vector in zip(message_ids, vectors, strict=True)
            if message_id in still_there and all(map(math.isfinite, vector))
        ],
        # Another search may have been quicker.
        ignore_conflicts=True,
    )
