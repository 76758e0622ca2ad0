"""A user's place in a workspace."""

from __future__ import annotations

from django.db import models

from letta_ade.core.models import IdField, Timed


class Role(models.TextChoices):
    OWNER = "owner"
    EDITOR = "editor"
    REVIEWER = "reviewer"
    VIEWER = "viewer"


class Member(Timed):
    id = IdField(kind="member")
    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="members")
    user = models.ForeignKey("accounts.User", on_delete=models.CASCADE, related_name="memberships")
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.EDITOR)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "user"], name="member_once_in_a_workspace")
        ]

    def __str__(self) -> str:
        return f"{self.user_id} {self.role}"
