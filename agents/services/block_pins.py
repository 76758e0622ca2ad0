"""Pins: a conversation keeps the version of a block that is in its system message, until it is unpinned.

The pin holds against every write, the agent's own too: that lands in the block, as any other, and the tool's answer says what the
conversation goes on showing.
"""

from __future__ import annotations

from collections.abc import Sequence

from django.db import transaction

from agents.models import Conversation
from agents.services.agents import tell
from agents.services.block_readers import BlockReader, list_readers
from agents.services.conversations import find_conversation
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, NotFound
from memory.models import Block
from memory.services.blocks import BlockEdit, get_block_for


def pin_block(
    *, caller: Caller, conversation_id: str, block_id: str, agent_id: str | None = None
) -> BlockReader:
    """The conversation with the block pinned to the version that it shows. Pinning it again changes nothing.

    Allowed while a run goes on: what that shows stays. Raises NotFound (conversation, block, or a block that the conversation does not
    show), Conflict when the block is not in its system message yet.
    """
    return _set_pin(caller, conversation_id, block_id, agent_id, is_pinned=True)


def unpin_block(
    *, caller: Caller, conversation_id: str, block_id: str, agent_id: str | None = None
) -> BlockReader:
    """The conversation with the block unpinned: its next turn shows the newest version. Raises NotFound as `pin_block` does."""
    return _set_pin(caller, conversation_id, block_id, agent_id, is_pinned=False)


def _set_pin(
    caller: Caller, conversation_id: str, block_id: str, agent_id: str | None, *, is_pinned: bool
) -> BlockReader:
    caller.check("edit")
    block = get_block_for(caller=caller, block_id=block_id)
    with transaction.atomic():
        found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
        conversation = Conversation.objects.select_for_update().get(pk=found.pk)
        reader = get_reader(caller=caller, block=block, conversation=conversation)
        pins = {key: number for key, number in conversation.pinned_versions.items() if key != block_id}
        if is_pinned:
            if reader.compiled is None:
                raise Conflict(
                    f"The conversation {conversation.wire_id!r} has no version of {block.label!r} in its system message yet. "
                    "Recompile it first."
                )
            pins[block_id] = reader.pinned or reader.compiled
        if pins != conversation.pinned_versions:
            conversation.pinned_versions = pins
            conversation.save(update_fields=["pinned_versions", "updated_at"])
            tell(found.agent)
        return get_reader(caller=caller, block=block, conversation=conversation)


def get_reader(*, caller: Caller, block: Block, conversation: Conversation) -> BlockReader:
    """How the conversation shows the block. Raises NotFound when it does not."""
    found = list_readers(caller=caller, block=block, conversation_id=conversation.id)
    if not found:
        raise NotFound(f"The conversation {conversation.wire_id!r} does not show the block {block.id!r}.")
    return found[0]


def about_pins(conversation: Conversation, edits: Sequence[BlockEdit]) -> str:
    """What the answer of a tool adds for edits of pinned blocks; empty without any."""
    notes = [
        f"\nSaved as version {edit.block.version} of {edit.block.label!r}. This conversation is pinned to version {number} of it "
        "and goes on showing that one; everybody else sees your edit."
        for edit in edits
        if (number := conversation.pinned_versions.get(edit.block.id)) is not None
    ]
    return "".join(notes)
