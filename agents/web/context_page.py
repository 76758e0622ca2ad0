"""Pages of the exact context: of one step, beside another step's, and of the request that would come next."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET

from agents.models import Agent, Conversation, Message, Step
from agents.services.compactions import last_compaction, left_messages
from agents.services.context_overview import preview_next
from agents.services.request_segments import RequestPart, Segment, SegmentName, segments_of
from agents.services.step_context import (
    BlockOrigin,
    ContextChange,
    StepContext,
    compactions_around,
    compare_contexts,
    get_step_context,
    neighbours,
    pretty_request,
)
from agents.web.compaction_items import CompactionItem
from agents.web.compactions import left_lines
from agents.web.context_strip import TITLES, load_strip
from agents.web.context_view import WindowBar, window_bar
from agents.web.workbench_page import open_bench
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, NotFound
from letta_ade.llm.request_reading import read_request

_BAR_WIDTH = 520.0
_STRIP_WIDTH = 520.0
_STRIP_STEPS = 48
#: Steps that are offered to be compared with.
_OFFERED_STEPS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class PartRow:
    """A piece of a segment in the list of parts."""

    part: RequestPart
    tokens: int
    origin: BlockOrigin | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentView:
    """A segment in the list of parts; tokens are its share of the provider's count."""

    name: SegmentName
    title: str
    note: str
    tokens: int
    percent: int
    rows: tuple[PartRow, ...]


@require_GET
def step_page(request: PageRequest, agent_id: str, step_id: str) -> HttpResponse:
    """The request of a step; `view=json` shows it as it was sent, `with` names a step that it is compared with."""
    context = get_step_context(caller=request.caller, agent_id=agent_id, step_id=step_id)
    previous, following = neighbours(context)
    change = _change(request, context, previous)
    shape = "json" if request.GET.get("view") == "json" else "parts"
    data: dict[str, Any] = {
        "agent": context.agent,
        "conversation": context.conversation,
        "context": context,
        "limit": _limit(context.step, context.agent),
        "shape": shape,
        "previous": previous,
        "following": following,
        "change": change,
        "is_diff": bool(request.GET.get("with")),
        "segments": segment_views(context.segments, context),
        "bar": _bar(context),
        "strip": _strip(context),
        "others": _other_steps(context),
        "compactions": [
            _compaction(each, context)
            for each in compactions_around(context, previous=previous, following=following)
        ],
        "json": pretty_request(context.request_text) if shape == "json" else "",
    }
    return render(request, "contexts/step.html", data)


@require_GET
def parts_panel(request: PageRequest, agent_id: str, step_id: str) -> HttpResponse:
    """The parts alone, for the pane beside a trace."""
    data = panel_context(request.caller, agent_id, step_id)
    return render(request, "contexts/partials/panel.html", data)


def panel_context(caller: Caller, agent_id: str, step_id: str) -> dict[str, Any]:
    """What the panel is given. Raises NotFound."""
    context = get_step_context(caller=caller, agent_id=agent_id, step_id=step_id)
    return {
        "agent": context.agent,
        "context": context,
        "limit": _limit(context.step, context.agent),
        "segments": segment_views(context.segments, context),
        "bar": _bar(context),
    }


@require_GET
def next_page(request: PageRequest, agent_id: str) -> HttpResponse:
    """The request that the conversation would make now."""
    bench = open_bench(request.caller, agent_id, request.GET.get("conversation"))
    data: dict[str, Any] = {**bench.base, "limit": _limit(None, bench.agent, bench.conversation)}
    try:
        payload = preview_next(
            caller=request.caller, agent_id=agent_id, conversation_id=bench.conversation.id
        )
    except AdeError as error:
        data["error"] = error.message
    else:
        segments = segments_of(read_request(payload))
        total = sum(segment.tokens for segment in segments)
        data |= {
            "segments": segment_views(segments, None),
            "total": total,
            "bar": window_bar(
                {segment.name: segment.tokens for segment in segments},
                whole=max(data["limit"], total),
                width=_BAR_WIDTH,
            ),
            "json": json.dumps(payload, ensure_ascii=False, indent=2)
            if request.GET.get("view") == "json"
            else "",
        }
    data["shape"] = "json" if request.GET.get("view") == "json" else "parts"
    return render(request, "contexts/next.html", data)


