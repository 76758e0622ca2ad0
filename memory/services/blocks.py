"""Memory blocks: read, made, changed and deleted."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, field, fields, replace
from functools import reduce
from operator import or_
from typing import Any

from django.db import transaction
from django.db.models import Count, Exists, F, Func, OuterRef, Q, QuerySet, TextField, Value

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.history import count_changed_lines
from memory.models import Block, BlockProposal, BlockVersion
from memory.models.block import DEFAULT_LIMIT
from memory.services.block_checks import check_block, check_label_is_free, check_value
from memory.services.block_merges import get_base, rebased
from memory.services.block_policies import check_is_free, must_propose
from memory.services.block_writes import (
    VERSIONED,
    Origin,
    Writing,
    add_version,
    count_unseen,
    lock_block,
    tell_changed,
)
from memory.services.proposals import Cause, Wish, find_own, propose, withdraw_of_block
from memory.texts import check_tags, searchable


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockDraft:
    """A block that is to be made."""

    label: str
    value: str = ""
    limit: int = DEFAULT_LIMIT
    description: str | None = None
    read_only: bool = False
    #: Rules of who may write (memory/policies.py).
    policy: Mapping[str, Any] = field(default_factory=dict)
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
    #: What was made instead of the edit, which waits for approval.
    proposal: BlockProposal | None = None

    @property
    def has_changed(self) -> bool:
        return self.from_version != self.to_version


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockChange:
    """The block after a change."""

    block: Block
    #: The version that somebody else had written meanwhile and that the change was merged with.
    merged_with: int | None
    #: Whether anything was written.
    is_written: bool
    #: What was made instead of the write, which waits for approval.
    proposal: BlockProposal | None = None


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
    # Those of the page.
    #: In the label, the description, the value or a tag, or the id itself.
    text: str | None = None
    read_only: bool | None = None
    #: How many agents hold it: from … to.
    holders_from: int | None = None
    holders_to: int | None = None
    #: Who wrote the newest version: a kind of actor.
    writer_kind: str | None = None


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
    if wanted.read_only is not None:
        where &= Q(read_only=wanted.read_only)
    return _beside(Block.objects.filter(where), wanted)


def _beside(blocks: QuerySet[Block], wanted: BlockFilters) -> QuerySet[Block]:
    """Those that pass the filters which look beyond single columns."""
    if wanted.text and (text := searchable(wanted.text)):
        blocks = blocks.annotate(
            all_tags=Func(F("tags"), Value("\n"), function="array_to_string", output_field=TextField())
        )
        columns = ("label", "description", "value", "all_tags")
        blocks = blocks.filter(
            reduce(or_, (Q(**{f"{name}__icontains": text}) for name in columns), Q(id=text))
        )
    if wanted.writer_kind is not None:
        newest = BlockVersion.objects.filter(block_id=OuterRef("pk"), number=OuterRef("version"))
        blocks = blocks.filter(Exists(newest.filter(actor_kind=wanted.writer_kind)))
    bounds = {"holders__gte": wanted.holders_from, "holders__lte": wanted.holders_to}
    asked = {lookup: number for lookup, number in bounds.items() if number is not None}
    return blocks.annotate(holders=Count("agent_links")).filter(**asked) if asked else blocks


def create_block(*, caller: Caller, draft: BlockDraft, origin: Origin | None = None) -> Block:
    """A new block with its first version. Raises Unprocessable for a bad label, limit or character, or too long a value."""
    caller.check("edit")
    values = {each.name: getattr(draft, each.name) for each in fields(draft)}
    block = Block(
        workspace_id=caller.workspace_id,
        created_by_id=caller.id,
        last_updated_by_id=caller.id,
        **(
            values
            | {"tags": check_tags(draft.tags), "metadata": dict(draft.metadata), "policy": dict(draft.policy)}
        ),
    )
    check_block(block)
    with transaction.atomic():
        # The version first, for the block holds its number; the reference is looked at when the transaction ends.
        add_version(block, caller, origin, Writing(), before="")
        block.save(force_insert=True)
    tell_changed(block)
    return block


def copy_as_template(*, caller: Caller, block_id: str) -> Block:
    """A template with the block's text, named by its label. The two are not linked. Raises NotFound."""
    source = get_block_for(caller=caller, block_id=block_id)
    copied = ("label", "value", "limit", "description", "read_only", "metadata")
    draft = BlockDraft(
        **{name: getattr(source, name) for name in copied},
        tags=tuple(source.tags),
        is_template=True,
        template_name=source.label,
    )
    return create_block(caller=caller, draft=draft)


