"""Through which tool an agent speaks, as a client asked to see it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.models import Agent
from agents.runtime.spoken import AnswerTool
from agents.services.agent_types import facts_of


def answer_tool_asked(asked: Mapping[str, Any]) -> AnswerTool | None:
    """The tool whose calls are wanted as what they say; None when calls are wanted as calls.

    `asked` holds use_assistant_message, assistant_message_tool_name and assistant_message_tool_kwarg (spec/agent-loop.md §3).
    """
    if asked.get("use_assistant_message") is False:
        return None
    standard = AnswerTool()
    return AnswerTool(
        name=asked.get("assistant_message_tool_name") or standard.name,
        argument=asked.get("assistant_message_tool_kwarg") or standard.argument,
    )


def speaks_by_tool(agent: Agent) -> bool:
    """Whether the agent's words are calls of a tool; the others may have a tool of that name that is none of this."""
    return facts_of(agent.agent_type).is_heartbeat
