"""Writes that wait for approval: made instead of a write, found, and closed when nobody has to decide any more."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from copy import copy
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from django.db.models import QuerySet
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
from letta_ade.core.nudges import nudge, workspace_group
from memory.models import Block, BlockProposal
from memory.models.block_proposal import ProposalState
from memory.services.block_checks import check_block, check_label_is_free
from memory.services.block_merges import get_base
from memory.services.block_writes import Origin
from memory.texts import check_json

#: So much of the text that led to a write is kept: its end, for a transcript ends with what is new.
_MOST_EXCERPT_CHARACTERS = 4000

#: A tab of lists: what waits, or what has been decided; or one state.
StateFilter = Literal["pending", "decided", "approved", "edited", "rejected", "superseded", "withdrawn"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cause:
    """What led to a write."""

    conversation_id: str | None = None
    text: str = ""
    #: The message that the text is of.
    message_id: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """A write that is to be proposed. What is None stays as it is."""

    #: The whole value.
    value: str | None = None
    #: Other fields by name.
    changes: Mapping[str, Any] = field(default_factory=dict)
    #: The version that the value was made from.
    base_version: int
    origin: Origin = field(default_factory=Origin)
    #: Looked for only when there is something to propose.
    find_cause: Callable[[], Cause] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalFilters:
    """Which proposals are wanted; None: all."""

    state: StateFilter | None = None
    agent_id: str | None = None
    block_id: str | None = None
    run_id: str | None = None
    conversation_id: str | None = None


def find_own(block: Block, caller: Caller, run_id: str | None) -> BlockProposal | None:
    """What this actor has proposed for the block in this run and is not decided. In the transaction that has locked the block."""
    own = BlockProposal.objects.filter(
        block_id=block.pk,
        state=ProposalState.PENDING,
        actor_kind=caller.kind,
        actor_id=caller.id,
        run_id=run_id,
    )
    return own.order_by("-created_at", "-id").first()


def propose(
    *, caller: Caller, block: Block, wish: Wish, earlier: BlockProposal | None
) -> BlockProposal | None:
    """The proposal that is made instead of the write; None when the write would change nothing.

    In the transaction that has locked the block. What the actor proposed `earlier` in the same run goes into the new one, which
    takes its place. Raises what the write itself would: Unprocessable, BlockTooLong, Conflict for a label that is taken.
    """
    base = get_base(block, wish.base_version)
    value, changes = wish.value, dict(wish.changes)
    if earlier is not None:
        changes = {**earlier.changes, **changes}
        if value is None and earlier.value is not None:
            value, base = earlier.value, get_base(block, earlier.base_version)
    changes = {name: new for name, new in changes.items() if new != getattr(block, name)}
    value = None if value == base.value else value
    _check(block, value, changes)
    if value is None and not changes:
        if earlier is not None:
            _close([earlier], ProposalState.WITHDRAWN, "Taken back by the one who had made it.")
        return None
    if earlier is not None and (earlier.value, earlier.changes) == (value, changes):
        return earlier
    proposal = _row(caller, block, wish)
    proposal.base_version, proposal.base_value = base.number, base.value
    proposal.value, proposal.changes = value, changes
    proposal.save(force_insert=True)
    if earlier is not None:
        earlier.superseded_by = proposal.id
        _close([earlier], ProposalState.SUPERSEDED, "")
    tell_proposal(proposal)
    return proposal


def _check(block: Block, value: str | None, changes: Mapping[str, Any]) -> None:
    wanted = copy(block)
    for name, new in changes.items():
        setattr(wanted, name, new)
    if value is not None:
        wanted.value = value
    check_block(wanted)
    check_json("A change of a block", changes)
    if wanted.label != block.label:
        check_label_is_free(wanted)


def _row(caller: Caller, block: Block, wish: Wish) -> BlockProposal:
    cause = wish.find_cause() if wish.find_cause is not None else Cause()
    return BlockProposal(
        workspace_id=block.workspace_id,
        block_id=block.pk,
        label=block.label,
        actor_kind=caller.kind,
        actor_id=caller.id,
        actor_name=caller.name[:255],
        is_background=caller.is_background,
        conversation_id=cause.conversation_id,
        excerpt=_cut(cause.text),
        excerpt_message_id=cause.message_id,
        **{each.name: getattr(wish.origin, each.name) for each in fields(Origin)},
    )


def _cut(text: str) -> str:
    return text if len(text) <= _MOST_EXCERPT_CHARACTERS else f"…{text[-_MOST_EXCERPT_CHARACTERS:]}"


def list_proposals(*, caller: Caller, filters: ProposalFilters | None = None) -> QuerySet[BlockProposal]:
    """The workspace's proposals that pass. The order is the reader's."""
    caller.check("read")
    wanted = filters or ProposalFilters()
    found = BlockProposal.objects.filter(workspace_id=caller.workspace_id)
    if wanted.state == "decided":
        found = found.exclude(state=ProposalState.PENDING)
    elif wanted.state is not None:
        found = found.filter(state=wanted.state)
    exact = {
        "actor_id": wanted.agent_id,
        "block_id": wanted.block_id,
        "run_id": wanted.run_id,
        "conversation_id": wanted.conversation_id,
    }
    return found.filter(**{name: value for name, value in exact.items() if value is not None})


def waiting_ids(block_ids: Iterable[str]) -> dict[str, list[str]]:
    """What waits for each of these blocks, the newest last; one query."""
    found: dict[str, list[str]] = {}
    waiting = BlockProposal.objects.filter(block_id__in=list(block_ids), state=ProposalState.PENDING)
    for block_id, proposal_id in waiting.order_by("created_at", "id").values_list("block_id", "id"):
        found.setdefault(block_id, []).append(proposal_id)
    return found


def get_proposal_for(*, caller: Caller, proposal_id: str) -> BlockProposal:
    """The proposal. Raises NotFound, also for another workspace's."""
    found = list_proposals(caller=caller).filter(id=proposal_id).first()
    if found is None:
        raise NotFound(f"There is no proposal {proposal_id!r}.")
    return found


def withdraw_of_block(block: Block) -> None:
    """Close what waits for a block that is deleted, and drop the texts of all its proposals. In the transaction that deletes it."""
    proposals = BlockProposal.objects.filter(block_id=block.pk)
    _close(
        list(proposals.filter(state=ProposalState.PENDING)), ProposalState.WITHDRAWN, "The block was deleted."
    )
    proposals.update(base_value="", value=None, edited_value=None, changes={}, excerpt="")


def withdraw_of_agent(*, workspace_id: str, agent_id: str) -> None:
    """Close what an agent that is deleted has proposed. In the transaction that deletes it."""
    waiting = BlockProposal.objects.filter(
        workspace_id=workspace_id, actor_id=agent_id, state=ProposalState.PENDING
    )
    _close(
        list(waiting.select_for_update().order_by("id")), ProposalState.WITHDRAWN, "The agent was deleted."
    )


def _close(proposals: list[BlockProposal], state: ProposalState, reason: str) -> None:
    for proposal in proposals:
        proposal.state, proposal.reason, proposal.decided_at = state, reason, timezone.now()
        proposal.save(update_fields=["state", "reason", "decided_at", "superseded_by"])
        tell_proposal(proposal)


def tell_proposal(proposal: BlockProposal) -> None:
    """Tell open pages that the proposal is new or was decided."""
    nudge(
        workspace_group(proposal.workspace_id),
        "proposal_changed",
        proposal_id=proposal.id,
        block_id=proposal.block_id,
        agent_id=proposal.actor_id,
        state=proposal.state,
    )
