"""What a person decides about a proposal: approve it, approve another text, or reject it. Each decision is taken once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Invalid, NotFound, Unprocessable
from memory.merge import Agreed, Clash, join_insertions, merge_texts
from memory.models import Block, BlockProposal
from memory.models.block_proposal import ProposalState
from memory.models.block_version import VersionAct
from memory.services.block_checks import check_block, check_label_is_free
from memory.services.block_merges import rebased
from memory.services.block_policies import check_may_decide
from memory.services.block_writes import VERSIONED, Origin, Writing, add_version, lock_block, tell_changed
from memory.services.blocks import BlockChanges, apply_changes
from memory.services.proposals import get_proposal_for, tell_proposal
from memory.texts import check_text

MOST_REASON_CHARACTERS = 10_000


class AlreadyDecided(Conflict):
    """The proposal is not waiting any more."""


def approve_proposal(
    *, caller: Caller, proposal_id: str, text: str | None = None, base_version: int | None = None
) -> BlockProposal:
    """The proposal, approved: written, merged with what was written to the block since. With `text`, that is written instead.

    `base_version` is the version that `text` was made from, by default the proposal's. Approving what is approved with the same
    text changes nothing. Raises NotFound; Forbidden; AlreadyDecided; BlockConflict when both changed the same lines, which a text
    settles; Unprocessable, BlockTooLong; Conflict for a label that is taken meanwhile.
    """
    if text is None and base_version is not None:
        raise Invalid("base_version goes with the text that was made from it.")

    def decide(proposal: BlockProposal, block: Block) -> None:
        is_edited = text is not None and text != proposal.value
        proposal.state = ProposalState.EDITED if is_edited else ProposalState.APPROVED
        proposal.edited_value = text if is_edited else None
        proposal.written_version = _write(caller, proposal, block, text, base_version)

    def is_same(proposal: BlockProposal) -> bool:
        written = proposal.edited_value if proposal.state == ProposalState.EDITED else proposal.value
        is_written = proposal.state in (ProposalState.APPROVED, ProposalState.EDITED)
        asked = proposal.value if text is None else text
        return is_written and asked == written

    return _decide(caller, proposal_id, decide, is_same)


def reject_proposal(*, caller: Caller, proposal_id: str, reason: str = "") -> BlockProposal:
    """The proposal, rejected; its agent reads the reason with the next message to it. Rejecting it again changes nothing.

    Raises NotFound; Forbidden; AlreadyDecided, also for another reason than the one that was given; Unprocessable.
    """
    reason = check_text("The reason", reason).strip()
    if len(reason) > MOST_REASON_CHARACTERS:
        raise Unprocessable(
            f"A reason has at most {MOST_REASON_CHARACTERS:,} characters, not {len(reason):,}: the agent has to read it."
        )

    def decide(proposal: BlockProposal, block: Block) -> None:
        proposal.state, proposal.reason = ProposalState.REJECTED, reason

    def is_same(proposal: BlockProposal) -> bool:
        return proposal.state == ProposalState.REJECTED and reason in ("", proposal.reason)

    return _decide(caller, proposal_id, decide, is_same)


def _decide(
    caller: Caller,
    proposal_id: str,
    decide: Callable[[BlockProposal, Block], None],
    is_same: Callable[[BlockProposal], bool],
) -> BlockProposal:
    caller.check("edit")
    known = get_proposal_for(caller=caller, proposal_id=proposal_id)
    with transaction.atomic():
        # The block first, as every write does: two that lock both must not wait for each other.
        block = _lock_block(caller, known)
        proposal = BlockProposal.objects.select_for_update(of=("self",)).get(id=proposal_id)
        if block is not None:
            check_may_decide(block, caller)
        if block is None or not proposal.is_pending:
            if is_same(proposal):
                return proposal
            raise _already(proposal)
        decide(proposal, block)
        proposal.decided_at = timezone.now()
        proposal.decided_by_kind, proposal.decided_by_id = caller.kind, caller.id
        proposal.decided_by_name = caller.name[:255]
        proposal.save()
    tell_proposal(proposal)
    return proposal


def _lock_block(caller: Caller, proposal: BlockProposal) -> Block | None:
    try:
        return lock_block(caller, proposal.block_id)
    except NotFound:
        return None


def _already(proposal: BlockProposal) -> AlreadyDecided:
    said = {
        ProposalState.APPROVED: f"was approved by {proposal.decided_by_name}",
        ProposalState.EDITED: f"was approved by {proposal.decided_by_name} with another text",
        ProposalState.REJECTED: f"was rejected by {proposal.decided_by_name}",
        ProposalState.SUPERSEDED: f"is part of a later one: {proposal.superseded_by}",
    }.get(ProposalState(proposal.state), f"was closed: {proposal.reason or 'the block was deleted.'}")
    return AlreadyDecided(
        f"The proposal {said}",
        state=proposal.state,
        superseded_by=proposal.superseded_by,
    )


def _write(
    caller: Caller, proposal: BlockProposal, block: Block, text: str | None, base_version: int | None
) -> int | None:
    """Write what is approved; the number of the version, None when the block held it already."""
    wanted: dict[str, Any] = dict(proposal.changes)
    if (value := proposal.value if text is None else text) is not None:
        wanted["value"] = value
    base = proposal.base_version if base_version is None else base_version
    before = block.value
    if base != block.version:
        versioned = {name: new for name, new in wanted.items() if name in VERSIONED}
        # Whoever only adds lines where others have added some since loses nothing, and takes nothing away: those come after them.
        wanted |= rebased(block, versioned, base, joins_insertions=True)
    changed = apply_changes(block, BlockChanges(**wanted))
    if not changed:
        return None
    check_block(block)
    if "label" in changed:
        check_label_is_free(block)
    is_version = bool(changed & set(VERSIONED))
    if is_version:
        writing = Writing(
            base_version=base,
            act=VersionAct.APPROVAL,
            proposal_id=proposal.id,
            approved_by_id=caller.id,
            approved_by_name=caller.name[:255],
        )
        add_version(block, _proposer(proposal), _origin(proposal), writing, before=before)
    block.last_updated_by_id = caller.id
    block.save()
    tell_changed(block)
    return block.version if is_version else None


def _proposer(proposal: BlockProposal) -> Caller:
    return Caller(
        workspace_id=proposal.workspace_id,
        id=proposal.actor_id,
        name=proposal.actor_name,
        role="viewer",
        kind=proposal.actor_kind,  # type: ignore[arg-type] # written from a Caller
        is_background=proposal.is_background,
    )


def _origin(proposal: BlockProposal) -> Origin:
    return Origin(
        run_id=proposal.run_id,
        step_id=proposal.step_id,
        message_id=proposal.message_id,
        tool_call_id=proposal.tool_call_id,
        tool_name=proposal.tool_name,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """What an approval would make of the block as it stands now."""

    #: Where lines clash it has both, theirs before the proposed ones.
    text: str
    clashes: tuple[Clash, ...]
    #: The version that it was worked out from.
    base_version: int


def preview_approval(proposal: BlockProposal, block: Block) -> Preview:
    """The text that a person starts from who approves or edits the proposal."""
    if proposal.value is None:
        return Preview(text=block.value, clashes=(), base_version=block.version)
    merge = merge_texts(base=proposal.base_value, mine=proposal.value, theirs=block.value)
    merge = join_insertions(merge)
    lines: list[str] = []
    for part in merge.parts:
        lines += part.lines if isinstance(part, Agreed) else (*part.theirs, *part.mine)
    return Preview(text="\n".join(lines), clashes=merge.clashes, base_version=block.version)
