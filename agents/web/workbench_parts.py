"""Changes that are made in the workbench: to the agent on the left, to its memory on the right. Each answers with its part."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods, require_POST

from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_passages import delete_agent_passage, insert_passage, search_agent_passages
from agents.services.agent_tools import attach_tool, detach_tool, set_approval
from agents.services.agents import AgentChanges, update_agent
from agents.services.conversations import DEFAULT
from agents.services.system_message import blocks_in
from agents.web.workbench_page import (
    Bench,
    agent_context,
    archival_context,
    blocks_context,
    card_context,
    open_bench,
)
from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict, NotFound
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, create_block, get_block_for, update_block
from memory.services.passages import PassageDraft

_FOUND_PASSAGES = 10
_MOST_TAGS = 50
UNPROCESSABLE = 422


@require_http_methods(["GET", "POST"])
def identity_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """Name, description and tags."""
    bench = open_bench(request.caller, agent_id)
    if request.method == "GET":
        return _part(request, bench, "identity", is_editing="edit" in request.GET)
    typed = {name: request.POST.get(name, "").strip() for name in ("name", "description", "tags")}
    tags = tuple(tag.strip() for tag in typed["tags"].split(",") if tag.strip())[:_MOST_TAGS]
    changes = AgentChanges(
        name=typed["name"],
        description=typed["description"] or None,
        tags=tags,
        cleared=frozenset() if typed["description"] else frozenset({"description"}),
    )
    try:
        update_agent(caller=request.caller, agent_id=agent_id, changes=changes)
    except AdeError as error:
        return _part(request, bench, "identity", is_editing=True, typed=typed, error=error.message)
    return _part(request, open_bench(request.caller, agent_id), "identity", is_saved=True)


@require_http_methods(["GET", "POST"])
def system_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """The system instructions."""
    bench = open_bench(request.caller, agent_id)
    if request.method == "GET":
        return _part(request, bench, "system", is_editing="edit" in request.GET)
    text = request.POST.get("system", "").replace("\r\n", "\n")
    try:
        update_agent(caller=request.caller, agent_id=agent_id, changes=AgentChanges(system=text))
    except AdeError as error:
        return _part(request, bench, "system", is_editing=True, typed={"system": text}, error=error.message)
    return _part(request, open_bench(request.caller, agent_id), "system", is_saved=True)


@require_POST
def model_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """The model; another one brings its own defaults and window."""
    bench = open_bench(request.caller, agent_id)
    changes = AgentChanges(model=request.POST.get("model", "").strip())
    try:
        update_agent(caller=request.caller, agent_id=agent_id, changes=changes)
    except AdeError as error:
        return _part(request, bench, "model", error=error.message)
    return _part(request, open_bench(request.caller, agent_id), "model", is_saved=True)


@require_POST
def tools_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """Attach or detach a tool, or set whether its calls wait for an approval."""
    bench = open_bench(request.caller, agent_id)
    try:
        if tool_id := request.POST.get("attach"):
            attach_tool(caller=request.caller, agent_id=agent_id, tool_id=tool_id)
        elif name := request.POST.get("ask") or request.POST.get("trust"):
            is_asking = "ask" in request.POST
            set_approval(
                caller=request.caller, agent_id=agent_id, tool_name=name, requires_approval=is_asking
            )
        elif tool_id := request.POST.get("detach"):
            detach_tool(caller=request.caller, agent_id=agent_id, tool_id=tool_id)
    except AdeError as error:
        return _part(request, bench, "tools", error=error.message)
    return _part(request, open_bench(request.caller, agent_id), "tools", is_saved=True)


def _part(request: PageRequest, bench: Bench, name: str, **extra: Any) -> HttpResponse:
    context = {**agent_context(bench), **extra}
    status = UNPROCESSABLE if extra.get("error") else 200
    return render(request, f"agents/partials/{name}.html", context, status=status)


@require_http_methods(["GET", "POST"])
def block_part(
    request: PageRequest, agent_id: str, block_id: str, conversation_id: str = DEFAULT
) -> HttpResponse:
    """A card: seen, seen whole (`all`), edited in its place (`edit`), saved."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    if request.method == "POST":
        return _save_block(request, bench, block_id)
    if "edit" in request.GET:
        block = _held_block(request, bench, block_id)
        return _editor(request, bench, block, value=block.value, base_version=block.version)
    context = card_context(bench, block_id, is_whole="all" in request.GET)
    if context is None:
        raise NotFound("The agent does not hold this block.")
    return render(request, "agents/partials/block.html", context)


