"""A workspace: the tenant to which every other row belongs."""

from __future__ import annotations

from django.db import models

from letta_ade.core.models import IdField, Timed


class Workspace(Timed):
    id = IdField(kind="workspace")
    name = models.CharField(max_length=120)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return self.name
