"""What the workbench's templates are given: the page, and each of its parts as the requests and the websocket send it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum

from agents.models import Agent, Conversation, Run, RunLease
from agents.services.agent_archives import archives_of
from agents.services.agent_tools import tools_of
from agents.services.agent_types import facts_of
from agents.services.conversations import get_conversation_with_agent
from agents.services.groups import MOST_TURNS
from agents.services.images import MEDIA_TYPES
from agents.services.leases import QUEUE
from agents.services.waiting import load_waiting
from agents.web import context_view, workbench_memory
from agents.web.background_view import load_background
from agents.web.conversation_rows import title_of
from agents.web.image_parts import MOST_IMAGES
from agents.web.run_line import Phase, RunLine, end_of
from agents.web.transcript_windows import load_transcript
from agents.web.waiting_card import load_card
from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import AdeError
from letta_ade.llm import catalog
from letta_ade.llm.listing import ModelInfo
from letta_ade.llm.tokens import estimate_text
from memory.models import Passage
from memory.services.blocks import list_blocks
from memory.services.passages import PassageHit, count_passages, list_passages
from tools.models import Tool
from tools.services.tools import list_tools

#: Blocks and passages that are offered or listed at once.
OFFERED_BLOCKS = 50
LISTED_PASSAGES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """Whose workbench it is, and who looks."""

    caller: Caller
    agent: Agent
    conversation: Conversation

    @property
    def base(self) -> dict[str, Any]:
        return {
            "agent": self.agent,
            "conversation": self.conversation,
            "caller": self.caller,
            "title": title_of(self.conversation),
        }


def open_bench(caller: Caller, agent_id: str, conversation_id: str | None = None) -> Bench:
    """The workbench with this conversation, or the default one. Raises NotFound, also for an agent of another workspace."""
    caller.check("read")
    conversation = get_conversation_with_agent(
        caller=caller, agent_id=agent_id, conversation_id=conversation_id
    )
    return Bench(caller=caller, agent=conversation.agent, conversation=conversation)


def page_context(bench: Bench) -> dict[str, Any]:
    """Everything."""
    of_agent = agent_context(bench)
    return {
        **of_agent,
        **memory_context(bench, of_agent["tools"]),
        **background_context(bench),
        "transcript": load_transcript(bench.agent, bench.conversation),
        "line": last_line(bench),
        "waiting": load_card(bench.conversation),
        "most_images": MOST_IMAGES,
        "image_types": ",".join(MEDIA_TYPES),
        "most_image_bytes": settings.MAX_IMAGE_BYTES,
        "socket_path": f"{settings.URL_PREFIX}/ws/agents/{bench.agent.id}/conversations/{bench.conversation.id}/",
    }


def agent_context(bench: Bench) -> dict[str, Any]:
    """The left pane."""
    agent = bench.agent
    models = catalog.list_models(workspace_id=agent.workspace_id)
    info = next((each for each in models if each.handle == agent.model), None) or _model_info(agent)
    handles = [each.handle for each in models]
    tools = list(tools_of(agent))
    attached = [tool.id for tool in tools]
    return {
        **bench.base,
        "type_facts": facts_of(agent.agent_type),
        "models": models,
        "is_listed": agent.model in handles,
        "model_info": info,
        "settings": _settings(agent),
        "tools": tools,
        "asking": {rule["tool_name"] for rule in agent.tool_rules if rule["type"] == "requires_approval"},
        "other_tools": list(
            list_tools(caller=bench.caller)
            .exclude(id__in=attached)
            .only("name", "description")
            .order_by("name")
        ),
        "system_tokens": estimate_text(agent.system),
    }


def background_context(bench: Bench) -> dict[str, Any]:
    """The part of the left pane about background memory."""
    return {**bench.base, "background": load_background(bench.agent), "most_turns": MOST_TURNS}


def _model_info(agent: Agent) -> ModelInfo | None:
    try:
        return catalog.get_model_info(agent.model, workspace_id=agent.workspace_id)
    except AdeError:  # no longer offered: the page says so
        return None


def _settings(agent: Agent) -> list[tuple[str, str]]:
    """The facts of the model settings that are set, as people say them."""
    stored = agent.model_settings
    facts = [("Used window", f"{agent.context_window_limit:,} tokens")]
    if most := stored.get("max_output_tokens"):
        facts.append(("Max output", f"{most:,} tokens"))
    if (temperature := stored.get("temperature")) is not None:
        facts.append(("Temperature", f"{temperature:g}"))
    effort = (stored.get("reasoning") or {}).get("reasoning_effort")
    thinking = stored.get("thinking") or {}
    if effort:
        facts.append(("Reasoning", str(effort)))
    elif thinking.get("type") == "enabled":
        facts.append(("Reasoning", f"{thinking.get('budget_tokens', 0):,} tokens"))
    if agent.embedding:
        facts.append(("Embedding", agent.embedding))
    return facts


def memory_context(bench: Bench, tools: Sequence[Tool]) -> dict[str, Any]:
    """The right pane; `tools` are the agent's."""
    return {
        **blocks_context(bench),
        **archival_context(bench),
        "context": context_view.load_context_view(bench.agent, bench.conversation, tools=tools),
    }


