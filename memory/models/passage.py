"""A passage of an archive, and its vector in a narrow table of its own."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Substr
from pgvector.django import HalfVectorField

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, Owned

#: A tsvector may hold 1 MB; text beyond this many characters is kept but not indexed.
INDEXED_CHARACTERS = 200_000


class Passage(Owned):
    id = IdField(kind="passage")
    archive = models.ForeignKey(
        "memory.Archive", on_delete=models.CASCADE, related_name="passages", db_index=False
    )
    text = models.TextField()
    tags = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    #: What the passage is about in time; the caller may set it. Rows are listed by it.
    dated_at = models.DateTimeField()
    # Who wrote it, when an agent did.
    agent_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    run_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    search = models.GeneratedField(
        expression=SearchVector(Substr("text", 1, INDEXED_CHARACTERS), config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["dated_at", "id"]
        indexes = [
            models.Index(fields=["archive", "dated_at", "id"], name="passage_by_age"),
            GinIndex(fields=["search"], name="passage_by_word"),
            GinIndex(fields=["tags"], name="passage_by_tag"),
        ]

    def __str__(self) -> str:
        return self.text[:60]


class PassageVector(models.Model):
    """The vector of a passage. Narrow and inline: an exact scan over a wide, TOASTed row takes eight times as long."""

    passage = models.OneToOneField(
        "memory.Passage", on_delete=models.CASCADE, related_name="vector", primary_key=True
    )
    archive = models.ForeignKey("memory.Archive", on_delete=models.CASCADE, related_name="+")
    embedding = HalfVectorField()

    class Meta:
        ordering = ["passage"]

    def __str__(self) -> str:
        return self.passage_id