def _save_block(request: PageRequest, bench: Bench, block_id: str) -> HttpResponse:
    value = request.POST.get("value", "").replace("\r\n", "\n")
    number = request.POST.get("base_version", "")
    base_version = int(number) if number.isdigit() else 0
    block = _held_block(request, bench, block_id)
    try:
        update_block(
            caller=request.caller,
            block_id=block_id,
            changes=BlockChanges(value=value),
            base_version=base_version,
        )
    except Conflict as error:
        if "current_version" not in error.data:
            return _editor(request, bench, block, value=value, base_version=base_version, error=error.message)
        current = get_block_for(caller=request.caller, block_id=block_id)
        return _editor(
            request, bench, current, value=value, base_version=current.version, clash_from=base_version
        )
    except AdeError as error:
        return _editor(request, bench, block, value=value, base_version=base_version, error=error.message)
    context = card_context(bench, block_id)
    return render(request, "agents/partials/block.html", {**(context or {}), "is_saved": True})


def _held_block(request: PageRequest, bench: Bench, block_id: str) -> Block:
    held = blocks_in(bench.agent, bench.conversation)
    block = next((each for each in held if each.id == block_id), None)
    if block is None:
        raise NotFound("The agent does not hold this block.")
    return block


def _editor(
    request: PageRequest,
    bench: Bench,
    block: Block,
    *,
    value: str,
    base_version: int,
    error: str = "",
    clash_from: int | None = None,
) -> HttpResponse:
    context = {
        **bench.base,
        "block": block,
        "value": value,
        "base_version": base_version,
        "error": error,
        "clash_from": clash_from,
    }
    is_refused = bool(error) or clash_from is not None
    return render(
        request, "agents/partials/block_edit.html", context, status=UNPROCESSABLE if is_refused else 200
    )


@require_POST
def blocks_part(request: PageRequest, agent_id: str, conversation_id: str = DEFAULT) -> HttpResponse:
    """Attach a block that exists, make one, or detach one; it stays in the workspace."""
    bench = open_bench(request.caller, agent_id, conversation_id)
    try:
        if block_id := request.POST.get("attach"):
            attach_block(caller=request.caller, agent_id=agent_id, block_id=block_id)
        elif block_id := request.POST.get("detach"):
            detach_block(caller=request.caller, agent_id=agent_id, block_id=block_id)
        elif "label" in request.POST:
            block = create_block(caller=request.caller, draft=BlockDraft(label=request.POST["label"].strip()))
            attach_block(caller=request.caller, agent_id=agent_id, block_id=block.id)
    except AdeError as error:
        context = {**blocks_context(bench), "error": error.message}
        return render(request, "agents/partials/blocks.html", context, status=UNPROCESSABLE)
    return render(request, "agents/partials/blocks.html", blocks_context(bench))


@require_http_methods(["GET", "POST"])
def archival_part(request: PageRequest, agent_id: str) -> HttpResponse:
    """Archival memory: searched (GET with `query`), added to, deleted from."""
    bench = open_bench(request.caller, agent_id)
    if request.method == "GET":
        return render(request, "agents/partials/archival.html", _search(request, bench))
    text = request.POST.get("text", "").replace("\r\n", "\n")
    try:
        if passage_id := request.POST.get("delete"):
            delete_agent_passage(caller=request.caller, agent_id=agent_id, passage_id=passage_id)
        else:
            insert_passage(caller=request.caller, agent_id=agent_id, draft=PassageDraft(text=text))
    except AdeError as error:
        context = {**archival_context(bench), "error": error.message, "typed": text}
        return render(request, "agents/partials/archival.html", context, status=UNPROCESSABLE)
    return render(request, "agents/partials/archival.html", archival_context(bench))


def _search(request: PageRequest, bench: Bench) -> dict[str, Any]:
    query = request.GET.get("query", "").strip()
    if not query:
        return archival_context(bench)
    _, hits = search_agent_passages(
        caller=request.caller, agent_id=bench.agent.id, query=query, limit=_FOUND_PASSAGES
    )
    return archival_context(bench, query=query, hits=hits)
