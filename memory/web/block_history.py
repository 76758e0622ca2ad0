"""Pages and acts of a block's history: compare, put back, name, take out what somebody wrote."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from memory.diffs import diff_rows
from memory.models import Block
from memory.services import block_checkpoints, block_restores
from memory.services.block_reverts import Writes, plan_reversal, revert_writes
from memory.services.block_versions import compare_versions, get_version_of
from memory.services.block_writes import VERSIONED
from memory.services.blocks import get_block_for
from memory.web.block_merge import show_clash
from memory.web.block_versions import list_lines

_STEPS = {"undo": block_restores.undo, "redo": block_restores.redo}


@require_GET
def compare_page(request: PageRequest, block_id: str, old: int, new: int) -> HttpResponse:
    """Two versions, side by side in one difference. `from` and `to` in the query choose others."""
    chosen = [request.GET.get(name, "") for name in ("from", "to")]
    if any(chosen):
        numbers = [
            int(text) if text.isdigit() else number for text, number in zip(chosen, (old, new), strict=True)
        ]
        return redirect("blocks:compare", block_id, *numbers)
    block = get_block_for(caller=request.caller, block_id=block_id)
    diff = compare_versions(caller=request.caller, block_id=block_id, old=old, new=new)
    lines, more_before = list_lines(block)
    context = {"memory_block": block, "diff": diff, "lines": lines, "more_before": more_before}
    return render(request, "blocks/compare.html", context)


@require_http_methods(["GET", "POST"])
def restore_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """Shows what putting a version back would change; then does it."""
    request.caller.check("edit")
    block = get_block_for(caller=request.caller, block_id=block_id)
    if request.method == "GET":
        version = get_version_of(block, number)
        moved = [name for name in VERSIONED if getattr(block, name) != getattr(version, name)]
        context = {
            "memory_block": block,
            "version": version,
            "rows": diff_rows(block.value, version.value),
            "moved": [name.replace("_", "-") for name in moved if name != "value"],
            "is_same": not moved,
        }
        return render(request, "blocks/restore.html", context)
    base = request.POST.get("base_version", "")
    try:
        before = block.version
        block = block_restores.restore_version(
            caller=request.caller,
            block_id=block_id,
            number=number,
            base_version=int(base) if base.isdigit() else None,
        )
    except AdeError as error:
        return _refused(request, block_id, error)
    said = (
        f"is as in v{number} already" if block.version == before else f"v{block.version} is as v{number} was"
    )
    messages.success(request, f"{block.label} {said}")
    return redirect("blocks:detail", block_id)


@require_POST
def step_page(request: PageRequest, block_id: str, act: str) -> HttpResponse:
    """Undo or redo; `base_version` is the version that the person looked at."""
    base = request.POST.get("base_version", "")
    try:
        if act not in _STEPS:
            raise Invalid(f"There is nothing called {act!r} to do.")
        block = _STEPS[act](
            caller=request.caller, block_id=block_id, base_version=int(base) if base.isdigit() else None
        )
    except AdeError as error:
        return _refused(request, block_id, error)
    messages.success(request, f"{act.capitalize()}: {block.label} is v{block.version} now")
    return redirect("blocks:detail", block_id)


@require_POST
def checkpoint_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """Name a version, rename or delete one of its checkpoints."""
    caller = request.caller
    name, checkpoint_id = request.POST.get("name", ""), request.POST.get("checkpoint", "")
    try:
        if "delete" in request.POST:
            block_checkpoints.delete_checkpoint(caller=caller, block_id=block_id, checkpoint_id=checkpoint_id)
            messages.success(request, "The checkpoint is deleted; the version stays")
        elif checkpoint_id:
            block_checkpoints.rename_checkpoint(
                caller=caller, block_id=block_id, checkpoint_id=checkpoint_id, name=name
            )
            messages.success(request, f"Renamed to {name}")
        else:
            block_checkpoints.create_checkpoint(caller=caller, block_id=block_id, name=name, version=number)
            messages.success(request, f"v{number} is called {name}")
    except AdeError as error:
        messages.error(request, error.message)
    return redirect("blocks:version", block_id, number)


@require_http_methods(["GET", "POST"])
def revert_page(request: PageRequest, block_id: str) -> HttpResponse:
    """What taking out an actor's or a run's writes would do; then does it."""
    caller = request.caller
    caller.check("edit")
    block = get_block_for(caller=caller, block_id=block_id)
    asked = request.POST if request.method == "POST" else request.GET
    writes = Writes(actor_id=asked.get("actor") or None, run_id=asked.get("run") or None)
    if request.method == "POST":
        return (
            _settle(request, block, writes) if "settle" in request.POST else _revert(request, block, writes)
        )
    reversal = plan_reversal(block=block, writes=writes)
    names = block.versions.filter(number__in=reversal.versions).values_list("actor_name", flat=True)
    context = {
        "memory_block": block,
        "writes": writes,
        "reversal": reversal,
        "who": ", ".join(sorted(set(names))),
        "rows": diff_rows(block.value, reversal.value),
        "is_same": block.value == reversal.value,
    }
    return render(request, "blocks/revert.html", context)


def _settle(request: PageRequest, block: Block, writes: Writes) -> HttpResponse:
    """The merge screen: the block without these writes against the block of now, from the last of them on."""
    reversal = plan_reversal(block=block, writes=writes)
    wanted = {
        "value": reversal.without,
        "title": "Others have changed the same lines since.",
    }
    return show_clash(request, block.id, wanted, reversal.versions[-1])


def _revert(request: PageRequest, block: Block, writes: Writes) -> HttpResponse:
    base = request.POST.get("base_version", "")
    try:
        done, reversal = revert_writes(
            caller=request.caller,
            block_id=block.id,
            writes=writes,
            base_version=int(base) if base.isdigit() else None,
            keeps_clashes=True,
        )
    except AdeError as error:
        return _refused(request, block.id, error)
    count = len(reversal.versions)
    messages.success(
        request, f"{done.label} v{done.version}: {count} {'write' if count == 1 else 'writes'} taken out"
    )
    return redirect("blocks:detail", block.id)


def _refused(request: PageRequest, block_id: str, error: AdeError) -> HttpResponse:
    messages.error(request, error.message)
    return redirect("blocks:detail", block_id)
