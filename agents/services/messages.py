"""Stored messages, as lists want them (spec/sdk-and-server.md §5.3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from django.db.models import QuerySet

from agents.models import Agent, Conversation, Message
from agents.services.agents import get_agent_for
from agents.services.conversations import DEFAULT, find_conversation, get_conversation_of, history_of
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import NotFound
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

    def narrow(self, rows: QuerySet[Message]) -> QuerySet[Message]:
        """The rows of a history that are wanted, whatever conversation they are of."""
        if not self.shows_errors:
            rows = rows.filter(is_err=False)
        if self.group_id is not None:
            rows = rows.filter(group_id=self.group_id)
        return rows


def list_messages(
    *, caller: Caller, agent_id: str, filters: MessageFilters | None = None, page: MessagePage | None = None
) -> list[Message]:
    """A page of the agent's messages, of all its conversations unless one is named. Raises NotFound (agent, cursor)."""
    filters = filters or MessageFilters()
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    rows = everything = Message.objects.filter(agent=agent)
    if filters.conversation_id is not None:
        # By the conversation's id, so that the index of its messages is used.
        rows = history_of(
            get_conversation_of(agent=agent, conversation_id=filters.conversation_id or DEFAULT)
        )
    rows = filters.narrow(rows)
    return of_agent(agent, page_of(rows, page or MessagePage(), among=everything))


def list_conversation_messages(
    *, caller: Caller, conversation: Conversation, filters: MessageFilters, page: MessagePage
) -> list[Message]:
    """A page of the conversation's messages, what a fork took over included; the newest first unless asked otherwise.

    Without an order `after` goes on downwards, as paging clients do, and `before` is what came before that message: a client scrolls
    back with it. Raises NotFound for a cursor of elsewhere.
    """
    caller.check("read")
    everything = history_of(conversation)
    rows = filters.narrow(everything)
    if page.order is not None:
        found = page_of(rows, page, among=everything)
    else:
        is_scrolling = page.before is not None and page.after is None
        request = PageRequest(
            limit=page.limit,
            after=page.before if is_scrolling else page.after,
            before=None if is_scrolling else page.before,
        )
        found = paginate(rows.defer("search", "text"), request, among=everything)
    return of_agent(conversation.agent, found)


def list_all_messages(
    *,
    caller: Caller,
    conversation_id: str | None = None,
    filters: MessageFilters | None = None,
    page: MessagePage | None = None,
) -> list[Message]:
    """A page of the messages of all agents, or of one conversation; they come with their agents. Raises NotFound."""
    caller.check("read")
    everything = Message.objects.filter(workspace_id=caller.workspace_id)
    rows = everything
    if conversation_id is not None:
        rows = history_of(find_conversation(caller=caller, conversation_id=conversation_id))
    rows = (filters or MessageFilters()).narrow(rows).select_related("agent")
    return page_of(rows, page or MessagePage(), among=everything)


def get_message_for(*, caller: Caller, message_id: str) -> Message:
    """The message with its agent. Raises NotFound, also for one of another workspace."""
    caller.check("read")
    found = Message.objects.filter(id=message_id, workspace_id=caller.workspace_id).select_related("agent")
    message = found.defer("search", "text").first()
    if message is None:
        raise NotFound(f"There is no message {message_id!r}.")
    return message


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
