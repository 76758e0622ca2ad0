"""Agents: made, found, changed, deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Count, Q, QuerySet

from agents.models import Agent, AgentSecret, Conversation
from agents.models.agent import AgentType
from agents.services import (
    agent_ends,
    agent_links,
    agent_model,
    agent_types,
    background_memory,
    conversations,
)
from agents.services.agent_fields import check_name, check_timezone, file_limits, random_name
from agents.services.agent_prompts import default_system_prompt
from agents.services.agent_tool_rules import add_rules, approval_rules, base_tool_rules, clean_rules
from agents.services.agent_versions import record_version
from agents.services.first_messages import InitialMessage
from agents.services.older_settings import NOTHING_SAID, OlderSettings
from letta_ade.accounts.auth import Caller
from letta_ade.core import nudges
from letta_ade.core.crypto import decrypt, encrypt
from letta_ade.core.errors import Invalid, NotFound, Unprocessable
from letta_ade.core.pagination import PageRequest, paginate
from memory.services.blocks import BlockDraft, create_block, get_block_for
from memory.texts import check_tags, check_text
from tools.services.tools import get_tools_by_ids, get_tools_by_names

#: An agent with this tag is somebody's assistant and stays out of lists.
SUBAGENT_TAG = "role:subagent"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDraft:
    """What a new agent is made of; None means the default."""

    name: str | None = None
    agent_type: str = AgentType.LETTA_V1
    system: str | None = None
    description: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    model: str | None = None
    embedding: str | None = None
    #: Laid over the defaults of the model, these over the older ones.
    model_settings: dict[str, Any] = field(default_factory=dict)
    older_settings: OlderSettings = NOTHING_SAID
    context_window_limit: int | None = None
    #: New blocks, before those of `block_ids`.
    blocks: tuple[BlockDraft, ...] = ()
    block_ids: tuple[str, ...] = ()
    tool_names: tuple[str, ...] = ()
    tool_ids: tuple[str, ...] = ()
    tool_rules: tuple[dict[str, Any], ...] = ()
    include_base_tools: bool = True
    include_base_tool_rules: bool | None = None
    include_multi_agent_tools: bool = False
    secrets: dict[str, str] = field(default_factory=dict)
    #: After the system message; None means those of the type.
    initial_messages: tuple[InitialMessage, ...] | None = None
    message_buffer_autoclear: bool = False
    enable_sleeptime: bool | None = None
    timezone: str | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    response_format: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    hidden: bool | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentChanges:
    """What is to change; None leaves a field alone, and `cleared` names those that become empty."""

    #: Cannot change; naming another one is refused.
    agent_type: str | None = None
    name: str | None = None
    system: str | None = None
    description: str | None = None
    metadata: dict[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    model: str | None = None
    embedding: str | None = None
    model_settings: dict[str, Any] = field(default_factory=dict)
    older_settings: OlderSettings = NOTHING_SAID
    context_window_limit: int | None = None
    #: These three replace the whole set.
    block_ids: tuple[str, ...] | None = None
    tool_ids: tuple[str, ...] | None = None
    secrets: dict[str, str] | None = None
    tool_rules: tuple[dict[str, Any], ...] | None = None
    message_ids: tuple[str, ...] | None = None
    message_buffer_autoclear: bool | None = None
    enable_sleeptime: bool | None = None
    timezone: str | None = None
    max_files_open: int | None = None
    per_file_view_window_char_limit: int | None = None
    response_format: dict[str, Any] | None = None
    compaction_settings: dict[str, Any] | None = None
    hidden: bool | None = None
    project_id: str | None = None
    last_run_completion: datetime | None = None
    last_run_duration_ms: int | None = None
    last_stop_reason: str | None = None
    cleared: frozenset[str] = frozenset()


#: Changes that are copied to the column of the same name.
_PLAIN_COLUMNS = (
    "system",
    "description",
    "metadata",
    "message_buffer_autoclear",
    "enable_sleeptime",
    "max_files_open",
    "per_file_view_window_char_limit",
    "response_format",
    "compaction_settings",
    "hidden",
    "project_id",
    "last_run_completion",
    "last_run_duration_ms",
    "last_stop_reason",
)
#: Columns that `cleared` may empty, and what they hold then.
EMPTY_VALUES: dict[str, Any] = {
    "description": None,
    "metadata": {},
    "embedding": None,
    "enable_sleeptime": None,
    "response_format": None,
    "compaction_settings": None,
    "hidden": None,
    "project_id": None,
    "last_run_completion": None,
    "last_run_duration_ms": None,
    "last_stop_reason": None,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentFilters:
    """Which agents a list holds; None asks nothing."""

    name: str | None = None
    #: Part of the name, in any case.
    query: str | None = None
    tags: tuple[str, ...] = ()
    match_all_tags: bool = False
    project_id: str | None = None
    last_stop_reason: str | None = None
    created_by_id: str | None = None
    block_id: str | None = None
    shows_hidden: bool = False
    #: Kinds of rows that this server does not have yet: asking for one of them finds nothing.
    is_impossible: bool = False


def get_agent_for(*, caller: Caller, agent_id: str, for_update: bool = False) -> Agent:
    """The agent, locked when asked for (inside a transaction). Raises NotFound, also for one of another workspace."""
    rows = Agent.objects.select_for_update(of=("self",)) if for_update else Agent.objects.all()
    agent = rows.filter(id=agent_id, workspace_id=caller.workspace_id).first()
    if agent is None:
        raise NotFound("Agent not found")
    return agent


def agents_of(*, caller: Caller, filters: AgentFilters | None = None) -> QuerySet[Agent]:
    """The agents that the caller may see and the filters let through, unordered."""
    filters = filters or AgentFilters()
    agents = Agent.objects.filter(workspace_id=caller.workspace_id)
    if filters.is_impossible:
        return agents.none()
    if filters.name is not None:
        agents = agents.filter(name=filters.name)
    if filters.query:
        agents = agents.filter(name__icontains=filters.query)
    if filters.tags:
        operator = "contains" if filters.match_all_tags else "overlap"
        agents = agents.filter(**{f"tags__{operator}": list(filters.tags)})
    if filters.block_id is not None:
        agents = agents.filter(block_links__block_id=filters.block_id)
    for column in ("project_id", "last_stop_reason", "created_by_id"):
        if (wanted := getattr(filters, column)) is not None:
            agents = agents.filter(**{column: wanted})
    if not filters.shows_hidden:
        agents = agents.filter(Q(hidden=None) | Q(hidden=False))
    return agents


def list_agents(
    *, caller: Caller, filters: AgentFilters | None = None, page: PageRequest | None = None
) -> list[Agent]:
    """A page of agents, the newest first unless asked otherwise."""
    return paginate(
        agents_of(caller=caller, filters=filters),
        page or PageRequest(),
        among=Agent.objects.filter(workspace_id=caller.workspace_id),
    )


def count_agents(*, caller: Caller, filters: AgentFilters | None = None) -> int:
    """How many agents there are; hidden ones count only when the filters show them."""
    return agents_of(caller=caller, filters=filters).count()


def count_agents_of_blocks(block_ids: list[str]) -> dict[str, int]:
    """How many agents hold each of the blocks."""
    counted = Agent.objects.filter(block_links__block_id__in=block_ids).values("block_links__block_id")
    return {row["block_links__block_id"]: row["n"] for row in counted.annotate(n=Count("id"))}


def create_agent(*, caller: Caller, draft: AgentDraft) -> Agent:
    """A new agent with its blocks, tools, secrets, and a conversation that begins with the compiled system message.

    Raises Invalid, Unprocessable, NotFound (model or block) or Conflict (two blocks of one label, two tools of one name).
    """
    caller.check("edit")
    agent_types.check_type(draft.agent_type, enable_sleeptime=draft.enable_sleeptime)
    # The catalog may have to ask a provider, so the model is chosen before the transaction begins.
    choice = agent_model.choose_model(
        handle=draft.model,
        asked=draft.model_settings,
        older=draft.older_settings,
        window=draft.context_window_limit,
        workspace_id=caller.workspace_id,
    )
    embedding = agent_model.choose_embedding(draft.embedding, workspace_id=caller.workspace_id)
    agent = _row(caller, draft, choice, embedding)
    with transaction.atomic():
        agent.save(force_insert=True)
        _furnish(caller, agent, draft)
        conversation = Conversation.objects.create(
            workspace_id=caller.workspace_id, agent=agent, is_default=True, created_by_id=caller.id
        )
        conversations.begin(agent=agent, conversation=conversation, messages=draft.initial_messages)
        background_memory.follow_switch(caller, agent)
        record_version(caller, agent)
        tell(agent)
    return agent


def _row(caller: Caller, draft: AgentDraft, choice: agent_model.ModelChoice, embedding: str | None) -> Agent:
    facts = agent_types.facts_of(draft.agent_type)
    most_files, most_characters = file_limits(choice.context_window_limit)
    return Agent(
        workspace_id=caller.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        name=check_name(draft.name) if draft.name else random_name(),
        agent_type=draft.agent_type,
        system=check_text("The system prompt", draft.system)
        if draft.system is not None
        else default_system_prompt(draft.agent_type),
        description=draft.description,
        metadata=draft.metadata,
        tags=check_tags(draft.tags),
        model=choice.handle,
        embedding=embedding,
        model_settings=choice.settings,
        context_window_limit=choice.context_window_limit,
        tool_rules=clean_rules(draft.tool_rules, model=choice.handle),
        response_format=agent_model.check_response_format(draft.response_format),
        compaction_settings=draft.compaction_settings,
        message_buffer_autoclear=draft.message_buffer_autoclear or facts.always_clears,
        enable_sleeptime=draft.enable_sleeptime,
        timezone=check_timezone(draft.timezone or "UTC"),
        max_files_open=draft.max_files_open or most_files,
        per_file_view_window_char_limit=draft.per_file_view_window_char_limit or most_characters,
        hidden=True if SUBAGENT_TAG in draft.tags else draft.hidden,
        project_id=draft.project_id,
    )


def _furnish(caller: Caller, agent: Agent, draft: AgentDraft) -> None:
    created = [create_block(caller=caller, draft=block) for block in draft.blocks]
    blocks = [*created, *(get_block_for(caller=caller, block_id=block_id) for block_id in draft.block_ids)]
    agent_links.link_blocks(agent, blocks)
    names = list[str]()
    if draft.include_base_tools:
        names += agent_types.base_tool_names(draft.agent_type, enable_sleeptime=draft.enable_sleeptime)
    if draft.include_multi_agent_tools:
        names += agent_types.MULTI_AGENT_TOOLS
    named = get_tools_by_names(caller=caller, names=[*names, *draft.tool_names])
    given = get_tools_by_ids(caller=caller, tool_ids=draft.tool_ids)
    tools = agent_links.link_tools(agent, [*named, *given])
    add_rules(agent, base_tool_rules(agent, tools, is_wanted=draft.include_base_tool_rules))
    write_secrets(agent, draft.secrets)


def update_agent(*, caller: Caller, agent_id: str, changes: AgentChanges) -> Agent:
    """The agent with the changes made. Raises NotFound, Invalid, Unprocessable or, for messages of a running conversation, RunBusy."""
    caller.check("edit")
    current = get_agent_for(caller=caller, agent_id=agent_id)
    # As on create, providers are asked before the transaction begins.
    choice = agent_model.change_model(
        current,
        handle=changes.model,
        asked=changes.model_settings,
        older=changes.older_settings,
        window=changes.context_window_limit,
    )
    embedding = (
        agent_model.choose_embedding(changes.embedding, workspace_id=caller.workspace_id)
        if changes.embedding
        else None
    )
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        _change_columns(agent, changes)
        if choice is not None:
            agent.model, agent.model_settings = choice.handle, choice.settings
            agent.context_window_limit = choice.context_window_limit
        if embedding is not None:
            agent.embedding = embedding
        if changes.tool_rules is not None:
            agent.tool_rules = clean_rules(changes.tool_rules, model=agent.model)
        agent.last_updated_by_id = caller.id
        agent.save()
        _replace_sets(caller, agent, changes)
        if changes.enable_sleeptime is not None or "enable_sleeptime" in changes.cleared:
            background_memory.follow_switch(caller, agent)
        record_version(caller, agent)
        tell(agent)
    return agent


def _change_columns(agent: Agent, changes: AgentChanges) -> None:
    if changes.agent_type not in (None, agent.agent_type):
        raise Unprocessable(
            f"The type of an agent cannot change: this one is {agent.agent_type!r}, not {changes.agent_type!r}."
        )
    for column in _PLAIN_COLUMNS:
        if (value := getattr(changes, column)) is not None:
            setattr(agent, column, value)
    for column in changes.cleared & EMPTY_VALUES.keys():
        setattr(agent, column, EMPTY_VALUES[column])
    if changes.enable_sleeptime is not None or "enable_sleeptime" in changes.cleared:
        agent_types.check_type(agent.agent_type, enable_sleeptime=agent.enable_sleeptime)
    if agent_types.facts_of(agent.agent_type).always_clears:
        agent.message_buffer_autoclear = True
    if changes.name is not None:
        agent.name = check_name(changes.name)
    if changes.system is not None:
        agent.system = check_text("The system prompt", changes.system)
    if changes.timezone is not None:
        agent.timezone = check_timezone(changes.timezone)
    if changes.tags is not None:
        agent.tags = check_tags(changes.tags)
    if SUBAGENT_TAG in agent.tags:
        agent.hidden = True
    agent_model.check_response_format(agent.response_format)


def _replace_sets(caller: Caller, agent: Agent, changes: AgentChanges) -> None:
    if changes.block_ids is not None:
        blocks = [get_block_for(caller=caller, block_id=block_id) for block_id in changes.block_ids]
        before = list(agent.block_links.values_list("block_id", flat=True))
        agent_links.replace_blocks(agent, blocks)
        background_memory.share_all(agent, before=before)
    if changes.tool_ids is not None:
        tools = get_tools_by_ids(caller=caller, tool_ids=changes.tool_ids)
        added = agent_links.replace_tools(agent, tools)
        add_rules(agent, approval_rules(added))
    if changes.secrets is not None:
        agent.secrets.all().delete()
        write_secrets(agent, changes.secrets)
    if changes.message_ids is not None:
        conversations.set_context(agent=agent, message_ids=changes.message_ids)


def delete_agent(*, caller: Caller, agent_id: str) -> None:
    """The agent goes with its conversations, messages, runs and background; blocks, tools and archives stay. Raises NotFound.

    A run that goes on is stopped: it can store nothing any more, and its readers are told that it broke off.
    """
    caller.check("edit")
    with transaction.atomic():
        agent_ends.stop_runs(get_agent_for(caller=caller, agent_id=agent_id))
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        tell(agent)
        background_memory.leave_groups(caller, agent)
        agent_ends.delete_rows(caller, agent)


def write_secrets(agent: Agent, secrets: dict[str, str]) -> None:
    """Store secrets, encrypted; a key that exists gets the new value."""
    for key, value in secrets.items():
        if not key.strip():
            raise Invalid("A secret needs a name.")
        AgentSecret.objects.update_or_create(
            agent=agent, key=key, defaults={"value_encrypted": encrypt(value)}
        )


def read_secrets(*, caller: Caller, agent: Agent) -> dict[str, str]:
    """The secrets in clear text; only for who may edit. Raises Forbidden or SecretUnreadable."""
    caller.check("edit")
    return {row.key: decrypt(row.value_encrypted) for row in agent.secrets.all()}


def tell(agent: Agent) -> None:
    """Tell open pages, once the transaction has committed, that the agent changed."""
    for group in (nudges.agent_group(agent.id), nudges.workspace_group(agent.workspace_id)):
        nudges.nudge(group, "agent_changed", agent_id=agent.id)
