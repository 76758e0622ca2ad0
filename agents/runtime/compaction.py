"""When a context is compacted and what of it: decisions only (spec/memory.md §8). `compacting.py` carries them out.

A compaction replaces the oldest messages after the system message by one summary. It never comes between a call and its return, and
never takes a request that waits for an answer.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from agents.runtime.system_prompt import format_time
from letta_ade.llm.errors import ModelError
from letta_ade.llm.messages import ChatMessage, Reply
from letta_ade.llm.tokens import estimate_text

Mode = Literal["sliding_window", "all", "self_compact_sliding_window", "self_compact_all"]
#: after_step: the context has grown past the threshold. overflow: the request is longer than the window. manual: somebody asked.
Trigger = Literal["post_step_context_check", "context_window_exceeded", "manual"]

#: Of the window; what is above is headroom for the next reply.
_THRESHOLD = 0.9
#: The most that a summary may take of the window, whatever `clip_chars` allows.
_SUMMARY_SHARE = 0.2
#: After a step, a compaction that frees less than this share of the window is left until the window is full.
_LEAST_FREED = 0.05
#: Steps in which the sliding window looks for a cut.
_CUT_STEP = 0.1
_CLIPPED = "\n[The summary was longer and is cut here.]"


@dataclass(frozen=True, slots=True, kw_only=True)
class CompactionSettings:
    """How an agent's context is compacted (spec/memory.md §8)."""

    mode: Mode = "sliding_window"
    #: None: that of the mode.
    prompt: str | None = None
    #: Ends the request to the summariser with a reminder that only the summary is wanted.
    prompt_acknowledgement: bool = False
    #: The most characters of a summary; None for no limit but the window's.
    clip_chars: int | None = 50_000
    #: The share of the messages that goes at least.
    sliding_window_percentage: float = 0.3

    @property
    def slides(self) -> bool:
        return self.mode in ("sliding_window", "self_compact_sliding_window")

    @property
    def asks_own_model(self) -> bool:
        """The agent's own model writes the summary, with the conversation as its context."""
        return self.mode in ("self_compact_all", "self_compact_sliding_window")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextItem:
    """A stored message in context."""

    message_id: str
    chat: ChatMessage
    is_summary: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SummaryCall:
    """One call of a summariser, as it is kept."""

    model: str
    request_text: str
    reply: Reply | None
    error: dict[str, Any] | None
    latency_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    text: str
    calls: tuple[SummaryCall, ...] = ()
    #: The handle of who wrote it; None when nobody could and the text is ours.
    model: str | None = None
    #: Why those before it, or all, did not.
    failure: ModelError | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauge:
    """Tokens of a context of this agent: estimated, and brought to the scale of what the provider counted."""

    estimate: Callable[[ChatMessage], int]
    window: int
    #: Of the schemas that go with every request, estimated.
    tools_tokens: int = 0
    #: Counted tokens for each estimated one.
    scale: float = 1.0

    def size(self, messages: Sequence[ChatMessage]) -> int:
        """Tokens of a request with these messages."""
        return math.ceil(self.scale * (self.tools_tokens + sum(map(self.estimate, messages))))

    def measured(self, sent: Sequence[ChatMessage], counted: int) -> Gauge:
        """The gauge after a provider counted a request.

        A count of less than half of our estimate does not count all: some servers leave out what they had cached, some send zero.
        """
        estimated = self.tools_tokens + sum(map(self.estimate, sent))
        scale = counted / estimated if estimated and counted * 2 >= estimated else 1.0
        return replace(self, scale=scale)

    @property
    def threshold(self) -> int:
        """A context beyond this is compacted after the step."""
        return int(self.window * _THRESHOLD)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """Which messages a summary replaces, and which stay behind it. The system message is in neither."""

    replaced: tuple[ContextItem, ...]
    kept: tuple[ContextItem, ...]


