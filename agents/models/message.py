"""A stored message. One of these becomes one or more messages on the wire."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.postgres.indexes import GinIndex
from django.contrib.postgres.search import SearchVector, SearchVectorField
from django.db import models
from django.db.models.functions import Substr
from pgvector.django import HalfVectorField

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField

#: A tsvector may hold 1 MB; text beyond this many characters is kept but not indexed.
INDEXED_CHARACTERS = 200_000


class MessageRole(models.TextChoices):
    SYSTEM = "system"
    USER = "user"
    ASSISTANT = "assistant"
    TOOL = "tool"
    APPROVAL = "approval"
    SUMMARY = "summary"


class Message(models.Model):
    id = IdField(kind="message")
    # No index of their own: the ones below begin with them, and beside a narrow one the planner sorts a whole history.
    workspace = models.ForeignKey(
        "accounts.Workspace", on_delete=models.CASCADE, related_name="+", db_index=False
    )
    agent = models.ForeignKey(
        "agents.Agent", on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="messages", db_index=False
    )
    run = models.ForeignKey("agents.Run", on_delete=models.SET_NULL, null=True, related_name="messages")
    step = models.ForeignKey("agents.Step", on_delete=models.SET_NULL, null=True, related_name="messages")
    role = models.CharField(max_length=16, choices=MessageRole.choices)
    #: Content parts (letta_ade/llm/messages.py `part_to_data`).
    content = models.JSONField(default=list)
    #: [{"id", "name", "arguments", "signature"?}], of an assistant (letta_ade/llm/messages.py `call_to_data`).
    tool_calls = models.JSONField(default=list)
    #: [{"tool_call_id", "name", "status": success|error, "text", "stdout", "stderr", "duration_ms"}], of a tool message.
    tool_returns = models.JSONField(default=list)
    #: [{"type": "approval", …} | {"type": "tool", …}], the answer to an approval request.
    approvals = models.JSONField(null=True)
    name = models.CharField(max_length=255, null=True)
    model = models.CharField(max_length=255, null=True)
    otid = models.CharField(max_length=255, null=True)
    sender_id = models.CharField(max_length=255, null=True)
    group_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    #: Belongs to a step that failed: kept to be read, never in context.
    is_err = models.BooleanField(default=False)
    #: The words that searches find: text, reasoning left out.
    text = models.TextField(blank=True)
    #: Unique and rising within a conversation; set by the writer that holds the conversation, not by the clock alone.
    created_at = models.DateTimeField()
    created_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    search = models.GeneratedField(
        expression=SearchVector(Substr("text", 1, INDEXED_CHARACTERS), config="english"),
        output_field=SearchVectorField(),
        db_persist=True,
    )

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["agent", "created_at", "id"], name="message_by_agent"),
            models.Index(fields=["conversation", "created_at", "id"], name="message_by_conversation"),
            models.Index(fields=["workspace", "created_at", "id"], name="message_by_workspace"),
            GinIndex(fields=["search"], name="message_by_word"),
            # What waits for an answer is looked for on every page.
            models.Index(
                fields=["workspace", "created_at", "id"],
                name="message_request",
                condition=models.Q(role="approval"),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} {self.id}"

    def to_data(self) -> dict[str, Any]:
        """The row as JSON: what a run's events carry."""
        return {
            "id": self.id,
            "agent_id": self.agent_id,
            "conversation_id": self.conversation_id,
            "run_id": self.run_id,
            "step_id": self.step_id,
            "role": self.role,
            "content": self.content,
            "tool_calls": self.tool_calls,
            "tool_returns": self.tool_returns,
            "approvals": self.approvals,
            "name": self.name,
            "model": self.model,
            "otid": self.otid,
            "sender_id": self.sender_id,
            "group_id": self.group_id,
            "is_err": self.is_err,
            "created_at": self.created_at.isoformat(),
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Message:
        """The message that `to_data` described, not attached to the database."""
        return cls(**{**data, "created_at": datetime.fromisoformat(data["created_at"])})


class MessageVector(models.Model):
    """What a message means to an embedding model (services/message_vectors.py), in a narrow table of its own."""

    # The constraint begins with it.
    message = models.ForeignKey(
        "agents.Message", on_delete=models.CASCADE, related_name="vectors", db_index=False
    )
    #: Handle of the embedding model: vectors of two models cannot be compared.
    model = models.CharField(max_length=255)
    dimensions = models.PositiveIntegerField()
    embedding = HalfVectorField()

    class Meta:
        ordering = ["id"]
        constraints = [models.UniqueConstraint(fields=["message", "model"], name="one_vector_of_a_model")]

    def __str__(self) -> str:
        return f"{self.message_id} {self.model}"
