"""What was changed about the providers of a workspace, by whom and when. Rows are added and never changed."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH


class ProviderAct(models.TextChoices):
    ADDED = "added"
    CHANGED = "changed"
    DISABLED = "disabled"
    ENABLED = "enabled"
    DELETED = "deleted"
    MODEL_HIDDEN = "model_hidden", "hid"
    MODEL_SHOWN = "model_shown", "showed again"


class ProviderChange(models.Model):
    """One change. Never holds a key, nor any part of one: only that it was replaced."""

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="+")
    #: As it was called then.
    provider_name = models.CharField(max_length=100)
    #: None for one of the server's own.
    provider_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    act = models.CharField(max_length=16, choices=ProviderAct.choices)
    #: [{"field": …, "before": …, "after": …}]; of a key only {"field": …}.
    details = models.JSONField(default=list)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["-created_at", "-id"]
        indexes = [models.Index(fields=["workspace", "-created_at"], name="provider_change_by_age")]

    def __str__(self) -> str:
        return f"{self.provider_name}: {self.act}"

    @property
    def is_of_model(self) -> bool:
        """Whether it is about one model."""
        return self.act in (ProviderAct.MODEL_HIDDEN, ProviderAct.MODEL_SHOWN)
