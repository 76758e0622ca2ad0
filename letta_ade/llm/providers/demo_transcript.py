"""Conversations that the demonstration is handed as text: to be summarised, or to keep memory from."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

#: With or without the order at its end to answer with nothing else.
_CONVERSATION = re.compile(
    r"\A<conversation>\n(?P<text>.*?)(?:\n\nAnswer with the summary[^\n]*)?\n</conversation>\Z", re.S
)
_ASKS_ITSELF = re.compile(r"\bis about to leave your context\b.*\bwrite the summary\b", re.I | re.S)
_SPEAKER = re.compile(
    r"^(?P<speaker>user|assistant|system|returned|failed|assistant calls \S+|\S+ returned|Summary of what came before): ",
    re.M,
)
_COMMAND = re.compile(r"^\s*/\w+.*$", re.M)
_LINE_CHARACTERS = 160
_MOST_LINES = 12


def asked_to_summarise(text: str) -> str | None:
    """The conversation that this message holds to be summarised, or None."""
    match = _CONVERSATION.match(text.strip())
    return match["text"] if match else None


def is_asked_to_summarise_itself(text: str) -> bool:
    """Whether the agent's own conversation, which the request holds, is to be summarised."""
    return bool(_ASKS_ITSELF.search(text))


def said_by_user(text: str) -> str:
    """What the people of a transcript said, without commands: those were for whoever was asked."""
    words = (words for speaker, words in _paragraphs(text) if speaker == "user")
    return "\n".join(_COMMAND.sub("", each) for each in words)


def summary(text: str) -> str:
    """The beginnings of what was said, the first and the last ones when there are many."""
    lines: list[str] = []
    for speaker, words in _paragraphs(text):
        if speaker == "Summary of what came before":
            lines += [line for line in words.splitlines() if line.startswith("- ")]
        elif speaker in ("user", "assistant"):
            lines.append(f"- {speaker}: {_beginning(words)}")
        elif speaker.startswith("assistant calls "):
            lines.append(f"- {speaker}")
    return "\n".join(["What was said, each with its beginning:", *_bounded(lines)])


def _paragraphs(text: str) -> Iterator[tuple[str, str]]:
    found: Sequence[re.Match[str]] = list(_SPEAKER.finditer(text))
    ends = [match.start() for match in found[1:]] + [len(text)]
    for match, end in zip(found, ends, strict=True):
        yield match["speaker"], text[match.end() : end].strip()


def _beginning(words: str) -> str:
    line = " ".join(words.split())
    return line if len(line) <= _LINE_CHARACTERS else f"{line[:_LINE_CHARACTERS]}…"


def _bounded(lines: list[str]) -> list[str]:
    if len(lines) <= _MOST_LINES:
        return lines
    half = _MOST_LINES // 2
    return [*lines[:half], f"- … {len(lines) - 2 * half} more …", *lines[-half:]]
