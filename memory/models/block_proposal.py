"""A write to a block that waits for a person, or did: what it would make of the block, who asked, why, and what was decided."""

from __future__ import annotations

from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField
from memory.models.block_version import ActorKind


class ProposalState(models.TextChoices):
    PENDING = "pending"
    APPROVED = "approved"
    #: Approved with another text than the proposed one.
    EDITED = "edited"
    REJECTED = "rejected"
    #: A later proposal of the same actor holds what this one did.
    SUPERSEDED = "superseded"
    #: Nobody has to decide any more: taken back, or what it is about has gone.
    WITHDRAWN = "withdrawn"


class BlockProposal(models.Model):
    id = IdField(kind="proposal")
    workspace = models.ForeignKey("accounts.Workspace", on_delete=models.CASCADE, related_name="+")
    # The record of a decision outlasts the block, and goes on naming it.
    block = models.ForeignKey(
        "memory.Block", on_delete=models.DO_NOTHING, db_constraint=False, related_name="proposals"
    )
    #: The block's label when it was proposed.
    label = models.CharField(max_length=255)
    #: The version that the change was made to.
    base_version = models.PositiveIntegerField()
    #: The value of that version, which the proposed one is compared with.
    base_value = models.TextField(blank=True)
    #: What the value is to be; None: it stays.
    value = models.TextField(null=True)
    #: Other fields that are to change, by name.
    changes = models.JSONField(default=dict)
    actor_kind = models.CharField(max_length=16, choices=ActorKind.choices)
    actor_id = models.CharField(max_length=MAX_ID_LENGTH)
    actor_name = models.CharField(max_length=255)
    is_background = models.BooleanField(default=False)
    # Higher floors are remembered by their public ids, so that migrations only go down.
    conversation_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    run_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    step_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    tool_call_id = models.CharField(max_length=255, null=True)
    tool_name = models.CharField(max_length=255, null=True)
    #: The text that led to the write, as it was then.
    excerpt = models.TextField(blank=True)
    #: The message that the excerpt is of.
    excerpt_message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    state = models.CharField(max_length=16, choices=ProposalState.choices, default=ProposalState.PENDING)
    superseded_by = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    decided_by_kind = models.CharField(max_length=16, null=True)
    decided_by_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    decided_by_name = models.CharField(max_length=255, null=True)
    decided_at = models.DateTimeField(null=True)
    reason = models.TextField(blank=True)
    #: The version that the approval wrote; None: it changed nothing, or there was none.
    written_version = models.PositiveIntegerField(null=True)
    #: The text that was approved instead of the proposed one.
    edited_value = models.TextField(null=True)
    #: The message in which the agent read the decision; None: it has not yet.
    told_message_id = models.CharField(max_length=MAX_ID_LENGTH, null=True)
    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["workspace", "created_at", "id"], name="proposal_by_age"),
            models.Index(fields=["block", "created_at"], name="proposal_by_block"),
            models.Index(
                fields=["workspace", "created_at"],
                condition=models.Q(state="pending"),
                name="proposal_waiting",
            ),
            models.Index(
                fields=["conversation_id", "created_at"],
                condition=models.Q(told_message_id=None),
                name="proposal_untold",
            ),
            models.Index(fields=["actor_id"], name="proposal_by_actor"),
        ]

    def __str__(self) -> str:
        return f"{self.label} ({self.state})"

    @property
    def is_pending(self) -> bool:
        return self.state == ProposalState.PENDING
