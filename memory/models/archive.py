"""An archive: long-term memory that is searched, not read whole."""

from __future__ import annotations

from django.db import models

from letta_ade.core.models import IdField, Owned


class Archive(Owned):
    id = IdField(kind="archive")
    name = models.CharField(max_length=255)
    description = models.TextField(null=True, blank=True)
    #: Handle of the model that embeds its passages; None: keyword search only.
    embedding = models.CharField(max_length=255, null=True, blank=True)
    #: Length of the vectors; None until the first one came.
    embedding_dim = models.PositiveIntegerField(null=True)
    metadata = models.JSONField(default=dict, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [models.Index(fields=["workspace", "created_at", "id"], name="archive_by_age")]

    def __str__(self) -> str:
        return self.name