def plan_compaction(
    items: Sequence[ContextItem],
    settings: CompactionSettings,
    gauge: Gauge,
    *,
    unstored: Sequence[ChatMessage] = (),
    takes_all: bool = False,
) -> Plan | None:
    """What to replace; None when there is nothing whose summary would make the context shorter.

    `items` begin with the system message; `unstored` are inputs of the run that will follow them. A window that finds no cut gives way
    to all, and so it does with `takes_all`.
    """
    last = _first_that_stays(items)
    if not _is_worth_a_summary(items, last):
        return None
    if settings.slides and not takes_all:
        most = (1 - settings.sliding_window_percentage) * gauge.window
        for cut in _cuts(items, last, settings.sliding_window_percentage):
            stays = [items[0].chat, *(item.chat for item in items[cut:]), *unstored]
            if gauge.size(stays) < most:
                return _plan(items, cut)
    return _plan(items, last)


def frees_enough(plan: Plan, gauge: Gauge) -> bool:
    """Whether a compaction that nobody needs at once would free more than it costs."""
    freed = gauge.scale * sum(gauge.estimate(item.chat) for item in plan.replaced)
    return freed >= gauge.window * _LEAST_FREED


def _plan(items: Sequence[ContextItem], cut: int) -> Plan:
    return Plan(replaced=tuple(items[1:cut]), kept=tuple(items[cut:]))


def _is_worth_a_summary(items: Sequence[ContextItem], end: int) -> bool:
    """A single summary is not summarised again."""
    return end > 1 and not (end == 2 and items[1].is_summary)


def _first_that_stays(items: Sequence[ContextItem]) -> int:
    """Where a request begins that waits for its answer; behind the last message when none waits."""
    if not items or items[-1].chat.role != "approval" or not items[-1].chat.tool_calls:
        return len(items)
    place = len(items) - 1
    return place - 1 if items[place - 1].chat.role == "assistant" else place


def _cuts(items: Sequence[ContextItem], last: int, share: float) -> Iterator[int]:
    """Places where what stays may begin, each with less of it; the last message always stays."""
    seen = set[int]()
    count = len(items) - 1
    while (share := round(share + _CUT_STEP, 6)) < 1:
        cut = min(1 + int(count * share), last, len(items) - 1)
        while cut > 1 and not _may_begin(items, cut):
            cut -= 1
        if cut not in seen and _is_worth_a_summary(items, cut):
            seen.add(cut)
            yield cut


def _may_begin(items: Sequence[ContextItem], place: int) -> bool:
    """Whether the context may go on here behind a summary: where the agent begins to speak."""
    chat, before = items[place].chat, items[place - 1].chat
    if chat.role == "assistant":
        return True
    return chat.role == "approval" and bool(chat.tool_calls) and before.role != "assistant"


def clip_summary(text: str, settings: CompactionSettings, window: int) -> str:
    """The summary, cut to what the settings and the window have room for."""
    most = len(text) if settings.clip_chars is None else settings.clip_chars
    tokens, room = estimate_text(text), max(64, int(window * _SUMMARY_SHARE))
    if tokens > room:
        most = min(most, len(text) * room // tokens)
    return text if len(text) <= most else text[:most].rstrip() + _CLIPPED


def summary_text(summary: str, *, hidden: int, stats: dict[str, Any], moment: datetime, timezone: str) -> str:
    """The summary message as it is stored and sent. `hidden`: how many messages it stands for; `stats`: spec/objects.md §7.2."""
    count = "1 earlier message is" if hidden == 1 else f"{hidden} earlier messages are"
    preface = f"{count} no longer in your context; this summary stands for them. They are kept, and conversation_search finds them."
    note = {
        "type": "system_alert",
        "message": f"{preface}\n\n{summary}",
        "time": format_time(moment, timezone),
        "compaction_stats": stats,
    }
    return json.dumps(note, ensure_ascii=False)


def read_summary(text: str) -> tuple[str, dict[str, Any] | None]:
    """The words of a stored summary without their preface, and its stats; the text itself when it is something else."""
    try:
        note = json.loads(text)
        message = str(note["message"])
    except (ValueError, KeyError, TypeError):
        return text, None
    return message.partition("\n\n")[2] or message, note.get("compaction_stats")