def update_block(
    *,
    caller: Caller,
    block_id: str,
    changes: BlockChanges,
    base_version: int | None = None,
    origin: Origin | None = None,
) -> Block:
    """The block after the changes; see `change_block`."""
    return change_block(
        caller=caller, block_id=block_id, changes=changes, base_version=base_version, origin=origin
    ).block


def change_block(
    *,
    caller: Caller,
    block_id: str,
    changes: BlockChanges,
    base_version: int | None = None,
    origin: Origin | None = None,
    find_cause: Callable[[], Cause] | None = None,
) -> BlockChange:
    """Make the changes. One that changes nothing writes nothing; one of other fields than `VERSIONED` no version.

    Where the block's rules want approval of what this caller writes, nothing is written, and a proposal made with what
    `find_cause` finds.

    A change that was made to an older version is merged with what came since. One without `base_version` wins; how many lines
    it drops that the caller had not seen stands on its version. Raises NotFound; BlockReadOnly; Unprocessable (too long, a limit below the
    value, bad label, no such version); BlockConflict when a merge is not possible; Conflict when an agent that holds the block
    has another one of the new label.
    """
    caller.check("edit")
    merged_with = None
    with transaction.atomic():
        block = lock_block(caller, block_id)
        if must_propose(block, caller):
            return _propose(caller, block, changes, base_version, origin, find_cause)
        if base_version is not None and base_version != block.version:
            wanted = {name: value for name in VERSIONED if (value := getattr(changes, name)) is not None}
            changes = replace(changes, **rebased(block, wanted, base_version))
            merged_with = block.version
        old = block.value
        changed = apply_changes(block, changes)
        if not changed:
            return BlockChange(block=block, merged_with=None, is_written=False)
        check_block(block)
        if "label" in changed:
            check_label_is_free(block)
        if changed & set(VERSIONED):
            is_blind = base_version is None and "value" in changed
            unseen = count_unseen(block, old, block.value, caller=caller) if is_blind else 0
            writing = Writing(base_version=base_version, unseen_dropped=unseen)
            add_version(block, caller, origin, writing, before=old)
        block.last_updated_by_id = caller.id
        block.save()
    tell_changed(block)
    return BlockChange(block=block, merged_with=merged_with, is_written=True)


def edit_block(
    *,
    caller: Caller,
    block_id: str,
    edit: Callable[[str], str],
    origin: Origin,
    seen_version: int | None = None,
    is_rewrite: bool = False,
    find_cause: Callable[[], Cause] | None = None,
) -> BlockEdit:
    """Let a tool edit the value as it is now, under a lock: edits of several agents follow each other, none is lost.

    `edit` gives the new value or raises; then nothing is written. With `is_rewrite` it does not look at the old one: then the
    version says how many lines go that came after `seen_version`, which the agent was shown. The lock lasts until the
    transaction around it ends. Where the block's rules want approval, nothing is written, and a proposal made. Raises NotFound,
    BlockReadOnly, BlockTooLong, Unprocessable.
    """
    caller.check("edit")
    # Inside a transaction a savepoint would cost two more queries and protect nothing: all checks come before the first write.
    with nullcontext() if transaction.get_connection().in_atomic_block else transaction.atomic():
        block = lock_block(caller, block_id)
        if must_propose(block, caller):
            base = seen_version if is_rewrite else None
            return _propose_edit(caller, block, edit, origin, base, find_cause)
        old, base_version = block.value, block.version
        block.value = edit(old)
        if block.value == old:
            return BlockEdit(
                block=block, from_version=base_version, to_version=base_version, added=0, removed=0
            )
        check_value(block)
        writing = Writing(base_version=base_version)
        if is_rewrite:
            unseen = count_unseen(block, old, block.value, caller=caller, seen_version=seen_version)
            writing = Writing(base_version=seen_version, unseen_dropped=unseen)
        add_version(block, caller, origin, writing, before=old)
        block.last_updated_by_id = caller.id
        block.save(update_fields=["value", "version", "head_hash", "last_updated_by_id", "updated_at"])
    tell_changed(block)
    lines = count_changed_lines(old, block.value)
    return BlockEdit(
        block=block,
        from_version=base_version,
        to_version=block.version,
        added=lines.added,
        removed=lines.removed,
    )


