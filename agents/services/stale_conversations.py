"""Conversations that show an older version of a block than it has now: what they show, and bringing them up to date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from django.db import transaction

from agents.services import system_message
from agents.services.agents import tell
from agents.services.block_pins import get_reader
from agents.services.block_readers import BlockReader, list_readers
from agents.services.conversations import find_conversation, get_conversation_for
from agents.services.leases import RunBusy, keep_runs_out
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from memory.models import Block
from memory.services.block_versions import VersionDiff, compare_versions
from memory.services.blocks import get_block_for

#: Each is a transaction of its own; more of them would hold up the request.
MOST_RECOMPILED = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Readership:
    """The conversations that show a block."""

    block: Block
    readers: tuple[BlockReader, ...]

    @property
    def stale(self) -> list[BlockReader]:
        return [reader for reader in self.readers if reader.is_stale]

    @property
    def pinned(self) -> list[BlockReader]:
        return [reader for reader in self.readers if reader.pinned is not None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recompiled:
    """What came of recompiling all: ids of conversations."""

    done: tuple[str, ...]
    #: A run goes on in them; their next turn is up to date anyway.
    busy: tuple[str, ...]
    #: Left for another request.
    left: tuple[str, ...]


def get_readership(*, caller: Caller, block_id: str) -> Readership:
    """The open conversations that show the block. Raises NotFound."""
    block = get_block_for(caller=caller, block_id=block_id)
    return Readership(block=block, readers=tuple(list_readers(caller=caller, block=block)))


def compare_shown(
    *, caller: Caller, block_id: str, conversation_id: str, agent_id: str | None = None
) -> tuple[BlockReader, VersionDiff | None]:
    """The conversation, and how the version that it shows differs from the newest; None when it shows none yet.

    Raises NotFound (block, conversation, or a block that the conversation does not show).
    """
    caller.check("read")
    block = get_block_for(caller=caller, block_id=block_id)
    found = find_conversation(caller=caller, conversation_id=conversation_id, agent_id=agent_id)
    reader = get_reader(caller=caller, block=block, conversation=found)
    if reader.compiled is None:
        return reader, None
    diff = compare_versions(caller=caller, block_id=block_id, old=reader.compiled, new=block.version)
    return reader, diff


def recompile_stale(*, caller: Caller, block_id: str) -> Recompiled:
    """Compile the newest version into every conversation that is behind, at most `MOST_RECOMPILED`; pinned ones stay.

    Raises NotFound. A conversation that goes away meanwhile is left out.
    """
    caller.check("edit")
    stale = get_readership(caller=caller, block_id=block_id).stale
    ids = [reader.conversation_id for reader in stale]
    done, busy = _recompile_each(caller, ids[:MOST_RECOMPILED])
    return Recompiled(done=tuple(done), busy=tuple(busy), left=tuple(ids[MOST_RECOMPILED:]))


def _recompile_each(caller: Caller, ids: Sequence[str]) -> tuple[list[str], list[str]]:
    done, busy = [], []
    for conversation_id in ids:
        try:
            with transaction.atomic():
                found = get_conversation_for(caller=caller, conversation_id=conversation_id)
                conversation = keep_runs_out(found)
                system_message.recompile(
                    agent=found.agent, conversation=conversation, update_timestamp=False, is_dry_run=False
                )
                tell(found.agent)
        except RunBusy:
            busy.append(conversation_id)
        except NotFound:
            continue
        else:
            done.append(conversation_id)
    return done, busy
