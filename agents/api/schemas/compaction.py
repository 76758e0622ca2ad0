"""Compactions on the wire: their settings, what came of one, and the record of it (spec/memory.md §8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import Field, field_validator

from agents.api.schemas.stored_message import StoredMessage
from agents.models import Compaction, Message
from agents.services.compaction_settings import complete_settings
from letta_ade.core.schemas import Body, Wire


class CompactionSettingsInput(Body):
    """Settings as a client sends them; what is not sent keeps its default."""

    mode: Literal["all", "sliding_window", "self_compact_all", "self_compact_sliding_window"] | None = None
    model: str | None = Field(default=None, min_length=1, max_length=255)
    model_settings: dict[str, Any] | None = None
    prompt: str | None = Field(default=None, min_length=1, max_length=20_000)
    prompt_acknowledgement: bool | None = None
    clip_chars: int | None = Field(default=None, ge=1, le=10_000_000)
    sliding_window_percentage: float | None = Field(default=None, gt=0, lt=1)

    @field_validator("model")
    @classmethod
    def _is_a_handle(cls, value: str | None) -> str | None:
        provider, _, name = (value or "p/m").partition("/")
        if not provider or not name:
            raise ValueError("a model is named by its handle, 'provider/model'")
        return value

    @field_validator("model_settings")
    @classmethod
    def _names_its_provider(cls, value: dict[str, Any] | None) -> dict[str, Any] | None:
        if value is not None and not isinstance(value.get("provider_type"), str):
            raise ValueError("model settings name their 'provider_type'")
        return value

    def asked(self) -> dict[str, Any]:
        """What was sent; null is a value for `clip_chars` (no limit), and as good as absent elsewhere."""
        sent = {name: getattr(self, name) for name in self.sent()}
        return {name: value for name, value in sent.items() if value is not None or name == "clip_chars"}

    def complete(self) -> dict[str, Any]:
        """What is stored with an agent."""
        return complete_settings(self.asked())


class CompactRequest(Body):
    """A compaction that somebody asks for; the settings are for this once."""

    compaction_settings: CompactionSettingsInput | None = None

    def asked(self) -> dict[str, Any]:
        return self.compaction_settings.asked() if self.compaction_settings else {}


class CompactConversation(CompactRequest):
    """The same for a conversation; `default` needs the agent's id."""

    agent_id: str | None = None


class CompactionResponse(Wire):
    """What came of it; equal numbers when there was nothing to compact."""

    summary: str
    num_messages_before: int
    num_messages_after: int


class CompactionRecord(Wire):
    """A compaction as it is kept (ours: V1 keeps none)."""

    id: str
    agent_id: str
    conversation_id: str
    run_id: str | None
    step_id: str | None
    #: The summary message.
    message_id: str | None
    summary: str
    trigger: str
    mode: str
    #: Who wrote the summary; null: no model could, and the text says so.
    model: str | None
    failure: str | None
    context_tokens_before: int
    context_tokens_after: int
    context_window: int
    messages_count_before: int
    messages_count_after: int
    #: Of the calls of summarisers.
    prompt_tokens: int
    completion_tokens: int
    created_at: datetime
    undone_at: datetime | None
    #: What it took out of the context; of a single record only.
    replaced: list[StoredMessage] | None = None

    @classmethod
    def of(cls, row: Compaction, replaced: list[Message] | None = None) -> CompactionRecord:
        return cls(
            id=row.id,
            agent_id=row.agent_id,
            conversation_id=row.conversation_id,
            run_id=row.run_id,
            step_id=row.step_id,
            message_id=row.message_id,
            summary=row.summary,
            trigger=row.trigger,
            mode=row.mode,
            model=row.model,
            failure=row.failure or None,
            context_tokens_before=row.tokens_before,
            context_tokens_after=row.tokens_after,
            context_window=row.context_window,
            messages_count_before=row.messages_before,
            messages_count_after=row.messages_after,
            prompt_tokens=row.prompt_tokens,
            completion_tokens=row.completion_tokens,
            created_at=row.created_at,
            undone_at=row.undone_at,
            replaced=None if replaced is None else [StoredMessage.of(message) for message in replaced],
        )
