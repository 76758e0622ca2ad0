"""How full the context window of a conversation is: now by segment, and over its steps."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from agents.models import Agent, Conversation, Step
from agents.services.agent_tools import tools_of
from agents.services.context import load_context
from agents.services.request_segments import SEGMENTS, SegmentName
from agents.services.step_context import measured_steps
from agents.services.system_message import blocks_shown_in
from agents.web.context_strip import TITLES, Strip, compactions_since, draw_strip
from letta_ade.llm.messages import ToolSpec
from letta_ade.llm.tokens import estimate_messages, estimate_text, estimate_tools
from tools.models import Tool
from tools.services.tools import tool_schema

_BAR_WIDTH = 392.0
_BAR_GAP = 1.0
#: Steps in the strip of the pane.
_STRIP_STEPS = 36


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentShare:
    name: SegmentName
    title: str
    tokens: int
    x: float
    width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowBar:
    """A window as one bar: its segments, and what is free."""

    segments: tuple[SegmentShare, ...]
    free_x: float
    free_width: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ContextView:
    """How full the window is. `is_counted`: the total is the provider's; the segments are always estimates."""

    total: int
    limit: int
    is_counted: bool
    bar: WindowBar
    step_count: int
    #: The last step, whose exact request can be read; None before the first.
    last_step_id: str | None
    strip: Strip

    @property
    def segments(self) -> tuple[SegmentShare, ...]:
        """Those of the legend: a summary only where there is one."""
        return tuple(part for part in self.bar.segments if part.tokens or part.name != "summary")

    @property
    def level(self) -> str:
        return "bad" if self.total >= self.limit * 0.95 else ""


def load_context_view(
    agent: Agent, conversation: Conversation, *, tools: Sequence[Tool] | None = None
) -> ContextView:
    """The context as the next call would send it, by segment; the total as it was last counted.

    tools: the agent's, by whoever has read them.
    """
    estimates = _estimates(agent, conversation, tools_of(agent) if tools is None else tools)
    steps = Step.objects.filter(conversation=conversation).order_by("-place")
    step_count = steps.values_list("place", flat=True).first() or 0
    limit = conversation.context_window_limit or agent.context_window_limit
    counted = measured_steps(conversation, limit=_STRIP_STEPS)
    last = counted[-1] if counted else None
    compactions = compactions_since(conversation, counted)
    estimated = sum(estimates.values())
    total = last.prompt_tokens + last.completion_tokens if last is not None else estimated
    later = [each for each in compactions if last is not None and each.created_at >= last.started_at]
    if later:
        # Nobody has counted what is left.
        total = later[-1].tokens_after
    factor = total / estimated if last is not None and estimated else 1.0
    return ContextView(
        total=total,
        limit=limit,
        is_counted=last is not None and not later,
        bar=window_bar(
            {name: round(tokens * factor) for name, tokens in estimates.items()},
            whole=max(limit, total),
            width=_BAR_WIDTH,
        ),
        step_count=step_count,
        last_step_id=last.id if last is not None else None,
        strip=draw_strip(counted, compactions, limit=limit, width=_BAR_WIDTH),
    )


def _estimates(agent: Agent, conversation: Conversation, tools: Iterable[Tool]) -> dict[SegmentName, int]:
    context = load_context(conversation)
    system = estimate_text(context[0].chat.text) if context else estimate_text(agent.system)
    blocks = sum(
        estimate_text(block.value) + estimate_text(block.description or "")
        for block in blocks_shown_in(agent, conversation)
    )
    behind = context[1:]
    return {
        "system": max(0, system - blocks),
        "tools": estimate_tools([_spec(tool) for tool in tools]),
        "blocks": blocks,
        "summary": estimate_messages(entry.chat for entry in behind if entry.is_summary),
        "messages": estimate_messages(entry.chat for entry in behind if not entry.is_summary),
    }


def window_bar(tokens: dict[SegmentName, int], *, whole: int, width: float) -> WindowBar:
    """The bar of a window of `whole` tokens, `width` pixels long."""
    x = 0.0
    segments = []
    for name in SEGMENTS:
        share = tokens.get(name, 0)
        # What is there can be seen, however little it is.
        long = max(2.0, share * width / whole) if share else 0.0
        segments.append(
            SegmentShare(name=name, title=TITLES[name], tokens=share, x=round(x, 2), width=round(long, 2))
        )
        x += long + (_BAR_GAP if long else 0)
    return WindowBar(segments=tuple(segments), free_x=round(x, 2), free_width=max(0.0, round(width - x, 2)))


def _spec(tool: Tool) -> ToolSpec:
    schema = tool_schema(tool)
    return ToolSpec(
        name=schema.get("name") or "",
        description=schema.get("description") or "",
        parameters=schema.get("parameters") or {},
    )
