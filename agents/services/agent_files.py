"""Agents read in from a file: all of it or nothing (spec/objects.md §13)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from django.db import transaction

from agents.models import Agent, Group
from agents.models.agent import AgentType
from agents.services import agent_model, background_memory
from agents.services.agents import AgentDraft, create_agent
from agents.services.file_histories import FileHistory, write_histories
from agents.services.groups import GroupDraft, create_group
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, NotFound
from memory.services.blocks import BlockDraft, create_block
from tools.models import Tool, ToolType
from tools.registry import get_builtin
from tools.services.tool_writes import ToolDraft, upsert_tool
from tools.services.tools import get_tools_by_names

COPY_SUFFIX = "_copy"
#: In the order of a receipt.
_KINDS = ("agents", "groups", "blocks", "tools", "conversations", "messages")


@dataclass(frozen=True, slots=True, kw_only=True)
class FileTool:
    """A tool of a file; `draft` is there for one that its owner wrote."""

    name: str
    tool_type: str
    draft: ToolDraft | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAgent:
    """An agent of a file; ids are those of the file."""

    draft: AgentDraft
    block_ids: tuple[str, ...] = ()
    tool_ids: tuple[str, ...] = ()
    #: The first is that of the default conversation.
    histories: tuple[FileHistory, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileGroup:
    """Agents of a file that keep the memory of another."""

    manager_type: str
    manager_id: str
    agent_ids: tuple[str, ...]
    description: str = ""
    frequency: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFile:
    """What a file holds, by the ids of the file, checked: every reference leads to something."""

    agents: Mapping[str, FileAgent]
    blocks: Mapping[str, BlockDraft] = field(default_factory=dict)
    tools: Mapping[str, FileTool] = field(default_factory=dict)
    groups: tuple[FileGroup, ...] = ()
    #: What it holds that is not read.
    left_out: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportOptions:
    """How a file is read in; None keeps what the file says."""

    append_copy_suffix: bool = True
    override_existing_tools: bool = True
    strip_messages: bool = False
    #: Values of secrets; a file names them and does not hold them.
    secrets: Mapping[str, str] = field(default_factory=dict)
    #: Of the first agent.
    name: str | None = None
    model: str | None = None
    embedding: str | None = None
    project_id: str | None = None
    is_dry_run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ImportReceipt:
    """What was read in."""

    agents: list[Agent]
    #: How many of each kind, by its plural.
    counts: dict[str, int]
    #: Names of secrets that have no value now.
    empty_secrets: list[str]
    #: What was not taken over, a sentence each.
    notes: list[str]
    is_dry_run: bool


class _Undo(Exception):
    """Ends the transaction of a dry run."""


def import_agents(*, caller: Caller, file: AgentFile, options: ImportOptions) -> ImportReceipt:
    """New agents, with new ids, as the file describes them. A dry run makes them and takes them back.

    Raises what creating agents, blocks and tools raises; then nothing of the file is here.
    """
    caller.check("edit")
    _check_models(caller, file, options)
    reading = _Reading(caller, file, options)
    try:
        with transaction.atomic():
            receipt = reading.receipt()
            if options.is_dry_run:
                raise _Undo
    except _Undo:
        pass
    return receipt


def _check_models(caller: Caller, file: AgentFile, options: ImportOptions) -> None:
    """Ask the providers before the transaction, which then finds their answers kept; name what the caller can do about it."""
    for each in file.agents.values():
        draft = _with_options(each.draft, options)
        try:
            agent_model.choose_model(
                handle=draft.model,
                asked=draft.model_settings,
                older=draft.older_settings,
                window=draft.context_window_limit,
                workspace_id=caller.workspace_id,
            )
        except NotFound as error:
            if options.model is not None:
                raise
            raise Invalid(
                f"{error.message} The agent {draft.name!r} of the file uses it: choose another one with `model`."
            ) from error


def _with_options(draft: AgentDraft, options: ImportOptions) -> AgentDraft:
    if options.model is not None and options.model != draft.model:
        # The settings and the window are those of the other model.
        draft = replace(draft, model=options.model, model_settings={}, context_window_limit=None)
    given = {name: value for name, value in options.secrets.items() if value}
    return replace(
        draft,
        embedding=options.embedding or draft.embedding,
        secrets={**draft.secrets, **given},
        project_id=options.project_id or draft.project_id,
    )


class _Reading:
    """One file on its way in."""

    def __init__(self, caller: Caller, file: AgentFile, options: ImportOptions) -> None:
        self._caller = caller
        self._file = file
        self._options = options
        self._notes = list(file.left_out)
        self._counts: Counter[str] = Counter()

    def receipt(self) -> ImportReceipt:
        tools = self._tools()
        blocks = {
            file_id: create_block(caller=self._caller, draft=draft).id
            for file_id, draft in self._file.blocks.items()
        }
        agents = {
            file_id: self._agent(each, tools, blocks, is_first=not at)
            for at, (file_id, each) in enumerate(self._file.agents.items())
        }
        for group in self._file.groups:
            self._group(group, agents)
        self._counts |= Counter(agents=len(agents), blocks=len(blocks))
        return ImportReceipt(
            agents=list(agents.values()),
            counts={kind: self._counts[kind] for kind in _KINDS if self._counts[kind]},
            empty_secrets=self._empty_secrets(),
            notes=self._notes,
            is_dry_run=self._options.is_dry_run,
        )

    def _tools(self) -> dict[str, str]:
        """Ids of the tools here, by those of the file; those that cannot be had are missing."""
        found = {}
        for file_id, each in self._file.tools.items():
            tool = self._tool(each)
            if tool is not None:
                found[file_id] = tool.id
                self._counts["tools"] += 1
        return found

    def _tool(self, tool: FileTool) -> Tool | None:
        if get_builtin(tool.name) is not None:
            return get_tools_by_names(caller=self._caller, names=[tool.name])[0]
        existing = Tool.objects.filter(workspace_id=self._caller.workspace_id, name=tool.name).first()
        if existing is not None and (tool.draft is None or existing.tool_type != ToolType.CUSTOM):
            return existing
        if tool.draft is None:
            self._notes.append(f"The tool {tool.name!r} ({tool.tool_type}) is not here, so no agent has it.")
            return None
        if existing is not None and not self._options.override_existing_tools:
            self._notes.append(
                f"The tool {tool.name!r} of this server was kept; that of the file was not read."
            )
            return existing
        if existing is not None and existing.source_code != tool.draft.source_code:
            self._notes.append(f"The tool {tool.name!r} was overwritten; its versions hold what it was.")
        return upsert_tool(caller=self._caller, draft=tool.draft)

    def _agent(
        self, each: FileAgent, tools: Mapping[str, str], blocks: Mapping[str, str], *, is_first: bool
    ) -> Agent:
        draft = _with_options(each.draft, self._options)
        agent = create_agent(
            caller=self._caller,
            draft=replace(
                draft,
                name=self._name(draft.name, is_first=is_first),
                block_ids=tuple(blocks[file_id] for file_id in each.block_ids),
                tool_ids=tuple(tools[file_id] for file_id in each.tool_ids if file_id in tools),
                include_base_tools=False,
                include_base_tool_rules=False,
                initial_messages=(),
                # What keeps its memory is in the file, too.
                enable_sleeptime=draft.enable_sleeptime
                if draft.agent_type == AgentType.VOICE_CONVO
                else None,
            ),
        )
        if not self._options.strip_messages:
            self._counts["messages"] += write_histories(
                self._caller, agent, each.histories, blocks=blocks, notes=self._notes
            )
            self._counts["conversations"] += len(each.histories)
        return agent

    def _name(self, name: str | None, *, is_first: bool) -> str | None:
        if is_first and self._options.name:
            return self._options.name
        return f"{name}{COPY_SUFFIX}" if name and self._options.append_copy_suffix else name

    def _group(self, group: FileGroup, agents: Mapping[str, Agent]) -> None:
        manager = agents[group.manager_id]
        for other in Group.objects.filter(manager_agent=manager):
            background_memory.remove_background(self._caller, other)
        draft = GroupDraft(
            manager_type=group.manager_type,
            manager_agent_id=manager.id,
            agent_ids=tuple(agents[file_id].id for file_id in group.agent_ids),
            description=group.description,
            frequency=group.frequency,
        )
        create_group(caller=self._caller, draft=draft)
        manager.refresh_from_db()
        self._counts["groups"] += 1

    def _empty_secrets(self) -> list[str]:
        names = {
            name
            for each in self._file.agents.values()
            for name, value in _with_options(each.draft, self._options).secrets.items()
            if not value
        }
        return sorted(names)


def check_references(kind: str, wanted: Sequence[str], known: Mapping[str, Any] | set[str]) -> None:
    """Raise Invalid for a file id that leads nowhere."""
    if missing := [each for each in wanted if each not in known]:
        raise Invalid(f"The file names the {kind} {missing[0]!r}, which it does not hold.")
