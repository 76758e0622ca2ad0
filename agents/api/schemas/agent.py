"""Agents on the wire (spec/objects.md §1)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agents.api.schemas.agent_model import EmbeddingConfigInput, LlmConfigInput, ModelSettings
from agents.api.schemas.compaction import CompactionSettingsInput
from agents.api.schemas.group import GroupResponse
from agents.services.agents import EMPTY_VALUES, AgentChanges, AgentDraft
from agents.services.first_messages import InitialMessage
from agents.services.older_settings import NOTHING_SAID, OlderSettings
from letta_ade.core.errors import Invalid, Unprocessable
from letta_ade.core.schemas import Body, Wire
from letta_ade.llm.api.configs import EmbeddingConfig, LlmConfig
from memory.api.schemas.block import BlockResponse, CreateBlock
from tools.api.schemas.tool import ToolResponse


class Memory(Wire):
    """Deprecated twin of the blocks."""

    agent_type: str
    git_enabled: bool = False
    blocks: list[BlockResponse]
    file_blocks: list[dict[str, Any]] = []
    prompt_template: str = ""


class AgentEnvVar(Wire):
    """A secret of the agent's tools, in clear text for who may edit."""

    id: str
    agent_id: str
    key: str
    value: str
    description: str | None = None
    value_enc: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    created_by_id: str | None = None
    last_updated_by_id: str | None = None


class AgentState(Wire):
    """An agent with what is attached to it."""

    id: str
    name: str
    agent_type: str
    system: str
    description: str | None
    metadata: dict[str, Any] | None
    blocks: list[BlockResponse]
    memory: Memory
    tools: list[ToolResponse]
    sources: list[dict[str, Any]] = []
    tags: list[str]
    tool_rules: list[dict[str, Any]] | None
    message_ids: list[str] | None
    model: str | None
    embedding: str | None
    model_settings: dict[str, Any] | None
    llm_config: LlmConfig
    embedding_config: EmbeddingConfig | None
    compaction_settings: dict[str, Any] | None
    response_format: dict[str, Any] | None
    secrets: list[AgentEnvVar]
    tool_exec_environment_variables: list[AgentEnvVar]
    identities: list[dict[str, Any]] = []
    identity_ids: list[str] = []
    managed_group: GroupResponse | None = None
    multi_agent_group: GroupResponse | None = None
    pending_approval: dict[str, Any] | None = None
    message_buffer_autoclear: bool
    enable_sleeptime: bool | None
    timezone: str | None
    max_files_open: int | None
    per_file_view_window_char_limit: int | None
    hidden: bool | None
    last_run_completion: datetime | None
    last_run_duration_ms: int | None
    last_stop_reason: str | None
    project_id: str | None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None


class CreateMessage(Body):
    """A message that an agent is born with."""

    role: Literal["user", "system", "assistant"]
    content: str | list[dict[str, Any]]
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None

    def initial(self) -> InitialMessage:
        return InitialMessage(
            role=self.role,
            text=self._text(),
            otid=self.otid,
            name=self.name,
            sender_id=self.sender_id,
            group_id=self.group_id,
        )

    def _text(self) -> str:
        if isinstance(self.content, str):
            return self.content
        texts = [part.get("text") for part in self.content if part.get("type", "text") == "text"]
        if len(texts) != len(self.content) or not all(isinstance(text, str) for text in texts):
            raise Unprocessable("An initial message is a text, or text parts.")
        return "\n".join(map(str, texts))


class AgentBody(Body):
    """Fields that creating and changing an agent share. Deprecated ones are read where the newer one is missing."""

    name: str | None = None
    system: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    model: str | None = None
    embedding: str | None = None
    model_settings: ModelSettings | None = None
    context_window_limit: int | None = None
    block_ids: list[str] | None = None
    tool_ids: list[str] | None = None
    tool_rules: list[dict[str, Any]] | None = None
    secrets: dict[str, str] | None = None
    tool_exec_environment_variables: dict[str, str] | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    timezone: str | None = None
    max_files_open: int | None = Field(default=None, ge=1, le=1000)
    per_file_view_window_char_limit: int | None = Field(default=None, ge=1, le=2**31 - 1)
    response_format: dict[str, Any] | None = None
    compaction_settings: CompactionSettingsInput | None = None
    hidden: bool | None = None
    project_id: str | None = None
    parallel_tool_calls: bool | None = None
    folder_ids: list[str] | None = None
    source_ids: list[str] | None = None
    identity_ids: list[str] | None = None
    llm_config: LlmConfigInput | None = None
    embedding_config: EmbeddingConfigInput | None = None
    max_tokens: int | None = Field(default=None, ge=1)
    max_reasoning_tokens: int | None = Field(default=None, ge=0)
    enable_reasoner: bool | None = None
    reasoning: bool | None = None

    def handle(self) -> str | None:
        """The model, also from the deprecated configuration."""
        return self.model or (self.llm_config.model_handle() if self.llm_config else None)

    def embedding_handle(self) -> str | None:
        return self.embedding or (self.embedding_config.model_handle() if self.embedding_config else None)

    def window(self) -> int | None:
        if self.context_window_limit is None and self.llm_config is not None:
            return self.llm_config.context_window
        return self.context_window_limit

    def settings(self) -> dict[str, Any]:
        """The model settings that were asked for under their names of today."""
        return self.model_settings.asked() if self.model_settings else {}

    def older_settings(self) -> OlderSettings:
        """Those that were asked for under older names; fields of the body win over those of `llm_config`. Raises Invalid."""
        if self.max_reasoning_tokens and (
            self.max_tokens is None or self.max_reasoning_tokens >= self.max_tokens
        ):
            raise Invalid("max_reasoning_tokens must be below max_tokens, and needs it.")
        named: dict[str, Any] = {
            "max_tokens": self.max_tokens,
            "max_reasoning_tokens": self.max_reasoning_tokens,
            "reasons": self.enable_reasoner if self.reasoning is None else self.reasoning,
            "parallel_tool_calls": self.parallel_tool_calls,
        }
        older = self.llm_config.older() if self.llm_config else NOTHING_SAID
        return replace(older, **{name: value for name, value in named.items() if value is not None})

    def asked_secrets(self) -> dict[str, str] | None:
        return self.secrets if self.secrets is not None else self.tool_exec_environment_variables

    def completed_compaction(self) -> dict[str, Any] | None:
        return self.compaction_settings.complete() if self.compaction_settings else None

    def refuse_missing_kinds(self) -> None:
        """Raise Invalid for rows of kinds that this server does not have."""
        for kind, ids in (
            ("folder", [*(self.folder_ids or ()), *(self.source_ids or ())]),
            ("identity", self.identity_ids),
        ):
            if ids:
                raise Invalid(f"There is no {kind} {ids[0]!r}.")


