"""A memory block: text that stands in the context of every agent that holds it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, Owned
from memory.policies import AGENTS, Actor, Policy, policy_for

DEFAULT_LIMIT = 100_000


class Block(Owned):
    id = IdField(kind="block")
    label = models.CharField(max_length=255)
    value = models.TextField(blank=True)
    #: Characters (Unicode code points).
    limit = models.PositiveIntegerField(default=DEFAULT_LIMIT)
    description = models.TextField(null=True, blank=True)
    #: Agents may not edit it; people and the API may.
    read_only = models.BooleanField(default=False)
    #: Rules of who may write (memory/policies.py); each change of them is a BlockPolicyChange.
    policy = models.JSONField(default=dict, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    hidden = models.BooleanField(null=True)
    is_template = models.BooleanField(default=False)
    template_name = models.CharField(max_length=255, null=True, blank=True)
    preserve_on_migration = models.BooleanField(default=False, null=True)
    project_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)
    #: Number of the newest version; the first is 1.
    version = models.PositiveIntegerField(default=0)
    #: Hash of the newest version; a value that does not fit it was changed behind our back.
    head_hash = models.CharField(max_length=64, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["workspace", "created_at", "id"], name="block_by_age"),
            models.Index(fields=["workspace", "label"], name="block_by_label"),
            models.Index(fields=["workspace", "updated_at", "id"], name="block_by_change"),
            models.Index(
                fields=["workspace"],
                name="block_listed",
                condition=models.Q(hidden=None) | models.Q(hidden=False),
            ),
            GinIndex(fields=["tags"], name="block_by_tag"),
        ]

    def __str__(self) -> str:
        return f"{self.label} v{self.version}"

    @property
    def agents_policy(self) -> Policy:
        """What becomes of the writes of agents that have no rule of their own."""
        return policy_for(self.policy, Actor(kind=AGENTS, id=""), is_read_only=self.read_only)

    @property
    def chars_current(self) -> int:
        return len(self.value)
