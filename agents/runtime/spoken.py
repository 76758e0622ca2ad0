"""What an agent of the heartbeat loop says: words in an argument of a tool call, whose JSON text may come in pieces."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pydantic_core import from_json

from agents.runtime.prompt import ANSWER_TOOL

_ARGUMENT = "message"


@dataclass(frozen=True, slots=True, kw_only=True)
class AnswerTool:
    """The tool through which an agent of the heartbeat loop speaks, and the argument that holds its words."""

    name: str = ANSWER_TOOL
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
