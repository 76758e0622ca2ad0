"""Stored messages, as lists want them (spec/sdk-and-server.md §5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import QuerySet

from agents.models import Agent, Message
from agents.services.agents import get_agent_for
from agents.services.conversations import DEFAULT, get_conversation_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.pagination import PageRequest, paginate


@dataclass(frozen=True, slots=True, kw_only=True)
class MessagePage:
    """Which part of a history is wanted. A list of messages counts stored messages.

    Without an order the cursors are chronological and the newest window is given, oldest first; an explicit `desc` is newest
    first, and `after` goes on downwards.
    """

    limit: int = 100
    order: Literal["asc", "desc"] | None = None
    after: str | None = None
    before: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageFilters:
    """None asks nothing; `conversation_id` may be `default`."""

    conversation_id: str | None = None
    group_id: str | None = None
    run_id: str | None = None
    #: Messages of steps that failed, too.
    shows_errors: bool = False


def list_messages(
    *, caller: Caller, agent_id: str, filters: MessageFilters | None = None, page: MessagePage | None = None
) -> list[Message]:
    """A page of the agent's messages, of all its conversations unless one is named. Raises NotFound (agent, cursor)."""
    filters = filters or MessageFilters()
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    everything = Message.objects.filter(agent=agent)
    rows = everything if filters.shows_errors else everything.filter(is_err=False)
    if filters.conversation_id is not None:
        # By the conversation's id, so that the index of its messages is used.
        conversation = get_conversation_of(agent=agent, conversation_id=filters.conversation_id or DEFAULT)
        rows = Message.objects.filter(conversation=conversation)
        rows = rows if filters.shows_errors else rows.filter(is_err=False)
    if filters.group_id is not None:
        rows = rows.filter(group_id=filters.group_id)
    return of_agent(agent, page_of(rows, page or MessagePage(), among=everything))


def of_agent(agent: Agent, messages: list[Message]) -> list[Message]:
    """The messages, which are this agent's, with the agent on each of them."""
    for message in messages:
        message.agent = agent
    return messages


def page_of(rows: QuerySet[Message], page: MessagePage, *, among: QuerySet[Message]) -> list[Message]:
    """A page of messages by the rules of `MessagePage`."""
    # What only a search needs is not read: its words take as much room as the text.
    rows = rows.defer("search", "text")
    if page.order is None and page.after is None:
        newest = PageRequest(limit=page.limit, order="desc", after=page.before)
        return paginate(rows, newest, among=among)[::-1]
    request = PageRequest(limit=page.limit, order=page.order or "asc", after=page.after, before=page.before)
    return paginate(rows, request, among=among)
