"""Pages of proposed memory edits: one by itself, what is decided about it, and the parts that a block's page shows of them."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from agents.models import Agent
from agents.web.proposal_card import load_card
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, NotFound
from memory.models import Block, BlockProposal
from memory.models.block_proposal import ProposalState
from memory.policies import KINDS, POLICIES
from memory.services.block_policies import list_policy_changes, set_policy
from memory.services.blocks import get_block_for
from memory.services.proposal_decisions import approve_proposal, reject_proposal
from memory.services.proposals import ProposalFilters, get_proposal_for, list_proposals

_MOST_LISTED = 50
_MOST_CHANGES = 5
_MOST_AGENTS = 200
_KIND_NAMES = {
    "default": "Everyone",
    "agents": "Agents",
    "background_agents": "Background agents",
    "api_keys": "API keys",
    "members": "Members",
}


@require_GET
def detail_page(request: PageRequest, proposal_id: str) -> HttpResponse:
    """One proposal; its card alone when it asks for itself again."""
    proposal = get_proposal_for(caller=request.caller, proposal_id=proposal_id)
    return _page(request, proposal)


@require_POST
def decide(request: PageRequest, proposal_id: str) -> HttpResponse:
    """Approve, approve another text, or reject; then back to the page that asked. What was typed is kept when that cannot be."""
    form = request.POST
    typed = {
        "text": form.get("text", "").replace("\r\n", "\n"),
        "reason": form.get("reason", "").replace("\r\n", "\n"),
    }
    decision = form.get("decision", "")
    try:
        if decision == "reject":
            decided = reject_proposal(caller=request.caller, proposal_id=proposal_id, reason=typed["reason"])
        elif decision == "edit":
            base = form.get("base_version", "")
            decided = approve_proposal(
                caller=request.caller,
                proposal_id=proposal_id,
                text=typed["text"],
                base_version=int(base) if base.isascii() and base.isdigit() else None,
            )
        else:
            decided = approve_proposal(caller=request.caller, proposal_id=proposal_id)
    except NotFound:
        raise
    except AdeError as error:
        proposal = get_proposal_for(caller=request.caller, proposal_id=proposal_id)
        extra = {"error": error.message, "failed": decision or "approve", "typed": typed}
        return _page(request, proposal, status=error.status, **extra)
    messages.success(request, _said(decided))
    return _back(request, decided)


def _said(decided: BlockProposal) -> str:
    if decided.state == ProposalState.REJECTED:
        return f"Rejected the edit of {decided.label}"
    version = f" v{decided.written_version}" if decided.written_version else ""
    return f"Approved {decided.label}{version}"


def _back(request: PageRequest, decided: BlockProposal) -> HttpResponseRedirect:
    if request.POST.get("page") == "inbox":
        kind = request.POST.get("kind", "")
        return redirect(reverse("inbox:list") + ("?kind=proposal" if kind == "proposal" else ""))
    return redirect("proposals:detail", proposal_id=decided.id)


def _page(request: PageRequest, proposal: BlockProposal, *, status: int = 200, **extra: Any) -> HttpResponse:
    card = load_card(proposal)
    if extra.get("failed") == "edit":
        extra["editor_text"] = extra["typed"]["text"]
    context = {"card": card, "proposal": proposal, "editor_text": card.editor_text, **extra}
    is_part = request.htmx.target == "proposal"
    return render(
        request,
        "proposals/partials/card.html" if is_part else "proposals/detail.html",
        context,
        status=status,
    )


@require_GET
def proposals_of_block(request: PageRequest, block_id: str) -> HttpResponse:
    """What waits for a block, and the last decisions: a part of its page."""
    get_block_for(caller=request.caller, block_id=block_id)
    found = list_proposals(caller=request.caller, filters=ProposalFilters(block_id=block_id))
    waiting = found.filter(state=ProposalState.PENDING).order_by("-created_at", "-id")
    decided = found.filter(
        state__in=(ProposalState.APPROVED, ProposalState.EDITED, ProposalState.REJECTED)
    ).order_by("-decided_at", "-id")
    context = {
        "block_id": block_id,
        "waiting": list(waiting.defer("base_value", "value")[:_MOST_LISTED]),
        "decided": list(decided.defer("base_value", "value")[:_MOST_CHANGES]),
    }
    return render(request, "proposals/partials/of_block.html", context)


@require_http_methods(["GET", "POST"])
def policy_part(request: PageRequest, block_id: str) -> HttpResponse:
    """Who may write to a block, seen and set: a part of its page."""
    caller = request.caller
    block = get_block_for(caller=caller, block_id=block_id)
    if request.method == "GET":
        return _policy(request, block)
    rules = {
        name.removeprefix("rule-"): value
        for name, value in request.POST.items()
        if name.startswith("rule-") and value
    }
    if (agent_id := request.POST.get("agent", "")) and agent_id not in rules:
        rules[agent_id] = request.POST.get("agent_policy", "")
    try:
        block = set_policy(caller=caller, block_id=block_id, rules=rules)
    except AdeError as error:
        return _policy(request, block, error=error.message, status=error.status)
    return _policy(request, block, is_saved=True)


def _policy(request: PageRequest, block: Block, *, status: int = 200, **extra: Any) -> HttpResponse:
    holders = Agent.objects.filter(workspace_id=block.workspace_id).filter(block_links__block=block)
    names = dict(holders.order_by("name", "id").values_list("id", "name")[:_MOST_AGENTS])
    ruled = [name for name in block.policy if name not in KINDS]
    if missing := [each for each in ruled if each not in names]:
        others = Agent.objects.filter(workspace_id=block.workspace_id, id__in=missing)
        names |= dict(others.values_list("id", "name"))
    context = {
        "memory_block": block,
        "kinds": [(kind, _KIND_NAMES[kind], block.policy.get(kind, "")) for kind in KINDS],
        "agent_rules": [(each, names.get(each, each), block.policy[each]) for each in ruled],
        "other_agents": [(each, name) for each, name in names.items() if each not in block.policy],
        "policies": [(policy, policy.replace("_", "-")) for policy in POLICIES],
        "changes": list(list_policy_changes(block)[:_MOST_CHANGES]),
        **extra,
    }
    return render(request, "proposals/partials/policy.html", context, status=status)
