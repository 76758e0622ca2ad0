"""The page that makes an agent. It works without script; nothing typed is lost when something does not fit."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods

from agents.models.agent import AgentType
from agents.services.agent_prompts import default_system_prompt
from agents.services.agent_types import FACTS, facts_of
from agents.services.agents import count_agents_of_blocks, create_agent
from agents.web.forms import (
    FIRST_BLOCKS,
    FIRST_TYPE,
    OFFERED_TOOLS,
    AgentForm,
    BlockFormSet,
    add_block,
    fit_to_type,
    remove_block,
    tools_of_type,
)
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, NotFound
from letta_ade.llm import catalog
from memory.services.blocks import list_blocks
from tools.models import Tool
from tools.services.tools import ensure_builtin_tools

#: Blocks of the workspace that the form offers to share, newest first.
SHARED_BLOCKS = 50


@require_http_methods(["GET", "POST"])
def create_page(request: PageRequest) -> HttpResponse:
    """The form; a right answer leads to the agent's workbench."""
    caller = request.caller
    caller.check("edit")
    offer = _offer(caller)
    if request.method == "GET":
        form, blocks = _forms(offer, None)
        return render(request, "agents/create.html", _context(offer, form, blocks))
    sent = fit_to_type(request.POST)
    if any(name in sent for name in ("add_block", "remove_block", "fit_type")):
        form, blocks = _forms(offer, _reshape(sent))
        template = "agents/lists/create_form.html" if request.htmx else "agents/create.html"
        context = _context(offer, form, blocks) | {
            "has_new_block": "add_block" in sent,
            "is_choosing": "fit_type" in sent,
        }
        return render(request, template, context)
    form, blocks = _forms(offer, sent)
    # Both are checked, so that all errors are seen at once.
    if form.is_valid() & blocks.is_valid():
        try:
            agent = create_agent(caller=caller, draft=form.draft(block.draft() for block in blocks))
        except AdeError as error:
            form.add_error("model" if isinstance(error, NotFound) else None, error.message)
        else:
            messages.success(request, f"Created {agent.name}")
            return redirect("agents:detail", agent_id=agent.id)
    return render(
        request, "agents/create.html", _context(offer, form, blocks) | {"shows_errors": True}, status=422
    )


def _reshape(data: QueryDict) -> QueryDict:
    if place := data.get("remove_block"):
        return remove_block(data, str(place))
    return add_block(data) if "add_block" in data else data


def _offer(caller: Caller) -> dict[str, Any]:
    """What there is to choose from."""
    ensure_builtin_tools(caller.workspace_id)
    tools = {
        tool.name: tool for tool in Tool.objects.filter(workspace_id=caller.workspace_id).order_by("name")
    }
    first = [tools[name] for name in OFFERED_TOOLS if name in tools]
    rest = [tool for name, tool in tools.items() if name not in OFFERED_TOOLS]
    offered = catalog.list_everything(workspace_id=caller.workspace_id)
    shared = list(list_blocks(caller=caller).order_by("-created_at")[:SHARED_BLOCKS])
    return {
        "models": offered.models,
        "embeddings": offered.embeddings,
        "suggested": catalog.suggested_handle(among=offered.models),
        "tools": [*first, *rest],
        "shared_blocks": shared,
        "holders": count_agents_of_blocks([block.id for block in shared]),
    }


def _forms(offer: dict[str, Any], data: QueryDict | None) -> tuple[AgentForm, Any]:
    initial = {
        "model": offer["suggested"],
        "embedding": catalog.default_embedding_handle() or "",
        "agent_type": FIRST_TYPE,
        "shown_type": FIRST_TYPE,
        "system": default_system_prompt(FIRST_TYPE),
        "tools": tools_of_type(FIRST_TYPE),
    }
    form = AgentForm(
        data,
        initial=initial,
        models=offer["models"],
        embeddings=offer["embeddings"],
        tool_names=[tool.name for tool in offer["tools"]],
        shared_block_ids=[block.id for block in offer["shared_blocks"]],
    )
    return form, BlockFormSet(data, initial=None if data is not None else list(FIRST_BLOCKS), prefix="blocks")


def _context(offer: dict[str, Any], form: AgentForm, blocks: Any) -> dict[str, Any]:
    chosen_tools = set(form["tools"].value() or ())
    chosen_blocks = set(form["shared_blocks"].value() or ())
    chosen_type = form["agent_type"].value()
    chosen_type = chosen_type if chosen_type in AgentType.values else FIRST_TYPE
    return {
        "form": form,
        "blocks": blocks,
        "tools": [(tool, tool.name in chosen_tools) for tool in offer["tools"]],
        "shared_blocks": [
            (block, offer["holders"].get(block.id, 0), block.id in chosen_blocks)
            for block in offer["shared_blocks"]
        ],
        "types": [(agent_type.value, facts) for agent_type, facts in FACTS.items()],
        "chosen_type": chosen_type,
        "chosen_facts": facts_of(chosen_type),
        "is_first_type": chosen_type == FIRST_TYPE,
        "is_choosing": False,
        "snippet_model": form["model"].value() or "",
        "snippet_type": "" if chosen_type == FIRST_TYPE else chosen_type,
        "only_demo": all(info.is_demo for info in offer["models"]),
        "shows_errors": False,
    }
