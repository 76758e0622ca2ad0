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
    #: Somebody who read a file in; its name stands beside it.
    IMPORT = "import"
    #: Somebody who wrote to the row without making a version.
    UNKNOWN = "unknown"


class VersionAct(models.TextChoices):
    """How a version came about."""

    WRITE = "write"
    RESTORE = "restore"
    UNDO = "undo"
    REDO = "redo"
    #: Writes of somebody were taken out.
    REVERT = "revert"
    #: A proposal of the actor was approved.
    APPROVAL = "approval"


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
    act = models.CharField(max_length=16, choices=VersionAct.choices, default=VersionAct.WRITE)
    #: The version whose state was put back.
    restored_from = models.PositiveIntegerField(null=True)
    #: Lines that a writer dropped without having seen them: it said no base, and they came after what it knew.
    unseen_dropped = models.PositiveIntegerField(default=0)
    #: Where the lines of the value differ from those of the version before it: the numbers of each `Change`. None: not kept.
    line_changes = models.JSONField(null=True)
    #: The proposal that was approved, and by whom; the actor is who made it.
    proposal_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    approved_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    approved_by_name = models.CharField(max_length=255, null=True)
    prev_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["block", "number"]
        constraints = [models.UniqueConstraint(fields=["block", "number"], name="block_version_number")]
        indexes = [models.Index(fields=["run_id"], name="block_version_by_run")]

    def __str__(self) -> str:
        return f"{self.label} v{self.number}"

    @property
    def is_explained(self) -> bool:
        return self.actor_kind != ActorKind.UNKNOWN

    @property
    def is_merged(self) -> bool:
        """Whether the writer had read an older version than the one that this one follows."""
        return self.base_version is not None and self.base_version < self.number - 1
