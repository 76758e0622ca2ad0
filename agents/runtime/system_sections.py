"""The compiled system message by its sections."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCKS = ("<memory_blocks>", "</memory_blocks>")
_RULES = ("<tool_usage_rules>", "</tool_usage_rules>")
_METADATA = ("<memory_metadata>", "</memory_metadata>")
#: A value cannot hold the closing tag of its block: there it is masked (memory/rendering.py).
_BLOCK = re.compile(
    r"^<(?P<label>[^<>\n]+)>\n<description>\n.*?^<value>\n(?P<value>.*?)\n</value>\n</(?P=label)>$",
    re.S | re.M,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SystemParts:
    """The compiled system message by its sections; what lies between them is blank."""

    instructions: str
    blocks: str
    rules: str
    metadata: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownBlock:
    """A block as it stands in a system message."""

    label: str
    value: str
    #: With its tags and facts.
    text: str


def split_system(text: str) -> SystemParts:
    """The sections of a compiled system message. Of several the last counts: instructions may speak of them."""
    rest, found = text, list[str]()
    for opening, closing in (_METADATA, _RULES, _BLOCKS):
        start = rest.rfind(opening)
        end = rest.find(closing, start) + len(closing)
        is_there = 0 <= start < end - len(closing)
        found.append(rest[start:end] if is_there else "")
        if is_there:
            rest = rest[:start] + rest[end:]
    metadata, rules, blocks = found
    return SystemParts(instructions=rest.strip(), blocks=blocks, rules=rules, metadata=metadata)


def split_blocks(section: str) -> Iterator[ShownBlock]:
    """The blocks of the section of blocks, in its order."""
    for match in _BLOCK.finditer(section):
        yield ShownBlock(label=match["label"], value=match["value"], text=match.group())
