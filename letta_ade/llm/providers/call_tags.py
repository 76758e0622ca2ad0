"""Tool calls that a server left in the text, because it was started without the parser of its model.

Ollama, vLLM, SGLang and LM Studio do so with templates they do not know. Read are the two forms that most open models were
trained on: JSON between tags (Hermes, Qwen), and a name with tagged arguments (GLM); and Mistral's list after a mark.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

_MARKS = ("<tool_call>", "[TOOL_CALLS]")
_BLOCK = re.compile(r"<tool_call>(.*?)(?:</tool_call>|$)", re.S)
_ARGUMENT = re.compile(r"<arg_key>(.*?)</arg_key>\s*<arg_value>(.*?)</arg_value>", re.S)


class CallTags:
    """Takes the pieces of a text, and holds back what follows a mark until the end tells whether it is a call."""

    def __init__(self, names: frozenset[str]) -> None:
        """`names`: of the tools that were offered; what names another one is text."""
        self._names = names
        self._held = ""
        self._is_past_mark = False

    def take(self, piece: str) -> str:
        """The text that is sure to be no call."""
        if not self._held and "<" not in piece and "[" not in piece:
            return piece
        self._held += piece
        if self._is_past_mark:
            return ""
        text = self._held
        places = [at for mark in _MARKS if (at := text.find(mark)) >= 0]
        if places:
            self._is_past_mark = True
            at = min(places)
        else:
            at = len(text) - max(_overlap(text, mark) for mark in _MARKS)
        self._held = text[at:]
        return text[:at]

    def rest(self) -> tuple[str, list[tuple[str, str]]]:
        """What was held back: text, or calls as (name, JSON of the arguments)."""
        held, self._held = self._held, ""
        if not self._is_past_mark:
            return held, []
        try:
            calls = list(_read(held))
        except (ValueError, TypeError, AttributeError, KeyError):
            return held, []
        are_known = bool(calls) and all(name in self._names for name, _ in calls)
        return ("", calls) if are_known else (held, [])


def _read(text: str) -> Iterator[tuple[str, str]]:
    """The calls in the text. ValueError and the like when it holds something else, too."""
    if text.startswith("[TOOL_CALLS]"):
        for call in json.loads(text.removeprefix("[TOOL_CALLS]")):
            yield _call(call)
        return
    if _BLOCK.sub("", text).strip():
        raise ValueError("text between the calls")
    for block in _BLOCK.findall(text):
        inner = block.strip()
        if inner.startswith("{"):
            yield _call(json.loads(inner))
        else:
            name = inner.partition("<arg_key>")[0].strip()
            yield name, json.dumps({key.strip(): _value(value) for key, value in _ARGUMENT.findall(inner)})


def _call(data: dict[str, Any]) -> tuple[str, str]:
    arguments = data.get("arguments", data.get("parameters", {}))
    return data["name"], arguments if isinstance(arguments, str) else json.dumps(arguments)


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _overlap(text: str, mark: str) -> int:
    """How many characters at the end of the text begin the mark."""
    longest = min(len(text), len(mark) - 1)
    return next((size for size in range(longest, 0, -1) if mark.startswith(text[len(text) - size :])), 0)