def relabel_block(
    *,
    caller: Caller,
    block_id: str,
    label: str | None,
    description: str | None,
    origin: Origin,
    find_cause: Callable[[], Cause] | None = None,
) -> BlockEdit:
    """Let a tool change the label or the description; None leaves it. All agents that hold the block see the new one.

    Raises NotFound, BlockReadOnly, Unprocessable, or Conflict when the label is taken.
    """
    with transaction.atomic():
        before = lock_block(caller, block_id)
        changes = BlockChanges(label=label, description=description)
        done = change_block(
            caller=caller, block_id=block_id, changes=changes, origin=origin, find_cause=find_cause
        )
    return BlockEdit(
        block=done.block,
        from_version=before.version,
        to_version=done.block.version,
        added=0,
        removed=0,
        proposal=done.proposal,
    )


def delete_block(*, caller: Caller, block_id: str) -> None:
    """Delete the block and its history, and take it from every agent that holds it. What waits for it is closed.

    Raises NotFound; BlockReadOnly or Forbidden when the caller may not write to it freely.
    """
    caller.check("edit")
    with transaction.atomic():
        block = lock_block(caller, block_id)
        check_is_free(block, caller, "its deletion")
        _delete(block)


def remove_block(*, caller: Caller, block_id: str) -> None:
    """Delete a block that goes with something else, whatever its rules say. Raises NotFound."""
    caller.check("edit")
    with transaction.atomic():
        _delete(lock_block(caller, block_id))


def _delete(block: Block) -> None:
    withdraw_of_block(block)
    # The instance forgets its id when it is deleted.
    Block.objects.filter(id=block.id).delete()
    tell_changed(block)


def _propose(
    caller: Caller,
    block: Block,
    changes: BlockChanges,
    base_version: int | None,
    origin: Origin | None,
    find_cause: Callable[[], Cause] | None,
) -> BlockChange:
    base = get_base(block, block.version if base_version is None else base_version)
    wanted = copy(block)
    changed = apply_changes(wanted, changes)
    # A form sends all of its fields, as they were when it was opened.
    moved = {
        name for name in changed if name not in VERSIONED or getattr(wanted, name) != getattr(base, name)
    }
    wish = Wish(
        value=changes.value if changes.value != base.value else None,
        changes={name: getattr(wanted, name) for name in moved - {"value"}},
        base_version=base.number,
        origin=origin or Origin(),
        find_cause=find_cause,
    )
    earlier = find_own(block, caller, wish.origin.run_id)
    proposal = propose(caller=caller, block=block, wish=wish, earlier=earlier)
    return BlockChange(block=block, merged_with=None, is_written=False, proposal=proposal)


def _propose_edit(
    caller: Caller,
    block: Block,
    edit: Callable[[str], str],
    origin: Origin,
    rewritten_version: int | None,
    find_cause: Callable[[], Cause] | None,
) -> BlockEdit:
    """A further edit of the same run builds on what the first one proposed: it may well need it."""
    earlier = find_own(block, caller, origin.run_id)
    value, base = block.value, block.version
    if earlier is not None and earlier.value is not None:
        value, base = earlier.value, earlier.base_version
    wish = Wish(
        value=edit(value),
        base_version=rewritten_version or base,
        origin=origin,
        find_cause=find_cause,
    )
    proposal = propose(caller=caller, block=block, wish=wish, earlier=earlier)
    return BlockEdit(
        block=block,
        from_version=block.version,
        to_version=block.version,
        added=0,
        removed=0,
        proposal=proposal,
    )


def apply_changes(block: Block, changes: BlockChanges) -> set[str]:
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
