"""A compaction carried out: the context read, the summary asked for, the new context stored and taken over."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from agents.runtime.cancellation import CancelToken
from agents.runtime.compaction import (
    CompactionSettings,
    ContextItem,
    Gauge,
    Plan,
    Summary,
    Trigger,
    clip_summary,
    frees_enough,
    plan_compaction,
    summary_text,
)
from agents.runtime.events import CompactionStarted, ContextCompacted, Event
from agents.runtime.model_call import Retry
from agents.runtime.ports import CompactionEnd, ContextStore, StoredCompaction
from agents.runtime.prompt import build_request
from agents.runtime.snapshot import Snapshot
from agents.runtime.summarising import Scribe, Summariser
from letta_ade.core.ids import new_id
from letta_ade.llm.client import ChatModel, ChatRequest, ToolChoice
from letta_ade.llm.messages import ChatMessage, TextPart

#: Who may be asked for a summary, in order; found when one is needed.
FindSummarisers = Callable[[], Awaitable[Sequence[Summariser]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Why and where a context is compacted."""

    trigger: Trigger
    #: Tokens of the context.
    size: int
    #: After this step.
    step_id: str | None = None
    #: Inputs of the run that are not stored.
    unstored: tuple[ChatMessage, ...] = ()
    #: The sliding window was not enough.
    takes_all: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Compactor:
    """Compacts the context of one conversation."""

    snapshot: Snapshot
    model: ChatModel
    journal: ContextStore
    token: CancelToken
    retry: Retry
    find_summarisers: FindSummarisers | None = None

    async def compact(
        self, occasion: Occasion, gauge: Gauge
    ) -> AsyncGenerator[Event | StoredCompaction, None]:
        """CompactionStarted, what was stored, ContextCompacted; nothing when there is nothing to compact. Raises RunStopped.

        A model that fails does not fail the compaction (`Scribe`).
        """
        items = await self.journal.load_context()
        plan = self._plan(items, occasion, gauge)
        if plan is None:
            return
        compaction_id = new_id("compaction")
        yield CompactionStarted(
            compaction_id=compaction_id,
            step_id=occasion.step_id,
            trigger=occasion.trigger,
            context_tokens=occasion.size,
            context_window=gauge.window,
            started_at=datetime.now(UTC).isoformat(),
        )
        summary = await self._summarise(items[0].chat, plan)
        end = self._end(compaction_id, items, plan, summary, occasion, gauge)
        stored = await self.journal.compact(end)
        yield stored
        yield ContextCompacted(
            compaction_id=compaction_id,
            step_id=occasion.step_id,
            message=stored.message,
            tokens_before=end.tokens_before,
            tokens_after=end.tokens_after,
            messages_before=end.messages_before,
            messages_after=end.messages_after,
        )

    @property
    def settings(self) -> CompactionSettings:
        return self.snapshot.compaction

    def _plan(self, items: Sequence[ContextItem], occasion: Occasion, gauge: Gauge) -> Plan | None:
        plan = plan_compaction(
            items, self.settings, gauge, unstored=occasion.unstored, takes_all=occasion.takes_all
        )
        if plan is None or (occasion.trigger == "post_step_context_check" and not frees_enough(plan, gauge)):
            return None
        return plan

    async def _summarise(self, system: ChatMessage, plan: Plan) -> Summary:
        own = Summariser(
            model=self.model, window=self.snapshot.context_window, settings=self.snapshot.settings
        )
        found = (own,) if self.find_summarisers is None else await self.find_summarisers()
        scribe = Scribe(
            settings=self.settings,
            summarisers=found,
            token=self.token,
            retry=self.retry,
            own_request=self._own_request,
            own=own,
        )
        summary = await scribe.summarise(system, plan.replaced)
        return replace(summary, text=clip_summary(summary.text, self.settings, self.snapshot.context_window))

    def _own_request(self, messages: Sequence[ChatMessage]) -> ChatRequest:
        """The agent's request with these messages: its tools are in it, as they were before, and may not be called."""
        snapshot = self.snapshot
        asked = build_request(snapshot, messages, snapshot.rules.allowance(snapshot.tool_names, ()))
        choice = ToolChoice(mode="none") if asked.tools else ToolChoice()
        return replace(asked, tool_choice=choice, response_format=None)

    def _end(
        self,
        compaction_id: str,
        items: Sequence[ContextItem],
        plan: Plan,
        summary: Summary,
        occasion: Occasion,
        gauge: Gauge,
    ) -> CompactionEnd:
        counts = {
            "trigger": occasion.trigger,
            "context_tokens_before": occasion.size,
            "context_window": gauge.window,
            "messages_count_before": len(items),
            "messages_count_after": len(plan.kept) + 2,
        }
        text = self._text(summary, plan, {**counts, "context_tokens_after": 0})
        stays = [items[0].chat, _note(text), *(item.chat for item in plan.kept), *occasion.unstored]
        after = gauge.size(stays)
        return CompactionEnd(
            compaction_id=compaction_id,
            trigger=occasion.trigger,
            mode=self.settings.mode,
            replaced=tuple(item.message_id for item in plan.replaced),
            summary=summary,
            text=self._text(summary, plan, {**counts, "context_tokens_after": after}),
            step_id=occasion.step_id,
            tokens_before=occasion.size,
            tokens_after=after,
            messages_before=len(items),
            messages_after=len(plan.kept) + 2,
            context_window=gauge.window,
        )

    def _text(self, summary: Summary, plan: Plan, stats: dict[str, Any]) -> str:
        return summary_text(
            summary.text,
            hidden=len(plan.replaced),
            stats=stats,
            moment=datetime.now(UTC),
            timezone=self.snapshot.timezone,
        )


def _note(text: str) -> ChatMessage:
    return ChatMessage(role="user", parts=(TextPart(text=text),))
