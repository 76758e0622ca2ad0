"""A proposed memory edit as a person decides about it: the change, what led to it, who asked, and what it would do now."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse

from agents.models import Conversation
from memory.diffs import DiffRow, diff_rows
from memory.history import LineCount, count_changed_lines
from memory.models import Block, BlockProposal
from memory.models.block_proposal import ProposalState
from memory.services.proposal_decisions import Preview, preview_approval


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldChange:
    """A field that is not the value. `old` is None where nobody knows it any more."""

    name: str
    old: Any
    new: Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposalCard:
    """What the card shows."""

    proposal: BlockProposal
    #: None: it was deleted.
    block: Block | None
    rows: list[DiffRow]
    lines: LineCount
    fields: tuple[FieldChange, ...]
    #: What an approval would do now; None when there is nothing to decide.
    preview: Preview | None
    #: How the approved text differs from the proposed one.
    edited_rows: list[DiffRow]
    #: Earlier edits of the same run that it holds too, the oldest first.
    parts: tuple[BlockProposal, ...]
    #: Where the call stands, and the message that led to it; "" when they are gone or nobody called a tool.
    call_url: str
    cause_url: str

    @property
    def has_moved(self) -> bool:
        """Whether the block was written to since."""
        return self.block is not None and self.block.version != self.proposal.base_version

    @property
    def editor_text(self) -> str:
        """What a person who edits starts from."""
        return self.preview.text if self.preview is not None else ""

    @property
    def actor_kind(self) -> str:
        return {"agent": "agent", "api_key": "key"}.get(self.proposal.actor_kind, "person")


def load_card(proposal: BlockProposal) -> ProposalCard:
    """The card of a proposal; three queries."""
    block = Block.objects.filter(id=proposal.block_id).first()
    preview = preview_approval(proposal, block) if block is not None and proposal.is_pending else None
    old, new = proposal.base_value, proposal.base_value if proposal.value is None else proposal.value
    if block is not None and preview is not None and not preview.clashes:
        # What others wrote since is no part of the change.
        old, new = block.value, preview.text
    conversation_url = _conversation_url(proposal)
    return ProposalCard(
        proposal=proposal,
        block=block,
        rows=diff_rows(old, new) if proposal.value is not None else [],
        lines=count_changed_lines(old, new),
        fields=tuple(
            FieldChange(
                name=name,
                old=getattr(block, name) if block is not None and proposal.is_pending else None,
                new=", ".join(value) if isinstance(value, list) else value,
            )
            for name, value in proposal.changes.items()
        ),
        preview=preview,
        edited_rows=[]
        if proposal.edited_value is None
        else diff_rows(proposal.value or proposal.base_value, proposal.edited_value),
        parts=tuple(_parts(proposal)),
        call_url=_place(conversation_url, proposal.message_id),
        cause_url=_place(conversation_url, proposal.excerpt_message_id),
    )


def _parts(proposal: BlockProposal) -> QuerySet[BlockProposal]:
    """A proposal of no run holds only what came to be in a form; there the earlier ones tell nothing."""
    same_run = BlockProposal.objects.filter(
        block_id=proposal.block_id,
        actor_id=proposal.actor_id,
        run_id=proposal.run_id,
        state=ProposalState.SUPERSEDED,
        created_at__lt=proposal.created_at,
    )
    rows = same_run if proposal.run_id else BlockProposal.objects.none()
    return rows.only("id", "tool_name", "created_at").order_by("created_at", "id")


def _conversation_url(proposal: BlockProposal) -> str:
    if proposal.actor_kind != "agent" or proposal.conversation_id is None:
        return ""
    found = Conversation.objects.filter(
        id=proposal.conversation_id, agent_id=proposal.actor_id, deleted_at=None
    ).first()
    if found is None:
        return ""
    return reverse("agents:detail", args=[found.agent_id, found.id])


def _place(conversation_url: str, anchor: str | None) -> str:
    return f"{conversation_url}#{anchor}" if conversation_url and anchor else ""
