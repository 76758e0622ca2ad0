"""Tools found by words in their names, descriptions and tags."""

from __future__ import annotations

from dataclasses import dataclass

from django.contrib.postgres.search import SearchQuery, SearchRank, SearchVector
from django.db.models import Case, FloatField, Func, Q, TextField, Value, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Replace

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Unprocessable, Unsupported
from memory.texts import searchable
from tools.models import Tool
from tools.services.tools import ToolFilters, list_tools, tool_description

SEARCH_MODES = ("vector", "fts", "hybrid")
MOST_RESULTS = 100
#: Of the first hit's score in reciprocal rank fusion, as V1 computed it.
_FUSION = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundTool:
    """A hit; `rank` is its place among the hits, None when nothing was looked for."""

    tool: Tool
    text: str
    rank: int | None
    score: float


def search_tools(
    *,
    caller: Caller,
    query: str | None = None,
    mode: str = "hybrid",
    tool_types: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
    limit: int = 50,
) -> list[FoundTool]:
    """The best hits first; without a query the newest tools.

    This server keeps no vectors of tools: `hybrid` is the search in texts, and `vector` raises Unsupported. Raises Unprocessable for
    another mode or a limit beyond 1 to 100, Invalid for an unknown tool type.
    """
    if mode not in SEARCH_MODES:
        raise Unprocessable(f"search_mode is {', '.join(SEARCH_MODES)}, not {mode!r}.")
    if not 1 <= limit <= MOST_RESULTS:
        raise Unprocessable(f"limit is between 1 and {MOST_RESULTS}, not {limit}.")
    if mode == "vector":
        raise Unsupported("This server keeps no vectors of tools; search with search_mode fts or hybrid.")
    tools = list_tools(caller=caller, filters=ToolFilters(tool_types=tool_types))
    if tags:
        tools = tools.filter(tags__overlap=list(tags))
    words = searchable(query or "")
    if not words:
        newest = tools.order_by("-created_at", "-id")[:limit]
        return [FoundTool(tool=tool, text=_text_of(tool), rank=None, score=0.0) for tool in newest]
    vector = (
        SearchVector(Replace("name", Value("_"), Value(" ")), weight="A", config="english")
        + SearchVector("description", weight="B", config="english")
        + SearchVector(_joined_tags(), weight="C", config="english")
    )
    asked = SearchQuery(words, search_type="websearch", config="english")
    # Part of a name is a hit too: people type its beginning.
    is_part = Q(name__icontains=words.replace(" ", "_"))
    found = (
        tools.annotate(vector=vector, rank=SearchRank(vector, asked))
        .filter(Q(vector=asked) | is_part)
        .annotate(named=Case(When(is_part, then=Value(1.0)), default=Value(0.0), output_field=FloatField()))
        .order_by("-named", "-rank", "name")[:limit]
    )
    return [
        FoundTool(tool=tool, text=_text_of(tool), rank=rank, score=1 / (_FUSION + rank))
        for rank, tool in enumerate(found, 1)
    ]


def _joined_tags() -> Combinable:
    return Func("tags", Value(" "), function="array_to_string", output_field=TextField())


def _text_of(tool: Tool) -> str:
    return "\n".join(part for part in (tool.name, tool_description(tool), " ".join(tool.tags)) if part)
