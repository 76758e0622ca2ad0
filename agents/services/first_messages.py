"""The messages with which a conversation begins after its system message (spec/agent-loop.md §1)."""

from __future__ import annotations

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from agents.models import Agent, Conversation, Message
from agents.runtime.system_prompt import format_time
from agents.services.agent_types import facts_of
from agents.services.context import text_content
from letta_ade.core.errors import Invalid
from letta_ade.core.ids import new_assistant_message_id, new_otid
from tools.builtin import send_message

_THOUGHT = "The conversation begins. I greet the person."
_GREETING = "Hello. I am ready when you are."
_NO_LOGIN_BEFORE = "never"
#: Some providers take no longer id of a call.
_CALL_ID_CHARACTERS = 29


@dataclass(frozen=True, slots=True, kw_only=True)
class InitialMessage:
    """A message that an agent is born with, after its system message."""

    role: str
    text: str
    otid: str | None = None
    name: str | None = None
    sender_id: str | None = None
    group_id: str | None = None


def first_rows(
    agent: Agent, conversation: Conversation, given: Sequence[InitialMessage] | None
) -> list[Message]:
    """Unsaved rows, their times rising. None means those of the agent's type, an empty list none at all.

    What an agent that speaks by `send_message` is given as its own words becomes such a call, so that they are shown as words of
    its and not as a thought. Raises Invalid for a message without text.
    """
    told = _default(agent) if given is None else [fields for each in given for fields in _given(agent, each)]
    now = timezone.now()
    return [
        Message(
            workspace_id=agent.workspace_id,
            agent=agent,
            conversation=conversation,
            created_at=now + timedelta(microseconds=index),
            **fields,
        )
        for index, fields in enumerate(told, start=1)
    ]


def _given(agent: Agent, message: InitialMessage) -> list[dict[str, Any]]:
    text = message.text.replace("\0", "")
    if not text.strip():
        raise Invalid("An initial message needs a text.")
    if message.role == "assistant" and facts_of(agent.agent_type).is_heartbeat:
        said, returned = _spoken(agent, text)
        return [said | {"otid": message.otid}, returned]
    return [
        {
            "role": message.role,
            "content": text_content(text),
            "text": text,
            "otid": message.otid or new_otid(),
            "name": message.name,
            "sender_id": message.sender_id,
            "group_id": message.group_id,
        }
    ]


def _default(agent: Agent) -> list[dict[str, Any]]:
    if not facts_of(agent.agent_type).has_first_messages:
        return []
    return [*_spoken(agent, _GREETING, thought=_THOUGHT), _login(agent, timezone.now())]


def _spoken(agent: Agent, words: str, *, thought: str = "") -> tuple[dict[str, Any], dict[str, Any]]:
    """A call of `send_message` and its return."""
    call_id = f"call_{uuid.uuid4().hex}"[:_CALL_ID_CHARACTERS]
    call = {
        "id": call_id,
        "name": send_message.NAME,
        "arguments": json.dumps({"message": words}, ensure_ascii=False),
    }
    returned = {
        "tool_call_id": call_id,
        "name": send_message.NAME,
        "status": "success",
        "text": send_message.SENT,
        "stdout": [],
        "stderr": [],
    }
    said = {
        "id": new_assistant_message_id(),
        "role": "assistant",
        "content": text_content(thought) if thought else [],
        "tool_calls": [call],
        "text": words,
        "model": agent.model,
    }
    return said, {"role": "tool", "tool_returns": [returned]}


def _login(agent: Agent, moment: datetime) -> dict[str, Any]:
    """The note that somebody has come. Searches do not find it: nobody said it."""
    note = {
        "type": "login",
        "last_login": _NO_LOGIN_BEFORE,
        "time": format_time(moment, agent.timezone),
    }
    return {"role": "user", "content": text_content(json.dumps(note)), "otid": new_otid()}
