"""What an agent of the heartbeat loop says: words in an argument of a tool call, whose JSON text may come in pieces."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from agents.models import Agent
from agents.services.agent_types import facts_of

_NAME, _ARGUMENT = "send_message", "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTool:
    """The tool through which an agent of the heartbeat loop speaks, and the argument that holds its words."""

    name: str = _NAME
    argument: str = _ARGUMENT

    def words_of(self, calls: list[dict[str, Any]]) -> str | None:
        """What is said by these calls; None when they are something else."""
        if len(calls) != 1 or calls[0]["name"] != self.name:
            return None
        try:
            words = json.loads(calls[0]["arguments"])[self.argument]
        except (ValueError, KeyError, TypeError):
            return None
        return words if isinstance(words, str) else json.dumps(words, ensure_ascii=False)

    def is_only_said(self, returns: list[dict[str, Any]]) -> bool:
        """Whether these returns say no more than that the words were said."""
        return bool(returns) and all(
            each.get("name") == self.name and each["status"] == "success" for each in returns
        )


def answer_tool_asked(asked: Mapping[str, Any]) -> AnswerTool | None:
    """The tool whose calls are wanted as what they say; None when calls are wanted as calls.

    `asked` holds use_assistant_message, assistant_message_tool_name and assistant_message_tool_kwarg (spec/agent-loop.md §3).
    """
    if asked.get("use_assistant_message") is False:
        return None
    return AnswerTool(
        name=asked.get("assistant_message_tool_name") or _NAME,
        argument=asked.get("assistant_message_tool_kwarg") or _ARGUMENT,
    )


def speaks_by_tool(agent: Agent) -> bool:
    """Whether the agent's words are calls of a tool; the others may have a tool of that name that is none of this."""
    return facts_of(agent.agent_type).is_heartbeat


class Spoken:
    """The words of one call as far as they have come."""

    def __init__(self, argument: str) -> None:
        self._argument = argument
        self._text = ""
        self._words = ""

    def feed(self, piece: str) -> str:
        """The words that this piece of the JSON text adds."""
        self._text += piece
        try:
            arguments = from_json(self._text, allow_partial="trailing-strings")
        except ValueError:
            return ""  # in the middle of an escape, say
        words = arguments.get(self._argument) if isinstance(arguments, dict) else None
        return self.rest(words) if isinstance(words, str) else ""

    def rest(self, words: str) -> str:
        """What of the words was not given yet."""
        if not words.startswith(self._words):
            return ""
        new, self._words = words[len(self._words) :], words
        return new
