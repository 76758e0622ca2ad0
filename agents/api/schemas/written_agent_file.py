"""Agent files as they are written: an agent with all that it needs, in the SDK's own shape (spec/objects.md §13)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from agents.api.schemas.agent import AgentState
from agents.api.schemas.stored_message import StoredMessage
from agents.models import Conversation, Group, Message
from memory.api.schemas.block import BlockResponse
from memory.models import Block
from tools.services.tool_versions import VERSIONED

#: Of the format, so that a reader can tell what it has before it.
REVISION = "letta-ade-1"

_AGENT_FIELDS = (
    "name",
    "agent_type",
    "system",
    "description",
    "metadata",
    "tags",
    "model",
    "embedding",
    "model_settings",
    "llm_config",
    "embedding_config",
    "compaction_settings",
    "response_format",
    "tool_rules",
    "message_buffer_autoclear",
    "enable_sleeptime",
    "timezone",
    "max_files_open",
    "per_file_view_window_char_limit",
    "hidden",
)
_BLOCK_FIELDS = (
    "label",
    "value",
    "limit",
    "description",
    "read_only",
    "metadata",
    "tags",
    "hidden",
    "is_template",
    "template_name",
    "preserve_on_migration",
)
#: A version keeps what makes a tool; a file does, too.
_TOOL_FIELDS = ("tool_type", *VERSIONED)
_MESSAGE_FIELDS = (
    "role",
    "content",
    "name",
    "model",
    "otid",
    "sender_id",
    "tool_calls",
    "tool_call_id",
    "approvals",
    "approve",
    "denial_reason",
    "created_at",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class WrittenHistory:
    """A conversation with what it holds."""

    conversation: Conversation
    messages: Sequence[Message]
    #: Ids of the messages in context.
    in_context: Sequence[str]
    #: The blocks that it has for itself, by label.
    isolated: Mapping[str, Block]


class FileIds:
    """The ids of rows in a file: `{kind}-{number}`, in the order in which they are asked for."""

    def __init__(self) -> None:
        self._given: dict[tuple[str, str], str] = {}
        self._counts: dict[str, int] = {}

    def of(self, kind: str, row_id: str) -> str:
        """The id of a row, the same each time."""
        if (kind, row_id) not in self._given:
            number = self._counts.get(kind, 0)
            self._counts[kind] = number + 1
            self._given[kind, row_id] = f"{kind}-{number}"
        return self._given[kind, row_id]


def written_file(
    agents: Sequence[AgentState],
    *,
    histories: Mapping[str, Sequence[WrittenHistory]],
    windows: Mapping[str, int],
    policies: Mapping[str, Mapping[str, str]],
    groups: Iterable[tuple[Group, Sequence[str]]],
    now: datetime,
) -> dict[str, Any]:
    """The file, ready for JSON.

    `histories`: of each agent, the default one first. `windows`: tokens that each may use. `policies`: the rules of the blocks.
    `groups`: with the ids of their agents. Values of secrets are blank in it.
    """
    ids = FileIds()
    blocks = {block.id: block for agent in agents for block in agent.blocks}
    copies = [copy for told in histories.values() for each in told for copy in each.isolated.values()]
    blocks |= {copy.id: copy for copy in map(BlockResponse.of, copies)}
    tools = {tool.id: tool for agent in agents for tool in agent.tools}
    return {
        "agents": [
            _agent(agent, ids, windows[agent.id], histories.get(agent.id, ()), groups) for agent in agents
        ],
        "groups": [_group(group, members, ids) for group, members in groups],
        "blocks": [
            {"id": ids.of("block", block.id)}
            | _fields(block.model_dump(mode="json"), _BLOCK_FIELDS)
            | {"policy": dict(policies.get(block.id, {}))}
            for block in blocks.values()
        ],
        "files": [],
        "sources": [],
        "tools": [
            {"id": ids.of("tool", tool.id)} | _fields(tool.model_dump(mode="json"), _TOOL_FIELDS)
            for tool in tools.values()
        ],
        "mcp_servers": [],
        "skills": [],
        "metadata": {"revision_id": REVISION},
        "created_at": now.isoformat(),
    }


def _agent(
    agent: AgentState,
    ids: FileIds,
    window: int,
    histories: Sequence[WrittenHistory],
    groups: Iterable[tuple[Group, Sequence[str]]],
) -> dict[str, Any]:
    secrets = {secret.key: "" for secret in agent.secrets}
    told = [_history(each, ids) for each in histories]
    return {
        "id": ids.of("agent", agent.id),
        **_fields(agent.model_dump(mode="json"), _AGENT_FIELDS),
        "context_window_limit": window,
        "memory_blocks": [],
        "block_ids": [ids.of("block", block.id) for block in agent.blocks],
        "tools": [],
        "tool_ids": [ids.of("tool", tool.id) for tool in agent.tools],
        "source_ids": [],
        "folder_ids": [],
        "identity_ids": [],
        "secrets": secrets,
        "tool_exec_environment_variables": secrets,
        "include_base_tools": False,
        "include_multi_agent_tools": False,
        "include_base_tool_rules": False,
        "include_default_source": False,
        "files_agents": [],
        "group_ids": [
            ids.of("group", group.id)
            for group, members in groups
            if agent.id in (group.manager_agent_id, *members)
        ],
        **(told[0] if told else {"messages": [], "in_context_message_ids": []}),
        "conversations": [
            _own(each, ids) | history for each, history in zip(histories[1:], told[1:], strict=True)
        ],
    }


def _own(history: WrittenHistory, ids: FileIds) -> dict[str, Any]:
    """What a conversation has besides its messages."""
    conversation = history.conversation
    return {
        "summary": conversation.summary,
        "description": conversation.description,
        "hidden": conversation.hidden,
        "archived": conversation.archived_at is not None,
        "model": conversation.model,
        "model_settings": conversation.model_settings,
        "context_window_limit": conversation.context_window_limit,
        "isolated_blocks": {label: ids.of("block", copy.id) for label, copy in history.isolated.items()},
    }


def _history(history: WrittenHistory, ids: FileIds) -> dict[str, Any]:
    return {
        "messages": [_message(message, ids) for message in history.messages],
        "in_context_message_ids": [ids.of("message", message_id) for message_id in history.in_context],
    }


def _message(message: Message, ids: FileIds) -> dict[str, Any]:
    stored = StoredMessage.of(message)
    names = [each.get("name") for each in message.tool_returns]
    returns = [
        {**returned, "name": name} for returned, name in zip(stored.tool_returns or (), names, strict=True)
    ]
    return {
        "id": ids.of("message", message.id),
        "type": "message",
        **_fields(stored.model_dump(mode="json"), _MESSAGE_FIELDS),
        "tool_returns": returns or None,
        "agent_id": ids.of("agent", message.agent_id),
    }


def _group(group: Group, members: Sequence[str], ids: FileIds) -> dict[str, Any]:
    return {
        "id": ids.of("group", group.id),
        "agent_ids": [ids.of("agent", agent_id) for agent_id in members],
        "description": group.description,
        "manager_config": {
            "manager_type": group.manager_type,
            "manager_agent_id": ids.of("agent", group.manager_agent_id),
            "sleeptime_agent_frequency": group.sleeptime_agent_frequency,
        },
        "shared_block_ids": [],
    }


def _fields(data: Mapping[str, Any], names: Iterable[str]) -> dict[str, Any]:
    return {name: data.get(name) for name in names}
