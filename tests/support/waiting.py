"""Requests that wait, as rows, without a run that made them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from agents.models import Conversation, Message
from tests.support.factories import make_conversation, make_message, make_run, make_step

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SHELL = {"name": "shell", "description": "", "parameters": {}}


def make_request(*names: str, conversation: Conversation | None = None, minutes: int = 0) -> Message:
    """A request for these calls, as a run with the client's tool `shell` left it."""
    conversation = conversation or make_conversation()
    run = make_run(conversation=conversation, request_config={"client_tools": [SHELL]})
    calls = [{"id": f"call_{place}", "name": name, "arguments": "{}"} for place, name in enumerate(names)]
    return make_message(
        conversation=conversation,
        role="approval",
        in_context=True,
        content=[],
        tool_calls=calls,
        run=run,
        step=make_step(run=run),
        created_at=NOON + timedelta(minutes=minutes),
    )
