"""Archival memory of an agent: the passages of all its archives together."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time
from zoneinfo import ZoneInfo

from agents.models import Agent
from agents.services.agent_archives import archives_of, ensure_archive
from agents.services.agents import get_agent_for, tell
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Invalid
from letta_ade.core.pagination import PageRequest, paginate
from memory.models import Passage
from memory.services import passages
from memory.services.passages import PassageDraft, PassageHit, TagMatch


def insert_passage(*, caller: Caller, agent_id: str, draft: PassageDraft) -> Passage:
    """A new passage in the agent's first archive, which is made if need be. Raises NotFound, Invalid or Unprocessable."""
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    archive = ensure_archive(agent=agent)
    # Before the transaction that stores: the embedding model is a call over the network.
    vectors = passages.embed_texts(archive, [draft.text]) if draft.text.strip() else None
    inserted = passages.insert_passages(caller=caller, archive=archive, drafts=[draft], vectors=vectors)[0]
    tell(agent)
    return inserted


def list_agent_passages(
    *, caller: Caller, agent_id: str, search: str | None, page: PageRequest
) -> list[Passage]:
    """A page of the agent's passages by date; `search` is a part of the text. Raises NotFound."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    archives = archives_of(agent)
    rows = passages.list_passages(caller=caller, archives=archives)
    wanted = passages.list_passages(caller=caller, archives=archives, search=search)
    return paginate(wanted.select_related("archive"), page, among=rows)


def search_agent_passages(
    *,
    caller: Caller,
    agent_id: str,
    query: str,
    tags: Sequence[str] = (),
    tag_match_mode: TagMatch = "any",
    start: str | None = None,
    end: str | None = None,
    limit: int | None = None,
) -> tuple[Agent, list[PassageHit]]:
    """The agent and its passages that fit best. Dates are ISO, naive ones in the agent's time zone; both ends count."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    archives = archives_of(agent)
    model = next((archive.embedding for archive in archives if archive.embedding), None)
    vectors = passages.embed_texts(model, [query], workspace_id=agent.workspace_id) if query.strip() else None
    hits = passages.search_passages(
        caller=caller,
        archives=archives,
        query=query,
        query_vector=vectors[0] if vectors else None,
        tags=tags,
        tag_match_mode=tag_match_mode,
        start=_moment(start, agent, is_end=False),
        end=_moment(end, agent, is_end=True),
        limit=limit or passages.DEFAULT_LIMIT,
    )
    return agent, hits


def delete_agent_passage(*, caller: Caller, agent_id: str, passage_id: str) -> None:
    """Delete a passage of the agent's archives. Raises NotFound."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    passages.delete_passage(caller=caller, passage_id=passage_id, archives=archives_of(agent))
    tell(agent)


def _moment(text: str | None, agent: Agent, *, is_end: bool) -> datetime | None:
    """The moment that a date or a time means; a date alone is its first moment, or as an end its last."""
    if text is None or not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Invalid(
            f"{text!r} is not a date; write it as 2026-03-01 or 2026-03-01T09:30:00+00:00."
        ) from None
    if len(text.strip()) == len("2026-03-01") and is_end:
        moment = datetime.combine(moment.date(), time.max)
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=ZoneInfo(agent.timezone))
