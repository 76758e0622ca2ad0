"""A tool as it was saved once. Rows are only ever added."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, OrderedJSONField


class ToolVersion(models.Model):
    id = IdField(kind="tool_version")
    tool = models.ForeignKey("tools.Tool", on_delete=models.CASCADE, related_name="versions", db_index=False)
    number = models.PositiveIntegerField()
    name = models.CharField(max_length=255)
    description = models.TextField(null=True)
    source_type = models.CharField(max_length=16)
    source_code = models.TextField(null=True)
    json_schema = OrderedJSONField(default=dict)
    args_json_schema = OrderedJSONField(null=True)
    tags = ArrayField(models.CharField(max_length=255), default=list)
    return_char_limit = models.PositiveIntegerField()
    pip_requirements = models.JSONField(null=True)
    npm_requirements = models.JSONField(null=True)
    default_requires_approval = models.BooleanField(null=True)
    enable_parallel_execution = models.BooleanField(default=False)
    #: As `Caller` has it; "unknown" for what stood in the row before it had versions.
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    #: The version whose state was put back.
    restored_from = models.PositiveIntegerField(null=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["tool", "number"]
        constraints = [models.UniqueConstraint(fields=["tool", "number"], name="tool_version_number")]

    def __str__(self) -> str:
        return f"{self.name} v{self.number}"
