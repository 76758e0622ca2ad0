"""One change to many blocks at once; each is done by itself, and each says what became of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from django.db.models import QuerySet

from agents.models import Agent, AgentBlock
from agents.services.agent_blocks import attach_block, detach_block
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import AdeError, Unprocessable
from memory.models import Block
from memory.services.blocks import BlockChanges, change_block, delete_block, get_block_for
from memory.texts import check_tags

MOST_BLOCKS = 1_000
#: Blocks times agents.
MOST_LINKS = 5_000


class BulkAction(StrEnum):
    ATTACH = "attach"
    DETACH = "detach"
    ADD_TAG = "add_tag"
    REMOVE_TAG = "remove_tag"
    SET_READ_ONLY = "set_read_only"
    SET_EDITABLE = "set_editable"
    DELETE = "delete"


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkRequest:
    """What is to be done, and to which blocks."""

    action: BulkAction
    block_ids: tuple[str, ...]
    #: For attach and detach.
    agent_ids: tuple[str, ...] = ()
    #: For add_tag and remove_tag.
    tag: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class BulkResult:
    """What became of one block, or of one block and one agent: done, unchanged or refused."""

    block_id: str
    #: Empty for a block that is not there.
    label: str
    agent_id: str | None
    outcome: str
    #: Why it was refused.
    message: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A block with the agents that hold it."""

    block: Block
    agent_names: list[str]


def change_blocks(*, caller: Caller, request: BulkRequest) -> list[BulkResult]:
    """What became of each. What is refused for one leaves the others alone.

    Raises Unprocessable for a request that cannot be carried out at all: no block, no agent, no tag, or too many.
    """
    caller.check("edit")
    _check(request)
    ids = list(dict.fromkeys(request.block_ids))
    mine = Block.objects.filter(workspace_id=caller.workspace_id, id__in=ids)
    labels = dict(mine.values_list("id", "label"))
    return [
        _result(caller, request, block_id, labels.get(block_id, ""), agent_id)
        for block_id in ids
        for agent_id in _agents_of(request)
    ]


def list_held(*, caller: Caller, blocks: QuerySet[Block]) -> list[Held]:
    """The first `MOST_BLOCKS` of the blocks by label, each with the names of the agents that hold it."""
    caller.check("read")
    found = list(blocks.defer("value", "metadata").order_by("label", "id")[:MOST_BLOCKS])
    names: dict[str, list[str]] = {}
    links = AgentBlock.objects.filter(block_id__in=[block.id for block in found])
    for block_id, name in links.order_by("agent__name").values_list("block_id", "agent__name"):
        names.setdefault(block_id, []).append(name)
    return [Held(block=block, agent_names=names.get(block.id, [])) for block in found]


def _agents_of(request: BulkRequest) -> Iterator[str | None]:
    if request.action in (BulkAction.ATTACH, BulkAction.DETACH):
        yield from dict.fromkeys(request.agent_ids)
    else:
        yield None


def _result(
    caller: Caller, request: BulkRequest, block_id: str, label: str, agent_id: str | None
) -> BulkResult:
    try:
        is_done = _carry_out(caller, request, block_id, agent_id)
    except AdeError as error:
        return BulkResult(
            block_id=block_id, label=label, agent_id=agent_id, outcome="refused", message=error.message
        )
    outcome = "done" if is_done else "unchanged"
    return BulkResult(block_id=block_id, label=label, agent_id=agent_id, outcome=outcome)


def _carry_out(caller: Caller, request: BulkRequest, block_id: str, agent_id: str | None) -> bool:
    """Whether anything was changed."""
    match request.action:
        case BulkAction.ATTACH | BulkAction.DETACH:
            return _link(caller, request.action, block_id, agent_id or "")
        case BulkAction.DELETE:
            delete_block(caller=caller, block_id=block_id)
            return True
        case BulkAction.ADD_TAG | BulkAction.REMOVE_TAG:
            tags: Sequence[str] = get_block_for(caller=caller, block_id=block_id).tags
            others = [tag for tag in tags if tag != request.tag]
            is_adding = request.action is BulkAction.ADD_TAG
            if is_adding == (request.tag in tags):
                return False
            changes = BlockChanges(tags=(*others, request.tag) if is_adding else tuple(others))
        case BulkAction.SET_READ_ONLY | BulkAction.SET_EDITABLE:
            changes = BlockChanges(read_only=request.action is BulkAction.SET_READ_ONLY)
    return change_block(caller=caller, block_id=block_id, changes=changes).is_written


def _link(caller: Caller, action: BulkAction, block_id: str, agent_id: str) -> bool:
    is_attaching = action is BulkAction.ATTACH
    is_held = AgentBlock.objects.filter(
        block_id=block_id, agent_id=agent_id, agent__workspace_id=caller.workspace_id
    ).exists()
    if is_held and is_attaching:
        return False
    if not is_held and not is_attaching and _are_mine(caller, block_id, agent_id):
        return False
    change = attach_block if is_attaching else detach_block
    change(caller=caller, agent_id=agent_id, block_id=block_id)
    return True


def _are_mine(caller: Caller, block_id: str, agent_id: str) -> bool:
    mine = {"workspace_id": caller.workspace_id}
    return (
        Block.objects.filter(id=block_id, **mine).exists()
        and Agent.objects.filter(id=agent_id, **mine).exists()
    )


def _check(request: BulkRequest) -> None:
    if not request.block_ids:
        raise Unprocessable("Name at least one block.")
    if len(request.block_ids) > MOST_BLOCKS:
        raise Unprocessable(
            f"At most {MOST_BLOCKS:,} blocks are changed at once, not {len(request.block_ids):,}."
        )
    if request.action in (BulkAction.ATTACH, BulkAction.DETACH):
        if not request.agent_ids:
            raise Unprocessable(f"{request.action} needs at least one agent.")
        links = len(request.block_ids) * len(request.agent_ids)
        if links > MOST_LINKS:
            raise Unprocessable(f"At most {MOST_LINKS:,} blocks times agents at once, not {links:,}.")
    if request.action in (BulkAction.ADD_TAG, BulkAction.REMOVE_TAG):
        check_tags([request.tag])
    if any("\0" in each for each in (*request.block_ids, *request.agent_ids)):
        raise Unprocessable("An id holds no NUL character.")
