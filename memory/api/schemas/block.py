"""Blocks on the wire (spec/objects.md §2)."""

from __future__ import annotations

from typing import Any

from letta_ade.core.schemas import Body, PageQuery, Wire
from memory.models import Block
from memory.models.block import DEFAULT_LIMIT
from memory.services.blocks import BlockChanges, BlockDraft, BlockFilters

#: What a block with one of these labels says about itself when its maker says nothing.
DEFAULT_DESCRIPTIONS = {
    "human": "What you know about the person you talk with: name, circumstances, preferences, plans. Keep it up to date.",
    "persona": "Who you are: your character, your role, and how you speak. Let it guide every answer.",
}


class BlockResponse(Wire):
    """A memory block."""

    id: str
    label: str | None
    value: str
    limit: int
    description: str | None
    read_only: bool
    metadata: dict[str, Any]
    tags: list[str]
    hidden: bool | None
    is_template: bool
    template_name: str | None
    preserve_on_migration: bool | None
    project_id: str | None
    template_id: str | None = None
    base_template_id: str | None = None
    deployment_id: str | None = None
    entity_id: str | None = None
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(cls, block: Block) -> BlockResponse:
        """The block of a row."""
        return cls(
            id=block.id,
            label=block.label,
            value=block.value,
            limit=block.limit,
            description=block.description,
            read_only=block.read_only,
            metadata=block.metadata,
            tags=block.tags,
            hidden=block.hidden,
            is_template=block.is_template,
            template_name=block.template_name,
            preserve_on_migration=block.preserve_on_migration,
            project_id=block.project_id,
            created_by_id=block.created_by_id,
            last_updated_by_id=block.last_updated_by_id,
        )


class VersionedBlock(BlockResponse):
    """A block by itself, with the number of its newest version."""

    version: int
    #: After a change: the version of somebody else that it was merged with.
    merged_with: int | None = None
    #: The change was not made: it waits for approval as this proposal.
    proposal_id: str | None = None

    @classmethod
    def at(
        cls, block: Block, *, merged_with: int | None = None, proposal_id: str | None = None
    ) -> VersionedBlock:
        """The block of a row."""
        fields = BlockResponse.of(block).model_dump()
        return cls(**fields, version=block.version, merged_with=merged_with, proposal_id=proposal_id)


class CreateBlock(Body):
    """A block that is to be made; a null value is an empty one."""

    label: str
    value: str | None
    limit: int | None = None
    description: str | None = None
    read_only: bool = False
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    hidden: bool | None = None
    is_template: bool = False
    template_name: str | None = None
    preserve_on_migration: bool | None = False
    project_id: str | None = None

    def draft(self) -> BlockDraft:
        return BlockDraft(
            label=self.label,
            value=self.value or "",
            limit=DEFAULT_LIMIT if self.limit is None else self.limit,
            description=self.description or DEFAULT_DESCRIPTIONS.get(self.label),
            read_only=self.read_only,
            metadata=self.metadata or {},
            tags=tuple(self.tags or ()),
            hidden=self.hidden,
            is_template=self.is_template,
            template_name=self.template_name,
            preserve_on_migration=self.preserve_on_migration,
            project_id=self.project_id,
        )


class UpdateBlock(Body):
    """What is to change; fields that are not sent, and nulls, change nothing."""

    label: str | None = None
    value: str | None = None
    limit: int | None = None
    description: str | None = None
    read_only: bool | None = None
    metadata: dict[str, Any] | None = None
    tags: list[str] | None = None
    hidden: bool | None = None
    is_template: bool | None = None
    template_name: str | None = None
    preserve_on_migration: bool | None = None
    project_id: str | None = None
    #: The version that the change was made to (ours). Without it the change wins over what came since.
    base_version: int | None = None

    def changes(self) -> BlockChanges:
        sent = self.model_dump(exclude_none=True, exclude={"base_version"})
        if self.tags is not None:
            sent["tags"] = tuple(self.tags)
        return BlockChanges(**sent)


class BlockQuery(PageQuery):
    """Filters of the list of blocks."""

    label: str | None = None
    templates_only: bool = False
    #: The name of a template.
    name: str | None = None
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    project_id: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    label_search: str | None = None
    description_search: str | None = None
    value_search: str | None = None
    connected_to_agents_count_gt: int | None = None
    connected_to_agents_count_lt: int | None = None
    connected_to_agents_count_eq: list[int] | None = None
    show_hidden_blocks: bool = False

    def filters(self) -> BlockFilters:
        return BlockFilters(
            label=self.label,
            templates_only=self.templates_only,
            template_name=self.name,
            project_id=self.project_id,
            tags=tuple(self.tags or ()),
            match_all_tags=self.match_all_tags,
            label_search=self.label_search,
            description_search=self.description_search,
            value_search=self.value_search,
            show_hidden=self.show_hidden_blocks,
        )
