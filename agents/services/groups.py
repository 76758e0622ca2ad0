"""Groups of agents: found, made, changed, deleted (spec/objects.md §10). Only those that keep memory in the background are made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q, QuerySet

from agents.models import Agent, AgentBlock, Group, GroupMember, Message
from agents.models.group import ManagerType
from agents.services import agent_links, background_memory
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_context import reset_messages
from agents.services.agent_types import BACKGROUND_TYPES
from agents.services.agents import get_agent_for, tell
from agents.services.messages import MessageFilters, MessagePage, page_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Invalid, NotFound, Unsupported
from letta_ade.core.pagination import PageRequest, paginate
from memory.services.blocks import get_block_for
from memory.texts import check_text

#: Turns between two runs at most.
MOST_TURNS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDraft:
    """What a new group is made of."""

    manager_type: str
    manager_agent_id: str | None = None
    agent_ids: tuple[str, ...] = ()
    description: str = ""
    #: None: after every turn.
    frequency: int | None = background_memory.DEFAULT_FREQUENCY
    #: Attached to all agents of the group.
    shared_block_ids: tuple[str, ...] = ()
    hidden: bool | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChanges:
    """What is to change; None leaves a field alone."""

    manager_type: str | None = None
    manager_agent_id: str | None = None
    agent_ids: tuple[str, ...] | None = None
    description: str | None = None
    sets_frequency: bool = False
    #: Only when `sets_frequency`; None: after every turn.
    frequency: int | None = None
    shared_block_ids: tuple[str, ...] | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupFilters:
    """Which groups a list holds; None asks nothing."""

    manager_type: str | None = None
    project_id: str | None = None
    #: Groups that this agent manages or belongs to.
    agent_id: str | None = None
    shows_hidden: bool = False


def get_group_for(*, caller: Caller, group_id: str) -> Group:
    """The group with its manager. Raises NotFound, also for one of another workspace."""
    caller.check("read")
    group = (
        Group.objects.filter(id=group_id, workspace_id=caller.workspace_id)
        .select_related("manager_agent")
        .first()
    )
    if group is None:
        raise NotFound(f"There is no group {group_id!r}.")
    return group


def groups_of(*, caller: Caller, filters: GroupFilters | None = None) -> QuerySet[Group]:
    """The groups that the caller may see and the filters let through, unordered. Raises NotFound for an unknown agent."""
    caller.check("read")
    filters = filters or GroupFilters()
    groups = Group.objects.filter(workspace_id=caller.workspace_id)
    if filters.agent_id is not None:
        agent = get_agent_for(caller=caller, agent_id=filters.agent_id)
        groups = groups.filter(Q(manager_agent=agent) | Q(pk__in=agent.group_links.values("group_id")))
    if filters.manager_type is not None:
        groups = groups.filter(manager_type=filters.manager_type)
    if filters.project_id is not None:
        groups = groups.filter(project_id=filters.project_id)
    if not filters.shows_hidden:
        groups = groups.filter(Q(hidden=None) | Q(hidden=False))
    return groups


def list_groups(*, caller: Caller, filters: GroupFilters, page: PageRequest) -> list[Group]:
    """A page of groups."""
    among = Group.objects.filter(workspace_id=caller.workspace_id)
    return paginate(groups_of(caller=caller, filters=filters), page, among=among)


def members_of(group_ids: Sequence[str]) -> dict[str, list[str]]:
    """The ids of the agents in each group, in their order. One query."""
    found: dict[str, list[str]] = {group_id: [] for group_id in group_ids}
    links = GroupMember.objects.filter(group_id__in=group_ids).order_by("position")
    for group_id, agent_id in links.values_list("group_id", "agent_id"):
        found[group_id].append(agent_id)
    return found


def shared_blocks(groups: Sequence[Group], members: dict[str, list[str]]) -> dict[str, list[str]]:
    """The ids of the blocks that all agents of each group hold. One query."""
    agents = {group.id: {group.manager_agent_id, *members[group.id]} for group in groups}
    held: dict[str, list[str]] = {}
    links = AgentBlock.objects.filter(agent_id__in=set().union(*agents.values())).order_by("position", "id")
    for agent_id, block_id in links.values_list("agent_id", "block_id"):
        held.setdefault(agent_id, []).append(block_id)
    return {
        group.id: [
            block_id
            for block_id in held.get(group.manager_agent_id, [])
            if all(block_id in held.get(agent_id, ()) for agent_id in agents[group.id])
        ]
        for group in groups
    }


def create_group(*, caller: Caller, draft: GroupDraft) -> Group:
    """A group whose agents keep the memory of its manager. Raises Unsupported for other types, Invalid, NotFound or Conflict."""
    caller.check("edit")
    _check_type(draft.manager_type)
    if draft.manager_agent_id is None:
        raise Invalid("A sleeptime group needs a manager_agent_id: the agent whose memory is kept.")
    _check_frequency(draft.frequency)
    with transaction.atomic():
        manager = get_agent_for(caller=caller, agent_id=draft.manager_agent_id, for_update=True)
        if background_memory.background_of(manager) is not None:
            raise Conflict(f"The agent {manager.id!r} has a background group already.")
        if manager.agent_type in BACKGROUND_TYPES:
            raise Invalid(
                f"An agent of type {manager.agent_type!r} keeps the memory of others; it has no background."
            )
        group = Group.objects.create(
            workspace_id=caller.workspace_id,
            created_by_id=caller.id,
            last_updated_by_id=caller.id,
            description=check_text("The description", draft.description),
            manager_agent=manager,
            sleeptime_agent_frequency=draft.frequency,
            hidden=draft.hidden,
            project_id=draft.project_id,
        )
        _set_members(caller, group, draft.agent_ids)
        _share(caller, group, draft.shared_block_ids)
        Agent.objects.filter(id=manager.id).update(enable_sleeptime=True)
        tell(manager)
    return group


def update_group(*, caller: Caller, group_id: str, changes: GroupChanges) -> Group:
    """The group with the changes made. Raises NotFound, Unsupported, Invalid or Conflict."""
    caller.check("edit")
    if changes.manager_type is not None:
        _check_type(changes.manager_type)
    if changes.sets_frequency:
        _check_frequency(changes.frequency)
    with transaction.atomic():
        group = _lock(caller, group_id)
        if changes.manager_agent_id not in (None, group.manager_agent_id):
            raise Invalid("The manager of a group cannot change. Make another group.")
        if changes.description is not None:
            group.description = check_text("The description", changes.description)
        if changes.sets_frequency:
            group.sleeptime_agent_frequency = changes.frequency
        if changes.project_id is not None:
            group.project_id = changes.project_id
        group.last_updated_by_id = caller.id
        group.save()
        if changes.agent_ids is not None:
            _set_members(caller, group, changes.agent_ids)
        if changes.shared_block_ids is not None:
            _share(caller, group, changes.shared_block_ids)
        tell(group.manager_agent)
    return group


def delete_group(*, caller: Caller, group_id: str) -> None:
    """Delete the group; its agents stay, and the manager has no background from then on. Raises NotFound."""
    caller.check("edit")
    with transaction.atomic():
        background_memory.dissolve(_lock(caller, group_id))


def attach_block_to_group(*, caller: Caller, group_id: str, block_id: str) -> Group:
    """Attach the block to all agents of the group. Raises NotFound, or Conflict for a label that one has."""
    caller.check("edit")
    with transaction.atomic():
        group = _lock(caller, group_id)
        _share(caller, group, [block_id])
    return group


def detach_block_from_group(*, caller: Caller, group_id: str, block_id: str) -> Group:
    """Detach the block from all agents of the group. Raises NotFound when its manager does not hold it."""
    caller.check("edit")
    with transaction.atomic():
        group = _lock(caller, group_id)
        detach_block(caller=caller, agent_id=group.manager_agent_id, block_id=block_id)
    return group


def reset_group_messages(*, caller: Caller, group_id: str) -> None:
    """Reset the conversations of the agents in the group; its manager's stays. Raises NotFound, or RunBusy while one of them runs."""
    group = get_group_for(caller=caller, group_id=group_id)
    with transaction.atomic():
        for agent_id in members_of([group.id])[group.id]:
            reset_messages(caller=caller, agent_id=agent_id)


