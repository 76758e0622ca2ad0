"""What one actor, or one of its runs, wrote to a block, taken out again in one new version that keeps what others wrote since."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, NotFound, Unprocessable
from memory.merge import Agreed, Merge, merge_texts
from memory.models import Block, BlockVersion
from memory.models.block_version import ActorKind, VersionAct
from memory.services.block_checks import check_block, check_label_is_free
from memory.services.block_merges import rebased
from memory.services.block_restores import lock_at
from memory.services.block_writes import VERSIONED, Writing, add_version, tell_changed
from memory.services.blocks import get_block_for

#: The id that stands for whoever wrote to the row without a version: such versions have none.
UNKNOWN_ACTOR = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrote:
    """Which versions are meant: those of an actor, of a run, or of both; with `since` only those of then and later."""

    actor_id: str | None = None
    run_id: str | None = None
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRevert:
    """The block after its revert, and the numbers of the versions whose changes are no longer in it, oldest first."""

    block: Block
    reverted: list[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stretch:
    """Versions in a row that are all to be taken out: from the state before the first to the state of the last."""

    before: BlockVersion
    last: BlockVersion


def written_by(block: Block, wrote: Wrote) -> QuerySet[BlockVersion]:
    """The versions that are meant, oldest first. Raises Unprocessable when neither an actor nor a run is named."""
    if wrote.actor_id is None and wrote.run_id is None:
        raise Unprocessable("Say whose writes: give actor_id, run_id, or both.")
    found = BlockVersion.objects.filter(block=block)
    if wrote.actor_id == UNKNOWN_ACTOR:
        found = found.filter(actor_kind=ActorKind.UNKNOWN)
    elif wrote.actor_id is not None:
        found = found.filter(actor_id=wrote.actor_id).exclude(actor_kind=ActorKind.UNKNOWN)
    if wrote.run_id is not None:
        found = found.filter(run_id=wrote.run_id)
    if wrote.since is not None:
        found = found.filter(created_at__gte=wrote.since)
    return found.order_by("number")


def revert_writes(
    *, caller: Caller, block_id: str, wrote: Wrote, base_version: int | None = None
) -> BlockRevert:
    """Take the changes of these versions out and keep those of all others, by a three-way merge, in one new version.

    The first version of a block is what the rest builds on and stays. Raises NotFound, also when nobody of that id, or no such
    run, wrote to the block; Unprocessable without an actor and a run, or when the block would break its limit; BlockConflict
    when others have since changed the same lines (its `mine` is the block with these changes out, where they clash too);
    Conflict when nothing is left to take out, when the block is no longer at `base_version`, or when a label is taken.
    """
    caller.check("edit")
    with transaction.atomic():
        block = lock_at(caller, block_id, base_version)
        label, before = block.label, block.value
        numbers, wanted = _plan(block, wrote)
        for name, value in wanted.items():
            setattr(block, name, value)
        check_block(block)
        if block.label != label:
            check_label_is_free(block)
        writing = Writing(base_version=block.version, act=VersionAct.REVERT, reverted=numbers)
        add_version(block, caller, None, writing, before=before)
        block.last_updated_by_id = caller.id
        block.save()
    tell_changed(block)
    return BlockRevert(block=block, reverted=numbers)


def preview_revert(*, caller: Caller, block_id: str, wrote: Wrote) -> BlockRevert:
    """What `revert_writes` would make, as a block that is not stored. Raises what it does."""
    block = get_block_for(caller=caller, block_id=block_id)
    numbers, wanted = _plan(block, wrote)
    for name, value in wanted.items():
        setattr(block, name, value)
    return BlockRevert(block=block, reverted=numbers)


def _plan(block: Block, wrote: Wrote) -> tuple[list[int], dict[str, Any]]:
    """The versions to take out, and the block's fields without them."""
    numbers = _numbers(block, wrote)
    wanted = _without(block, _stretches(block, numbers))
    if all(getattr(block, name) == value for name, value in wanted.items()):
        raise Conflict(f"Nothing of what was written there is left in block {block.label!r}.")
    return numbers, wanted


def _numbers(block: Block, wrote: Wrote) -> list[int]:
    meant = written_by(block, wrote)
    numbers = list(meant.filter(number__gt=1).values_list("number", flat=True))
    if numbers:
        return numbers
    who = " and ".join(
        [
            *([f"actor {wrote.actor_id!r}"] if wrote.actor_id is not None else []),
            *([f"run {wrote.run_id!r}"] if wrote.run_id is not None else []),
        ]
    )
    if meant.exists():
        raise Conflict(
            f"The one version of {who} is the first of block {block.label!r}, and what the rest builds on. Delete the block instead."
        )
    if wrote.since is not None and written_by(block, Wrote(actor_id=wrote.actor_id, run_id=wrote.run_id)):
        raise Conflict(
            f"There is nothing to revert: {who} wrote nothing to block {block.label!r} since {wrote.since.isoformat()}."
        )
    raise NotFound(f"Block {block.label!r} has no version of {who}.")


def _stretches(block: Block, numbers: Sequence[int]) -> list[_Stretch]:
    """The versions in as few changes as they make: those in a row together, newest first."""
    ends: list[tuple[int, int]] = []
    for number in numbers:
        if ends and ends[-1][1] == number - 1:
            ends[-1] = (ends[-1][0], number)
        else:
            ends.append((number - 1, number))
    wanted = {number for pair in ends for number in pair}
    rows = {each.number: each for each in BlockVersion.objects.filter(block=block, number__in=wanted)}
    missing = wanted - set(rows)
    if missing:
        raise Conflict(
            f"Version {min(missing)} of block {block.label!r} is missing from its history; a change from it cannot be taken out."
        )
    return [_Stretch(before=rows[start], last=rows[end]) for start, end in reversed(ends)]


def _without(block: Block, stretches: Sequence[_Stretch]) -> dict[str, Any]:
    """The block's fields with these changes out. Raises BlockConflict where later changes stand on them."""
    made = {name: getattr(block, name) for name in VERSIONED}
    is_clean = True
    for each in stretches:
        merge = merge_texts(base=each.last.value, mine=each.before.value, theirs=made["value"])
        is_clean = is_clean and not merge.clashes
        made["value"] = _with_mine(merge)
        for name in VERSIONED:
            # What somebody set after it stays.
            if name != "value" and made[name] == getattr(each.last, name):
                made[name] = getattr(each.before, name)
    if not is_clean:
        # Three texts for a person to settle: the last state that they wrote, the block without it, the block of now.
        settled = rebased(block, made, stretches[0].last.number)
        made |= {name: value for name, value in settled.items() if value is not None}
    return made


def _with_mine(merge: Merge) -> str:
    """The merged text, with my lines where both clash."""
    return "\n".join(
        line for part in merge.parts for line in (part.lines if isinstance(part, Agreed) else part.mine)
    )
