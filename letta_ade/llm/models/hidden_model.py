"""A model that a workspace does not want to be offered, of whichever provider."""

from __future__ import annotations

from django.db import models


class HiddenModel(models.Model):
    """Agents that name it go on; nobody is offered it. By handle, because the server's own providers have no rows."""

    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="+")
    handle = models.CharField(max_length=400)

    class Meta:
        ordering = ["handle"]
        constraints = [models.UniqueConstraint(fields=["workspace", "handle"], name="hidden_model_by_handle")]

    def __str__(self) -> str:
        return self.handle
