"""Calls that wait for somebody outside: found in a context, and answered (spec/agent-loop.md §6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db.models import OuterRef, Subquery

from agents.models import ContextEntry, Conversation
from agents.models.message import MessageRole
from agents.runtime.ports import CallOutcome
from agents.runtime.snapshot import Answer, PendingTurn
from agents.services.context import ContextMessage
from agents.services.run_requests import AnswersInput, texts_of
from letta_ade.core.errors import Conflict, Invalid
from letta_ade.llm.messages import ToolCall

#: An answer that is sent again is looked for among so many messages.
_REPEAT_REACH = 10
#: A client's return may take this share of the window, in characters, and at least so many.
_RETURN_SHARE = 0.8
_LEAST_RETURN_CHARACTERS = 5000


class PendingApproval(Conflict):
    """The conversation waits for an approval."""

    def __init__(self, request_id: str) -> None:
        super().__init__(
            "A tool call of this conversation waits for an approval or for a client's return. "
            "Answer it, or cancel it, before you send another message."
        )
        self.request_id = request_id

    def wire_detail(self) -> dict[str, str]:
        return {
            "code": "PENDING_APPROVAL",
            "message": self.message,
            "pending_request_id": self.request_id,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingRequest:
    """A stored request that nobody has answered."""

    message_id: str
    step_id: str
    #: Calls that wait, and the calls of the same reply that were put off with them.
    waiting: tuple[ToolCall, ...]
    free: tuple[ToolCall, ...] = ()


def find_pending(context: Sequence[ContextMessage]) -> PendingRequest | None:
    """The request at the end of the context, if it ends with one: nothing can be added to a context that waits."""
    if not context or context[-1].chat.role != "approval" or not context[-1].chat.tool_calls:
        return None
    request = context[-1]
    before = context[-2] if len(context) > 1 else None
    is_same_reply = (
        before is not None and before.step_id == request.step_id and before.chat.role == "assistant"
    )
    return PendingRequest(
        message_id=request.message_id,
        step_id=request.step_id or "",
        waiting=request.chat.tool_calls,
        free=before.chat.tool_calls if before is not None and is_same_reply else (),
    )


def waiting_entries(agent_ids: Collection[str]) -> list[ContextEntry]:
    """The last entry of each conversation of these agents that waits for an answer, with its message. One query."""
    last = ContextEntry.objects.filter(conversation=OuterRef("pk")).order_by("-position")
    ends = Conversation.objects.filter(agent_id__in=agent_ids).values_list(Subquery(last.values("pk")[:1]))
    return list(
        ContextEntry.objects.filter(pk__in=ends, message__role=MessageRole.APPROVAL)
        .exclude(message__tool_calls=[])
        .select_related("message", "conversation")
    )


def find_answered(context: Sequence[ContextMessage], answers: AnswersInput) -> str | None:
    """The run in which the same calls were answered a moment ago, for a client that sends its answers again."""
    asked = {str(item.get("tool_call_id")) for item in answers.items}
    for entry in reversed(context[-_REPEAT_REACH:]):
        if entry.approvals is not None and asked == {item["tool_call_id"] for item in entry.approvals}:
            return entry.run_id
    return None


def match_answers(pending: PendingRequest, answers: AnswersInput) -> list[dict[str, Any]]:
    """The answers, one for each waiting call and in their order. Raises Invalid when they are not exactly that."""
    items = _as_items(pending, answers)
    given = [item["tool_call_id"] for item in items]
    waiting = [call.id for call in pending.waiting]
    if sorted(given) != sorted(waiting):
        raise Invalid(
            f"The answers must name each waiting call once. Waiting: {', '.join(waiting)}; answered: "
            f"{', '.join(given) or 'none'}."
        )
    by_id = {item["tool_call_id"]: item for item in items}
    return [by_id[call_id] for call_id in waiting]


def pending_turn(
    pending: PendingRequest, items: Sequence[dict[str, Any]], *, context_window: int
) -> PendingTurn:
    """The waiting calls with what was decided, for the loop."""
    names = {call.id: call.name for call in pending.waiting}
    limit = max(_LEAST_RETURN_CHARACTERS, int(context_window * _RETURN_SHARE))
    texts = texts_of(items)
    answers = {}
    for item in items:
        call_id = item["tool_call_id"]
        if item["type"] == "approval":
            answers[call_id] = Answer(is_approved=item["approve"], reason=item.get("reason"))
            continue
        text = texts[call_id]
        if len(text) > limit:
            text = (
                f"{text[:limit]}… [The return was cut: it has {len(text)} characters, the limit is {limit}.]"
            )
        answers[call_id] = Answer(
            returned=CallOutcome(
                tool_call_id=call_id,
                name=names[call_id],
                text=text,
                is_error=item["status"] == "error",
                stdout=tuple(item.get("stdout") or ()),
                stderr=tuple(item.get("stderr") or ()),
            )
        )
    return PendingTurn(
        step_id=pending.step_id,
        message_id=pending.message_id,
        calls=pending.free + pending.waiting,
        answers=answers,
    )


def _as_items(pending: PendingRequest, answers: AnswersInput) -> list[dict[str, Any]]:
    if answers.items or answers.approve is None:
        return list(answers.items)
    named = {pending.message_id, *(call.id for call in pending.waiting)}
    if answers.request_id is not None and answers.request_id not in named:
        raise Invalid(
            f"No request {answers.request_id!r} waits; the one that does is {pending.message_id!r}."
        )
    if len(pending.waiting) > 1:
        raise Invalid(
            f"{len(pending.waiting)} calls wait: answer each of them in 'approvals' by its tool_call_id."
        )
    call = pending.waiting[0]
    return [
        {"type": "approval", "tool_call_id": call.id, "approve": answers.approve, "reason": answers.reason}
    ]
