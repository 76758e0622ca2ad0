"""The search for messages on the wire, in the two forms that clients know (spec/objects.md §7.4)."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from pydantic import Field

from agents.api.schemas.stored_message import StoredMessage
from agents.api.wire import wire_one
from agents.runtime.spoken import AnswerTool
from agents.services.message_search import MessageHit, MessageSearch, SearchMode
from letta_ade.core.schemas import Body, Wire
from memory.dates import parse_end, parse_start

_FOUND_TYPES = ("system_message", "user_message", "assistant_message")


class SearchMessages(Body):
    """What is looked for. Dates are ISO 8601; both ends count, and a day alone means all of it."""

    query: str
    search_mode: SearchMode = "hybrid"
    agent_id: str | None = None
    conversation_id: str | None = None
    limit: int = Field(default=50, ge=1, le=100)
    start_date: str | None = None
    end_date: str | None = None

    def search(self) -> MessageSearch:
        """The search. Raises Invalid for what is no date."""
        return MessageSearch(
            query=self.query,
            mode=self.search_mode,
            agent_id=self.agent_id or None,
            conversation_id=self.conversation_id or None,
            limit=self.limit,
            start=parse_start(self.start_date),
            end=parse_end(self.end_date),
        )


class SearchStoredMessages(SearchMessages):
    """The same as SDK 0.x asks; without a query the newest messages are found."""

    query: str = ""
    roles: list[Literal["assistant", "user", "tool", "system", "approval", "summary"]] | None = None

    def search(self) -> MessageSearch:
        return replace(super().search(), roles=tuple(self.roles or ()))


class FoundMessage(Wire):
    """A found message as it was said."""

    message_type: str
    content: str | list[dict[str, Any]]
    message_id: str
    agent_id: str | None
    conversation_id: str | None
    created_at: datetime

    @classmethod
    def of(cls, hit: MessageHit) -> FoundMessage:
        message = hit.message
        said = [each for each in wire_one(message, AnswerTool()) if each["message_type"] in _FOUND_TYPES]
        # Beside the words that are said through a tool there may be a thought in the same message.
        last = said[-1] if said else {"message_type": "assistant_message", "content": message.text}
        return cls(
            message_type=last["message_type"],
            content=last["content"],
            message_id=message.id,
            agent_id=message.agent_id,
            conversation_id=message.conversation_id,
            created_at=message.created_at,
        )


class RankedMessage(Wire):
    """A found message as it is stored, with its places in the rankings."""

    embedded_text: str
    message: StoredMessage
    fts_rank: int | None
    vector_rank: int | None
    rrf_score: float

    @classmethod
    def of(cls, hit: MessageHit) -> RankedMessage:
        return cls(
            embedded_text=hit.message.text,
            message=StoredMessage.of(hit.message),
            fts_rank=hit.fts_rank,
            vector_rank=hit.vector_rank,
            rrf_score=hit.score,
        )
