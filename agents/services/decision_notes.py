"""What became of an agent's proposed memory edits: a note before the next message to it, once.

The note is stored with the first step of the run, which is when the decisions count as told: a run that fails before that, or whose
process dies, leaves them to the next one.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils import timezone

from agents.models import Agent, Conversation, Message
from agents.models.message import MessageRole
from agents.runtime.system_prompt import format_time
from agents.services.context import searchable_text, text_content
from letta_ade.core.ids import new_id, new_otid
from memory.diffs import diff_rows
from memory.models import BlockProposal
from memory.models.block_proposal import ProposalState
from memory.services.proposals import Cause

#: One note tells of so many decisions at most; the rest comes with the next turn.
_MOST_TOLD = 20
#: Lines of a change that a note repeats, and characters of each.
_MOST_LINES = 6
_MOST_LINE_CHARACTERS = 160
_PREFACE = "What was decided about edits of your memory that you had proposed:"
_TOLD_STATES = (ProposalState.APPROVED, ProposalState.EDITED, ProposalState.REJECTED)


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionNote:
    """The note, not stored yet, and the proposals that it tells of."""

    message: Message
    proposal_ids: tuple[str, ...]


def load_note(*, agent: Agent, conversation: Conversation, run_id: str) -> DecisionNote | None:
    """What the agent is to be told in this conversation; None when nothing has been decided since. One query."""
    decided = list(
        _untold(conversation).filter(state__in=_TOLD_STATES).order_by("decided_at", "id")[:_MOST_TOLD]
    )
    if not decided:
        return None
    message = Message(
        id=new_id("message"),
        workspace_id=agent.workspace_id,
        agent_id=agent.id,
        conversation_id=conversation.id,
        run_id=run_id,
        role="user",
        content=text_content(_text(decided, moment=timezone.now(), zone=agent.timezone)),
        otid=new_otid(),
        created_at=timezone.now(),
    )
    return DecisionNote(message=message, proposal_ids=tuple(each.id for each in decided))


def mark_told(note: DecisionNote) -> None:
    """The note is stored. In the transaction that stores it."""
    BlockProposal.objects.filter(id__in=note.proposal_ids).update(told_message_id=note.message.id)


def read_note(message: Message) -> str | None:
    """The words of a note of ours; None for what somebody sent."""
    if message.role != MessageRole.USER or message.created_by_id is not None:
        return None
    try:
        words = str(json.loads(searchable_text(message.content))["message"])
    except (ValueError, KeyError, TypeError):
        return None
    return words if words.startswith(_PREFACE) else None


def hand_over_untold(*, source: Conversation, target: Conversation) -> None:
    """Let another conversation of the agent tell what `source`, which is deleted, has not told."""
    _untold(source).update(conversation_id=target.id)


def find_cause(conversation: Conversation, inputs: Sequence[Message]) -> Cause:
    """What led to a call in this conversation: the last message of its run, or the last one that somebody said."""
    for row in reversed(inputs):
        if text := searchable_text(row.content):
            return Cause(conversation_id=conversation.id, text=text, message_id=row.id)
    said = conversation.messages.filter(role__in=(MessageRole.USER, MessageRole.SYSTEM), is_err=False)
    # A system message of no run is the compiled one; our notes have no text to be found.
    last = said.exclude(run=None).exclude(text="").order_by("-created_at").only("id", "text").first()
    if last is None:
        return Cause(conversation_id=conversation.id)
    return Cause(conversation_id=conversation.id, text=last.text, message_id=last.id)


def _untold(conversation: Conversation) -> QuerySet[BlockProposal]:
    return BlockProposal.objects.filter(
        conversation_id=conversation.id, actor_id=conversation.agent_id, told_message_id=None
    )


def _text(decided: Sequence[BlockProposal], *, moment: datetime, zone: str) -> str:
    told = "\n\n".join(f"{number}. {_decision(each)}" for number, each in enumerate(decided, 1))
    note = {
        "type": "system_alert",
        "message": f"{_PREFACE}\n\n{told}",
        "time": format_time(moment, zone),
    }
    return json.dumps(note, ensure_ascii=False)


def _decision(proposal: BlockProposal) -> str:
    by = proposal.decided_by_name or "somebody"
    match proposal.state:
        case ProposalState.REJECTED:
            reason = f" Reason: {proposal.reason}" if proposal.reason else " No reason was given."
            outcome = f"rejected by {by}; it is not in your memory.{reason}"
        case ProposalState.EDITED:
            outcome = f"approved by {by} with another text; your memory shows what the block says now."
        case _:
            outcome = f"approved by {by}; the block holds it."
    what = _change(proposal)
    return f"Your edit of the memory block {proposal.label!r} ({proposal.id}) was {outcome}" + (
        f"\nYou had proposed:\n{what}" if what else ""
    )


def _change(proposal: BlockProposal) -> str:
    lines = [f"{name}: {value}" for name, value in proposal.changes.items()]
    if proposal.value is not None:
        marks = {"add": "+", "del": "-"}
        rows = diff_rows(proposal.base_value, proposal.value)
        lines += [f"{marks[row.op]} {row.text}" for row in rows if row.op in marks]
    shown = [
        line if len(line) <= _MOST_LINE_CHARACTERS else f"{line[:_MOST_LINE_CHARACTERS]}…" for line in lines
    ]
    return "\n".join([*shown[:_MOST_LINES], *(["…"] if len(shown) > _MOST_LINES else [])])
