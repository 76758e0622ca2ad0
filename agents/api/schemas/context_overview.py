"""The context window by its parts, as V1 told of it (spec/memory.md §8)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from agents.api.schemas.stored_message import StoredMessage
from agents.models import Message
from agents.services.context_overview import ContextOverview, tool_data
from letta_ade.core.schemas import Wire


class ContextWindowOverview(Wire):
    """The sizes are estimates; those of the parts add up to the whole."""

    context_window_size_max: int
    context_window_size_current: int
    num_messages: int
    num_archival_memory: int
    num_recall_memory: int
    num_tokens_external_memory_summary: int
    external_memory_summary: str
    num_tokens_system: int
    system_prompt: str
    num_tokens_core_memory: int
    core_memory: str
    num_tokens_memory_filesystem: int = 0
    memory_filesystem: str | None = None
    num_tokens_tool_usage_rules: int
    tool_usage_rules: str | None
    num_tokens_directories: int = 0
    directories: str | None = None
    num_tokens_summary_memory: int
    summary_memory: str | None
    num_tokens_functions_definitions: int
    functions_definitions: list[dict[str, Any]] | None
    num_tokens_messages: int
    messages: list[StoredMessage]

    @classmethod
    def of(cls, overview: ContextOverview, messages: Sequence[Message]) -> ContextWindowOverview:
        """The overview with its stored messages."""
        counts = overview.counts
        return cls(
            **{f"num_tokens_{name}": tokens for name, tokens in counts.items()},
            context_window_size_max=overview.window,
            context_window_size_current=sum(counts.values()),
            num_messages=len(overview.chat) + (overview.summary is not None) + 1,
            num_archival_memory=overview.archival_count,
            num_recall_memory=overview.recall_count,
            external_memory_summary=overview.parts.metadata,
            system_prompt=overview.parts.instructions,
            core_memory=overview.parts.blocks,
            tool_usage_rules=overview.parts.rules or None,
            summary_memory=overview.summary,
            functions_definitions=tool_data(overview.tools) or None,
            messages=[StoredMessage.of(message) for message in messages],
        )
