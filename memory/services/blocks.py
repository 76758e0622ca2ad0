"""Memory blocks: read, made, changed, and the history of every change."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, fields
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from letta_ade.core.nudges import nudge, workspace_group
from memory.history import VersionFacts, chain_hash, count_changed_lines
from memory.models import Block, BlockVersion
from memory.models.block import DEFAULT_LIMIT
from memory.texts import check_json, check_tags, check_text, searchable

#: What a version keeps; a change of anything else on a block makes none.
VERSIONED = ("label", "value", "description", "limit", "read_only")
_MOST_LABEL_CHARACTERS = 255
_MOST_LIMIT = 2**31 - 1


class BlockReadOnly(Forbidden):
    """The block is read-only for agents."""


class BlockTooLong(Unprocessable):
    """The value is longer than the block's limit."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The tool call that a write comes from."""

    run_id: str | None = None
    step_id: str | None = None
    message_id: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDraft:
    """A block that is to be made."""

    label: str
    value: str = ""
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    metadata: Mapping[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    hidden: bool | None = None
    is_template: bool = False
    template_name: str | None = None
    preserve_on_migration: bool | None = False
    project_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChanges:
    """What is to change; None leaves a field as it is (on the wire a null changes nothing either)."""

    label: str | None = None
    value: str | None = None
    limit: int | None = None
    description: str | None = None
    read_only: bool | None = None
    metadata: Mapping[str, Any] | None = None
    tags: tuple[str, ...] | None = None
    hidden: bool | None = None
    is_template: bool | None = None
    template_name: str | None = None
    preserve_on_migration: bool | None = None
    project_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockEdit:
    """What an edit did. `from_version` equals `to_version` when it changed nothing; 0 is before the block was made."""

    block: Block
    from_version: int
    to_version: int
    #: Lines.
    added: int
    removed: int

    @property
    def has_changed(self) -> bool:
        return self.from_version != self.to_version


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockFilters:
    """Filters of a list (spec/sdk-and-server.md §5.2). The searches look for a substring, in any case."""

    label: str | None = None
    labels: tuple[str, ...] = ()
    templates_only: bool = False
    template_name: str | None = None
    project_id: str | None = None
    tags: tuple[str, ...] = ()
    match_all_tags: bool = False
    label_search: str | None = None
    description_search: str | None = None
    value_search: str | None = None
    show_hidden: bool = False


def get_block_for(*, caller: Caller, block_id: str) -> Block:
    """The block. Raises NotFound, also for another workspace's."""
    caller.check("read")
    block = Block.objects.filter(id=block_id, workspace_id=caller.workspace_id).first()
    if block is None:
        raise NotFound(f"There is no block {block_id!r}.")
    return block


def list_blocks(*, caller: Caller, filters: BlockFilters | None = None) -> QuerySet[Block]:
    """The workspace's blocks that pass the filters, oldest first."""
    caller.check("read")
    wanted = filters or BlockFilters()
    where = Q(workspace_id=caller.workspace_id)
    exact = {"label": wanted.label, "template_name": wanted.template_name, "project_id": wanted.project_id}
    where &= Q(**{name: value for name, value in exact.items() if value is not None})
    for name in ("label", "description", "value"):
        if (text := getattr(wanted, f"{name}_search")) is not None:
            where &= Q(**{f"{name}__icontains": searchable(text)})
    if wanted.labels:
        where &= Q(label__in=wanted.labels)
    if wanted.templates_only:
        where &= Q(is_template=True)
    if wanted.tags:
        where &= Q(**{"tags__contains" if wanted.match_all_tags else "tags__overlap": list(wanted.tags)})
    if not wanted.show_hidden:
        where &= Q(hidden=None) | Q(hidden=False)
    return Block.objects.filter(where)


def create_block(*, caller: Caller, draft: BlockDraft, origin: Origin | None = None) -> Block:
    """A new block with its first version. Raises Unprocessable for a bad label, limit or character, or too long a value."""
    caller.check("edit")
    values = {each.name: getattr(draft, each.name) for each in fields(draft)}
    block = Block(
        workspace_id=caller.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        **(values | {"tags": check_tags(draft.tags), "metadata": dict(draft.metadata)}),
    )
    _check(block)
    with transaction.atomic():
        version = _next_version(block, caller, origin, base_version=None)
        block.save(force_insert=True)
        version.save(force_insert=True)
    _tell(block)
    return block


def update_block(
    *,
    caller: Caller,
    block_id: str,
    changes: BlockChanges,
    base_version: int | None = None,
    origin: Origin | None = None,
) -> Block:
    """The block after the changes. One that changes nothing writes nothing; one of other fields than `VERSIONED` no version.

    Raises NotFound; Unprocessable (too long, a limit below the value, bad label); Conflict with `current_version` when the block
    is no longer at `base_version`, or when an agent that holds it has another block of the new label.
    """
    caller.check("edit")
    with transaction.atomic():
        block = _lock(caller, block_id)
        if base_version is not None and base_version != block.version:
            raise Conflict(
                f"Block {block.label!r} is at version {block.version}, this change was made to version {base_version}. "
                "Read it again and repeat the change.",
                current_version=block.version,
            )
        changed = _apply(block, changes)
        if not changed:
            return block
        _check(block)
        if "label" in changed:
            _check_label_is_free(block)
        if changed & set(VERSIONED):
            _next_version(block, caller, origin, base_version=base_version).save(force_insert=True)
        block.last_updated_by_id = caller.id
        block.save()
    _tell(block)
    return block


def edit_block(*, caller: Caller, block_id: str, edit: Callable[[str], str], origin: Origin) -> BlockEdit:
    """Let a tool edit the value as it is now, under a lock: edits of several agents follow each other, none is lost.

    `edit` gives the new value or raises; then nothing is written. The lock lasts until the transaction around it ends.
    Raises NotFound, BlockReadOnly, BlockTooLong, Unprocessable.
    """
    caller.check("edit")
    # Inside a transaction a savepoint would cost two more queries and protect nothing: all checks come before the first write.
    with nullcontext() if transaction.get_connection().in_atomic_block else transaction.atomic():
        block = _lock(caller, block_id)
        check_agents_may_edit(block)
        old = block.value
        block.value = edit(old)
        if block.value == old:
            return BlockEdit(
                block=block, from_version=block.version, to_version=block.version, added=0, removed=0
            )
        _check_value(block)
        version = _next_version(block, caller, origin, base_version=block.version)
        version.save(force_insert=True)
        block.last_updated_by_id = caller.id
        block.save(update_fields=["value", "version", "head_hash", "last_updated_by_id", "updated_at"])
    _tell(block)
    lines = count_changed_lines(old, block.value)
    return BlockEdit(
        block=block,
        from_version=block.version - 1,
        to_version=block.version,
        added=lines.added,
        removed=lines.removed,
    )


def relabel_block(
    *, caller: Caller, block_id: str, label: str | None, description: str | None, origin: Origin
) -> BlockEdit:
    """Let a tool change the label or the description; None leaves it. All agents that hold the block see the new one.

    Raises NotFound, BlockReadOnly, Unprocessable, or Conflict when the label is taken.
    """
    with transaction.atomic():
        before = _lock(caller, block_id)
        check_agents_may_edit(before)
        changes = BlockChanges(label=label, description=description)
        block = update_block(caller=caller, block_id=block_id, changes=changes, origin=origin)
    return BlockEdit(block=block, from_version=before.version, to_version=block.version, added=0, removed=0)


def check_agents_may_edit(block: Block) -> None:
    """Raise BlockReadOnly for a block that only people may change."""
    if block.read_only:
        raise BlockReadOnly(f"The block {block.label!r} is read-only: you can read it, but not change it.")


def delete_block(*, caller: Caller, block_id: str) -> None:
    """Delete the block and its history, and take it from every agent that holds it. Raises NotFound."""
    caller.check("edit")
    with transaction.atomic():
        block = _lock(caller, block_id)
        # The instance forgets its id when it is deleted.
        Block.objects.filter(id=block.id).delete()
    _tell(block)


def list_versions(*, caller: Caller, block_id: str) -> QuerySet[BlockVersion]:
    """The block's versions, newest first. Raises NotFound."""
    block = get_block_for(caller=caller, block_id=block_id)
    return BlockVersion.objects.filter(block=block).order_by("-number")


def verify_block(block: Block) -> list[str]:
    """What in the block's history does not fit: a sentence each; empty when nothing was changed behind our back."""
    problems: list[str] = []
    prev_hash, number, last = "", 0, None
    for last in BlockVersion.objects.filter(block=block).order_by("number").iterator(chunk_size=200):
        number += 1
        if last.number != number:
            problems.append(f"Version {number} is missing: {last.number} comes next.")
            number = last.number
        elif last.prev_hash != prev_hash:
            problems.append(f"Version {number} does not follow from the version before it.")
        if chain_hash(last.prev_hash, _facts(last)) != last.hash:
            problems.append(f"Version {number} was changed after it was written.")
        prev_hash = last.hash
    if last is None:
        return ["The block has no version."]
    if block.version != last.number or block.head_hash != last.hash:
        problems.append(
            f"The block says that it is at version {block.version}, its history ends with {last.number}."
        )
    moved = [name for name in VERSIONED if getattr(block, name) != getattr(last, name)]
    if moved:
        problems.append(f"Changed without a version: {', '.join(moved)}.")
    return problems


def _lock(caller: Caller, block_id: str) -> Block:
    block = Block.objects.select_for_update().filter(id=block_id, workspace_id=caller.workspace_id).first()
    if block is None:
        raise NotFound(f"There is no block {block_id!r}.")
    return block


def _apply(block: Block, changes: BlockChanges) -> set[str]:
    """Set what differs and return the names of those fields."""
    changed = set()
    for each in fields(changes):
        value = getattr(changes, each.name)
        if each.name == "tags" and value is not None:
            value = check_tags(value)
        elif each.name == "metadata" and value is not None:
            value = dict(value)
        if value is not None and value != getattr(block, each.name):
            setattr(block, each.name, value)
            changed.add(each.name)
    return changed


def _check(block: Block) -> None:
    if not block.label.strip():
        raise Unprocessable("A block needs a label.")
    if len(block.label) > _MOST_LABEL_CHARACTERS:
        raise Unprocessable(
            f"A label has at most {_MOST_LABEL_CHARACTERS} characters, not {len(block.label)}."
        )
    if any(character < " " for character in block.label):
        raise Unprocessable(f"A label is one line without control characters, not {block.label!r}.")
    if not 0 < block.limit <= _MOST_LIMIT:
        raise Unprocessable(
            f"The limit of a block is between 1 and {_MOST_LIMIT} characters, not {block.limit}."
        )
    for name in ("label", "description", "template_name"):
        check_text(f"The {name} of a block", getattr(block, name) or "")
    check_json("The metadata of a block", block.metadata)
    _check_value(block)


def _check_value(block: Block) -> None:
    check_text(f"The value of block {block.label!r}", block.value)
    if len(block.value) > block.limit:
        raise BlockTooLong(
            f"The value of block {block.label!r} would have {len(block.value)} characters; its limit is {block.limit}. "
            "Nothing was changed: shorten the value or raise the limit."
        )


def _check_label_is_free(block: Block) -> None:
    """Labels are unique within an agent."""
    taken = Block.objects.filter(agents__blocks=block, label=block.label).exclude(id=block.id)
    if taken.exists():
        raise Conflict(f"An agent that holds this block has another block with the label {block.label!r}.")


def _next_version(
    block: Block, caller: Caller, origin: Origin | None, *, base_version: int | None
) -> BlockVersion:
    """The version that records the block as it stands now; the block moves on to it. Neither is saved."""
    came_from = origin or Origin()
    version = BlockVersion(
        block=block,
        number=block.version + 1,
        **{name: getattr(block, name) for name in VERSIONED},
        actor_kind=caller.kind,
        actor_id=caller.id,
        actor_name=caller.name[:255],
        **{each.name: getattr(came_from, each.name) for each in fields(came_from)},
        base_version=base_version,
        prev_hash=block.head_hash,
        created_at=timezone.now(),
    )
    version.hash = chain_hash(version.prev_hash, _facts(version))
    block.version, block.head_hash = version.number, version.hash
    return version


def _facts(version: BlockVersion) -> VersionFacts:
    return VersionFacts(**{each.name: getattr(version, each.name) for each in fields(VersionFacts)})


def _tell(block: Block) -> None:
    nudge(
        workspace_group(block.workspace_id),
        "block_changed",
        block_id=block.id,
        label=block.label,
        version=block.version,
    )