def list_group_messages(
    *, caller: Caller, group_id: str, filters: MessageFilters, page: MessagePage
) -> list[Message]:
    """A page of the messages of the agents in the group; its manager's are not among them. Raises NotFound."""
    group = get_group_for(caller=caller, group_id=group_id)
    everything = Message.objects.filter(agent_id__in=members_of([group.id])[group.id])
    rows = everything if filters.shows_errors else everything.filter(is_err=False)
    return page_of(rows.select_related("agent"), page, among=everything)


def _lock(caller: Caller, group_id: str) -> Group:
    """The group, locked after its manager: a turn of that one that ends takes both in this order."""
    group = get_group_for(caller=caller, group_id=group_id)
    manager = get_agent_for(caller=caller, agent_id=group.manager_agent_id, for_update=True)
    locked = Group.objects.select_for_update(of=("self",)).filter(id=group_id).first()
    if locked is None:
        raise NotFound(f"There is no group {group_id!r}.")
    locked.manager_agent = manager
    return locked


def _check_type(manager_type: str) -> None:
    if manager_type not in ManagerType.values:
        raise Invalid(f"manager_type must be one of {', '.join(ManagerType.values)}, not {manager_type!r}.")
    if manager_type != ManagerType.SLEEPTIME:
        raise Unsupported(
            f"This server runs groups of type 'sleeptime' only, not {manager_type!r}. Agents can write to each other with the "
            "multi-agent tools instead."
        )


def _check_frequency(frequency: int | None) -> None:
    if frequency is not None and not 1 <= frequency <= MOST_TURNS:
        raise Invalid(
            f"sleeptime_agent_frequency must be a number of turns from 1 to {MOST_TURNS}, not {frequency}."
        )


def _set_members(caller: Caller, group: Group, agent_ids: Sequence[str]) -> None:
    wanted = list(dict.fromkeys(agent_ids))
    if not wanted:
        raise Invalid("A group needs at least one agent in agent_ids.")
    if group.manager_agent_id in wanted:
        raise Invalid("The manager of a group cannot be one of its agents.")
    for agent_id in wanted:
        member = get_agent_for(caller=caller, agent_id=agent_id)
        if member.agent_type not in BACKGROUND_TYPES and background_memory.background_of(member) is not None:
            raise Invalid(
                f"The agent {agent_id!r} has a background of its own and cannot be the background of another."
            )
    group.member_links.all().delete()
    GroupMember.objects.bulk_create(
        GroupMember(group=group, agent_id=agent_id, position=position)
        for position, agent_id in enumerate(wanted)
    )


def _share(caller: Caller, group: Group, block_ids: Sequence[str]) -> None:
    for block_id in block_ids:
        attach_block(caller=caller, agent_id=group.manager_agent_id, block_id=block_id)
        block = get_block_for(caller=caller, block_id=block_id)
        for partner in background_memory.partners_of(group):
            agent_links.link_blocks(partner, [block])
            tell(partner)
