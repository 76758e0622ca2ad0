"""The memory blocks as the demonstration finds them in the system message, and how a fact changes one."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from letta_ade.llm.providers.demo_reading import Fact

_SECTION = re.compile(r"<memory_blocks>(?P<blocks>.*)</memory_blocks>", re.S)
_BLOCK = re.compile(
    r"^<(?P<label>[^<>\n]+)>\n<description>.*?</description>(?P<head>.*?)<value>\n?(?P<value>.*?)\n?</value>\n</(?P=label)>",
    re.S | re.M,
)
#: Lines carry numbers for some models.
_LINE_NUMBER = re.compile(r"^\d+→ ?", re.M)
_NAME = re.compile(r"\bname(?:\s*:|\s+is)\s*(?P<value>[^\n.;,]+)", re.I)


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    label: str
    value: str
    is_read_only: bool = False

    @property
    def lines(self) -> list[str]:
        return [line.strip() for line in self.value.splitlines() if line.strip()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What a fact does to a block: put `new` in the place of `old`, or add it when there is no `old`."""

    new: str
    old: str | None = None


def blocks_in(system: str) -> dict[str, Block]:
    """The blocks of a compiled system message by label, in order."""
    section = _SECTION.search(system)
    if section is None:
        return {}
    return {
        match["label"]: Block(
            label=match["label"],
            value=_LINE_NUMBER.sub("", match["value"]),
            is_read_only="read_only=true" in match["head"],
        )
        for match in _BLOCK.finditer(section["blocks"])
    }


def change_for(fact: Fact, block: Block) -> Change | None:
    """How the block must change so that it says the fact; None when it does already."""
    if fact.line.lower() in (line.lower().lstrip("-* ") for line in block.lines):
        return None
    old = _contradicted(fact, block)
    if old is None:
        return Change(new=fact.line)
    if old.lower() == fact.line.lower():
        return None
    return Change(new=fact.line, old=old)


def known_name(blocks: Iterable[Block]) -> str | None:
    """The name of the person, if the `human` block holds one."""
    for block in blocks:
        if block.label == "human" and (match := _NAME.search(block.value)):
            return match["value"].strip()
    return None


def _contradicted(fact: Fact, block: Block) -> str | None:
    """The one passage that says something else under the fact's key; a passage that occurs twice is left alone."""
    if fact.key is None:
        return None
    if fact.key == "Name":
        match = _NAME.search(block.value)
        old = match.group().strip() if match else None
        if match and match["value"].strip().lower() == fact.line.removeprefix("Name: ").lower():
            return fact.line
    else:
        start = fact.key.lower()
        old = next((line for line in block.lines if line.lower().startswith(start)), None)
    return old if old and block.value.count(old) == 1 else None
