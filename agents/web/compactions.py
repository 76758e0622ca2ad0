"""A compaction that somebody looks at in the workbench: the summary beside what it replaced, and the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_POST

from agents.models import Compaction, Message
from agents.runtime.compaction import read_summary
from agents.services.compactions import (
    get_compaction_for,
    last_compaction,
    left_messages,
    undo_compaction,
)
from agents.web.compaction_items import CompactionItem
from agents.web.transcript import text_of
from agents.web.workbench_page import Bench, open_bench
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError

UNPROCESSABLE = 422
#: Messages that are listed; more are told by their number.
_LISTED = 200
_WHO = {"user": "user", "assistant": "agent", "tool": "tool", "approval": "approval", "summary": "summary"}


@require_GET
def compaction_part(request: PageRequest, agent_id: str, compaction_id: str) -> HttpResponse:
    """The marker, opened."""
    bench = open_bench(request.caller, agent_id)
    compaction = get_compaction_for(caller=request.caller, agent_id=agent_id, compaction_id=compaction_id)
    return _part(request, bench, compaction)


@require_POST
def undo_part(request: PageRequest, agent_id: str, compaction_id: str) -> HttpResponse:
    """Undo it; the answer is the marker as it is then."""
    bench = open_bench(request.caller, agent_id)
    try:
        undo_compaction(caller=request.caller, agent_id=agent_id, compaction_id=compaction_id)
        problem = ""
    except AdeError as error:
        if error.status == 404:
            raise
        problem = error.message
    compaction = get_compaction_for(caller=request.caller, agent_id=agent_id, compaction_id=compaction_id)
    return _part(request, bench, compaction, error=problem)


def _part(request: PageRequest, bench: Bench, compaction: Compaction, *, error: str = "") -> HttpResponse:
    last = last_compaction(compaction.conversation)
    lines, more = left_lines(left_messages(compaction))
    context: dict[str, Any] = {
        **bench.base,
        "item": CompactionItem.of(compaction, last_id=last.id if last else None),
        "compaction": compaction,
        "left": lines,
        "more": more,
        "is_open": True,
        "error": error,
    }
    status = UNPROCESSABLE if error else 200
    return render(request, "agents/partials/compaction.html", context, status=status)


def left_lines(messages: Sequence[Message]) -> tuple[list[dict[str, str]], int]:
    """The first of these messages as short paragraphs, and how many there are beside them."""
    return [_line(message) for message in messages[:_LISTED]], max(0, len(messages) - _LISTED)


def _line(message: Message) -> dict[str, str]:
    """A message as one short paragraph."""
    words = text_of(message.content)
    if message.role == "summary":
        words = read_summary(words)[0]
    calls = [f"{call['name']}({call['arguments']})" for call in message.tool_calls]
    returns = [str(each["text"]) for each in message.tool_returns]
    return {"who": _WHO.get(message.role, message.role), "text": "\n".join([words, *calls, *returns]).strip()}
