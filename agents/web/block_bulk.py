"""Many blocks at once: what was selected in the list, what holds them, what is to be done, and what became of each."""

from __future__ import annotations

from collections import Counter
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_POST

from agents.services.agents import agents_of
from agents.services.block_bulk import MOST_BLOCKS, BulkAction, BulkRequest, change_blocks, list_held
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import Unprocessable
from memory.models import Block
from memory.services.blocks import list_blocks
from memory.web.block_list import filters_of

#: Agents that the form offers, by name.
OFFERED_AGENTS = 500
ACTIONS: dict[str, str] = {
    BulkAction.ATTACH: "Attach to agents",
    BulkAction.DETACH: "Detach from agents",
    BulkAction.ADD_TAG: "Add a tag",
    BulkAction.REMOVE_TAG: "Remove a tag",
    BulkAction.SET_READ_ONLY: "Make read-only for agents",
    BulkAction.SET_EDITABLE: "Let agents edit",
    BulkAction.DELETE: "Delete",
}


@require_POST
def change_page(request: PageRequest) -> HttpResponse:
    """Shows what was selected; with an `action` it is done, and the page says what became of each block."""
    caller = request.caller
    caller.check("edit")
    blocks = selected_blocks(caller, request.POST)
    total = blocks.count()
    if not total:
        return redirect("blocks:list")
    if not request.POST.get("action"):
        return _choose(request, blocks, total)
    action, ids = request.POST["action"], tuple(blocks.values_list("id", flat=True)[: MOST_BLOCKS + 1])
    try:
        if action not in ACTIONS:
            raise Unprocessable("Choose what to do.")
        wanted = BulkRequest(
            action=BulkAction(action),
            block_ids=ids,
            agent_ids=tuple(request.POST.getlist("agent")),
            tag=request.POST.get("tag", "").strip(),
        )
        results = change_blocks(caller=caller, request=wanted)
    except Unprocessable as error:
        return _choose(request, blocks, total, error=error.message)
    named = agents_of(caller=caller).filter(id__in=wanted.agent_ids).values_list("id", "name")
    context: dict[str, Any] = {
        "action": ACTIONS[action],
        "results": results,
        "counts": Counter(result.outcome for result in results),
        "agent_names": dict(named),
        "is_gone": wanted.action is BulkAction.DELETE,
    }
    return render(request, "agents/lists/blocks_changed.html", context)


def selected_blocks(caller: Caller, sent: QueryDict) -> QuerySet[Block]:
    """The blocks that a form means: those of its boxes, or with `all` those that pass the filters of its `query`."""
    if sent.get("all"):
        return list_blocks(caller=caller, filters=filters_of(QueryDict(sent.get("query", ""))).wanted())
    chosen = [block_id for block_id in sent.getlist("block") if "\0" not in block_id]
    return Block.objects.filter(workspace_id=caller.workspace_id, id__in=chosen)


def _choose(
    request: PageRequest, blocks: QuerySet[Block], total: int, *, error: str | None = None
) -> HttpResponse:
    held = list_held(caller=request.caller, blocks=blocks)
    context: dict[str, Any] = {
        "held": held,
        "total": total,
        "most": MOST_BLOCKS,
        "is_too_many": total > MOST_BLOCKS,
        "held_count": sum(bool(each.agent_names) for each in held),
        # What was shown is what is changed: a block that comes to match meanwhile is not.
        "ids": [each.block.id for each in held],
        "actions": ACTIONS,
        "action": request.POST.get("action", ""),
        "agents": agents_of(caller=request.caller).order_by("name", "id").only("id", "name")[:OFFERED_AGENTS],
        "chosen_agents": request.POST.getlist("agent"),
        "tag": request.POST.get("tag", ""),
        "error": error,
    }
    return render(request, "agents/lists/change_blocks.html", context, status=422 if error else 200)
