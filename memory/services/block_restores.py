"""A block put back to an earlier state, always by a new version: restore, undo, redo."""

from __future__ import annotations

from django.db import transaction

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict
from memory.models import Block, BlockVersion
from memory.models.block_version import VersionAct
from memory.services.block_checks import check_block, check_label_is_free
from memory.services.block_policies import check_is_free
from memory.services.block_versions import get_version_of
from memory.services.block_writes import VERSIONED, Writing, add_version, lock_block, tell_changed


def restore_version(*, caller: Caller, block_id: str, number: int, base_version: int | None = None) -> Block:
    """The block as it was in that version; one that is so already is left alone.

    Raises NotFound, also for the version; BlockReadOnly or Forbidden when the caller may not write freely; Conflict when the
    block is no longer at `base_version`, or when an agent that holds it has another block of the label of then.
    """
    caller.check("edit")
    with transaction.atomic():
        block = lock_at(caller, block_id, base_version)
        target = get_version_of(block, number)
        if all(getattr(block, name) == getattr(target, name) for name in VERSIONED):
            return block
        _put_back(caller, block, target, VersionAct.RESTORE)
    tell_changed(block)
    return block


def undo(*, caller: Caller, block_id: str, base_version: int | None = None) -> Block:
    """The block as it was before its last change; again and again goes further back. Raises what `restore_version` does.

    Conflict also when there is nothing to undo.
    """
    return _step(caller, block_id, base_version, VersionAct.UNDO)


def redo(*, caller: Caller, block_id: str, base_version: int | None = None) -> Block:
    """The block as it was before the last undo. Raises what `restore_version` does.

    Conflict also when nothing was undone, or something else was written since.
    """
    return _step(caller, block_id, base_version, VersionAct.REDO)


def _step(caller: Caller, block_id: str, base_version: int | None, act: VersionAct) -> Block:
    caller.check("edit")
    with transaction.atomic():
        block = lock_at(caller, block_id, base_version)
        done, undone = _stacks(block)
        if act == VersionAct.UNDO:
            number = done[-2] if len(done) > 1 else None
        else:
            number = undone[-1] if undone else None
        if number is None:
            raise Conflict(f"There is nothing to {act} in block {block.label!r}.")
        _put_back(caller, block, get_version_of(block, number), act)
    tell_changed(block)
    return block


def steps_left(block: Block) -> tuple[bool, bool]:
    """Whether there is something to undo, and something to redo."""
    done, undone = _stacks(block)
    return len(done) > 1, bool(undone)


def _stacks(block: Block) -> tuple[list[int], list[int]]:
    """Versions whose states led to the present one, which is the last; and those that were undone, the next to redo last."""
    done: list[int] = []
    undone: list[int] = []
    for number, act in (
        BlockVersion.objects.filter(block=block).order_by("number").values_list("number", "act")
    ):
        if act == VersionAct.UNDO and done:
            undone.append(done.pop())
        elif act == VersionAct.REDO and undone:
            done.append(undone.pop())
        else:
            done.append(number)
            undone.clear()
    return done, undone


def lock_at(caller: Caller, block_id: str, base_version: int | None) -> Block:
    """The block, locked. Raises NotFound, and Conflict when it is no longer at `base_version`."""
    block = lock_block(caller, block_id)
    check_is_free(block, caller, "putting an earlier text back")
    if base_version is not None and base_version != block.version:
        raise Conflict(
            f"Block {block.label!r} is at version {block.version}, not {base_version}. Look at it again first.",
            current_version=block.version,
        )
    return block


def _put_back(caller: Caller, block: Block, target: BlockVersion, act: VersionAct) -> None:
    label, before = block.label, block.value
    for name in VERSIONED:
        setattr(block, name, getattr(target, name))
    check_block(block)
    if block.label != label:
        check_label_is_free(block)
    writing = Writing(base_version=block.version, act=act, restored_from=target.number)
    add_version(block, caller, None, writing, before=before)
    block.last_updated_by_id = caller.id
    block.save()
