"""Parts of a block's page that speak of agents: what saving would do, who is behind, what differs. The page is on a lower floor."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_GET, require_http_methods
from django_htmx.http import trigger_client_event

from agents.services import block_pins, stale_conversations
from agents.services.agent_context import recompile_conversation
from agents.services.block_impact import get_impact
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from memory.services.block_versions import compare_versions
from memory.services.blocks import get_block_for

#: Rows of each list.
MOST_SHOWN = 20


@require_http_methods(["GET", "POST"])
def impact_part(request: PageRequest, block_id: str) -> HttpResponse:
    """What saving the draft that is posted would do; of a GET, what the block is to its agents now."""
    draft = request.POST.get("value")
    value = None if draft is None else draft.replace("\r\n", "\n")
    impact = get_impact(caller=request.caller, block_id=block_id, value=value)
    base = request.POST.get("base_version", "")
    passing, in_flight, fullest = impact.passing, impact.in_flight, impact.fullest
    context: dict[str, Any] = {
        "memory_block": impact.block,
        "impact": impact,
        "has_draft": value is not None and value != impact.block.value,
        "moved_from": int(base) if base.isdigit() and int(base) < impact.block.version else None,
        "agents": fullest[:MOST_SHOWN],
        "unread": list(impact.unread.items())[: max(0, MOST_SHOWN - len(fullest))],
        "more_agents": max(0, len(fullest) + len(impact.unread) - MOST_SHOWN),
        "passing": passing[:MOST_SHOWN],
        "passing_count": len(passing),
        "more_passing": max(0, len(passing) - MOST_SHOWN),
        "in_flight": in_flight[:MOST_SHOWN],
        "in_flight_count": len(in_flight),
        "more_in_flight": max(0, len(in_flight) - MOST_SHOWN),
    }
    return render(request, "agents/sharing/impact.html", context)


@require_http_methods(["GET", "POST"])
def conversations_part(request: PageRequest, block_id: str) -> HttpResponse:
    """The conversations that are behind or pinned; a POST recompiles, pins or unpins one, or recompiles all."""
    said, error = "", ""
    if request.method == "POST":
        try:
            said = _do(request, block_id)
        except AdeError as failure:
            error = failure.message
    readership = stale_conversations.get_readership(caller=request.caller, block_id=block_id)
    stale, pinned = readership.stale, readership.pinned
    shown = [*stale[:MOST_SHOWN], *pinned[:MOST_SHOWN]]
    context = {
        "memory_block": readership.block,
        "stale_count": len(stale),
        "total": len(readership.readers),
        "readers": shown,
        "more": len(stale) + len(pinned) - len(shown),
        "error": error,
    }
    response = render(request, "agents/sharing/conversations.html", context, status=422 if error else 200)
    # A notice and not a part of the fragment, which is asked for again when the conversations move.
    return trigger_client_event(response, "block-said", {"words": said}) if said else response


def _do(request: PageRequest, block_id: str) -> str:
    """What is asked for; a sentence about what came of it."""
    caller, conversation_id = request.caller, request.POST.get("conversation", "")
    match request.POST.get("act"):
        case "recompile_all":
            done = stale_conversations.recompile_stale(caller=caller, block_id=block_id)
            words = [f"{len(done.done)} recompiled"]
            words += [f"{len(done.busy)} busy, up to date at their next turn"] if done.busy else []
            words += [f"{len(done.left)} left"] if done.left else []
            return ", ".join(words)
        case "recompile":
            recompile_conversation(caller=caller, conversation_id=conversation_id)
            return "Recompiled"
        case "pin":
            reader = block_pins.pin_block(caller=caller, conversation_id=conversation_id, block_id=block_id)
            return f"{reader.agent_name}, {reader.title} keeps v{reader.pinned}"
        case "unpin":
            reader = block_pins.unpin_block(caller=caller, conversation_id=conversation_id, block_id=block_id)
            return f"{reader.agent_name}, {reader.title} follows the block at its next turn"
    raise Invalid("There is no such action on a conversation of a block.")


@require_GET
def difference_part(request: PageRequest, block_id: str, old: int) -> HttpResponse:
    """How the newest version differs from that one. Raises NotFound."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    diff = compare_versions(caller=request.caller, block_id=block_id, old=old, new=block.version)
    context = {"memory_block": block, "diff": diff, "rows": diff.rows}
    return render(request, "agents/sharing/difference.html", context)
