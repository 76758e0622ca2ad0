"""A name for a version of a block, given by a person who may want to come back to it."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, Timed


class BlockCheckpoint(Timed):
    id = IdField(kind="block_checkpoint")
    block = models.ForeignKey(
        "memory.Block", on_delete=models.CASCADE, related_name="checkpoints", db_index=False
    )
    name = models.CharField(max_length=255)
    #: Number of the version.
    version = models.PositiveIntegerField()
    created_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["block", "name"], name="block_checkpoint_name")]

    def __str__(self) -> str:
        return f"{self.name} (v{self.version})"
