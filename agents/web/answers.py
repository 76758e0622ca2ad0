"""The answer to calls that wait, as the form above the composer sends it: decisions, and returns given by hand."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse, QueryDict
from django.views.decorators.http import require_POST

from agents.models import Conversation, Run
from agents.services.conversations import DEFAULT, get_conversation_with_agent
from agents.services.execution import start_run
from agents.services.leases import RunBusy
from agents.services.run_requests import AnswersInput, RunRequest
from agents.services.waiting import Waiting, WaitingCall, find_answer, load_waiting
from agents.web.replies import answer, refusal
from agents.web.transcript import decisions_from
from agents.web.transcript_rows import author_names
from letta_ade.accounts.pages import PageRequest
from letta_ade.core import threads
from letta_ade.core.errors import AdeError, Conflict, Invalid

_DONE = {
    "approved": "approved",
    "denied": "denied",
    "returned": "gave the return of",
    "failed": "gave an error as the return of",
    "cancelled": "cancelled",
}


@require_POST
async def answer_calls(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """Answer every call of a request at once, as an approval turn: the only way that the conversation takes.

    A Conflict says who was faster; what was sent is then not used.
    """
    request_id, otid = request.POST.get("request_id", ""), request.POST.get("otid") or None
    try:
        conversation = await threads.run(_conversation, request, agent_id, conversation_id)
        waiting = await threads.run(load_waiting, conversation)
        if waiting is None or waiting.request_id != request_id:
            if run_id := await threads.run(_own_run, conversation, otid):
                return answer(request, agent_id, {"run_id": run_id}, conversation.id)
            raise Conflict(await threads.run(_who_answered, conversation, request_id))
        asked = RunRequest(
            agent_id=agent_id,
            conversation_id=conversation.id,
            messages=(),
            answers=AnswersInput(items=_items(waiting, request.POST), otid=otid),
            client_tools=waiting.client_tools,
        )
        try:
            started = await start_run(caller=request.caller, request=asked)
        except RunBusy as busy:
            raise Conflict(await threads.run(_who_answered, conversation, request_id)) from busy
        if started.is_repeat and await threads.run(_own_run, conversation, otid) != started.run_id:
            raise Conflict(await threads.run(_who_answered, conversation, request_id))
    except AdeError as error:
        return refusal(request, error)
    return answer(request, agent_id, {"run_id": started.run_id}, conversation.id)


def _conversation(request: PageRequest, agent_id: str, conversation_id: str) -> Conversation:
    request.caller.check("edit")
    # The card of the inbox names it in its form.
    wanted = request.POST.get("conversation_id") or conversation_id
    return get_conversation_with_agent(caller=request.caller, agent_id=agent_id, conversation_id=wanted)


def _own_run(conversation: Conversation, otid: str | None) -> str | None:
    """The run that this very answer started: it was sent twice."""
    if otid is None:
        return None
    runs = Run.objects.filter(conversation=conversation, otids=[otid])
    return runs.values_list("id", flat=True).first()


def _who_answered(conversation: Conversation, request_id: str) -> str:
    given = find_answer(conversation, request_id)
    if given is None:
        return "Somebody else is answering this request, or it is gone. Your answer was not used."
    names = author_names({given.created_by_id} if given.created_by_id else set())
    decision = decisions_from([given], names, {})[0]
    if decision.verdict == "expired":
        return "The request expired before it was answered. Your answer was not used."
    reason = f" ({decision.reason})" if decision.reason else ""
    return f"Answered already: {decision.who} {_DONE[decision.verdict]} it{reason}. Your answer was not used."


def _items(waiting: Waiting, form: QueryDict) -> tuple[dict[str, Any], ...]:
    """The answers as the API takes them. `all` decides every call that has no answer of its own."""
    items = [_item(call, place, form) for place, call in enumerate(waiting.calls)]
    missing = [call.name for call, item in zip(waiting.calls, items, strict=True) if item is None]
    if missing:
        raise Invalid(f"All calls are answered together. Without an answer: {', '.join(missing)}.")
    return tuple(item for item in items if item is not None)


def _item(call: WaitingCall, place: int, form: QueryDict) -> dict[str, Any] | None:
    text = form.get(f"return-{place}", "").replace("\r\n", "\n")
    verdict = form.get("all") or form.get(f"verdict-{place}", "return" if call.is_client and text else "")
    reason = (form.get("reason", "") if form.get("all") else form.get(f"reason-{place}", "")).strip()
    if call.is_client and verdict in ("return", "approve"):
        if not text and verdict == "approve":
            return None
        status = "error" if form.get(f"status-{place}") == "error" else "success"
        return {"type": "tool", "tool_call_id": call.id, "tool_return": text, "status": status}
    if verdict not in ("approve", "deny"):
        return None
    is_approved = verdict == "approve"
    return {
        "type": "approval",
        "tool_call_id": call.id,
        "approve": is_approved,
        "reason": None if is_approved else reason or None,
    }
