"""Rules of who may write to a block, and writes that wait for approval, on the wire: extensions of ours."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from letta_ade.core.schemas import Body, PageQuery, Wire
from memory.api.schemas.block_version import DiffLine
from memory.diffs import diff_rows
from memory.history import count_changed_lines
from memory.models import Block, BlockPolicyChange, BlockProposal
from memory.policies import KINDS, Actor, policy_for
from memory.services.proposals import ProposalFilters, StateFilter

#: Policies that an answer lists at most; older ones are in the database.
MOST_CHANGES = 50


class PolicyChangeResponse(Wire):
    """Somebody set the rules."""

    rules: dict[str, str]
    actor_kind: str
    actor_id: str
    actor_name: str
    created_at: datetime

    @classmethod
    def of(cls, change: BlockPolicyChange) -> PolicyChangeResponse:
        """The change of a row."""
        return cls(**{name: getattr(change, name) for name in cls.model_fields})


class PolicyResponse(Wire):
    """Who may write to a block."""

    block_id: str
    #: The block's own switch, which stops every agent whatever the rules say.
    read_only: bool
    rules: dict[str, str]
    #: What comes of it for each kind of actor; single agents may differ by their rules.
    effective: dict[str, str]
    #: The newest first; null and empty while nobody has set any.
    set_by: PolicyChangeResponse | None
    history: list[PolicyChangeResponse]

    @classmethod
    def of(cls, block: Block, changes: list[BlockPolicyChange]) -> PolicyResponse:
        """The rules of a row."""
        history = [PolicyChangeResponse.of(change) for change in changes]
        return cls(
            block_id=block.id,
            read_only=block.read_only,
            rules=block.policy,
            effective={
                kind: policy_for(block.policy, Actor(kind=kind, id=""), is_read_only=block.read_only)
                for kind in KINDS
            },
            set_by=history[0] if history else None,
            history=history,
        )


class PutPolicy(Body):
    """The rules instead of all that there are."""

    rules: dict[str, str]


class PatchPolicy(Body):
    """Rules that change; null removes one."""

    rules: dict[str, str | None]


class ProposalQuery(PageQuery):
    """The parameters of a list of proposals."""

    state: StateFilter | None = None
    agent_id: str | None = None
    block_id: str | None = None
    run_id: str | None = None
    conversation_id: str | None = None

    def filters(self, *, block_id: str | None = None) -> ProposalFilters:
        """What is asked for; of one block where that stands in the path."""
        return ProposalFilters(
            state=self.state,
            agent_id=self.agent_id,
            block_id=block_id or self.block_id,
            run_id=self.run_id,
            conversation_id=self.conversation_id,
        )


class ProposalResponse(Wire):
    """A write that waits for approval, or did."""

    id: str
    block_id: str
    label: str
    state: str
    base_version: int
    base_value: str
    #: What the value is to be; null: it stays.
    value: str | None
    #: Other fields that are to change.
    changes: dict[str, Any]
    added: int
    removed: int
    actor_kind: str
    actor_id: str
    actor_name: str
    is_background: bool
    conversation_id: str | None
    run_id: str | None
    step_id: str | None
    message_id: str | None
    tool_call_id: str | None
    tool_name: str | None
    excerpt: str
    excerpt_message_id: str | None
    superseded_by: str | None
    decided_by_kind: str | None
    decided_by_id: str | None
    decided_by_name: str | None
    decided_at: datetime | None
    reason: str
    edited_value: str | None
    written_version: int | None
    #: The message in which its agent read what was decided.
    told_message_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, proposal: BlockProposal) -> ProposalResponse:
        """The proposal of a row."""
        return cls(**_fields(proposal))


class ProposalDetail(ProposalResponse):
    """One proposal by itself, with its difference line by line."""

    lines: list[DiffLine]

    @classmethod
    def of(cls, proposal: BlockProposal) -> ProposalDetail:
        """The proposal of a row."""
        rows = [] if proposal.value is None else diff_rows(proposal.base_value, proposal.value)
        return cls(**_fields(proposal), lines=[DiffLine.of(row) for row in rows])


def _fields(proposal: BlockProposal) -> dict[str, Any]:
    new = proposal.base_value if proposal.value is None else proposal.value
    lines = count_changed_lines(proposal.base_value, new)
    names = [name for name in ProposalResponse.model_fields if name not in ("added", "removed")]
    return {
        **{name: getattr(proposal, name) for name in names},
        "added": lines.added,
        "removed": lines.removed,
    }


class ApproveProposal(Body):
    """An approval; with `value` that is written instead of what was proposed."""

    value: str | None = None
    #: The version that `value` was made from; by default the proposal's.
    base_version: int | None = None


class RejectProposal(Body):
    reason: str | None = None
