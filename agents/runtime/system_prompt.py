"""The system message: instructions, memory and metadata put together (spec/agent-loop.md §2.1)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from zoneinfo import ZoneInfo

from agents.runtime.tool_rules import Rule, describe
from memory.rendering import BlockView, mask, render_blocks

PLACEHOLDER = "{CORE_MEMORY}"
TIME_FORMAT = "%Y-%m-%d %I:%M:%S %p %Z%z"
RULES_INTRODUCTION = "Follow these rules when you call tools."


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptSource:
    """Everything that the system message is compiled from."""

    system: str
    agent_id: str
    #: `default` or conv-….
    conversation_id: str
    timezone: str
    blocks: tuple[BlockView, ...] = ()
    rules: tuple[Rule, ...] = ()
    has_line_numbers: bool = False
    has_blocks: bool = True
    archival_count: int = 0
    archive_tags: tuple[str, ...] = ()

    @property
    def fingerprint(self) -> str:
        """SHA-256 of what must bring a new system message when it changes.

        Time and the number of older messages are not in it: they change with every request, and the text that a provider has
        cached would change with them.
        """
        return hashlib.sha256(_put_together(self, _steady_metadata(self)).encode()).hexdigest()


def compile_system_prompt(source: PromptSource, *, compiled_at: datetime, recall_count: int) -> str:
    """The text of the system message. `recall_count`: stored messages that are not in context."""
    agent, conversation, *archival = _steady_metadata(source)
    metadata = [
        agent,
        conversation,
        f"- Memory last compiled: {format_time(compiled_at, source.timezone)}",
        f"- {recall_count} earlier messages are kept in recall memory",
        *archival,
    ]
    return _put_together(source, metadata)


def format_time(moment: datetime, timezone: str) -> str:
    """A time as prompts show it, in the agent's zone."""
    return moment.astimezone(ZoneInfo(timezone)).strftime(TIME_FORMAT)


def _put_together(source: PromptSource, metadata: Sequence[str]) -> str:
    """The instructions with memory at its place, or behind them when they name none."""
    sections = [
        render_blocks(source.blocks, is_numbered=source.has_line_numbers) if source.has_blocks else "",
        _render_rules(describe(source.rules)),
        "<memory_metadata>\n" + "\n".join(metadata) + "\n</memory_metadata>",
    ]
    memory = "\n\n".join(section for section in sections if section)
    if PLACEHOLDER in source.system:
        return source.system.replace(PLACEHOLDER, memory)
    return f"{source.system}\n\n{memory}"


def _render_rules(sentences: Sequence[str]) -> str:
    if not sentences:
        return ""
    rules = "\n".join(f"<tool_rule>\n{sentence}\n</tool_rule>" for sentence in sentences)
    return f"<tool_usage_rules>\n{RULES_INTRODUCTION}\n\n{rules}\n</tool_usage_rules>"


def _steady_metadata(source: PromptSource) -> list[str]:
    lines = [f"- AGENT_ID: {source.agent_id}", f"- CONVERSATION_ID: {source.conversation_id}"]
    if source.archival_count:
        lines.append(f"- {source.archival_count} passages are kept in archival memory")
    if source.archive_tags:
        # A tag is somebody's text, and a line of its own here would be a fact of ours.
        tags = ", ".join(" ".join(tag.split()) for tag in source.archive_tags)
        lines.append(f"- Tags in archival memory: {mask(tags)}")
    return lines
