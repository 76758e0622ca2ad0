"""A conversation of an agent, and the messages that are in its context."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from letta_ade.core.models import IdField, Owned


class Conversation(Owned):
    """Every agent has one default conversation; the API calls it `default`.

    The first message in context is the compiled system message of this conversation.
    """

    id = IdField(kind="conversation")
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="conversations")
    is_default = models.BooleanField(default=False)
    summary = models.TextField(null=True, blank=True)
    #: SHA-256 of what the system message was compiled from; a run that finds another compiles it anew.
    compiled_hash = models.CharField(max_length=64, blank=True)
    #: {block id: version} as compiled, so that a page can say which blocks have moved on.
    compiled_versions = models.JSONField(default=dict)
    #: Shown to the model as the time of the last recompile.
    compiled_at = models.DateTimeField(null=True)
    last_message_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(
                fields=["agent"], condition=Q(is_default=True), name="one_default_conversation"
            )
        ]

    def __str__(self) -> str:
        return self.id

    @property
    def wire_id(self) -> str:
        """How prompts and clients name it."""
        return "default" if self.is_default else self.id


class ContextEntry(models.Model):
    """A message that is sent to the model, in order of `position`. The system message is at 0."""

    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="entries", db_index=False
    )
    message = models.ForeignKey("agents.Message", on_delete=models.CASCADE, related_name="entries")
    position = models.BigIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "position"], name="one_message_at_a_position"),
            models.UniqueConstraint(fields=["conversation", "message"], name="message_once_in_a_context"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.position}"