def blocks_context(bench: Bench, fresh_after: dict[str, int] | None = None) -> dict[str, Any]:
    """The section of the blocks."""
    cards = workbench_memory.load_cards(
        bench.agent,
        bench.conversation,
        fresh_after=fresh_after,
    )
    held = [card.block.id for card in cards]
    return {
        **bench.base,
        "cards": cards,
        "changed_count": sum(card.is_changed for card in cards),
        "other_blocks": list(
            list_blocks(caller=bench.caller)
            .exclude(id__in=held)
            .only("label", "value")
            .order_by("-updated_at")[:OFFERED_BLOCKS]
        ),
    }


def card_context(bench: Bench, block_id: str, *, is_whole: bool = False) -> dict[str, Any] | None:
    """One card; None when the agent does not hold the block."""
    cards = workbench_memory.load_cards(
        bench.agent,
        bench.conversation,
        only=[block_id],
        is_whole=is_whole,
    )
    return {**bench.base, "card": cards[0]} if cards else None


def archival_context(
    bench: Bench, *, query: str = "", hits: list[PassageHit] | None = None
) -> dict[str, Any]:
    """The section of the archival memory: what was found, or the newest passages."""
    archives = archives_of(bench.agent)
    if hits is None:
        rows = list_passages(caller=bench.caller, archives=archives)
        newest = rows.order_by("-created_at", "-id")[:LISTED_PASSAGES]
        passages: list[tuple[Passage, float | None]] = [(passage, None) for passage in newest]
    else:
        passages = [(hit.passage, hit.score) for hit in hits]
    return {
        **bench.base,
        "passages": passages,
        "passage_count": count_passages(caller=bench.caller, archives=archives),
        "query": query,
        "is_search": hits is not None,
    }


def last_line(bench: Bench) -> RunLine | None:
    """The run line when the page is opened; None before the first run."""
    run = Run.objects.filter(conversation=bench.conversation).order_by("-created_at", "-id").first()
    return None if run is None else line_of(run)


def is_last_run(run: Run) -> bool:
    """Whether no later run of its conversation has begun."""
    later = Run.objects.filter(conversation_id=run.conversation_id, created_at__gt=run.created_at)
    return not later.exists()


def line_of(run: Run) -> RunLine:
    """The run line of a stored run."""
    sums = run.steps.aggregate(n=Count("id"), sent=Sum("prompt_tokens"), said=Sum("completion_tokens"))
    phase, about = end_of(run.status, run.stop_reason) if run.has_ended else _busy_with(run)
    if phase == "waiting" and load_waiting(run.conversation) is None:
        # It was answered, or its messages were taken out of the context.
        phase, about = "completed", "asked"
    return RunLine(
        run_id=run.id,
        phase=phase,
        about=about,
        elapsed_ms=run.total_duration_ns / 1e6 if run.total_duration_ns is not None else None,
        step_count=sums["n"],
        prompt_tokens=sums["sent"] or 0,
        completion_tokens=sums["said"] or 0,
    )


def _busy_with(run: Run) -> tuple[Phase, str]:
    if RunLease.objects.filter(run=run, owner=QUEUE).exists():
        return "queued", "waits for a worker"
    return "thinking", ""
