"""Compactions that somebody asks for, lists or undoes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from django.conf import settings
from django.db import transaction

from agents.models import Agent, Compaction, Conversation, Message
from agents.runtime.cancellation import CancelToken
from agents.runtime.compacting import Compactor, Occasion
from agents.runtime.compaction import ContextItem, Gauge
from agents.runtime.events import ContextCompacted
from agents.runtime.model_call import Retry
from agents.runtime.ports import CompactionEnd, StoredCompaction
from agents.runtime.summarising import Summariser
from agents.services import compaction_rows
from agents.services.agents import get_agent_for
from agents.services.compaction_settings import complete_settings, read_settings
from agents.services.conversations import get_conversation_of
from agents.services.journal import RisingClock
from agents.services.leases import keep_runs_out
from agents.services.opening import OpenedRun, look_at
from agents.services.summarisers import find_summarisers
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.errors import Conflict, Invalid, NotFound
from letta_ade.core.pagination import PageRequest, paginate
from letta_ade.llm.tokens import estimate_messages, estimate_tools


@dataclass(frozen=True, slots=True, kw_only=True)
class Compacted:
    """What came of a request to compact; the counts are equal when there was nothing to compact."""

    summary: str
    messages_before: int
    messages_after: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ready:
    """A conversation that can be compacted."""

    agent: Agent
    opened: OpenedRun
    stored_settings: Mapping[str, Any]
    items: tuple[ContextItem, ...]


async def compact_conversation(
    *, caller: Caller, agent_id: str, conversation_id: str | None, asked: Mapping[str, Any] | None = None
) -> Compacted:
    """Compact the conversation now; `asked` are settings for this once.

    The conversation is not held while the summary is written: should a run begin meanwhile, RunBusy or Conflict is raised at the end.
    Raises NotFound, Forbidden, RunBusy, Invalid when fewer messages would not be left, and ModelError when no model gave a summary;
    the context is then as it was.
    """
    ready = await threads.run(_get_ready, caller, agent_id, conversation_id, asked)
    opened, journal = ready.opened, _Desk(caller, ready)
    compactor = Compactor(
        snapshot=opened.snapshot,
        model=opened.model,
        journal=journal,
        token=CancelToken(),
        retry=Retry(attempts=settings.LLM_RETRIES, pause_seconds=settings.LLM_RETRY_PAUSE_SECONDS),
        find_summarisers=lambda: _summarisers_of(ready),
    )
    gauge = Gauge(
        estimate=lambda message: estimate_messages((message,)),
        window=opened.snapshot.context_window,
        tools_tokens=estimate_tools([tool.spec for tool in opened.snapshot.tools]),
    )
    occasion = Occasion(trigger="manual", size=gauge.size([item.chat for item in ready.items]))
    async for event in compactor.compact(occasion, gauge):
        if isinstance(event, ContextCompacted):
            return Compacted(
                summary=journal.summary,
                messages_before=event.messages_before,
                messages_after=event.messages_after,
            )
    return Compacted(summary="", messages_before=len(ready.items), messages_after=len(ready.items))


async def _summarisers_of(ready: _Ready) -> tuple[Summariser, ...]:
    opened = ready.opened
    return await threads.run(
        find_summarisers, ready.agent, ready.stored_settings, own=opened.model, snapshot=opened.snapshot
    )


def _get_ready(
    caller: Caller, agent_id: str, conversation_id: str | None, asked: Mapping[str, Any] | None
) -> _Ready:
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    conversation = get_conversation_of(agent=agent, conversation_id=conversation_id)
    with transaction.atomic():
        keep_runs_out(conversation)
    opened = look_at(caller=caller, conversation=conversation)
    stored = complete_settings(asked or {}, agent.compaction_settings)
    return _Ready(
        agent=agent,
        opened=replace(opened, snapshot=replace(opened.snapshot, compaction=read_settings(stored))),
        stored_settings=stored,
        items=tuple(compaction_rows.context_items(conversation)),
    )


class _Desk:
    """The part of a journal that a compaction outside a run needs."""

    def __init__(self, caller: Caller, ready: _Ready) -> None:
        self._caller, self._ready = caller, ready
        self.summary = ""

    async def load_context(self) -> tuple[ContextItem, ...]:
        return self._ready.items

    async def compact(self, compaction: CompactionEnd) -> StoredCompaction:
        summary = compaction.summary
        if summary.model is None and summary.failure is not None:
            raise summary.failure
        if compaction.messages_after >= compaction.messages_before:
            raise Invalid(
                f"A summary would leave no fewer messages than there are: {compaction.messages_before}."
            )
        self.summary = summary.text
        return await threads.run(_store, self._caller, self._ready, compaction)


def _store(caller: Caller, ready: _Ready, end: CompactionEnd) -> StoredCompaction:
    with transaction.atomic():
        conversation = keep_runs_out(ready.opened.open_run.conversation)
        stored = compaction_rows.write_compaction(
            end,
            caller=caller,
            agent=ready.agent,
            conversation=conversation,
            run_id=None,
            created_at=RisingClock(conversation.last_message_at).next(),
        )
    assert stored.message is not None, "just stored"
    return StoredCompaction(
        message=stored.message.to_data(), context=tuple(compaction_rows.context_items(conversation))
    )


def list_compactions(
    *, caller: Caller, agent_id: str, conversation_id: str | None, page: PageRequest
) -> list[Compaction]:
    """A page of the compactions of a conversation. Raises NotFound (agent, conversation, cursor)."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    conversation = get_conversation_of(agent=agent, conversation_id=conversation_id)
    rows = Compaction.objects.filter(conversation=conversation)
    return paginate(rows, page, among=rows)


def get_compaction_for(*, caller: Caller, agent_id: str, compaction_id: str) -> Compaction:
    """The compaction. Raises NotFound, also for one of another agent or workspace."""
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    found = Compaction.objects.filter(id=compaction_id, agent=agent).select_related("conversation").first()
    if found is None:
        raise NotFound(f"The agent has no compaction {compaction_id!r}.")
    return found


def last_compaction(conversation: Conversation) -> Compaction | None:
    """The one that can be undone: the newest that stands, while its summary is in context."""
    newest = Compaction.objects.filter(conversation=conversation, undone_at=None).order_by(
        "-created_at", "-id"
    )
    found = newest.first()
    if found is None or not conversation.entries.filter(message_id=found.message_id).exists():
        return None
    return found


def undo_compaction(*, caller: Caller, agent_id: str, compaction_id: str) -> Compaction:
    """Put what the compaction took out of the context back in its place; the summary leaves it.

    Only the last one can be undone. Raises NotFound, Forbidden, RunBusy, or Conflict when it is not the last, has been undone, or its
    summary has left the context.
    """
    caller.check("edit")
    agent = get_agent_for(caller=caller, agent_id=agent_id)
    with transaction.atomic():
        compaction = get_compaction_for(caller=caller, agent_id=agent_id, compaction_id=compaction_id)
        conversation = keep_runs_out(compaction.conversation)
        compaction.refresh_from_db()
        if compaction.undone_at is not None:
            raise Conflict("This compaction has been undone already.")
        last = last_compaction(conversation)
        if last is None or last.id != compaction.id:
            raise Conflict(
                "Only the last compaction of a conversation can be undone, and only while its summary is in the context."
            )
        compaction_rows.undo(compaction, conversation, agent)
    return compaction


def left_messages(compaction: Compaction) -> list[Message]:
    """What the compaction took out of the context, oldest first."""
    return list(compaction_rows.messages_that_left(compaction))
