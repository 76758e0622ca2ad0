"""A compaction: messages that left a context, the summary that took their place, and whether that was undone."""

from __future__ import annotations

from django.db import models

from letta_ade.core.models import IdField, Owned


class Compaction(Owned):
    id = IdField(kind="compaction")
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.CASCADE, related_name="compactions", db_index=False
    )
    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="compactions", db_index=False
    )
    #: None: somebody asked for it outside a run.
    run = models.ForeignKey("agents.Run", on_delete=models.SET_NULL, null=True, related_name="compactions")
    #: After which it happened; None when before the first one of its run, or outside.
    step = models.ForeignKey("agents.Step", on_delete=models.SET_NULL, null=True, related_name="+")
    #: The summary as a message; None when that has been deleted.
    message = models.OneToOneField(
        "agents.Message", on_delete=models.SET_NULL, null=True, related_name="compaction"
    )
    summary = models.TextField()
    trigger = models.CharField(max_length=32)
    mode = models.CharField(max_length=32)
    #: The handle of the model that wrote the summary; None when none could, and the text is ours.
    model = models.CharField(max_length=255, null=True)
    #: Why the summariser that should have written it did not.
    failure = models.TextField(blank=True)
    tokens_before = models.PositiveIntegerField()
    #: An estimate.
    tokens_after = models.PositiveIntegerField()
    messages_before = models.PositiveIntegerField()
    messages_after = models.PositiveIntegerField()
    context_window = models.PositiveIntegerField()
    #: Of all calls of summarisers; they are not in the usage of the run.
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    undone_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["conversation", "created_at", "id"], name="compaction_by_conversation"),
            models.Index(fields=["agent", "created_at", "id"], name="compaction_by_agent"),
        ]

    def __str__(self) -> str:
        return f"{self.conversation_id} {self.messages_before} to {self.messages_after}"


class CompactedEntry(models.Model):
    """A message that a compaction took out of the context, and where it stood."""

    compaction = models.ForeignKey(
        "agents.Compaction", on_delete=models.CASCADE, related_name="entries", db_index=False
    )
    message = models.ForeignKey("agents.Message", on_delete=models.CASCADE, related_name="+")
    position = models.BigIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["compaction", "position"], name="compacted_entry_position")
        ]

    def __str__(self) -> str:
        return f"{self.compaction_id} {self.position}"
