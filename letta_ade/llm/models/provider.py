"""A provider that a workspace brought its own key for, and the models that it listed."""

from __future__ import annotations

from django.db import models

from letta_ade.core.models import IdField, Owned


class Provider(Owned):
    """Keys are encrypted (`core/crypto.py`) and never leave the server but to the provider itself."""

    id = IdField(kind="provider")
    #: First part of the handles of its models.
    name = models.CharField(max_length=100)
    #: Of `provider_profiles.PROVIDERS`.
    provider_type = models.CharField(max_length=32)
    #: None: the provider's own.
    base_url = models.CharField(max_length=2048, null=True)
    region = models.CharField(max_length=64, null=True)
    api_version = models.CharField(max_length=64, null=True)
    api_key_encrypted = models.TextField(null=True)
    #: The half of a key pair that AWS calls an access key.
    access_key_encrypted = models.TextField(null=True)
    #: When it was last asked for its models, and when it last told them.
    last_asked = models.DateTimeField(null=True)
    last_synced = models.DateTimeField(null=True)
    #: What went wrong the last time that it was asked, in its own words.
    last_error = models.TextField(null=True)
    #: Of that asking: the address, how long it took, all that came back, and the provider's number of it.
    last_request = models.TextField(null=True)
    last_milliseconds = models.PositiveIntegerField(null=True)
    last_answer = models.TextField(null=True)
    last_request_id = models.CharField(max_length=255, null=True)
    #: Its models are neither offered nor called until it is enabled again.
    disabled_at = models.DateTimeField(null=True)
    #: A deleted provider keeps its name, and is revived when one of that name is made again.
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [models.UniqueConstraint(fields=["workspace", "name"], name="provider_by_name")]

    def __str__(self) -> str:
        return self.name

    def forget_answers(self) -> None:
        """Nothing is known of what it says now. Not saved."""
        self.last_asked = self.last_synced = self.last_error = self.last_request = None
        self.last_milliseconds = self.last_answer = self.last_request_id = None


#: No provider calls a model by more; one that does is not kept.
MOST_NAME_CHARACTERS = 255


class ProviderModel(models.Model):
    id = IdField(kind="provider_model")
    provider = models.ForeignKey("llm.Provider", on_delete=models.CASCADE, related_name="models")
    name = models.CharField(max_length=MOST_NAME_CHARACTERS)
    #: The fields of `model_rows.ModelRow`: what the provider said, to be completed with what we know when it is read.
    facts = models.JSONField()

    class Meta:
        ordering = ["name"]
        constraints = [models.UniqueConstraint(fields=["provider", "name"], name="provider_model_by_name")]

    def __str__(self) -> str:
        return self.name
