"""What a block may hold: the one validator behind the API, the pages and the tools of agents."""

from __future__ import annotations

from letta_ade.core.errors import Conflict, Forbidden, Unprocessable
from memory.models import Block
from memory.texts import check_json, check_text

_MOST_LABEL_CHARACTERS = 255
_MOST_LIMIT = 2**31 - 1


class BlockReadOnly(Forbidden):
    """The block is read-only for whoever wants to write."""


class BlockTooLong(Unprocessable):
    """The value is longer than the block's limit."""


def check_block(block: Block) -> None:
    """Raise Unprocessable for a label, limit, text or metadata that cannot be, BlockTooLong for the value."""
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
    check_value(block)


def check_value(block: Block) -> None:
    """Raise Unprocessable for a character that cannot be stored, BlockTooLong beyond the limit."""
    check_text(f"The value of block {block.label!r}", block.value)
    if len(block.value) > block.limit:
        raise BlockTooLong(
            f"The value of block {block.label!r} would have {len(block.value)} characters; its limit is {block.limit}. "
            "Nothing was changed: shorten the value or raise the limit."
        )


def check_label_is_free(block: Block) -> None:
    """Raise Conflict when an agent that holds the block has another one of its label."""
    taken = Block.objects.filter(agents__blocks=block, label=block.label).exclude(id=block.id)
    if taken.exists():
        raise Conflict(f"An agent that holds this block has another block with the label {block.label!r}.")
