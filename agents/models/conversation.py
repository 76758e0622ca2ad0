"""A conversation of an agent, and the messages that are in its context."""

from __future__ import annotations

from django.db import models
from django.db.models import Q

from letta_ade.core.models import IdField, Owned


class Conversation(Owned):
    """Every agent has one default conversation; the API calls it `default`.

    The first message in context is the compiled system message of this conversation. A deleted one keeps its row: its messages stay
    in the history of the agent.
    """

    id = IdField(kind="conversation")
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="conversations")
    is_default = models.BooleanField(default=False)
    summary = models.TextField(null=True, blank=True)
    description = models.TextField(null=True, blank=True)
    #: Left out of lists.
    hidden = models.BooleanField(default=False)
    #: These three stand over those of the agent; null leaves the agent's.
    model = models.CharField(max_length=255, null=True)
    #: What is asked for beside the settings of the agent or the defaults of `model`, and the `provider_type` of the model.
    model_settings = models.JSONField(null=True)
    #: Tokens.
    context_window_limit = models.PositiveIntegerField(null=True)
    #: The one that it began as a copy of; the messages that it took over from there are its `shared_messages`.
    forked_from = models.ForeignKey("self", on_delete=models.SET_NULL, null=True, related_name="forks")
    #: SHA-256 of what the system message was compiled from; a run that finds another compiles it anew.
    compiled_hash = models.CharField(max_length=64, blank=True)
    #: {block id: version} as compiled, so that a page can say which blocks have moved on.
    compiled_versions = models.JSONField(default=dict)
    #: {block id: version} that the system message keeps, whatever is written to the block (services/block_pins.py).
    pinned_versions = models.JSONField(default=dict)
    #: Shown to the model as the time of the last recompile.
    compiled_at = models.DateTimeField(null=True)
    last_message_at = models.DateTimeField(null=True)
    last_run_completion = models.DateTimeField(null=True)
    archived_at = models.DateTimeField(null=True)
    deleted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["workspace", "created_at", "id"], name="conversation_by_age"),
            models.Index(fields=["agent", "created_at", "id"], name="conversation_by_agent"),
        ]
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


class ConversationBlock(models.Model):
    """A private copy of a block: in this conversation it stands in the place of the agent's block of that label."""

    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="block_links", db_index=False
    )
    block = models.OneToOneField("memory.Block", on_delete=models.CASCADE, related_name="conversation_link")
    #: Of the agent's block; the copy may have been renamed since.
    label = models.CharField(max_length=255)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "label"], name="one_copy_of_a_block"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.label}"


class SharedMessage(models.Model):
    """A message of another conversation that belongs to the history of this one, which was forked after it."""

    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="shared_messages", db_index=False
    )
    message = models.ForeignKey("agents.Message", on_delete=models.CASCADE, related_name="shares")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["conversation", "message"], name="message_shared_once"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.message_id}"
