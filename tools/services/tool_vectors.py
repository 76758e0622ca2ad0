"""What tools mean, as vectors: made when somebody searches, and kept until the tool says something else."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from pgvector.django import CosineDistance

from memory.services.passages import embed_texts
from tools.models import Tool, ToolVector

#: Tools that one search embeds at most; the next one goes on.
_AT_ONCE = 256
#: More of a tool is not embedded: models take about 8,000 tokens, of some languages one a character.
_MOST_CHARACTERS = 8_000


def nearest(
    texts: Mapping[str, str], query: str, *, embedding: str, workspace_id: str, count: int
) -> list[str] | None:
    """Ids of the tools that are nearest in meaning, the nearest first; None when the model does not answer.

    `texts`: what each tool says, by its id. Only vectors of the same model are compared. Called outside transactions.
    """
    digests = {tool_id: _digest(text) for tool_id, text in texts.items()}
    known = dict(
        ToolVector.objects.filter(model=embedding, tool__in=list(texts)).values_list("tool_id", "digest")
    )
    missing = [tool_id for tool_id in texts if known.get(tool_id) != digests[tool_id]][:_AT_ONCE]
    vectors = embed_texts(
        embedding,
        [query, *(texts[tool_id][:_MOST_CHARACTERS] for tool_id in missing)],
        workspace_id=workspace_id,
    )
    if not vectors:
        return None
    wanted, made = vectors[0], dict(zip(missing, vectors[1:], strict=True))
    _store(made, digests, embedding)
    # What says something else by now, and was not embedded this time, is not compared by what it said.
    current = [tool_id for tool_id in texts if tool_id in made or known.get(tool_id) == digests[tool_id]]
    return list(
        ToolVector.objects.filter(model=embedding, dimensions=len(wanted), tool__in=current)
        .annotate(distance=CosineDistance("embedding", list(wanted)))
        .order_by("distance", "tool_id")
        .values_list("tool_id", flat=True)[:count]
    )


def _store(made: Mapping[str, list[float]], digests: Mapping[str, str], embedding: str) -> None:
    # A tool may have been deleted while the model was asked.
    still_there = set(Tool.objects.filter(id__in=list(made)).values_list("id", flat=True))
    ToolVector.objects.bulk_create(
        [
            ToolVector(
                tool_id=tool_id,
                model=embedding,
                digest=digests[tool_id],
                dimensions=len(vector),
                embedding=list(vector),
            )
            for tool_id, vector in made.items()
            if tool_id in still_there and all(map(math.isfinite, vector))
        ],
        update_conflicts=True,
        unique_fields=["tool", "model"],
        update_fields=["digest", "dimensions", "embedding"],
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()
