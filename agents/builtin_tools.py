"""Built-in tools that need to know about agents: searching past messages (spec/memory.md §4)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from django.utils import timezone

from agents.models import Message
from agents.models.message import MessageRole
from agents.services.message_search import rank_by_age, rank_by_words
from memory.dates import parse_end, parse_start, zone
from memory.search import Fused, fuse
from memory.texts import searchable
from tools import registry
from tools.builtin import archival
from tools.context import ToolContext
from tools.models.tool import ToolType
from tools.registry import BuiltinTool, ToolError

DEFAULT_LIMIT = 5
_MOST_RESULTS = 50
#: The return is never cut as a whole, so each message in it is.
_MOST_CHARACTERS = 2000
#: A hundred years.
_MOST_MINUTES = 52_560_000
_ROLES = (MessageRole.ASSISTANT, MessageRole.USER, MessageRole.TOOL)
#: Tool messages are left out whatever is asked: they repeat memory, and earlier searches would be found in them.
_SEARCHED_ROLES = (MessageRole.ASSISTANT, MessageRole.USER)
_NAME = "conversation_search"
#: What was said beside a call of one of these is no find: the model looked for it itself.
_SEARCHES = (_NAME, "conversation_search_date", "search_memory")


def conversation_search(context: ToolContext, arguments: dict[str, Any], _: Any) -> dict[str, Any]:
    limit = _result_count(arguments)
    messages = _messages(context, arguments)
    query = searchable(arguments.get("query") or "")
    found = rank_by_words(messages, query, limit) if query else rank_by_age(messages, limit)
    ranked = fuse([], found)
    rows = messages.defer("search").in_bulk([each.id for each in ranked])
    now = timezone.now()
    results = [
        _shown(rows[each.id], context.timezone, now) | (_relevance(each) if query else {})
        for each in ranked
        if each.id in rows
    ]
    count = len(results)
    message = f"Showing {count} result{'' if count == 1 else 's'}:" if results else "No results found."
    return {"message": message, "results": results}


def conversation_search_date(context: ToolContext, arguments: dict[str, Any], _: Any) -> dict[str, Any]:
    return conversation_search(context, arguments, None)


def prepare_search_memory(context: ToolContext, arguments: dict[str, Any]) -> archival.QueryVector | None:
    return archival.prepare_search(context, {"query": _question(context, arguments)})


def search_memory(
    context: ToolContext, arguments: dict[str, Any], vector: archival.QueryVector | None
) -> dict[str, Any]:
    question = _question(context, arguments)
    newer, older = (_minutes_ago(arguments, name) for name in ("start_minutes_ago", "end_minutes_ago"))
    # Models turn the two bounds around.
    if newer is not None and older is not None and newer < older:
        newer, older = older, newer
    said = {
        "query": question,
        "start_date": older.isoformat() if older else None,
        "end_date": newer.isoformat() if newer else None,
    }
    return {
        "archival": archival.archival_memory_search(context, {"query": question}, vector),
        "conversation": conversation_search(context, said, None)["results"],
    }


def _question(context: ToolContext, arguments: dict[str, Any]) -> str:
    """The key words, or without any what the person said last."""
    words = arguments.get("convo_keyword_queries") or []
    words = [words] if isinstance(words, str) else words
    if not isinstance(words, list):
        raise ToolError(f"convo_keyword_queries must be a list of texts, not {words!r}.")
    return " ".join(str(word) for word in words).strip() or " ".join(context.input_texts[-1:])


def _minutes_ago(arguments: dict[str, Any], name: str) -> datetime | None:
    minutes = arguments.get(name)
    if minutes is None:
        return None
    if not isinstance(minutes, int) or not 0 <= minutes <= _MOST_MINUTES:
        raise ToolError(f"{name} must be a whole number of minutes from 0 on, not {minutes!r}.")
    return timezone.now() - timedelta(minutes=minutes)


def _messages(context: ToolContext, arguments: dict[str, Any]) -> QuerySet[Message]:
    """What may be found. Messages of this very run are not: the model sees them, and its question would find itself."""
    where = Q(agent_id=context.agent_id, workspace_id=context.caller.workspace_id, is_err=False)
    where &= Q(role__in=_roles(arguments)) & ~Q(text="") & ~Q(run=context.run_id)
    if start := parse_start(arguments.get("start_date"), timezone=context.timezone):
        where &= Q(created_at__gte=start)
    if end := parse_end(arguments.get("end_date"), timezone=context.timezone):
        where &= Q(created_at__lte=end)
    for name in _SEARCHES:
        where &= ~Q(tool_calls__contains=[{"name": name}])
    return Message.objects.filter(where)


def _roles(arguments: dict[str, Any]) -> list[str]:
    roles = arguments.get("roles") or list(_SEARCHED_ROLES)
    roles = [roles] if isinstance(roles, str) else roles
    if not isinstance(roles, list) or any(role not in _ROLES for role in roles):
        raise ToolError(f"roles must be a list of {', '.join(map(repr, map(str, _ROLES)))}, not {roles!r}.")
    return [role for role in _SEARCHED_ROLES if role in roles]


def _result_count(arguments: dict[str, Any]) -> int:
    limit = arguments.get("limit")
    if limit is None:
        return DEFAULT_LIMIT
    if not isinstance(limit, int) or limit < 1:
        raise ToolError(f"limit must be a whole number from 1 to {_MOST_RESULTS}, not {limit!r}.")
    return min(limit, _MOST_RESULTS)


def _shown(message: Message, timezone_name: str, now: datetime) -> dict[str, Any]:
    text = message.text
    if len(text) > _MOST_CHARACTERS:
        text = f"{text[:_MOST_CHARACTERS]}… [cut: the message has {len(text)} characters]"
    return {
        "timestamp": message.created_at.astimezone(zone(timezone_name)).isoformat(timespec="seconds"),
        "time_ago": time_ago(message.created_at, now),
        "role": message.role,
        "content": text,
    }


def _relevance(ranked: Fused) -> dict[str, Any]:
    return {
        "relevance": {
            "rrf_score": round(ranked.score, 6),
            "vector_rank": ranked.vector_rank,
            "fts_rank": ranked.fts_rank,
        }
    }


def time_ago(moment: datetime, now: datetime) -> str:
    """How long ago, in the largest whole unit: 42s, 5m, 3h or 2d ago."""
    seconds = max(0, int((now - moment).total_seconds()))
    if seconds < 60:
        return f"{seconds}s ago"
    if seconds < 3600:
        return f"{seconds // 60}m ago"
    if seconds < 86_400:
        return f"{seconds // 3600}h ago"
    return f"{seconds // 86_400}d ago"


_COUNT = {"type": "integer", "description": f"How many messages at most; {DEFAULT_LIMIT} by default."}
_START = {
    "type": "string",
    "description": "Only messages from this day or moment on (ISO 8601, such as 2026-01-31).",
}
_END = {
    "type": "string",
    "description": "Only messages up to this day or moment, itself included (ISO 8601).",
}


def register() -> None:
    """Put them into the registry."""
    registry.register(
        BuiltinTool(
            name=_NAME,
            tool_type=ToolType.LETTA_CORE,
            description="Search earlier messages of your conversations, also those that you no longer see. "
            "Without a query the newest messages that pass the filters are shown.",
            parameters={
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "What to look for: a question or key words."},
                    "roles": {
                        "type": "array",
                        "items": {"type": "string", "enum": [str(role) for role in _ROLES]},
                        "description": "Whose messages; by default those of the user and your own.",
                    },
                    "limit": _COUNT,
                    "start_date": _START,
                    "end_date": _END,
                },
                "required": [],
            },
            run=conversation_search,
            enable_parallel_execution=True,
            is_return_cut=False,
        )
    )
    registry.register(
        BuiltinTool(
            name="conversation_search_date",
            tool_type=ToolType.LETTA_CORE,
            description="Show the newest messages of a span of days; conversation_search does the same and more.",
            parameters={
                "type": "object",
                "properties": {"start_date": _START, "end_date": _END, "limit": _COUNT},
                "required": ["start_date", "end_date"],
            },
            run=conversation_search_date,
            enable_parallel_execution=True,
            is_return_cut=False,
        )
    )
    registry.register(_search_memory_tool())


def _search_memory_tool() -> BuiltinTool:
    return BuiltinTool(
        name="search_memory",
        tool_type=ToolType.LETTA_VOICE_SLEEPTIME_CORE,
        description="Look into archival memory and earlier conversation, when somebody refers to something that you do not see. "
        "Without key words it looks for what the person said last.",
        parameters={
            "type": "object",
            "properties": {
                "convo_keyword_queries": {
                    "type": "array",
                    "items": {"type": "string"},
                    "description": "Key words to look for, each a few words.",
                },
                "start_minutes_ago": {
                    "type": "integer",
                    "description": "Only messages that are at least this many minutes old.",
                },
                "end_minutes_ago": {
                    "type": "integer",
                    "description": "Only messages that are at most this many minutes old.",
                },
            },
            "required": [],
        },
        run=search_memory,
        prepare=prepare_search_memory,
        enable_parallel_execution=True,
        is_return_cut=False,
    )
