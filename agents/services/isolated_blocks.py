"""Blocks that a conversation has for itself: copies of its agent's, which nobody else reads or edits."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from agents.models import Agent, Conversation, ConversationBlock
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid
from memory.models import Block
from memory.services.blocks import BlockDraft, create_block, remove_block


def isolate(*, caller: Caller, agent: Agent, conversation: Conversation, labels: Sequence[str]) -> None:
    """Give a new conversation copies of the agent's blocks of these labels, as they are now. In a transaction.

    Raises Invalid for a label that the agent has no block of.
    """
    if not labels:
        return
    blocks = {block.label: block for block in Block.objects.filter(agent_links__agent=agent)}
    if missing := next((label for label in labels if label not in blocks), None):
        held = ", ".join(map(repr, blocks)) or "none"
        raise Invalid(f"The agent has no block with the label {missing!r} to isolate. Its labels: {held}.")
    _copy(caller, conversation, {label: blocks[label] for label in labels})


def copy_isolated(*, caller: Caller, source: Conversation, target: Conversation) -> None:
    """Give a fork copies of the copies that its source has. In a transaction."""
    links = source.block_links.select_related("block").order_by("id")
    _copy(caller, target, {link.label: link.block for link in links})


def delete_isolated(*, caller: Caller, conversation: Conversation) -> None:
    """Delete the copies of a conversation that is deleted; one that somebody has attached to an agent stays. In a transaction."""
    private = conversation.block_links.filter(block__agent_links=None).values_list("block_id", flat=True)
    for block_id in list(private):
        remove_block(caller=caller, block_id=block_id)


def isolated_ids(conversation_ids: Iterable[str]) -> dict[str, list[str]]:
    """Ids of the copies by conversation; one query."""
    found = defaultdict(list)
    links = ConversationBlock.objects.filter(conversation_id__in=conversation_ids).order_by("id")
    for conversation_id, block_id in links.values_list("conversation_id", "block_id"):
        found[conversation_id].append(block_id)
    return found


def _copy(caller: Caller, conversation: Conversation, blocks: Mapping[str, Block]) -> None:
    copies = [(label, create_block(caller=caller, draft=_draft(block))) for label, block in blocks.items()]
    ConversationBlock.objects.bulk_create(
        ConversationBlock(conversation=conversation, label=label, block=copy) for label, copy in copies
    )


def _draft(block: Block) -> BlockDraft:
    return BlockDraft(
        label=block.label,
        value=block.value,
        limit=block.limit,
        description=block.description,
        read_only=block.read_only,
        policy=block.policy,
        metadata=block.metadata,
        tags=tuple(block.tags),
        hidden=block.hidden,
        project_id=block.project_id,
    )
