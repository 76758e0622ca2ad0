"""What somebody wrote to a block, taken out again in one act, with what others wrote since kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, NotFound, Unprocessable
from memory.lines import split_lines
from memory.merge import Clash, compose, find_hunks
from memory.models import Block, BlockVersion
from memory.models.block_version import VersionAct
from memory.services.block_checks import check_value
from memory.services.block_merges import hunk_data
from memory.services.block_restores import lock_at
from memory.services.block_writes import Writing, add_version, tell_changed


@dataclass(frozen=True, slots=True, kw_only=True)
class Writes:
    """Which versions: all that fit what is given. The first one made the block and is never among them."""

    actor_id: str | None = None
    run_id: str | None = None
    #: From this time on.
    since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reversal:
    """What the block would hold without these writes."""

    #: Numbers of the versions, oldest first.
    versions: tuple[int, ...]
    value: str
    #: Places where others have changed since what was written: they stay as they are, which is `theirs`.
    kept: tuple[Clash, ...]
    #: The value with all of it out, also in the places that `value` keeps: what a person settles against the block of now.
    without: str


def plan_reversal(*, block: Block, writes: Writes) -> Reversal:
    """What reverting would do to the block as it stands.

    Raises Unprocessable when neither an actor nor a run is named, NotFound when they wrote nothing.
    """
    if writes.actor_id is None and writes.run_id is None:
        raise Unprocessable("Say whose writes are to be reverted: an actor_id, a run_id, or both.")
    numbers = list(_chosen(block, writes).values_list("number", flat=True))
    if not numbers:
        raise NotFound(f"Nothing in the history of block {block.label!r} was written by them.")
    value, without, kept = block.value, block.value, list[Clash]()
    for first, last in reversed(list(_ranges(numbers))):
        values = dict(
            BlockVersion.objects.filter(block=block, number__in=(first - 1, last)).values_list(
                "number", "value"
            )
        )
        hunks = find_hunks(base=values[last], mine=values.get(first - 1, ""), theirs=value)
        was = split_lines(values[last])
        kept += (hunk.clash(was) for hunk in hunks if hunk.kind == "clash")
        chosen = [hunk.theirs if hunk.merged is None else hunk.merged for hunk in hunks]
        value = compose(values[last], hunks, chosen)
        hunks = find_hunks(base=values[last], mine=values.get(first - 1, ""), theirs=without)
        chosen = [hunk.mine if hunk.merged is None else hunk.merged for hunk in hunks]
        without = compose(values[last], hunks, chosen)
    return Reversal(versions=tuple(numbers), value=value, kept=tuple(kept), without=without)


def revert_writes(
    *,
    caller: Caller,
    block_id: str,
    writes: Writes,
    base_version: int | None = None,
    keeps_clashes: bool = False,
) -> tuple[Block, Reversal]:
    """The block without these writes, as one new version; other fields than the value stay.

    Raises what `plan_reversal` does; Conflict when the block is no longer at `base_version`, when nothing of the writes is left
    in it, and, unless `keeps_clashes`, when others have changed the same lines since: its data has them as `hunks`.
    """
    caller.check("edit")
    with transaction.atomic():
        block = lock_at(caller, block_id, base_version)
        reversal = plan_reversal(block=block, writes=writes)
        if reversal.kept and not keeps_clashes:
            raise Conflict(
                f"Others have changed {len(reversal.kept)} of these places in block {block.label!r} since. "
                "Revert with keep_clashes to leave those as they are now.",
                hunks=[hunk_data(clash) for clash in reversal.kept],
                versions=list(reversal.versions),
                current_version=block.version,
            )
        if reversal.value == block.value:
            raise Conflict(f"Nothing of these writes is left in block {block.label!r}.")
        before, block.value = block.value, reversal.value
        check_value(block)
        add_version(
            block, caller, None, Writing(base_version=block.version, act=VersionAct.REVERT), before=before
        )
        block.last_updated_by_id = caller.id
        block.save()
    tell_changed(block)
    return block, reversal


def _chosen(block: Block, writes: Writes) -> QuerySet[BlockVersion]:
    versions = BlockVersion.objects.filter(block=block, number__gt=1).order_by("number")
    if writes.actor_id is not None:
        versions = versions.filter(actor_id=writes.actor_id)
    if writes.run_id is not None:
        versions = versions.filter(run_id=writes.run_id)
    if writes.since is not None:
        versions = versions.filter(created_at__gte=writes.since)
    return versions


def _ranges(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Numbers that follow each other, as first and last: taken out together they clash with nothing in between."""
    start = 0
    for at in range(1, len(numbers) + 1):
        if at == len(numbers) or numbers[at] != numbers[at - 1] + 1:
            yield numbers[start], numbers[at - 1]
            start = at
