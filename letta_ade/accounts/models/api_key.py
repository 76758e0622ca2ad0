"""A key with which a program calls the API."""

from __future__ import annotations

from django.db import models

from letta_ade.accounts.models.member import Role
from letta_ade.core.models import IdField, Timed


class ApiKey(Timed):
    """Only the hash is kept. The secret holds 256 random bits, so one round of SHA-256 is enough."""

    id = IdField(kind="api_key")
    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="api_keys")
    user = models.ForeignKey("accounts.User", on_delete=models.SET_NULL, null=True, related_name="api_keys")
    name = models.CharField(max_length=120)
    role = models.CharField(max_length=16, choices=Role.choices, default=Role.EDITOR)
    prefix = models.CharField(max_length=24)
    secret_hash = models.CharField(max_length=64, unique=True)
    last_used_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at", "-id"]

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"
