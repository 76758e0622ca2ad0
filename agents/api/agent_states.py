"""From agent rows to their wire objects, with few queries however many agents there are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from django.http import HttpResponse

from agents.api.schemas.agent import AgentEnvVar, AgentState, Memory
from agents.api.schemas.group import GroupResponse, group_responses
from agents.api.wire import WireMessage, wire_messages
from agents.models import Agent, AgentBlock, AgentSecret, AgentTool, Group
from agents.services.approvals import waiting_entries
from agents.services.conversations import context_ids
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.clients import is_old_sdk
from letta_ade.core.crypto import decrypt
from letta_ade.core.schemas import respond
from letta_ade.llm.api.configs import agent_embedding_config, agent_llm_config
from memory.api.schemas.block import BlockResponse
from tools.api.schemas.tool import ToolResponse

#: What one agent is always sent with, whatever `include` says: many clients read it there.
_ALWAYS = frozenset({"blocks", "tools", "tags"})


def agent_state(request: ApiRequest, agent: Agent, *, include: Iterable[str] = ()) -> AgentState:
    """One agent, with its blocks, tools and tags; `secrets` among `include` needs the right to edit."""
    return agent_states(request, [agent], include=_ALWAYS | set(include))[0]


def state_for_old_sdk(request: ApiRequest, agent: Agent) -> HttpResponse:
    """The answer to a change of what is attached: SDK 1.x and unknown clients expect null here, 0.x the agent."""
    return respond(agent_state(request, agent) if is_old_sdk(request) else None)


def agent_states(request: ApiRequest, agents: Sequence[Agent], *, include: Iterable[str]) -> list[AgentState]:
    """The agents, each with those relationships only that are asked for."""
    return states_for(request.auth, agents, include=include)


def states_for(caller: Caller, agents: Sequence[Agent], *, include: Iterable[str]) -> list[AgentState]:
    """The same for whoever calls; `secrets` needs the right to edit."""
    wanted = frozenset(include)
    ids = [agent.id for agent in agents]
    blocks = _blocks(ids) if "blocks" in wanted else {}
    tools = _tools(ids) if "tools" in wanted else {}
    secrets = _secrets(caller, ids) if "secrets" in wanted else {}
    pending = _pending(ids) if "pending_approval" in wanted else {}
    groups = _groups(ids) if "managed_group" in wanted else {}
    messages = context_ids(ids)
    return [
        _state(
            agent,
            blocks=blocks.get(agent.id, []),
            tools=tools.get(agent.id, []),
            secrets=secrets.get(agent.id, []),
            pending_approval=pending.get(agent.id),
            managed_group=groups.get(agent.id),
            message_ids=messages[agent.id],
            has_tags="tags" in wanted,
        )
        for agent in agents
    ]


def _state(
    agent: Agent,
    *,
    blocks: list[BlockResponse],
    tools: list[ToolResponse],
    secrets: list[AgentEnvVar],
    pending_approval: WireMessage | None,
    managed_group: GroupResponse | None,
    message_ids: list[str],
    has_tags: bool,
) -> AgentState:
    return AgentState(
        id=agent.id,
        name=agent.name,
        agent_type=agent.agent_type,
        system=agent.system,
        description=agent.description,
        metadata=agent.metadata,
        blocks=blocks,
        memory=Memory(agent_type=agent.agent_type, blocks=blocks),
        tools=tools,
        tags=agent.tags if has_tags else [],
        tool_rules=agent.tool_rules,
        message_ids=message_ids,
        model=agent.model,
        embedding=agent.embedding,
        model_settings=agent.model_settings,
        llm_config=agent_llm_config(agent.model, agent.model_settings, agent.context_window_limit),
        embedding_config=agent_embedding_config(agent.embedding, workspace_id=agent.workspace_id),
        compaction_settings=agent.compaction_settings,
        response_format=agent.response_format,
        secrets=secrets,
        tool_exec_environment_variables=secrets,
        pending_approval=pending_approval,
        managed_group=managed_group,
        multi_agent_group=managed_group,
        message_buffer_autoclear=agent.message_buffer_autoclear,
        enable_sleeptime=agent.enable_sleeptime,
        timezone=agent.timezone,
        max_files_open=agent.max_files_open,
        per_file_view_window_char_limit=agent.per_file_view_window_char_limit,
        hidden=agent.hidden,
        last_run_completion=agent.last_run_completion,
        last_run_duration_ms=agent.last_run_duration_ms,
        last_stop_reason=agent.last_stop_reason,
        project_id=agent.project_id,
        created_at=agent.created_at,
        updated_at=agent.updated_at,
        created_by_id=agent.created_by_id,
        last_updated_by_id=agent.last_updated_by_id,
    )


def _blocks(agent_ids: Sequence[str]) -> dict[str, list[BlockResponse]]:
    found = defaultdict(list)
    links = AgentBlock.objects.filter(agent_id__in=agent_ids).select_related("block")
    for link in links.order_by("position", "id"):
        found[link.agent_id].append(BlockResponse.of(link.block))
    return found


def _tools(agent_ids: Sequence[str]) -> dict[str, list[ToolResponse]]:
    found = defaultdict(list)
    links = AgentTool.objects.filter(agent_id__in=agent_ids).select_related("tool")
    for link in links.order_by("position", "id"):
        found[link.agent_id].append(ToolResponse.of(link.tool))
    return found


def _pending(agent_ids: Sequence[str]) -> dict[str, WireMessage]:
    """What the default conversation of each agent waits for, by agent."""
    return {
        entry.message.agent_id: wire_messages(entry.message)[-1]
        for entry in waiting_entries(agent_ids)
        if entry.conversation.is_default
    }


def _groups(agent_ids: Sequence[str]) -> dict[str, GroupResponse]:
    """The group that each agent manages, by agent."""
    managed = list(Group.objects.filter(manager_agent_id__in=agent_ids).order_by("created_at", "id"))
    return {
        group.manager_agent_id: told for group, told in zip(managed, group_responses(managed), strict=True)
    }


def _secrets(caller: Caller, agent_ids: Sequence[str]) -> dict[str, list[AgentEnvVar]]:
    caller.check("edit")
    found = defaultdict(list)
    for row in AgentSecret.objects.filter(agent_id__in=agent_ids):
        secret = AgentEnvVar(
            id=f"agent-env-{row.pk}", agent_id=row.agent_id, key=row.key, value=decrypt(row.value_encrypted)
        )
        found[row.agent_id].append(secret)
    return found
