"""A run: one request to an agent, from its input to its stop reason. And its lease, and its events."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from letta_ade.core.models import IdField, Owned


class RunStatus(models.TextChoices):
    CREATED = "created"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


ACTIVE_STATUSES = (RunStatus.CREATED, RunStatus.RUNNING)
#: How few runs end. The others are found by their age, among nearly all runs.
RARE_STATUSES = (RunStatus.FAILED, RunStatus.CANCELLED)
RARE_STOP_REASONS = (
    "cancelled",
    "error",
    "invalid_llm_response",
    "invalid_tool_call",
    "llm_api_error",
    "max_steps",
    "max_tokens_exceeded",
    "no_tool_call",
    "requires_approval",
    "tool_rule",
    "insufficient_credits",
    "context_window_overflow_in_system_prompt",
)


class Run(Owned):
    id = IdField(kind="run")
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="runs", db_index=False)
    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="runs", db_index=False
    )
    status = models.CharField(max_length=16, choices=RunStatus.choices, default=RunStatus.CREATED)
    stop_reason = models.CharField(max_length=64, null=True)
    background = models.BooleanField(default=False)
    #: `run_type`, and `error` when it failed.
    metadata = models.JSONField(default=dict)
    request_config = models.JSONField(default=dict)
    #: otids of the input messages; a repeat of the request finds the run by them.
    otids = ArrayField(models.CharField(max_length=255), default=list)
    #: Who asked, and the `inputs`, until the run has ended: should its process die, they are not lost. Of a run of the background
    #: all that was asked (`RunRequest.to_data`): whoever takes it up needs it.
    request = models.JSONField(null=True)
    #: How many processes have died over it.
    attempts = models.PositiveSmallIntegerField(default=0)
    completed_at = models.DateTimeField(null=True)
    ttft_ns = models.BigIntegerField(null=True)
    total_duration_ns = models.BigIntegerField(null=True)
    #: Of all its steps; None until it has ended.
    total_tokens = models.BigIntegerField(null=True)
    #: Who is told when the run has ended, and how the last try went (services/callbacks.py).
    callback_url = models.CharField(max_length=2000, null=True)
    callback_sent_at = models.DateTimeField(null=True)
    callback_status_code = models.PositiveSmallIntegerField(null=True)
    callback_error = models.TextField(null=True)

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            # With what the first page counts, so that it reads no row of a day's runs.
            models.Index(
                fields=["workspace", "created_at", "id"], include=["status", "ttft_ns"], name="run_by_age"
            ),
            models.Index(fields=["agent", "created_at", "id"], name="run_by_agent"),
            models.Index(fields=["conversation", "created_at", "id"], name="run_by_conversation"),
            models.Index(
                fields=["status"], name="run_active", condition=models.Q(status__in=["created", "running"])
            ),
            models.Index(
                fields=["workspace", "status", "created_at", "id"],
                name="run_by_rare_status",
                condition=models.Q(status__in=[status.value for status in RARE_STATUSES]),
            ),
            models.Index(
                fields=["workspace", "stop_reason", "created_at", "id"],
                name="run_by_rare_stop_reason",
                condition=models.Q(stop_reason__in=list(RARE_STOP_REASONS)),
            ),
            models.Index(fields=["workspace", "total_tokens"], name="run_by_tokens"),
        ]

    def __str__(self) -> str:
        return f"{self.id} {self.status}"

    @property
    def has_ended(self) -> bool:
        return self.status not in ACTIVE_STATUSES


class RunLease(models.Model):
    """The right to write to a conversation. One row for each conversation that runs; it goes when the run ends.

    The primary key makes a second writer impossible. `epoch` grows with each taking: a process that lost its lease cannot write.
    """

    conversation = models.OneToOneField(
        "agents.Conversation", on_delete=models.CASCADE, related_name="lease", primary_key=True
    )
    run = models.OneToOneField("agents.Run", on_delete=models.CASCADE, related_name="lease")
    #: The process that runs it (`leases.OWNER`), or `leases.QUEUE` while it waits for a worker.
    owner = models.CharField(max_length=64)
    epoch = models.PositiveIntegerField(default=1)
    expires_at = models.DateTimeField()
    #: Somebody wants the run to stop, and it goes on in another process.
    is_stop_requested = models.BooleanField(default=False)

    class Meta:
        ordering = ["expires_at"]
        indexes = [models.Index(fields=["owner"], name="lease_by_owner")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.owner}"


class RunEvent(models.Model):
    """An event of a run as the loop told it (agents/runtime/events.py), numbered from 1."""

    run = models.ForeignKey("agents.Run", on_delete=models.CASCADE, related_name="events", db_index=False)
    seq = models.PositiveIntegerField()
    type = models.CharField(max_length=32)
    data = models.JSONField()

    class Meta:
        ordering = ["run", "seq"]
        constraints = [models.UniqueConstraint(fields=["run", "seq"], name="run_event_seq")]

    def __str__(self) -> str:
        return f"{self.run_id} {self.seq} {self.type}"
