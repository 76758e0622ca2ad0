"""What every write to a block does: lock the row, see whether it was changed behind our back, and add a version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields

from django.db.models import Exists, F, OuterRef, QuerySet, TextField, Value
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.core.nudges import nudge, workspace_group
from memory.history import VersionFacts, chain_hash
from memory.lines import changed_lines, packed, split_lines
from memory.models import Block, BlockVersion
from memory.models.block_version import ActorKind, VersionAct

#: What a version keeps; a change of anything else on a block makes none.
VERSIONED = ("label", "value", "description", "limit", "read_only")


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """The tool call that a write comes from."""

    run_id: str | None = None
    step_id: str | None = None
    message_id: str | None = None
    tool_call_id: str | None = None
    tool_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """What a version says about its own making."""

    #: The version that the writer had read; None when nobody said.
    base_version: int | None = None
    act: VersionAct = VersionAct.WRITE
    #: The version whose state was put back.
    restored_from: int | None = None
    #: Lines that went although the writer had not seen them.
    unseen_dropped: int = 0
    #: The proposal that was approved, and by whom.
    proposal_id: str | None = None
    approved_by_id: str | None = None
    approved_by_name: str | None = None


def lock_block(caller: Caller, block_id: str) -> Block:
    """The block, locked until the transaction ends. Raises NotFound.

    What was written to the row without a version gets one now, by nobody known: the next writer must not pass for its author.
    """
    row = Block.objects.select_for_update(of=("self",)).filter(id=block_id, workspace_id=caller.workspace_id)
    block = row.annotate(is_explained=Exists(_versions_like(OuterRef))).first()
    if block is None:
        raise NotFound(f"There is no block {block_id!r}.")
    # A writer that waited for the lock has the new row, but saw the versions of before it: only a second look is certain.
    if not block.is_explained and not is_explained(block):
        last = BlockVersion.objects.filter(block_id=block.pk).order_by("-number").first()
        # A number beyond every version, whatever was done to the row.
        block.version = max(block.version, last.number if last else 0)
        add_version(block, None, None, Writing(), before=last.value if last else "")
        block.save(update_fields=["version", "head_hash"])
    return block


def is_explained(block: Block) -> bool:
    """Whether the row is what its newest version says."""
    return _versions_like(lambda name: Value(getattr(block, name))).exists()


def _versions_like(of: Callable[[str], Combinable]) -> QuerySet[BlockVersion]:
    """Versions that say what a block holds; `of` gives the block's own field."""
    same = {name: of(name) for name in VERSIONED if name != "description"}
    found = BlockVersion.objects.filter(block_id=of("pk"), number=of("version"), hash=of("head_hash"), **same)
    # In SQL no null equals another one.
    return found.annotate(said=_text(F("description"))).filter(said=_text(of("description")))


def _text(value: Combinable) -> Coalesce:
    return Coalesce(value, Value(""), output_field=TextField())


def add_version(
    block: Block, caller: Caller | None, origin: Origin | None, writing: Writing, *, before: str
) -> BlockVersion:
    """Store the version that records the block as it stands now; the block moves on to it and is not saved.

    `before` is the value of the version before it. Without a caller nobody knows who wrote it.
    """
    came_from = origin or Origin()
    version = BlockVersion(
        block=block,
        number=block.version + 1,
        **{name: getattr(block, name) for name in VERSIONED},
        actor_kind=caller.kind if caller else ActorKind.UNKNOWN,
        actor_id=caller.id if caller else "",
        actor_name=caller.name[:255] if caller else "Unknown",
        **{each.name: getattr(came_from, each.name) for each in fields(Origin)},
        **{each.name: getattr(writing, each.name) for each in fields(writing)},
        line_changes=packed(changed_lines(before, block.value)),
        prev_hash=block.head_hash,
        created_at=timezone.now(),
    )
    version.hash = chain_hash(version.prev_hash, facts_of(version))
    version.save(force_insert=True)
    block.version, block.head_hash = version.number, version.hash
    return version


def facts_of(version: BlockVersion) -> VersionFacts:
    """What the version's hash covers."""
    return VersionFacts(**{each.name: getattr(version, each.name) for each in fields(VersionFacts)})


def count_unseen(block: Block, old: str, new: str, *, caller: Caller, seen_version: int | None = None) -> int:
    """How many lines of `old`, which the block holds, are not in `new` and were not known to the caller.

    It knows what it wrote last, and what it was shown in `seen_version`.
    """
    came = set(split_lines(new))
    lines = split_lines(old)
    gone = {
        at
        for change in changed_lines(old, new)
        for at in range(change.old_from, change.old_to)
        if lines[at] not in came
    }
    if not gone:
        return 0
    own = BlockVersion.objects.filter(block_id=block.pk, actor_kind=caller.kind, actor_id=caller.id)
    number = max(own.order_by("-number").values_list("number", flat=True).first() or 0, seen_version or 0)
    if number >= block.version:
        return 0
    known = (
        BlockVersion.objects.filter(block_id=block.pk, number=number).values_list("value", flat=True).first()
    )
    fresh = {at for change in changed_lines(known or "", old) for at in range(change.new_from, change.new_to)}
    return len(gone & fresh)


def tell_changed(block: Block) -> None:
    """Tell open pages that the block changed."""
    nudge(
        workspace_group(block.workspace_id),
        "block_changed",
        block_id=block.id,
        label=block.label,
        version=block.version,
    )
