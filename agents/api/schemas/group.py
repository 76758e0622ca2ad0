"""Groups on the wire (spec/objects.md §10)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.models import Group
from agents.services.groups import GroupChanges, GroupDraft, GroupFilters, members_of, shared_blocks
from letta_ade.core.errors import Unprocessable
from letta_ade.core.schemas import Body, PageQuery, Wire

DEFAULT_TYPE = "round_robin"
#: Fields of a manager_config that are read.
_FREQUENCY = "sleeptime_agent_frequency"


class GroupResponse(Wire):
    """A group. What belongs to types that this server does not run is null."""

    id: str
    manager_type: str
    agent_ids: list[str]
    description: str
    manager_agent_id: str | None
    shared_block_ids: list[str]
    termination_token: None = None
    max_turns: None = None
    sleeptime_agent_frequency: int | None
    turns_counter: int | None
    last_processed_message_id: str | None
    max_message_buffer_length: None = None
    min_message_buffer_length: None = None
    project_id: str | None
    template_id: None = None
    base_template_id: None = None
    deployment_id: None = None
    hidden: bool | None


def group_responses(groups: Sequence[Group]) -> list[GroupResponse]:
    """The groups, with two queries however many there are."""
    if not groups:
        return []
    members = members_of([group.id for group in groups])
    blocks = shared_blocks(groups, members)
    return [
        GroupResponse(
            id=group.id,
            manager_type=group.manager_type,
            agent_ids=members[group.id],
            description=group.description,
            manager_agent_id=group.manager_agent_id,
            shared_block_ids=blocks[group.id],
            sleeptime_agent_frequency=group.sleeptime_agent_frequency,
            turns_counter=group.turns_counter,
            last_processed_message_id=group.last_processed_message_id,
            project_id=group.project_id,
            hidden=group.hidden,
        )
        for group in groups
    ]


class ManagerConfig(Body):
    """How a group is led. Fields of types that are refused are not looked at."""

    manager_type: str = DEFAULT_TYPE
    manager_agent_id: str | None = None
    sleeptime_agent_frequency: int | None = None


class GroupBody(Body):
    """Fields that making and changing a group share."""

    agent_ids: list[str] | None = None
    description: str | None = None
    manager_config: ManagerConfig | None = None
    shared_block_ids: list[str] | None = None
    project_id: str | None = None


class CreateGroup(GroupBody):
    """A new group. Without a manager_config it would be a round robin."""

    hidden: bool | None = None

    def draft(self) -> GroupDraft:
        if self.agent_ids is None or self.description is None:
            raise Unprocessable("A group needs agent_ids and a description.")
        config = self.manager_config or ManagerConfig()
        named: dict[str, Any] = {}
        if _FREQUENCY in config.sent():
            named["frequency"] = config.sleeptime_agent_frequency
        return GroupDraft(
            manager_type=config.manager_type,
            manager_agent_id=config.manager_agent_id,
            agent_ids=tuple(self.agent_ids),
            description=self.description,
            shared_block_ids=tuple(self.shared_block_ids or ()),
            hidden=self.hidden,
            project_id=self.project_id,
            **named,
        )


class UpdateGroup(GroupBody):
    """What is to change: only fields that are sent."""

    def changes(self) -> GroupChanges:
        config = self.manager_config
        return GroupChanges(
            manager_type=config.manager_type if config and "manager_type" in config.sent() else None,
            manager_agent_id=config.manager_agent_id if config else None,
            agent_ids=None if self.agent_ids is None else tuple(self.agent_ids),
            description=self.description,
            sets_frequency=config is not None and _FREQUENCY in config.sent(),
            frequency=config.sleeptime_agent_frequency if config else None,
            shared_block_ids=None if self.shared_block_ids is None else tuple(self.shared_block_ids),
            project_id=self.project_id,
        )


class GroupQuery(PageQuery):
    """Filters of a list of groups."""

    manager_type: str | None = None
    project_id: str | None = None
    show_hidden_groups: bool = False

    def filters(self, agent_id: str | None = None) -> GroupFilters:
        return GroupFilters(
            manager_type=self.manager_type,
            project_id=self.project_id,
            agent_id=agent_id,
            shows_hidden=self.show_hidden_groups,
        )
