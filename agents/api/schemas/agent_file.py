"""Agent files as they are read: each part checked by the schema that also checks requests (spec/objects.md §13)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from agents.api.schemas.agent import CreateAgent
from agents.api.schemas.file_message import MessageInFile
from agents.api.schemas.older_agent_file import is_older_file, today
from agents.models.group import ManagerType
from agents.services.agent_files import AgentFile, FileAgent, FileGroup, FileTool, check_references
from agents.services.agent_types import check_type, facts_of
from agents.services.file_histories import FileHistory
from letta_ade.core.errors import Invalid
from letta_ade.core.json_bodies import without_nulls
from letta_ade.core.schemas import Body
from memory.api.schemas.block import CreateBlock
from memory.policies import KINDS, check_rules
from memory.services.blocks import BlockDraft
from tools.api.schemas.tool_write import CreateTool
from tools.models import ToolType

#: Of one file, over all its conversations.
MOST_MESSAGES = 100_000
#: Of each other kind.
MOST_ROWS = 1_000
#: How deep its JSON may nest; real ones need about ten.
_DEEPEST = 64
_FILE_ID = r"^{}-(0|[1-9][0-9]{{0,8}})$"


class ConversationInFile(Body):
    """A conversation besides the default one (ours)."""

    messages: list[MessageInFile] = Field(default=[], max_length=MOST_MESSAGES)
    in_context_message_ids: list[str] = []
    summary: str | None = None
    description: str | None = None
    hidden: bool = False
    archived: bool = False
    model: str | None = None
    model_settings: dict[str, Any] | None = None
    context_window_limit: int | None = Field(default=None, ge=1)
    isolated_blocks: dict[str, str] = {}

    def history(self, *, is_heartbeat: bool) -> FileHistory:
        return FileHistory(
            messages=tuple(each.message(is_heartbeat=is_heartbeat) for each in self.messages),
            in_context=tuple(self.in_context_message_ids),
            summary=self.summary,
            description=self.description,
            hidden=self.hidden,
            is_archived=self.archived,
            model=self.model,
            model_settings=self.model_settings or {},
            context_window_limit=self.context_window_limit,
            isolated_blocks=self.isolated_blocks,
        )


class AgentInFile(CreateAgent):
    """A request for an agent, with what it has said."""

    id: str
    messages: list[MessageInFile] = Field(default=[], max_length=MOST_MESSAGES)
    in_context_message_ids: list[str] = []
    files_agents: list[dict[str, Any]] = []
    conversations: list[ConversationInFile] = Field(default=[], max_length=MOST_ROWS)

    def histories(self) -> tuple[FileHistory, ...]:
        """The default conversation's, then the others'. Raises Unprocessable for an unknown type of agent."""
        check_type(self.agent_type, enable_sleeptime=self.enable_sleeptime)
        is_heartbeat = facts_of(self.agent_type).is_heartbeat
        default = FileHistory(
            messages=tuple(each.message(is_heartbeat=is_heartbeat) for each in self.messages),
            in_context=tuple(self.in_context_message_ids),
        )
        return (default, *(each.history(is_heartbeat=is_heartbeat) for each in self.conversations))


class BlockInFile(CreateBlock):
    """A request for a block."""

    id: str
    #: Ours; rules for single agents are of another server and not read.
    policy: dict[str, Any] = {}

    def draft(self) -> BlockDraft:
        rules = {name: rule for name, rule in self.policy.items() if name in KINDS}
        return replace(super().draft(), policy=check_rules(rules))


class ToolInFile(Body):
    """A tool; only of one that is custom the rest is read."""

    id: str
    name: str = Field(min_length=1, max_length=255)
    tool_type: str = ToolType.CUSTOM


class GroupInFile(Body):
    """Agents that work together."""

    id: str
    agent_ids: list[str] = []
    manager_config: dict[str, Any] | None = None
    description: str | None = None


class FileBody(Body):
    """The whole file."""

    agents: list[AgentInFile] = Field(min_length=1, max_length=MOST_ROWS)
    blocks: list[BlockInFile] = Field(default=[], max_length=MOST_ROWS)
    tools: list[dict[str, Any]] = Field(default=[], max_length=MOST_ROWS)
    groups: list[GroupInFile] = Field(default=[], max_length=MOST_ROWS)
    sources: list[dict[str, Any]] = []
    files: list[dict[str, Any]] = []
    mcp_servers: list[dict[str, Any]] = []
    skills: list[dict[str, Any]] = []


#: A row that the file gives an id.
R = TypeVar("R", AgentInFile, BlockInFile, GroupInFile)
_BODY: TypeAdapter[FileBody] = TypeAdapter(FileBody)


def read_agent_file(data: bytes) -> AgentFile:
    """What the file describes, checked. Raises Invalid, naming the place, for anything else than an agent file."""
    plain = _json(data)
    if not isinstance(plain, dict):
        raise Invalid("An agent file is a JSON object.")
    if is_older_file(plain):
        plain = today(plain)
    if not isinstance(plain.get("agents"), list):
        raise Invalid("This is no agent file: it has no list of agents.")
    try:
        body = _BODY.validate_python(plain)
    except ValidationError as error:
        raise Invalid(f"The file cannot be read: {_told(error)}") from error
    return _file(body)


def _json(data: bytes) -> Any:
    try:
        plain = from_json(data, allow_inf_nan=False)
    except ValueError as error:
        raise Invalid(f"The file is not JSON: {error}") from error
    _check_depth(plain)
    return without_nulls(plain) if b"\\u0000" in data else plain


def _check_depth(value: Any) -> None:
    level = [value]
    for _ in range(_DEEPEST):
        level = [
            item
            for each in level
            for item in (each.values() if isinstance(each, dict) else each)
            if isinstance(item, dict | list)
        ]
        if not level:
            return
    raise Invalid(f"The file is nested deeper than {_DEEPEST} levels.")


def _told(error: ValidationError) -> str:
    """The first complaints, each with its place."""
    places = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()[:3]]
    more = error.error_count() - len(places)
    return "; ".join(places) + (f"; and {more} more" if more > 0 else "")


def _file(body: FileBody) -> AgentFile:
    agents = _by_id("agent", body.agents)
    blocks = _by_id("block", body.blocks)
    tools = dict(_tool(each) for each in body.tools)
    if len(tools) != len(body.tools):
        raise Invalid("The file names two tools with one id.")
    if sum(len(each.messages) + sum(len(c.messages) for c in each.conversations) for each in body.agents) > (
        MOST_MESSAGES
    ):
        raise Invalid(f"The file holds more than {MOST_MESSAGES} messages.")
    for agent in body.agents:
        check_references("block", agent.block_ids or (), blocks)
        check_references("tool", agent.tool_ids or (), tools)
        for conversation in agent.conversations:
            check_references("block", list(conversation.isolated_blocks.values()), blocks)
    groups, refused = _groups(body.groups, agents)
    return AgentFile(
        agents={file_id: _agent(each) for file_id, each in agents.items()},
        blocks={file_id: each.draft() for file_id, each in blocks.items()},
        tools=tools,
        groups=groups,
        left_out=(*refused, *_left_out(body)),
    )


def _by_id(kind: str, rows: Iterable[R]) -> dict[str, R]:
    found: dict[str, R] = {}
    for each in rows:
        _check_id(kind, each.id)
        if each.id in found:
            raise Invalid(f"The file holds {each.id!r} twice.")
        found[each.id] = each
    return found


def _check_id(kind: str, file_id: str) -> None:
    if not re.match(_FILE_ID.format(kind), file_id):
        raise Invalid(
            f"{file_id!r} is no id of a file: those of its {kind}s are {kind}-0, {kind}-1 and so on."
        )


def _agent(agent: AgentInFile) -> FileAgent:
    histories = agent.histories()
    for history in histories:
        ids = [each.file_id for each in history.messages]
        if len(set(ids)) != len(ids):
            raise Invalid(f"A conversation of {agent.id!r} holds one message twice.")
        check_references("message", history.in_context, set(ids))
        if len(set(history.in_context)) != len(history.in_context):
            raise Invalid(f"A context of {agent.id!r} holds one message twice.")
    # Rows of this file, not of this server.
    named = {
        "block_ids": None,
        "tool_ids": None,
        "folder_ids": None,
        "source_ids": None,
        "identity_ids": None,
    }
    draft = agent.model_copy(update=named).draft()
    return FileAgent(
        draft=replace(draft, tool_names=(), project_id=None),
        block_ids=tuple(agent.block_ids or ()),
        tool_ids=tuple(agent.tool_ids or ()),
        histories=histories,
    )


def _tool(data: Mapping[str, Any]) -> tuple[str, FileTool]:
    try:
        tool = ToolInFile.model_validate(data)
        _check_id("tool", tool.id)
        if tool.tool_type != ToolType.CUSTOM:
            return tool.id, FileTool(name=tool.name, tool_type=tool.tool_type)
        draft = CreateTool.model_validate({key: value for key, value in data.items() if value is not None})
    except ValidationError as error:
        raise Invalid(f"The tool {data.get('name')!r} cannot be read: {_told(error)}") from error
    return tool.id, FileTool(name=tool.name, tool_type=tool.tool_type, draft=draft.draft())


def _groups(
    rows: Sequence[GroupInFile], agents: Mapping[str, Any]
) -> tuple[tuple[FileGroup, ...], tuple[str, ...]]:
    made, refused = [], []
    for group in _by_id("group", rows).values():
        config = group.manager_config or {}
        kind = str(config.get("manager_type"))
        if kind != ManagerType.SLEEPTIME:
            refused.append(
                f"The group {group.id!r} ({kind}) was left out: only sleeptime groups are made here."
            )
            continue
        manager = str(config.get("manager_agent_id"))
        check_references("agent", (manager, *group.agent_ids), agents)
        frequency = config.get("sleeptime_agent_frequency")
        if frequency is not None and not isinstance(frequency, int):
            raise Invalid(f"The frequency of {group.id!r} is not a number.")
        made.append(
            FileGroup(
                manager_type=kind,
                manager_id=manager,
                agent_ids=tuple(group.agent_ids),
                description=group.description or "",
                frequency=frequency,
            )
        )
    return tuple(made), tuple(refused)


def _left_out(body: FileBody) -> list[str]:
    kinds = {
        "folder": body.sources,
        "file": body.files,
        "MCP server": body.mcp_servers,
        "skill": body.skills,
    }
    return [f"{len(rows)} {kind}(s) of the file were left out." for kind, rows in kinds.items() if rows]


def secrets_of(text: str | None) -> dict[str, str]:
    """The `secrets` field of the form: a JSON object of texts. Raises Invalid."""
    if not text:
        return {}
    try:
        secrets = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise Invalid(f"`secrets` is not JSON: {error}") from error
    if not isinstance(secrets, dict) or not all(isinstance(value, str) for value in secrets.values()):
        raise Invalid("`secrets` is a JSON object whose values are texts.")
    return secrets
