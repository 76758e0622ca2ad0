"""The blocks of an agent: attached, detached, and reached by their label."""

from __future__ import annotations

from django.db import transaction
from django.db.models import QuerySet

from agents.models import Agent, ConversationBlock
from agents.services import agent_links, background_memory
from agents.services.agent_versions import record_version
from agents.services.agents import get_agent_for, tell
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, NotFound
from letta_ade.core.pagination import PageRequest, paginate
from memory.models import Block
from memory.services.blocks import BlockChange, BlockChanges, change_block, get_block_for


def blocks_of(agent: Agent) -> QuerySet[Block]:
    """The agent's blocks in the order in which they stand in its prompt."""
    return Block.objects.filter(agent_links__agent=agent).order_by("agent_links__position", "agent_links__id")


def list_agent_blocks(*, caller: Caller, agent_id: str, page: PageRequest) -> list[Block]:
    """A page of the agent's blocks. Raises NotFound."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    return paginate(Block.objects.filter(agent_links__agent=agent), page)


def get_block_by_label(*, caller: Caller, agent_id: str, label: str) -> Block:
    """The agent's block of that label. Raises NotFound, naming the labels that there are."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    blocks = list(blocks_of(agent))
    for block in blocks:
        if block.label == label:
            return block
    labels = ", ".join(repr(block.label) for block in blocks) or "none"
    raise NotFound(f"The agent has no block with the label {label!r}. Its labels: {labels}.")


def update_agent_block(
    *, caller: Caller, agent_id: str, label: str, changes: BlockChanges, base_version: int | None = None
) -> BlockChange:
    """Change the block of that label. Raises what `change_block` does."""
    block = get_block_by_label(caller=caller, agent_id=agent_id, label=label)
    return change_block(caller=caller, block_id=block.id, changes=changes, base_version=base_version)


def attach_block(*, caller: Caller, agent_id: str, block_id: str) -> Agent:
    """The agent with the block; attaching it again changes nothing. Those who keep its memory get it too.

    Raises NotFound, or Conflict for a label it has.
    """
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        block = get_block_for(caller=caller, block_id=block_id)
        agent_links.link_blocks(agent, [block])
        background_memory.share_block(agent, block)
        record_version(caller, agent)
        tell(agent)
    return agent


def detach_block(*, caller: Caller, agent_id: str, block_id: str) -> Agent:
    """The agent without the block, which stays. Raises NotFound also when the block is not attached.

    Conflict for the private copy that a conversation has of a block: it goes with the conversation.
    """
    caller.check("edit")
    with transaction.atomic():
        agent = get_agent_for(caller=caller, agent_id=agent_id, for_update=True)
        removed, _ = agent.block_links.filter(block_id=block_id).delete()
        if not removed:
            if ConversationBlock.objects.filter(block_id=block_id, conversation__agent=agent).exists():
                raise Conflict("This block is a copy that one conversation has for itself; it stays as long.")
            raise NotFound(f"The block {block_id!r} is not attached to this agent.")
        background_memory.unshare_blocks(agent, [block_id])
        record_version(caller, agent)
        tell(agent)
    return agent
