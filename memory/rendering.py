"""How memory blocks stand in a prompt (spec/agent-loop.md §2.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

INTRODUCTION = (
    "These are your memory blocks. They are always in view, and you can edit those that are not read-only."
)
LINE_NUMBER_WARNING = (
    "Line numbers are shown to help you read. They are not part of the value: leave them out of every edit."
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
    """The section with all blocks, or an empty text without any. `is_numbered` puts `n→ ` before each line of a value."""
    if not blocks:
        return ""
    inner = "\n\n".join(_render_block(block, is_numbered=is_numbered) for block in blocks)
    return f"<memory_blocks>\n{INTRODUCTION}\n\n{inner}\n\n</memory_blocks>"


def _render_block(block: BlockView, *, is_numbered: bool) -> str:
    facts = ["- read_only=true"] if block.read_only else []
    facts += [f"- chars_current={len(block.value)}", f"- chars_limit={block.limit}"]
    value = number_lines(block.value) if is_numbered and block.value else block.value
    warning = f"<warning>\n{LINE_NUMBER_WARNING}\n</warning>\n" if is_numbered else ""
    return (
        f"<{block.label}>\n"
        f"<description>\n{block.description or ''}\n</description>\n"
        "<metadata>\n" + "\n".join(facts) + "\n</metadata>\n"
        f"{warning}<value>\n{value}\n</value>\n"
        f"</{block.label}>"
    )


def number_lines(text: str) -> str:
    """Each line with its number, from 1."""
    return "\n".join(f"{number}→ {line}" for number, line in enumerate(text.split("\n"), 1))
