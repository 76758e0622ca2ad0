"""Built-in tools with which an agent keeps and finds passages (spec/memory.md §3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from memory.dates import parse_end, parse_start, zone
from memory.services.archives import get_archive_for, get_archives
from memory.services.passages import (
    DEFAULT_LIMIT,
    PassageDraft,
    PassageHit,
    embed_texts,
    insert_passages,
    search_passages,
)
from tools import registry
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

_MOST_RESULTS = 100

TAGS = {"type": "array", "items": {"type": "string"}}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryVector:
    """A query as a vector, and the handle of the model that made it."""

    vector: list[float]
    embedding: str


def prepare_insert(context: ToolContext, arguments: dict[str, Any]) -> list[list[float]] | None:
    content = arguments["content"]
    return embed_for_insert(context, [content]) if content.strip() else None


def archival_memory_insert(
    context: ToolContext, arguments: dict[str, Any], vectors: list[list[float]] | None
) -> None:
    draft = PassageDraft(
        text=arguments["content"],
        tags=tuple(tags_of(arguments)),
        agent_id=context.agent_id,
        run_id=context.run_id,
        message_id=context.message_id,
    )
    insert_texts(context, [draft], vectors)


def embed_for_insert(context: ToolContext, texts: list[str]) -> list[list[float]] | None:
    """Vectors for texts that go into the agent's archive, or None when it is searched by words. For `prepare`."""
    archives = get_archives(caller=context.caller, archive_ids=context.archive_ids[:1])
    return embed_texts(
        archives[0] if archives else context.embedding, texts, workspace_id=context.caller.workspace_id
    )


def insert_texts(context: ToolContext, drafts: list[PassageDraft], vectors: list[list[float]] | None) -> None:
    """Put passages into the agent's first archive, which is made when there is none. For `run`."""
    if context.archive_ids:
        archive = get_archive_for(caller=context.caller, archive_id=context.archive_ids[0])
    else:
        archive = context.ensure_archive()
    insert_passages(caller=context.caller, archive=archive, drafts=drafts, vectors=vectors)


def prepare_search(context: ToolContext, arguments: dict[str, Any]) -> QueryVector | None:
    archives = get_archives(caller=context.caller, archive_ids=context.archive_ids)
    handle = next((archive.embedding for archive in archives if archive.embedding), None)
    query, workspace_id = arguments["query"], context.caller.workspace_id
    vectors = embed_texts(handle, [query], workspace_id=workspace_id) if query.strip() else None
    return QueryVector(vector=vectors[0], embedding=handle) if vectors and handle else None


def archival_memory_search(
    context: ToolContext, arguments: dict[str, Any], vector: QueryVector | None
) -> list[dict[str, Any]]:
    mode = arguments.get("tag_match_mode") or "any"
    if mode not in ("any", "all"):
        raise ToolError(f"tag_match_mode must be 'any' or 'all', not {mode!r}.")
    hits = search_passages(
        caller=context.caller,
        archives=get_archives(caller=context.caller, archive_ids=context.archive_ids),
        query=arguments["query"],
        query_vector=vector.vector if vector else None,
        embedding=vector.embedding if vector else None,
        tags=tags_of(arguments),
        tag_match_mode="all" if mode == "all" else "any",
        start=parse_start(arguments.get("start_datetime"), timezone=context.timezone),
        end=parse_end(arguments.get("end_datetime"), timezone=context.timezone),
        limit=_result_count(arguments),
    )
    return [_shown(hit, context.timezone) for hit in hits]


def _shown(hit: PassageHit, timezone: str) -> dict[str, Any]:
    return {
        "id": hit.passage.id,
        "timestamp": hit.passage.dated_at.astimezone(zone(timezone)).isoformat(timespec="seconds"),
        "content": hit.passage.text,
        "tags": hit.passage.tags,
        "relevance": {
            "rrf_score": round(hit.score, 6),
            "vector_rank": hit.vector_rank,
            "fts_rank": hit.fts_rank,
        },
    }


def tags_of(arguments: dict[str, Any]) -> list[str]:
    """The tags among the arguments, each once. Raises ToolError."""
    tags = arguments.get("tags") or []
    # A model that has one tag often writes it without the list.
    tags = [tags] if isinstance(tags, str) else tags
    if not isinstance(tags, list):
        raise ToolError(f"tags must be a list of texts, not {tags!r}.")
    return list(dict.fromkeys(str(tag).strip() for tag in tags if str(tag).strip()))


def _result_count(arguments: dict[str, Any]) -> int:
    count = arguments.get("top_k")
    if count is None:
        return DEFAULT_LIMIT
    if not isinstance(count, int) or count < 1:
        raise ToolError(f"top_k must be a whole number from 1 to {_MOST_RESULTS}, not {count!r}.")
    return min(count, _MOST_RESULTS)


def register() -> None:
    """Put them into the registry."""
    registry.register(
        BuiltinTool(
            name="archival_memory_insert",
            tool_type=ToolType.LETTA_CORE,
            description="Keep a text in archival memory, to be found later by its meaning or words. "
            "Write it so that it can be understood alone: with names, dates and context.",
            parameters={
                "type": "object",
                "properties": {
                    "content": {"type": "string", "description": "The text to keep."},
                    "tags": TAGS | {"description": "Short category names by which a search can be narrowed."},
                },
                "required": ["content"],
            },
            run=archival_memory_insert,
            prepare=prepare_insert,
        )
    )
    registry.register(
        BuiltinTool(
            name="archival_memory_search",
            tool_type=ToolType.LETTA_CORE,
            description="Search archival memory. Returns the passages that fit the query best, with their dates and tags.",
            parameters={
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for: a question or key words."},
                    "tags": TAGS | {"description": "Find only passages that carry these tags."},
                    "tag_match_mode": {
                        "type": "string",
                        "enum": ["any", "all"],
                        "description": "Whether a passage must carry any (default) or all of the tags.",
                    },
                    "top_k": {
                        "type": "integer",
                        "description": f"How many passages at most; {DEFAULT_LIMIT} by default.",
                    },
                    "start_datetime": {
                        "type": "string",
                        "description": "Only passages from this day or moment on (ISO 8601, such as 2026-01-31).",
                    },
                    "end_datetime": {
                        "type": "string",
                        "description": "Only passages up to this day or moment, itself included (ISO 8601).",
                    },
                },
                "required": ["query"],
            },
            run=archival_memory_search,
            enable_parallel_execution=True,
            prepare=prepare_search,
            is_return_cut=False,
        )
    )