def segment_views(segments: Sequence[Segment], context: StepContext | None) -> list[SegmentView]:
    """The segments that are not empty. Without a context nothing was counted, and estimates stay as they are."""
    total = context.total if context is not None else sum(segment.tokens for segment in segments)
    views = []
    for segment in segments:
        if not segment.parts:
            continue
        tokens = context.share(segment.tokens) if context is not None else segment.tokens
        views.append(
            SegmentView(
                name=segment.name,
                title=TITLES[segment.name],
                note=_note(segment),
                tokens=tokens,
                percent=round(tokens * 100 / total) if total else 0,
                rows=tuple(
                    PartRow(
                        part=part,
                        tokens=context.share(part.tokens) if context is not None else part.tokens,
                        origin=context.origins.get(part.title)
                        if context is not None and segment.name == "blocks"
                        else None,
                    )
                    for part in segment.parts
                ),
            )
        )
    return views


def _note(segment: Segment) -> str:
    count = len(segment.parts)
    match segment.name:
        case "tools":
            return "1 schema" if count == 1 else f"{count} schemas"
        case "system" | "summary":
            return ""
        case _:
            return f"{count:,}"


def _change(request: PageRequest, context: StepContext, previous: Step | None) -> ContextChange | None:
    """Against the step that the address names, or else the one before; None without either."""
    asked = request.GET.get("with", "")
    step_id = asked or (previous.id if previous is not None else "")
    if not step_id:
        return None
    try:
        other = get_step_context(caller=request.caller, agent_id=context.agent.id, step_id=step_id)
    except NotFound:
        if asked:
            raise
        return None  # nothing was kept of the one before
    return compare_contexts(other, context)


def _limit(step: Step | None, agent: Agent, conversation: Conversation | None = None) -> int:
    if step is not None and step.context_window_limit:
        return step.context_window_limit
    own = conversation.context_window_limit if conversation is not None else None
    return own or agent.context_window_limit


def _bar(context: StepContext) -> WindowBar:
    tokens = {segment.name: context.share(segment.tokens) for segment in context.segments}
    limit = _limit(context.step, context.agent)
    return window_bar(tokens, whole=max(limit, context.total), width=_BAR_WIDTH)


def _strip(context: StepContext) -> Any:
    """The steps up to some after the one that is looked at."""
    later = context.conversation.steps.filter(place__gt=context.step.place, prompt_tokens__gt=0)
    behind = list(later.order_by("place")[: _STRIP_STEPS // 3])
    last = behind[-1] if behind else context.step
    return load_strip(
        context.conversation,
        limit=_limit(context.step, context.agent),
        width=_STRIP_WIDTH,
        most=_STRIP_STEPS,
        current=context.step,
        until=last,
    )


def _other_steps(context: StepContext) -> list[tuple[str, int]]:
    """The steps of the conversation that can be compared with, as (id, number), newest first."""
    steps = context.conversation.steps.exclude(id=context.step.id).order_by("-place")
    return list(steps.values_list("id", "place")[:_OFFERED_STEPS])


def _compaction(compaction: Any, context: StepContext) -> dict[str, Any]:
    last = last_compaction(context.conversation)
    messages: list[Message] = list(left_messages(compaction))
    lines, more = left_lines(messages)
    return {
        "item": CompactionItem.of(compaction, last_id=last.id if last else None),
        "compaction": compaction,
        "left": lines,
        "more": more,
        "is_after": compaction.created_at >= context.step.started_at,
    }
