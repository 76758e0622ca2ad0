"""What an agent was at a time: its settings, and which tools and blocks were attached."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField


class AgentVersion(models.Model):
    """Append-only. What the blocks say is in their own history; values of secrets are nowhere but in their rows."""

    id = IdField(kind="agent_version")
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.CASCADE, related_name="versions", db_index=False
    )
    #: From 1.
    number = models.PositiveIntegerField()
    #: By field, as agents/services/agent_versions.py `snapshot` writes it.
    data = models.JSONField()
    #: The version whose state this one brought back.
    restored_from = models.PositiveIntegerField(null=True)
    actor_kind = models.CharField(max_length=16)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["number"]
        constraints = [models.UniqueConstraint(fields=["agent", "number"], name="agent_version_number")]

    def __str__(self) -> str:
        return f"{self.agent_id} v{self.number}"
