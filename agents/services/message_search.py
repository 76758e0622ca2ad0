"""Messages found again: by their words, by their meaning, or by both (spec/memory.md §4, spec/objects.md §7.4)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from django.contrib.postgres.search import SearchRank
from django.db.models import F, Q, QuerySet

from agents.models import Message
from agents.services.agents import get_agent_for
from agents.services.conversations import find_conversation, history_of
from agents.services.message_vectors import nearest
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid, Unavailable
from letta_ade.llm import catalog
from memory.search import AnyWord, candidate_count, fuse
from memory.texts import searchable

SearchMode = Literal["fts", "vector", "hybrid"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSearch:
    """What is looked for, and where; None asks nothing. Both dates count."""

    query: str
    mode: SearchMode = "hybrid"
    agent_id: str | None = None
    #: May be `default` beside an agent.
    conversation_id: str | None = None
    roles: tuple[str, ...] = ()
    start: datetime | None = None
    end: datetime | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageHit:
    """A found message, with its agent; ranks count from 1, None where it was not found that way."""

    message: Message
    score: float
    vector_rank: int | None
    fts_rank: int | None


def search_messages(*, caller: Caller, search: MessageSearch) -> list[MessageHit]:
    """The messages that fit best, the best first; without a query the newest ones.

    Only what was said is found: no tool returns, no reasoning, no compiled system messages, nothing of failed steps. `hybrid` is by
    words alone where there is no embedding model; `vector` raises Invalid then, and Unavailable when the model does not answer. Raises
    NotFound for an agent or a conversation. May call the embedding model, so never inside a transaction.
    """
    caller.check("read")
    messages, embedding = _searched(caller, search)
    query = searchable(search.query)
    if not query:
        return _hits(messages, [], rank_by_age(messages, search.limit), search.limit)
    count = candidate_count(search.limit)
    by_meaning = None
    if search.mode != "fts" and embedding is not None:
        by_meaning = nearest(
            messages, query, embedding=embedding, workspace_id=caller.workspace_id, count=count
        )
    if search.mode == "vector" and by_meaning is None:
        if embedding is None:
            raise Invalid(
                "There is no embedding model to search by meaning: name an agent that has one, or search with 'fts'."
            )
        raise Unavailable(f"The embedding model {embedding!r} does not answer. Search with 'fts' meanwhile.")
    by_words = rank_by_words(messages, query, count) if search.mode != "vector" else []
    return _hits(messages, by_meaning or [], by_words, search.limit)


def rank_by_words(messages: QuerySet[Message], query: str, limit: int) -> list[str]:
    """Ids of the messages with words of the query, the best first; where none has any, of those that hold it as a piece of text."""
    words = AnyWord(query)
    found = list(
        messages.filter(search=words)
        .annotate(rank=SearchRank(F("search"), words))
        .order_by("-rank", "-created_at", "-id")
        .values_list("id", flat=True)[:limit]
    )
    # Parts of words, and languages that put no spaces between them.
    return found or rank_by_age(messages.filter(text__icontains=query), limit)


def rank_by_age(messages: QuerySet[Message], limit: int) -> list[str]:
    """Ids of the messages, the newest first."""
    return list(messages.order_by("-created_at", "-id").values_list("id", flat=True)[:limit])


def _searched(caller: Caller, search: MessageSearch) -> tuple[QuerySet[Message], str | None]:
    """What may be found, and the embedding model of whose messages they are."""
    embedding = catalog.default_embedding_handle()
    rows = Message.objects.filter(workspace_id=caller.workspace_id)
    agent = get_agent_for(caller=caller, agent_id=search.agent_id) if search.agent_id else None
    if search.conversation_id:
        conversation = find_conversation(
            caller=caller, conversation_id=search.conversation_id, agent_id=search.agent_id
        )
        rows, agent = history_of(conversation), conversation.agent
    elif agent is not None:
        rows = rows.filter(agent=agent)
    if agent is not None:
        embedding = agent.embedding or embedding
    where = Q(is_err=False) & ~Q(text="")
    if search.roles:
        where &= Q(role__in=search.roles)
    if search.start is not None:
        where &= Q(created_at__gte=search.start)
    if search.end is not None:
        where &= Q(created_at__lte=search.end)
    return rows.filter(where), embedding


def _hits(
    messages: QuerySet[Message], by_meaning: list[str], by_words: list[str], limit: int
) -> list[MessageHit]:
    best = fuse(by_meaning, by_words)[:limit]
    found = messages.select_related("agent").defer("search").in_bulk([each.id for each in best])
    return [
        MessageHit(
            message=found[each.id],
            score=each.score,
            vector_rank=each.vector_rank,
            fts_rank=each.fts_rank,
        )
        for each in best
        if each.id in found
    ]
