"""Tools found by words in their names, descriptions and tags, by what they mean, or by both."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.db.models import Case, FloatField, Func, Q, QuerySet, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Replace

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Unavailable, Unprocessable
from letta_ade.llm import catalog
from memory.search import candidate_count, fuse
from memory.texts import searchable
from tools.models import Tool
from tools.services.tool_vectors import nearest
from tools.services.tools import ToolFilters, list_tools, tool_description

SEARCH_MODES = ("vector", "fts", "hybrid")
MOST_RESULTS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTool:
    """A hit; ranks count from 1, None where it was not found that way."""

    tool: Tool
    text: str
    fts_rank: int | None
    vector_rank: int | None
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTools:
    """The hits, the best first."""

    hits: list[FoundTool]
    #: How was searched: `fts` where another mode was asked for and there is no embedding model.
    mode: str


def search_tools(
    *,
    caller: Caller,
    query: str | None = None,
    mode: str = "hybrid",
    tool_types: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    limit: int = 50,
) -> FoundTools:
    """The best hits first; without a query the newest tools.

    Where no embedding model is configured every mode is a search in texts, and the answer says so. Where the model does not answer,
    `hybrid` is one too, and `vector` raises Unavailable. Raises Unprocessable for another mode or a limit beyond 1 to 100, Invalid for
    an unknown tool type. May call the embedding model, so never inside a transaction.
    """
    if mode not in SEARCH_MODES:
        raise Unprocessable(f"search_mode is {', '.join(SEARCH_MODES)}, not {mode!r}.")
    if not 1 <= limit <= MOST_RESULTS:
        raise Unprocessable(f"limit is between 1 and {MOST_RESULTS}, not {limit}.")
    tools = list_tools(caller=caller, filters=ToolFilters(tool_types=tool_types))
    if tags:
        tools = tools.filter(tags__overlap=list(tags))
    words = searchable(query or "")
    embedding = catalog.default_embedding_handle() if words and mode != "fts" else None
    by_meaning: list[str] | None = None
    if embedding is not None:
        texts = {
            tool.id: _text_of(tool) for tool in tools.defer("source_code").order_by("-created_at", "-id")
        }
        by_meaning = nearest(
            texts, words, embedding=embedding, workspace_id=caller.workspace_id, count=candidate_count(limit)
        )
        if by_meaning is None and mode == "vector":
            raise Unavailable(
                f"The embedding model {embedding!r} does not answer. Search with 'fts' meanwhile."
            )
    used = mode if by_meaning is not None else "fts"
    if not words:
        newest = tools.order_by("-created_at", "-id")[:limit]
        hits = [
            FoundTool(tool=tool, text=_text_of(tool), fts_rank=None, vector_rank=None, score=0.0)
            for tool in newest
        ]
        return FoundTools(hits=hits, mode=used)
    by_words = _by_words(tools, words, candidate_count(limit)) if used != "vector" else []
    return FoundTools(hits=_hits(tools, by_meaning or [], by_words, limit), mode=used)


def _by_words(tools: QuerySet[Tool], words: str, count: int) -> list[str]:
    """Ids of the tools that say the words, the best first."""
    vector = (
        SearchVector(Replace("name", Value("_"), Value(" ")), weight="A", config="english")
        + SearchVector("description", weight="B", config="english")
        + SearchVector(_joined_tags(), weight="C", config="english")
    )
    asked = SearchQuery(words, search_type="websearch", config="english")
    # Part of a name is a hit too: people type its beginning.
    is_part = Q(name__icontains=words.replace(" ", "_"))
    return list(
        tools.annotate(vector=vector, rank=SearchRank(vector, asked))
        .filter(Q(vector=asked) | is_part)
        .annotate(named=Case(When(is_part, then=Value(1.0)), default=Value(0.0), output_field=FloatField()))
        .order_by("-named", "-rank", "name")
        .values_list("id", flat=True)[:count]
    )


def _hits(tools: QuerySet[Tool], by_meaning: list[str], by_words: list[str], limit: int) -> list[FoundTool]:
    fused = fuse(by_meaning, by_words)[:limit]
    rows = {tool.id: tool for tool in tools.filter(id__in=[each.id for each in fused])}
    return [
        FoundTool(
            tool=rows[each.id],
            text=_text_of(rows[each.id]),
            fts_rank=each.fts_rank,
            vector_rank=each.vector_rank,
            score=each.score,
        )
        for each in fused
        # It may have been deleted since.
        if each.id in rows
    ]


def _joined_tags() -> Combinable:
    return Func("tags", Value(" "), function="array_to_string", output_field=TextField())


def _text_of(tool: Tool) -> str:
    return "\n".join(part for part in (tool.name, tool_description(tool), " ".join(tool.tags)) if part)
