"""A tool that an agent may call."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from letta_ade.core.ids import MAX_ID_LENGTH
from letta_ade.core.models import IdField, OrderedJSONField, Owned

DEFAULT_RETURN_CHAR_LIMIT = 50_000


class ToolType(models.TextChoices):
    CUSTOM = "custom"
    LETTA_CORE = "letta_core"
    LETTA_MEMORY_CORE = "letta_memory_core"
    LETTA_MULTI_AGENT_CORE = "letta_multi_agent_core"
    LETTA_SLEEPTIME_CORE = "letta_sleeptime_core"
    LETTA_VOICE_SLEEPTIME_CORE = "letta_voice_sleeptime_core"
    LETTA_BUILTIN = "letta_builtin"
    LETTA_FILES_CORE = "letta_files_core"
    EXTERNAL_LANGCHAIN = "external_langchain"
    EXTERNAL_COMPOSIO = "external_composio"
    EXTERNAL_MCP = "external_mcp"


class Tool(Owned):
    """Built-in tools have a row in each workspace, so that they can be attached; their code and schema are the registry's."""

    id = IdField(kind="tool")
    name = models.CharField(max_length=255)
    description = models.TextField(null=True, blank=True)
    tool_type = models.CharField(max_length=32, choices=ToolType.choices, default=ToolType.CUSTOM)
    source_type = models.CharField(max_length=16, default="python")
    source_code = models.TextField(null=True, blank=True)
    json_schema = OrderedJSONField(default=dict)
    args_json_schema = OrderedJSONField(null=True, blank=True)
    tags = ArrayField(models.CharField(max_length=255), default=list, blank=True)
    return_char_limit = models.PositiveIntegerField(default=DEFAULT_RETURN_CHAR_LIMIT)
    pip_requirements = models.JSONField(null=True, blank=True)
    npm_requirements = models.JSONField(null=True, blank=True)
    default_requires_approval = models.BooleanField(null=True)
    enable_parallel_execution = models.BooleanField(default=False)
    metadata = models.JSONField(default=dict, blank=True)
    project_id = models.CharField(max_length=MAX_ID_LENGTH, null=True, blank=True)

    class Meta:
        ordering = ["created_at", "id"]
        constraints = [
            models.UniqueConstraint(fields=["workspace", "name"], name="tool_name_once_in_a_workspace")
        ]
        indexes = [models.Index(fields=["workspace", "created_at", "id"], name="tool_by_age")]

    def __str__(self) -> str:
        return self.name

    @property
    def is_builtin(self) -> bool:
        return self.tool_type not in {ToolType.CUSTOM, ToolType.EXTERNAL_MCP}
