"""Passages on the wire (spec/objects.md §8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from ninja import Schema
from pydantic import AliasChoices, Field

from letta_ade.core.pagination import Order
from letta_ade.core.schemas import Body, PageQuery, Wire
from letta_ade.llm.api.configs import EmbeddingConfig, agent_embedding_config
from memory.models import Passage
from memory.services.passages import PassageDraft, PassageHit


class PassageResponse(Wire):
    """A passage of an archive. Its vector is not sent."""

    id: str
    text: str
    embedding: list[float] | None = None
    embedding_config: EmbeddingConfig | None
    archive_id: str | None
    source_id: str | None = None
    file_id: str | None = None
    file_name: str | None = None
    metadata: dict[str, Any]
    tags: list[str] | None
    is_deleted: bool = False
    created_at: datetime
    updated_at: datetime
    created_by_id: str | None
    last_updated_by_id: str | None

    @classmethod
    def of(cls, passage: Passage) -> PassageResponse:
        """The passage of a row; its time is the one it is about."""
        return cls(
            id=passage.id,
            text=passage.text,
            embedding_config=agent_embedding_config(
                passage.archive.embedding, dimensions=passage.archive.embedding_dim
            ),
            archive_id=passage.archive_id,
            metadata=passage.metadata,
            tags=passage.tags,
            created_at=passage.dated_at,
            updated_at=passage.updated_at,
            created_by_id=passage.created_by_id,
            last_updated_by_id=passage.last_updated_by_id,
        )


class CreatePassage(Body):
    """A text to keep; `content` is another word for it."""

    text: str = Field(validation_alias=AliasChoices("text", "content"))
    tags: list[str] | None = None
    metadata: dict[str, Any] | None = None
    created_at: datetime | None = None

    def draft(self) -> PassageDraft:
        return PassageDraft(
            text=self.text,
            tags=tuple(self.tags or ()),
            metadata=self.metadata or {},
            dated_at=self.created_at,
        )


class PassageQuery(PageQuery):
    """The list is oldest first; `query` is another word for `search`."""

    search: str | None = None
    query: str | None = None

    def text(self) -> str | None:
        return self.search if self.search is not None else self.query

    def direction(self) -> Order:
        return "desc" if self.ascending is False else "asc"


class SearchQuery(Schema):
    """What is looked for in archival memory. Dates are ISO; both ends count."""

    query: str
    tags: list[str] | None = None
    tag_match_mode: Literal["any", "all"] = "any"
    top_k: int | None = Field(default=None, ge=1, le=1000)
    start_datetime: str | None = None
    end_datetime: str | None = None


class SearchResult(Wire):
    """A passage that was found."""

    id: str
    #: ISO 8601, in the agent's time zone.
    timestamp: str
    content: str
    tags: list[str]

    @classmethod
    def of(cls, hit: PassageHit, zone: Any) -> SearchResult:
        passage = hit.passage
        return cls(
            id=passage.id,
            timestamp=passage.dated_at.astimezone(zone).isoformat(),
            content=passage.text,
            tags=passage.tags,
        )


class SearchResults(Wire):
    """What was found, the best first."""

    results: list[SearchResult]
    count: int
