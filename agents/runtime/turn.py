"""A turn: from what somebody says to the next time that somebody does. A run may begin in its middle, after an approval or a crash."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime

from agents.runtime.system_prompt import format_time
from agents.runtime.tool_rules import PastCall
from letta_ade.llm.messages import ChatMessage


def past_calls(context: Sequence[ChatMessage]) -> tuple[PastCall, ...]:
    """The calls that were executed since somebody last said something, in their order.

    Calls that were refused or denied do not count, nor do those that have no return yet (spec/agent-loop.md §5).
    """
    turn = context[_turn_start(context) :]
    names = {call.id: call.name for message in turn for call in message.tool_calls}
    return tuple(
        PastCall(name=names[each.tool_call_id], result=each.text)
        for message in turn
        for each in message.tool_returns
        if each.tool_call_id in names and each.was_run
    )


def heartbeat_text(reason: str, *, moment: datetime, timezone: str) -> str:
    """The note with which the loop lets the model go on, as it is sent and as it is stored."""
    note = {"type": "heartbeat", "reason": reason, "time": format_time(moment, timezone)}
    return json.dumps(note, ensure_ascii=False)


def is_note(message: ChatMessage) -> bool:
    """Whether a user's message is one that nobody has said: a heartbeat, or the summary of what is no longer in context."""
    text = message.text
    if message.role != "user" or not text.startswith("{"):
        return False
    try:
        data = json.loads(text)
    except ValueError:
        return False
    return isinstance(data, dict) and data.get("type") in ("heartbeat", "system_alert")


def _turn_start(context: Sequence[ChatMessage]) -> int:
    for place in range(len(context) - 1, -1, -1):
        message = context[place]
        if message.role in ("user", "system") and not is_note(message):
            return place + 1
    return 0
