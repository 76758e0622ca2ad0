"""Names for versions of a block, to come back to."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, NotFound, Unprocessable
from memory.models import Block, BlockCheckpoint
from memory.services.block_restores import restore_version
from memory.services.block_versions import get_version_of
from memory.services.block_writes import lock_block
from memory.services.blocks import get_block_for
from memory.texts import check_text

_MOST_NAME_CHARACTERS = 255


def list_checkpoints(*, caller: Caller, block_id: str) -> QuerySet[BlockCheckpoint]:
    """The block's checkpoints. Raises NotFound."""
    return BlockCheckpoint.objects.filter(block=get_block_for(caller=caller, block_id=block_id))


def create_checkpoint(
    *, caller: Caller, block_id: str, name: str, version: int | None = None
) -> BlockCheckpoint:
    """A name for a version, the newest by default. Raises NotFound, Unprocessable for a bad name, Conflict for one that is taken."""
    caller.check("edit")
    name = _checked(name)
    with transaction.atomic():
        block = lock_block(caller, block_id)
        number = block.version if version is None else get_version_of(block, version).number
        _check_is_free(block, name)
        return BlockCheckpoint.objects.create(block=block, name=name, version=number, created_by_id=caller.id)


def rename_checkpoint(*, caller: Caller, block_id: str, checkpoint_id: str, name: str) -> BlockCheckpoint:
    """The checkpoint under another name. Raises NotFound, Unprocessable for a bad name, Conflict for one that is taken."""
    caller.check("edit")
    name = _checked(name)
    with transaction.atomic():
        block = lock_block(caller, block_id)
        checkpoint = _get(block, checkpoint_id)
        if name != checkpoint.name:
            _check_is_free(block, name)
            checkpoint.name = name
            checkpoint.save(update_fields=["name", "updated_at"])
    return checkpoint


def delete_checkpoint(*, caller: Caller, block_id: str, checkpoint_id: str) -> None:
    """Forget the name; the version stays. Raises NotFound."""
    caller.check("edit")
    _get(get_block_for(caller=caller, block_id=block_id), checkpoint_id).delete()


def restore_checkpoint(
    *, caller: Caller, block_id: str, checkpoint_id: str, base_version: int | None = None
) -> Block:
    """The block as it was at the checkpoint. Raises what `restore_version` does."""
    checkpoint = _get(get_block_for(caller=caller, block_id=block_id), checkpoint_id)
    return restore_version(
        caller=caller, block_id=block_id, number=checkpoint.version, base_version=base_version
    )


def _get(block: Block, checkpoint_id: str) -> BlockCheckpoint:
    checkpoint = BlockCheckpoint.objects.filter(block=block, id=checkpoint_id).first()
    if checkpoint is None:
        raise NotFound(f"Block {block.label!r} has no checkpoint {checkpoint_id!r}.")
    return checkpoint


def _checked(name: str) -> str:
    name = check_text("The name of a checkpoint", name).strip()
    if not 0 < len(name) <= _MOST_NAME_CHARACTERS:
        raise Unprocessable(
            f"The name of a checkpoint has between 1 and {_MOST_NAME_CHARACTERS} characters, not {len(name)}."
        )
    return name


def _check_is_free(block: Block, name: str) -> None:
    if BlockCheckpoint.objects.filter(block=block, name=name).exists():
        raise Conflict(f"Block {block.label!r} has a checkpoint {name!r} already.")
