"""A step: one call of the model and what followed from it. And the exact request that was sent."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from letta_ade.core.models import IdField, Owned


class StepStatus(models.TextChoices):
    PENDING = "pending"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Step(Owned):
    id = IdField(kind="step")
    run = models.ForeignKey("agents.Run", on_delete=models.CASCADE, related_name="steps", db_index=False)
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="steps", db_index=False)
    #: That of the run. By way of the runs the steps of a long conversation would be found by reading them all.
    conversation = models.ForeignKey(
        "agents.Conversation", on_delete=models.CASCADE, related_name="steps", db_index=False
    )
    #: Counts the steps of the run from 1.
    number = models.PositiveIntegerField()
    #: Counts the steps of the conversation from 1; those of a deleted run leave a gap.
    place = models.PositiveIntegerField()
    status = models.CharField(max_length=16, choices=StepStatus.choices, default=StepStatus.PENDING)
    stop_reason = models.CharField(max_length=64, null=True)
    model_handle = models.CharField(max_length=255)
    provider_name = models.CharField(max_length=255)
    model_endpoint = models.CharField(max_length=500, null=True)
    context_window_limit = models.PositiveIntegerField(null=True)
    prompt_tokens = models.PositiveIntegerField(default=0)
    completion_tokens = models.PositiveIntegerField(default=0)
    total_tokens = models.PositiveIntegerField(default=0)
    cached_input_tokens = models.PositiveIntegerField(null=True)
    cache_write_tokens = models.PositiveIntegerField(null=True)
    reasoning_tokens = models.PositiveIntegerField(null=True)
    #: Estimated tokens of the request by segment (services/request_segments.py); null in the steps of an older server.
    segments = models.JSONField(null=True)
    error_type = models.CharField(max_length=64, null=True)
    error_data = models.JSONField(null=True)
    tags = ArrayField(models.CharField(max_length=255), default=list)
    feedback = models.CharField(max_length=16, null=True)
    started_at = models.DateTimeField()
    #: Of the attempt that counts, in nanoseconds of Unix time: earlier ones may have failed and been waited after.
    llm_request_start_ns = models.BigIntegerField(null=True)
    llm_request_ns = models.BigIntegerField(null=True)
    ttft_ns = models.BigIntegerField(null=True)
    #: From the first call to the end of the last one; those of a request for approval are run and counted later.
    tool_execution_ns = models.BigIntegerField(null=True)
    step_ns = models.BigIntegerField(null=True)

    class Meta:
        ordering = ["run", "number"]
        constraints = [models.UniqueConstraint(fields=["run", "number"], name="step_number_in_a_run")]
        indexes = [
            models.Index(fields=["agent", "created_at", "id"], name="step_by_agent"),
            models.Index(fields=["conversation", "place"], name="step_by_place"),
            models.Index(fields=["workspace", "created_at", "id"], name="step_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.run_id} step {self.number}"


class ProviderTrace(Owned):
    """One model call, as it was sent and answered.

    The request is kept as text: jsonb would reorder its keys, and then nobody could say "identical to what was sent".
    """

    id = IdField(kind="provider_trace")
    #: None: it is the call of a summariser, which belongs to a compaction; a compaction may be outside a run.
    step = models.ForeignKey("agents.Step", on_delete=models.CASCADE, null=True, related_name="traces")
    run = models.ForeignKey("agents.Run", on_delete=models.CASCADE, null=True, related_name="traces")
    compaction = models.ForeignKey(
        "agents.Compaction", on_delete=models.CASCADE, null=True, related_name="traces"
    )
    call_type = models.CharField(max_length=32, default="agent_step")
    request_text = models.TextField()
    #: SHA-256 of `request_text`.
    request_hash = models.CharField(max_length=64)
    response_text = models.TextField(blank=True)
    #: The provider's id of the request.
    provider_request_id = models.CharField(max_length=255, null=True)
    error = models.JSONField(null=True)
    latency_ms = models.PositiveIntegerField(null=True)

    class Meta:
        ordering = ["created_at", "id"]

    def __str__(self) -> str:
        return f"{self.step_id or self.compaction_id} {self.request_hash[:8]}"
