"""A change that was made to an older version of a block: merged with what came since, or refused with all that is needed to settle it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from letta_ade.core.errors import Conflict, Unprocessable
from memory.merge import Clash, Merge, join_insertions, merge_texts
from memory.models import Block, BlockVersion


class BlockConflict(Conflict):
    """The block was changed meanwhile, in the same places. `merge` has the parts of the value."""

    def __init__(self, message: str, *, merge: Merge, **data: Any) -> None:
        super().__init__(message, **data)
        self.merge = merge


def rebased(
    block: Block, wanted: Mapping[str, Any], base_version: int, *, joins_insertions: bool = False
) -> dict[str, Any]:
    """Fields as they are to be set on the block of now, None for one that these changes leave to whoever changed it.

    `wanted` are the fields that somebody set while looking at `base_version`. Raises Unprocessable for a version that there is
    not, and BlockConflict when both changed the same lines, or the same field, in different ways. With `joins_insertions`, lines that
    both put to one place are no conflict: mine come after theirs.
    """
    base = get_base(block, base_version)
    made: dict[str, Any] = {}
    fields: dict[str, dict[str, Any]] = {}
    for name, mine in wanted.items():
        was, theirs = getattr(base, name), getattr(block, name)
        made[name] = None if mine == was else mine
        if name != "value" and mine != was and theirs not in (was, mine):
            fields[name] = {"base": was, "mine": mine, "theirs": theirs}
    mine_value = wanted.get("value", base.value)
    merge = merge_texts(base=base.value, mine=mine_value, theirs=block.value)
    if joins_insertions:
        merge = join_insertions(merge)
    if fields or merge.clashes:
        what = [*(["the same lines"] if merge.clashes else []), *(f"the {name}" for name in fields)]
        raise BlockConflict(
            f"Block {block.label!r} is at version {block.version}, this change was made to version {base_version}, "
            f"and both changed {', '.join(what)}. Settle it and send the change with base_version {block.version}.",
            merge=merge,
            base_version=base_version,
            current_version=block.version,
            base=base.value,
            mine=mine_value,
            theirs=block.value,
            hunks=[hunk_data(clash) for clash in merge.clashes],
            fields=fields,
        )
    return made | ({"value": merge.text} if "value" in wanted else {})


def get_base(block: Block, number: int) -> BlockVersion:
    """The version that a change was made to. Raises Unprocessable when there is none of that number."""
    base = BlockVersion.objects.filter(block_id=block.pk, number=number).first()
    if base is None:
        raise Unprocessable(
            f"Block {block.label!r} has no version {number} that a change could be made to; it is at version {block.version}."
        )
    return base


def hunk_data(clash: Clash) -> dict[str, Any]:
    """A clash as the data of an error."""
    return {
        "base_line": clash.base_line,
        "base": list(clash.base),
        "mine": list(clash.mine),
        "theirs": list(clash.theirs),
    }
