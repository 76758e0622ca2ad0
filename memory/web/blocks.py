"""Pages of one block: its value with its versions, deletion."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.db.models import Count
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict
from letta_ade.llm.tokens import estimate_text
from memory.diffs import diff_rows
from memory.models import Block
from memory.services.block_merges import BlockConflict
from memory.services.block_restores import steps_left
from memory.services.block_versions import find_problems
from memory.services.blocks import (
    change_block,
    delete_block,
    get_block_for,
)
from memory.web.block_blame import load_groups
from memory.web.block_merge import after_save, show_clash
from memory.web.block_versions import get_version, list_actors, list_lines
from memory.web.forms import BlockForm


@require_http_methods(["GET", "POST"])
def detail_page(request: PageRequest, block_id: str) -> HttpResponse:
    """One block: versions, value, what hangs on it. A save carries the version that it was made from."""
    caller = request.caller
    block = get_block_for(caller=caller, block_id=block_id)
    if request.method == "GET":
        return _detail(request, block, _form_of(block))
    caller.check("edit")
    form = BlockForm(request.POST)
    if not form.is_valid():
        return _detail(request, block, form, status=422)
    base_version = form.cleaned_data["base_version"]
    try:
        change = change_block(
            caller=caller, block_id=block_id, changes=form.changes(block), base_version=base_version
        )
    except BlockConflict:
        return show_clash(request, block_id, _as_sent(form), base_version)
    except Conflict as error:
        form.add_error("label", error.message)
        return _detail(request, block, form, status=422)
    except AdeError as error:
        form.add_error(None, error.message)
        return _detail(request, block, form, status=422)
    saved = change.block
    if change.proposal is not None:
        messages.success(request, f"Your edit of {saved.label} waits for approval")
        return redirect("proposals:detail", proposal_id=change.proposal.id)
    if change.merged_with:
        messages.success(request, f"Saved {saved.label} v{saved.version}, merged with v{change.merged_with}")
    elif not change.is_written:
        messages.success(request, f"{saved.label} is unchanged")
    else:
        messages.success(request, f"Saved {saved.label} v{saved.version}")
    return after_save(saved)


def _form_of(block: Block) -> BlockForm:
    return BlockForm(
        initial={
            "label": block.label,
            "description": block.description or "",
            "limit": block.limit,
            "read_only": block.read_only,
            "value": block.value,
            "base_version": block.version,
        }
    )


def _as_sent(form: BlockForm) -> dict[str, str]:
    data = form.cleaned_data
    return {
        "label": data["label"],
        "description": data["description"],
        "limit": str(data["limit"]),
        "read_only": "on" if data["read_only"] else "",
        "value": data["value"],
    }


def _detail(request: PageRequest, block: Block, form: BlockForm, *, status: int = 200) -> HttpResponse:
    view = request.GET.get("view", "")
    if view not in ("blame", "edit") or form.is_bound:
        # What is there is read before it is edited; what was typed is never hidden.
        view = "edit" if form.is_bound or not block.value else "blame"
    can_undo, can_redo = steps_left(block)
    context = {
        **_versions(request, block),
        "form": form,
        "token_count": estimate_text(block.value),
        "view": view,
        "groups": load_groups(block) if view == "blame" else None,
        "can_undo": can_undo,
        "can_redo": can_redo,
        "saved_version": request.GET.get("saved", ""),
    }
    return render(request, "blocks/detail.html", context, status=status)


def _versions(request: PageRequest, block: Block, before: int | None = None) -> dict[str, Any]:
    """The list of versions, of one actor when the address says so."""
    actor_id = request.GET.get("by", "")
    lines, more_before = list_lines(block, before=before, actor_id=actor_id)
    return {
        "memory_block": block,
        "lines": lines,
        "more_before": more_before,
        "actor_id": actor_id,
        "actors": list_actors(block) if before is None else [],
    }


@require_GET
def version_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """One version: how it differs from the one before it, and its whole value."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    version, before = get_version(block, number)
    context = {
        **_versions(request, block),
        "version": version,
        "checkpoints": block.checkpoints.filter(version=number).order_by("name"),
        "before": before,
        "rows": diff_rows(before.value if before else "", version.value),
        "value_lines": version.value.split("\n"),
        "shows_value": request.GET.get("show") == "value",
    }
    return render(request, "blocks/version.html", context)


@require_GET
def older_versions(request: PageRequest, block_id: str, before: int) -> HttpResponse:
    """More of the list of versions."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    context = _versions(request, block, before)
    return render(request, "blocks/partials/version_items.html", context)


@require_GET
def verify_part(request: PageRequest, block_id: str) -> HttpResponse:
    """Whether the chain of versions holds."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    problems = find_problems(block)
    # Of what nobody explains; the row itself may be ahead of its last version.
    unexplained = {each.version for each in problems if each.kind == "unexplained"}
    context = {
        "memory_block": block,
        "problems": problems,
        "only_unexplained": all(
            each.kind == "unexplained" and each.version <= block.version for each in problems
        ),
        "unexplained": sorted(unexplained),
        "explained_count": block.version - len(unexplained),
    }
    return render(request, "blocks/partials/verified.html", context)


@require_http_methods(["GET", "POST"])
def delete_page(request: PageRequest, block_id: str) -> HttpResponse:
    """Names what goes, then deletes."""
    request.caller.check("edit")
    block = get_block_for(caller=request.caller, block_id=block_id)
    if request.method == "POST":
        delete_block(caller=request.caller, block_id=block_id)
        messages.success(request, f"Deleted {block.label}")
        return redirect("blocks:list")
    holders = Block.objects.filter(id=block_id).aggregate(n=Count("agent_links"))["n"]
    return render(request, "blocks/delete.html", {"memory_block": block, "holder_count": holders})