class CreateAgent(AgentBody):
    """A new agent; everything but the model has a default."""

    agent_type: str = "letta_v1_agent"
    memory_blocks: list[CreateBlock] | None = None
    tools: list[str] | None = None
    include_base_tools: bool = True
    include_multi_agent_tools: bool = False
    include_base_tool_rules: bool | None = None
    initial_message_sequence: list[CreateMessage] | None = None
    from_template: str | None = None
    include_default_source: bool = False

    def draft(self) -> AgentDraft:
        self.refuse_missing_kinds()
        if self.from_template:
            raise Invalid("This server has no templates: an agent cannot be made with from_template.")
        if self.include_default_source:
            raise Invalid("This server has no folders: include_default_source cannot be true.")
        return AgentDraft(
            name=self.name,
            agent_type=self.agent_type,
            system=self.system,
            description=self.description,
            metadata=self.metadata or {},
            tags=tuple(self.tags or ()),
            model=self.handle(),
            embedding=self.embedding_handle(),
            model_settings=self.settings(),
            older_settings=self.older_settings(),
            context_window_limit=self.window(),
            blocks=tuple(block.draft() for block in self.memory_blocks or ()),
            block_ids=tuple(self.block_ids or ()),
            tool_names=tuple(self.tools or ()),
            tool_ids=tuple(self.tool_ids or ()),
            tool_rules=tuple(self.tool_rules or ()),
            include_base_tools=self.include_base_tools,
            include_base_tool_rules=self.include_base_tool_rules,
            include_multi_agent_tools=self.include_multi_agent_tools,
            secrets=self.asked_secrets() or {},
            initial_messages=None
            if self.initial_message_sequence is None
            else tuple(message.initial() for message in self.initial_message_sequence),
            message_buffer_autoclear=bool(self.message_buffer_autoclear),
            enable_sleeptime=self.enable_sleeptime,
            timezone=self.timezone,
            max_files_open=self.max_files_open,
            per_file_view_window_char_limit=self.per_file_view_window_char_limit,
            response_format=self.response_format,
            compaction_settings=self.completed_compaction(),
            hidden=self.hidden,
            project_id=self.project_id,
        )


class UpdateAgent(AgentBody):
    """What is to change: only fields that are sent. Null empties a field that may be empty and leaves others alone."""

    #: Cannot change.
    agent_type: str | None = None
    message_ids: list[str] | None = None
    last_run_completion: datetime | None = None
    last_run_duration_ms: int | None = Field(default=None, ge=0, le=2**31 - 1)
    last_stop_reason: str | None = None

    def changes(self) -> AgentChanges:
        self.refuse_missing_kinds()
        sent = self.model_fields_set
        return AgentChanges(
            agent_type=self.agent_type,
            name=self.name,
            system=self.system,
            description=self.description,
            metadata=self.metadata,
            tags=_frozen(self.tags),
            model=self.handle(),
            embedding=self.embedding_handle(),
            model_settings=self.settings(),
            older_settings=self.older_settings(),
            context_window_limit=self.window(),
            block_ids=_frozen(self.block_ids),
            tool_ids=_frozen(self.tool_ids),
            secrets=self.asked_secrets(),
            tool_rules=None if self.tool_rules is None else tuple(self.tool_rules),
            message_ids=_frozen(self.message_ids),
            message_buffer_autoclear=self.message_buffer_autoclear,
            enable_sleeptime=self.enable_sleeptime,
            timezone=self.timezone,
            max_files_open=self.max_files_open,
            per_file_view_window_char_limit=self.per_file_view_window_char_limit,
            response_format=self.response_format,
            compaction_settings=self.completed_compaction(),
            hidden=self.hidden,
            project_id=self.project_id,
            last_run_completion=self.last_run_completion,
            last_run_duration_ms=self.last_run_duration_ms,
            last_stop_reason=self.last_stop_reason,
            cleared=frozenset(name for name in sent & EMPTY_VALUES.keys() if getattr(self, name) is None),
        )


class ResetMessages(Body):
    """How an agent begins again."""

    add_default_initial_messages: bool = False


class ToolApproval(Body):
    """Whether a person must agree to calls of a tool. Older clients say it in the query."""

    requires_approval: bool | None = None


def _frozen(values: list[str] | None) -> tuple[str, ...] | None:
    return None if values is None else tuple(values)
