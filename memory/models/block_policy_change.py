"""Somebody set who may write to a block. Rows are only ever added; the rules of now stand on the block."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField


class BlockPolicyChange(models.Model):
    id = IdField(kind="block_policy")
    block = models.ForeignKey("memory.Block", on_delete=models.CASCADE, related_name="policy_changes")
    #: As they were set (memory/policies.py).
    rules = models.JSONField(default=dict)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.block_id} by {self.actor_name}"
