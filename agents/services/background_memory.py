"""Background memory: the group of an agent and the agent that keeps its memory; switched on, switched off, sharing its blocks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from agents.models import Agent, AgentBlock, Conversation, Group, GroupMember
from agents.models.agent import AgentType
from agents.models.group import ManagerType
from agents.services import agent_ends, agent_links, conversations
from agents.services.agent_prompts import default_system_prompt
from agents.services.agent_tool_rules import add_rules, base_tool_rules
from agents.services.agent_types import BACKGROUND_TYPES, base_tool_names
from letta_ade.accounts.auth import Caller
from letta_ade.core.nudges import agent_group, nudge, workspace_group
from memory.models import Block
from memory.services.blocks import BlockDraft, create_block
from tools.services.tools import get_tools_by_names

#: Turns between two runs of the background, unless somebody says otherwise.
DEFAULT_FREQUENCY = 5
PERSONA_LABEL = "memory_persona"
_PERSONA_DESCRIPTION = "How I keep the memory of another agent."
_PERSONA = """\
I keep the memory blocks that I share with another agent. It talks; I read afterwards what was said.
I put down facts that will matter again, each in the block that it belongs to, and take out what has been overtaken.
I write so that somebody who was not there understands it: full names, dates instead of "yesterday", one fact a line.
When nothing worth keeping was said, I change nothing and finish."""
_MOST_NAME_CHARACTERS = 255
_SUFFIX = "-sleeptime"


def background_of(agent: Agent) -> Group | None:
    """The group in which others keep this agent's memory."""
    return Group.objects.filter(manager_agent=agent, manager_type=ManagerType.SLEEPTIME).first()


def follow_switch(caller: Caller, agent: Agent) -> None:
    """Make the background of the agent, or remove it, as its `enable_sleeptime` says. In a transaction that has locked the agent.

    An agent that keeps somebody else's memory has no background of its own.
    """
    group = background_of(agent)
    if agent.enable_sleeptime and group is None and agent.agent_type not in BACKGROUND_TYPES:
        _switch_on(caller, agent)
    elif not agent.enable_sleeptime and group is not None:
        remove_background(caller, group)


def _switch_on(caller: Caller, agent: Agent) -> None:
    partner = Agent.objects.create(
        workspace_id=agent.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        name=agent.name[: _MOST_NAME_CHARACTERS - len(_SUFFIX)] + _SUFFIX,
        agent_type=AgentType.SLEEPTIME,
        system=default_system_prompt(AgentType.SLEEPTIME),
        description=f"Keeps the memory of {agent.name} in the background.",
        model=agent.model,
        embedding=agent.embedding,
        model_settings=agent.model_settings,
        context_window_limit=agent.context_window_limit,
        timezone=agent.timezone,
        max_files_open=agent.max_files_open,
        per_file_view_window_char_limit=agent.per_file_view_window_char_limit,
        hidden=agent.hidden,
        project_id=agent.project_id,
    )
    shared = list(Block.objects.filter(agent_links__agent=agent).order_by("agent_links__position"))
    own = []
    if all(block.label != PERSONA_LABEL for block in shared):
        draft = BlockDraft(label=PERSONA_LABEL, value=_PERSONA, description=_PERSONA_DESCRIPTION)
        own.append(create_block(caller=caller, draft=draft))
    agent_links.link_blocks(partner, [*own, *shared])
    names = base_tool_names(partner.agent_type, enable_sleeptime=None)
    tools = agent_links.link_tools(partner, get_tools_by_names(caller=caller, names=names))
    add_rules(partner, base_tool_rules(partner, tools, is_wanted=None))
    conversation = Conversation.objects.create(
        workspace_id=agent.workspace_id, agent=partner, is_default=True, created_by_id=caller.id
    )
    conversations.begin(agent=partner, conversation=conversation)
    group = Group.objects.create(
        workspace_id=agent.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        description=f"Background memory of {agent.name}.",
        manager_agent=agent,
        sleeptime_agent_frequency=DEFAULT_FREQUENCY,
        hidden=agent.hidden,
        project_id=agent.project_id,
    )
    GroupMember.objects.create(group=group, agent=partner, position=0)
    _tell(partner)


def remove_background(caller: Caller, group: Group) -> None:
    """Delete the group and the agents in it, with their own persona block. In a transaction.

    A run of theirs that goes on loses its conversation and stores nothing more.
    """
    for partner in partners_of(group):
        agent_ends.stop_runs(partner)
    for partner in partners_of(group, for_update=True):
        _tell(partner)
        personas = list(
            Block.objects.filter(agent_links__agent=partner, label=PERSONA_LABEL).values_list("id", flat=True)
        )
        agent_ends.delete_rows(caller, partner)
        Block.objects.filter(id__in=personas, agent_links=None).delete()
    group.delete()


def partners_of(group: Group, *, for_update: bool = False) -> list[Agent]:
    """The agents that keep the memory, in their order."""
    rows = Agent.objects.select_for_update(of=("self",)) if for_update else Agent.objects
    return list(rows.filter(group_links__group=group).order_by("group_links__position"))


def leave_groups(caller: Caller, agent: Agent) -> None:
    """Remove what ends with this agent: its background, or the background that it alone was. In a transaction, before its deletion."""
    for group in Group.objects.select_for_update(of=("self",)).filter(manager_agent=agent):
        remove_background(caller, group)
    for group in Group.objects.select_for_update(of=("self",)).filter(agents=agent):
        if group.member_links.exclude(agent=agent).exists():
            continue
        dissolve(group)


def dissolve(group: Group) -> None:
    """Delete the group alone. Its manager is an agent without background from then on. In a transaction."""
    manager = group.manager_agent
    if manager.agent_type != AgentType.VOICE_CONVO:  # which must not be without the flag
        Agent.objects.filter(id=manager.id).update(enable_sleeptime=False)
    group.delete()
    _tell(manager)


def share_block(agent: Agent, block: Block) -> None:
    """Attach a block of the agent to those that keep its memory, unless one has another of that label. In a transaction."""
    for partner in _partners(agent):
        if not Block.objects.filter(agent_links__agent=partner, label=block.label).exists():
            agent_links.link_blocks(partner, [block])
            _tell(partner)


def unshare_blocks(agent: Agent, block_ids: Iterable[str]) -> None:
    """Take blocks that the agent holds no more from those that keep its memory."""
    gone = list(block_ids)
    if not gone:
        return
    for partner in _partners(agent):
        if AgentBlock.objects.filter(agent=partner, block_id__in=gone).delete()[0]:
            _tell(partner)


def share_all(agent: Agent, *, before: Sequence[str]) -> None:
    """The same for the whole set of blocks; `before` are the ids of those that the agent held."""
    now = list(Block.objects.filter(agent_links__agent=agent))
    unshare_blocks(agent, set(before) - {block.id for block in now})
    for block in now:
        if block.id not in before:
            share_block(agent, block)


def _partners(agent: Agent) -> list[Agent]:
    return list(Agent.objects.filter(groups__manager_agent=agent, groups__manager_type=ManagerType.SLEEPTIME))


def _tell(agent: Agent) -> None:
    for group in (agent_group(agent.id), workspace_group(agent.workspace_id)):
        nudge(group, "agent_changed", agent_id=agent.id)
