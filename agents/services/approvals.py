"""Calls that wait for somebody outside: found in a context, answered, and closed without an answer (spec/agent-loop.md §6)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, Message, Run
from agents.models.message import MessageRole
from agents.models.run import RunStatus
from agents.runtime.ports import CallOutcome
from agents.runtime.snapshot import Answer, PendingTurn
from agents.services.context import ContextMessage, load_context
from agents.services.journal import RisingClock, return_data
from agents.services.leases import keep_runs_out
from agents.services.run_requests import AnswersInput, texts_of
from agents.services.step_rows import insert_messages
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Invalid
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.nudges import agent_group, nudge, workspace_group
from letta_ade.llm.messages import ToolCall

#: An answer that is sent again is looked for among so many messages.
_REPEAT_REACH = 10
#: A client's return may take this share of the window, in characters, and at least so many.
_RETURN_SHARE = 0.8
_LEAST_RETURN_CHARACTERS = 5000


@dataclass(frozen=True, slots=True, kw_only=True)
class Closing:
    """Why a request ends that nobody answered: the reason that is stored, and what each of its calls returns."""

    reason: str
    returns: str


CANCELLED = Closing(
    reason="The request was cancelled before anybody answered it.",
    returns="This call was not run: the request for approval that it belonged to was cancelled.",
)
EXPIRED = Closing(
    reason="The request expired before anybody answered it.",
    returns="This call was not run: nobody answered the request that it belonged to in time.",
)


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
    run_id: str | None
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
        run_id=request.run_id,
        waiting=request.chat.tool_calls,
        free=before.chat.tool_calls if before is not None and is_same_reply else (),
    )


def waiting_entries(agent_ids: Collection[str]) -> list[ContextEntry]:
    """The last entry of each conversation of these agents that waits for an answer, with its message. One query."""
    last = ContextEntry.objects.filter(conversation=OuterRef("pk")).order_by("-position")
    ends = Conversation.objects.filter(agent_id__in=agent_ids, deleted_at=None).values_list(
        Subquery(last.values("pk")[:1])
    )
    return list(
        ContextEntry.objects.filter(pk__in=ends, message__role=MessageRole.APPROVAL)
        .exclude(message__tool_calls=[])
        .select_related("message", "conversation")
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class EarlierAnswer:
    """The answer that a client sends again was heard before."""

    #: None: that run has been deleted.
    run_id: str | None


def find_answered(
    conversation: Conversation, context: Sequence[ContextMessage], answers: AnswersInput
) -> EarlierAnswer | None:
    """Where the same calls were answered a moment ago, for a client that sends its answers again."""
    asked = _named_ids(answers)
    earliest = max(0, len(context) - _REPEAT_REACH)
    for place in range(len(context) - 1, earliest - 1, -1):
        entry = context[place]
        if entry.approvals is None:
            continue
        answered = {item["tool_call_id"] for item in entry.approvals}
        request_id = context[place - 1].message_id if place > 0 else None
        if asked == answered or (len(answered) == 1 and asked == {request_id}):
            return EarlierAnswer(run_id=entry.run_id)
    answer = _last_answer(conversation)
    if answer is None or any(entry.message_id == answer.id for entry in context):
        return None
    # A compaction has just taken it out of the context.
    is_same = asked == {item["tool_call_id"] for item in answer.approvals or ()}
    return EarlierAnswer(run_id=answer.run_id) if is_same else None


def _last_answer(conversation: Conversation) -> Message | None:
    """The answer that the last returns of the conversation belong to, if they do to any."""
    stored = conversation.messages.filter(is_err=False).order_by("-created_at")
    last = stored.filter(role=MessageRole.TOOL).only("step_id").first()
    if last is None or last.step_id is None:
        return None
    return stored.filter(role=MessageRole.APPROVAL, step_id=last.step_id, tool_calls=[]).first()


def _named_ids(answers: AnswersInput) -> set[str]:
    """What the answers name: tool calls, or in the older form perhaps the request."""
    if answers.items:
        return {item["tool_call_id"] for item in answers.items}
    return {answers.request_id} if answers.request_id is not None else set()


def match_answers(
    pending: PendingRequest, answers: AnswersInput, *, client_tools: Collection[str] = ()
) -> list[dict[str, Any]]:
    """The answers, one for each waiting call and in their order.

    Raises Invalid when they are not exactly that, or agree to the call of a tool that only the client can run.
    """
    items = _as_items(pending, answers)
    given = [item["tool_call_id"] for item in items]
    waiting = [call.id for call in pending.waiting]
    if sorted(given) != sorted(waiting):
        raise Invalid(
            f"The answers must name each waiting call once. Waiting: {', '.join(waiting)}; answered: "
            f"{', '.join(given) or 'none'}."
        )
    by_id = {item["tool_call_id"]: item for item in items}
    for call in pending.waiting:
        if call.name in client_tools and by_id[call.id].get("approve"):
            raise Invalid(
                f"Tool {call.name!r} runs at the client: answer the call {call.id} with what it returned, or deny it."
            )
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
        return [_by_call_id(pending, item) for item in answers.items]
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


def _by_call_id(pending: PendingRequest, item: dict[str, Any]) -> dict[str, Any]:
    """The answer under the id of its call: older clients name the only call by its request."""
    if len(pending.waiting) == 1 and item["tool_call_id"] == pending.message_id:
        return {**item, "tool_call_id": pending.waiting[0].id}
    return item


def close_request(
    *,
    caller: Caller | None,
    conversation: Conversation,
    only: str | None = None,
    why: Closing = CANCELLED,
) -> bool:
    """Answer what waits in this conversation with a no to every call, so that it takes messages again; whether anything waited.

    `caller`: None when the server closes it by itself; `only`: the id of the request, when no other one is meant. The run that asked
    becomes a cancelled one. Raises RunBusy when a run goes on: the request is being answered.
    """
    with transaction.atomic():
        conversation = keep_runs_out(conversation)
        context = load_context(conversation)
        pending = find_pending(context)
        if pending is None or only not in (None, pending.message_id):
            return False
        rows = _closing_rows(caller, conversation, pending, why)
        insert_messages(rows, first_position=context[-1].position + 1)
        now = timezone.now()
        Run.objects.filter(id=pending.run_id).update(
            status=RunStatus.CANCELLED, stop_reason="cancelled", updated_at=now
        )
        Agent.objects.filter(id=conversation.agent_id).update(last_stop_reason="cancelled")
        for group in (agent_group(conversation.agent_id), workspace_group(conversation.workspace_id)):
            nudge(
                group,
                "run_ended",
                run_id=pending.run_id,
                agent_id=conversation.agent_id,
                status=RunStatus.CANCELLED,
            )
    return True


def _closing_rows(
    caller: Caller | None, conversation: Conversation, pending: PendingRequest, why: Closing
) -> list[Message]:
    clock = RisingClock(conversation.last_message_at)
    approvals = [
        {"type": "approval", "tool_call_id": call.id, "approve": False, "reason": why.reason}
        for call in pending.waiting
    ]
    returns = [
        return_data(
            CallOutcome(tool_call_id=call.id, name=call.name, text=why.returns, is_error=True, was_run=False)
        )
        for call in (*pending.free, *pending.waiting)
    ]
    told: tuple[dict[str, Any], ...] = (
        {"role": MessageRole.APPROVAL, "approvals": approvals, "otid": new_otid()},
        {"role": MessageRole.TOOL, "tool_returns": returns},
    )
    return [
        Message(
            id=new_id("message"),
            workspace_id=conversation.workspace_id,
            agent_id=conversation.agent_id,
            conversation_id=conversation.id,
            run_id=pending.run_id,
            step_id=pending.step_id or None,
            created_at=clock.next(),
            created_by_id=caller.id if caller is not None else None,
            **fields,
        )
        for fields in told
    ]
