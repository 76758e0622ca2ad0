"""An agent, and what is attached to it."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.contrib.postgres.indexes import GinIndex
from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, Owned


class AgentType(models.TextChoices):
    MEMGPT = "memgpt_agent"
    MEMGPT_V2 = "memgpt_v2_agent"
    LETTA_V1 = "letta_v1_agent"
    REACT = "react_agent"
    WORKFLOW = "workflow_agent"
    SPLIT_THREAD = "split_thread_agent"
    SLEEPTIME = "sleeptime_agent"
    VOICE_CONVO = "voice_convo_agent"
    VOICE_SLEEPTIME = "voice_sleeptime_agent"


class Agent(Owned):
    id = IdField(kind="agent")
    name = models.CharField(max_length=255)
    agent_type = models.CharField(max_length=32, choices=AgentType.choices, default=AgentType.LETTA_V1)
    #: The system instructions, before memory is compiled into them.
    system = models.TextField(blank=True)
    description = models.TextField(null=True, blank=True)
    metadata = models.JSONField(default=dict, blank=True)
    tags = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    #: Handle, `provider/model`.
    model = models.CharField(max_length=255)
    embedding = models.CharField(max_length=255, null=True, blank=True)
    #: As on the wire (spec/objects.md §6), with `provider_type`.
    model_settings = models.JSONField(default=dict, blank=True)
    #: Tokens; what the agent may use of the model's window.
    context_window_limit = models.PositiveIntegerField()
    tool_rules = models.JSONField(default=list, blank=True)
    response_format = models.JSONField(null=True, blank=True)
    compaction_settings = models.JSONField(null=True, blank=True)
    message_buffer_autoclear = models.BooleanField(default=False)
    enable_sleeptime = models.BooleanField(null=True)
    timezone = models.CharField(max_length=64, default="UTC")
    max_files_open = models.PositiveIntegerField(default=5)
    per_file_view_window_char_limit = models.PositiveIntegerField(default=50_000)
    hidden = models.BooleanField(null=True)
    last_run_completion = models.DateTimeField(null=True)
    last_run_duration_ms = models.PositiveIntegerField(null=True)
    last_stop_reason = models.CharField(max_length=64, null=True)
    project_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)

    blocks = models.ManyToManyField("memory.Block", through="agents.AgentBlock", related_name="agents")
    tools = models.ManyToManyField("tools.Tool", through="agents.AgentTool", related_name="agents")
    archives = models.ManyToManyField("memory.Archive", through="agents.AgentArchive", related_name="agents")

    class Meta:
        ordering = ["created_at", "id"]
        indexes = [
            models.Index(fields=["workspace", "created_at", "id"], name="agent_by_age"),
            # The list of agents, and how many there are, without reading their instructions.
            models.Index(
                models.F("workspace"),
                models.F("last_run_completion").desc(nulls_last=True),
                models.F("id").desc(),
                name="agent_listed_by_run",
                condition=models.Q(hidden=None) | models.Q(hidden=False),
            ),
            models.Index(
                fields=["workspace", "model"],
                name="agent_listed_by_model",
                condition=models.Q(hidden=None) | models.Q(hidden=False),
            ),
            GinIndex(fields=["tags"], name="agent_by_tag"),
        ]

    def __str__(self) -> str:
        return self.name


class AgentBlock(models.Model):
    """Position decides the order of the blocks in the prompt. Labels are unique within an agent; services see to it."""

    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="block_links")
    block = models.ForeignKey("memory.Block", on_delete=models.CASCADE, related_name="agent_links")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["agent", "block"], name="block_once_on_an_agent")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.block_id}"


class AgentTool(models.Model):
    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="tool_links")
    tool = models.ForeignKey("tools.Tool", on_delete=models.CASCADE, related_name="agent_links")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["agent", "tool"], name="tool_once_on_an_agent")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.tool_id}"


class AgentArchive(models.Model):
    """The first archive takes what the agent inserts."""

    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="archive_links")
    archive = models.ForeignKey("memory.Archive", on_delete=models.CASCADE, related_name="agent_links")
    position = models.PositiveIntegerField()

    class Meta:
        ordering = ["position", "id"]
        constraints = [models.UniqueConstraint(fields=["agent", "archive"], name="archive_once_on_an_agent")]

    def __str__(self) -> str:
        return f"{self.agent_id} {self.archive_id}"


class AgentSecret(models.Model):
    """An environment variable of the agent's tools; the value is encrypted (core/crypto.py)."""

    agent = models.ForeignKey("agents.Agent", on_delete=models.CASCADE, related_name="secrets")
    key = models.CharField(max_length=255)
    value_encrypted = models.TextField()

    class Meta:
        ordering = ["key"]
        constraints = [models.UniqueConstraint(fields=["agent", "key"], name="secret_once_on_an_agent")]

    def __str__(self) -> str:
        return self.key
