"""How memory blocks stand in a prompt (spec/agent-loop.md §2.1)."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

INTRODUCTION = (
    "These are your memory blocks. They are always in view, and you can edit those that are not read-only."
)
LINE_NUMBER_WARNING = (
    "Line numbers are shown to help you read. They are not part of the value: leave them out of every edit."
)
#: The tags that give a prompt its structure; the labels of the blocks come to them.
_TAGS = (
    "available_skills",
    "description",
    "directories",
    "memory_blocks",
    "memory_metadata",
    "metadata",
    "tool_rule",
    "tool_usage_rules",
    "value",
    "warning",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockView:
    """What a prompt shows of a block."""

    label: str
    value: str
    description: str | None
    limit: int
    read_only: bool


def render_blocks(blocks: Sequence[BlockView], *, is_numbered: bool = False) -> str:
    """The section with all blocks, or an empty text without any. `is_numbered` puts `n→ ` before each line of a value.

    A value is somebody's words: a closing tag of the prompt in it is masked, so that it ends nothing.
    """
    if not blocks:
        return ""
    tags = [_tag(block.label) for block in blocks]
    inner = "\n\n".join(_render_block(block, tags, is_numbered=is_numbered) for block in blocks)
    return f"<memory_blocks>\n{INTRODUCTION}\n\n{inner}\n\n</memory_blocks>"


def _render_block(block: BlockView, tags: Sequence[str], *, is_numbered: bool) -> str:
    facts = ["- read_only=true"] if block.read_only else []
    facts += [f"- chars_current={len(block.value)}", f"- chars_limit={block.limit}"]
    value = number_lines(block.value) if is_numbered and block.value else block.value
    warning = f"<warning>\n{LINE_NUMBER_WARNING}\n</warning>\n" if is_numbered else ""
    tag = _tag(block.label)
    return (
        f"<{tag}>\n"
        f"<description>\n{mask(block.description or '', tags)}\n</description>\n"
        "<metadata>\n" + "\n".join(facts) + "\n</metadata>\n"
        f"{warning}<value>\n{mask(value, tags)}\n</value>\n"
        f"</{tag}>"
    )


def _tag(label: str) -> str:
    return label.replace("<", "&lt;").replace(">", "&gt;")


def mask(text: str, tags: Iterable[str] = ()) -> str:
    """The text with `</` written as `<\\/` where a tag of the prompt would be closed; everything else stays as it is."""
    if "</" not in text:
        return text
    names = "|".join(re.escape(name) for name in (*_TAGS, *tags))
    return re.sub(rf"</(?=\s*(?:{names})\s*>)", r"<\\/", text, flags=re.IGNORECASE)


def unmask(text: str) -> str:
    """What a model means that copies a masked text."""
    return text.replace("<\\/", "</")


def number_lines(text: str) -> str:
    """Each line with its number, from 1."""
    return "\n".join(f"{number}→ {line}" for number, line in enumerate(text.split("\n"), 1))
