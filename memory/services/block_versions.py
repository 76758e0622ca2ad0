"""The versions of a block: listed, compared, explained line by line, and checked."""

from __future__ import annotations

from django.db.models import QuerySet

from letta_ade.accounts.auth import Caller
from memory.history import chain_hash
from memory.models import Block, BlockVersion
from memory.services.block_writes import VERSIONED, facts_of
from memory.services.blocks import get_block_for


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
        if chain_hash(last.prev_hash, facts_of(last)) != last.hash:
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
