"""Reasoning that a server writes into the text, between tags at its head, told apart while it streams."""

from __future__ import annotations

from typing import Literal

Kind = Literal["text", "reasoning"]

#: DeepSeek, Qwen and others behind servers without a reasoning parser; Gemini's OpenAI-compatible endpoint.
_TAGS = {"<think>": "</think>", "<thought>": "</thought>"}


class ThoughtTags:
    """Takes the pieces of a text; gives them back as text or reasoning, without the tags.

    Only a tag before anything else counts: later it is something that the model talks about.
    """

    def __init__(self) -> None:
        self._state: Literal["head", "inside", "after", "text"] = "head"
        self._end = ""
        self._held = ""

    @property
    def is_past(self) -> bool:
        """Whether the rest is text, whatever comes."""
        return self._state == "text"

    def take(self, piece: str) -> list[tuple[Kind, str]]:
        """What is sure by now; what may still be a piece of a tag is held back."""
        self._held += piece
        found: list[tuple[Kind, str]] = []
        if self._state == "head":
            self._read_head()
        if self._state == "inside":
            self._read_thought(found)
        if self._state == "after" and (text := self._held.lstrip("\n")):
            self._state, self._held = "text", text
        if self._state == "text" and self._held:
            found.append(("text", self._held))
            self._held = ""
        return found

    def rest(self) -> list[tuple[Kind, str]]:
        """What was held back when the text ended."""
        held, self._held = self._held, ""
        if not held.strip("\n"):
            return []
        return [("reasoning" if self._state == "inside" else "text", held)]

    def _read_head(self) -> None:
        text = self._held.lstrip()
        for start, end in _TAGS.items():
            if text.startswith(start):
                self._state, self._end, self._held = "inside", end, text[len(start) :]
                return
        if not any(start.startswith(text) for start in _TAGS):
            self._state = "text"

    def _read_thought(self, found: list[tuple[Kind, str]]) -> None:
        thought, end, after = self._held.partition(self._end)
        if end:
            self._state, self._held = "after", after
        else:
            kept = next((n for n in range(len(self._end) - 1, 0, -1) if thought.endswith(self._end[:n])), 0)
            self._held = thought[len(thought) - kept :]
            thought = thought[: len(thought) - kept]
        if thought:
            found.append(("reasoning", thought))
