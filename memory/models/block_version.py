"""One write to a block. Rows are only ever added; each hash covers the one before it."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField


class ActorKind(models.TextChoices):
    LOCAL = "local"
    USER = "user"
    API_KEY = "api_key"
    AGENT = "agent"
    SYSTEM = "system"


class BlockVersion(models.Model):
    id = IdField(kind="block_version")
    block = models.ForeignKey(
        "memory.Block", on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    number = models.PositiveIntegerField()
    label = models.CharField(max_length=255)
    value = models.TextField(blank=True)
    description = models.TextField(null=True)
    limit = models.PositiveIntegerField()
    read_only = models.BooleanField()
    actor_kind = models.CharField(max_length=16, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    # Higher floors are remembered by their public ids, so that migrations only go down.
    run_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    step_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    tool_call_id = models.CharField(max_length=255, null=True)
    tool_name = models.CharField(max_length=255, null=True)
    #: The version that the writer had read; None when a client wrote without saying.
    base_version = models.PositiveIntegerField(null=True)
    prev_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["block", "number"]
        constraints = [models.UniqueConstraint(fields=["block", "number"], name="block_version_number")]
        indexes = [models.Index(fields=["run_id"], name="block_version_by_run")]

    def __str__(self) -> str:
        return f"{self.label} v{self.number}"
