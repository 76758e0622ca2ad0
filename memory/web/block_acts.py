"""What is done to a block's history from its pages: restore, undo, redo, checkpoints, and taking out what one writer wrote."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_http_methods, require_POST

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Invalid
from memory.diffs import diff_rows
from memory.models import Block
from memory.services import block_checkpoints, block_restores
from memory.services.block_merges import BlockConflict
from memory.services.block_reverts import Wrote, preview_revert, revert_writes, written_by
from memory.services.block_versions import get_version_of
from memory.services.blocks import get_block_for
from memory.web.block_history import FIELD_NAMES
from memory.web.block_merge import show_merge
from memory.web.block_versions import list_writers

#: Runs and versions that the page of a revert offers and names.
_MOST_RUNS = 50
_MOST_VERSIONS = 200


@require_http_methods(["GET", "POST"])
def restore_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """Shows what a restore would change, then makes it: a new version with all that the old one had."""
    request.caller.check("edit")
    block = get_block_for(caller=request.caller, block_id=block_id)
    version = get_version_of(block, number)
    error = ""
    if request.method == "POST":
        try:
            after = block_restores.restore_version(
                caller=request.caller, block_id=block_id, number=number, base_version=_base(request)
            )
        except AdeError as refused:
            error = refused.message
            block = get_block_for(caller=request.caller, block_id=block_id)
        else:
            said = (
                f"Restored v{number} as v{after.version}" if after.version != block.version else "Unchanged"
            )
            messages.success(request, f"{said} of {after.label}")
            return redirect("blocks:detail", block_id=block_id)
    context = {
        "memory_block": block,
        "version": version,
        "rows": diff_rows(block.value, version.value),
        "fields": _moved(block, version),
        "error": error,
    }
    return render(request, "blocks/restore.html", context, status=409 if error else 200)


@require_POST
def undo(request: PageRequest, block_id: str) -> HttpResponse:
    """One state back."""
    return _stepped(request, block_id, "Undone", block_restores.undo)


@require_POST
def redo(request: PageRequest, block_id: str) -> HttpResponse:
    """One state forward again."""
    return _stepped(request, block_id, "Redone", block_restores.redo)


def _stepped(request: PageRequest, block_id: str, word: str, step: Any) -> HttpResponse:
    try:
        block: Block = step(caller=request.caller, block_id=block_id, base_version=_base(request))
    except AdeError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, f"{word}: {block.label} v{block.version}")
    return redirect("blocks:detail", block_id=block_id)


@require_POST
def name_checkpoint(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """A name for a version."""
    return _named(
        request,
        block_id,
        number,
        lambda: block_checkpoints.create_checkpoint(
            caller=request.caller, block_id=block_id, name=request.POST.get("name", ""), version=number
        ),
    )


@require_POST
def change_checkpoint(request: PageRequest, block_id: str, number: int, checkpoint_id: str) -> HttpResponse:
    """Another name for it, or none."""
    if "delete" in request.POST:
        return _named(
            request,
            block_id,
            number,
            lambda: block_checkpoints.delete_checkpoint(
                caller=request.caller, block_id=block_id, checkpoint_id=checkpoint_id
            ),
        )
    return _named(
        request,
        block_id,
        number,
        lambda: block_checkpoints.rename_checkpoint(
            caller=request.caller,
            block_id=block_id,
            checkpoint_id=checkpoint_id,
            name=request.POST.get("name", ""),
        ),
    )


def _named(request: PageRequest, block_id: str, number: int, act: Any) -> HttpResponse:
    try:
        act()
    except AdeError as error:
        messages.error(request, error.message)
    return redirect("blocks:version", block_id=block_id, number=number)


@require_http_methods(["GET", "POST"])
def revert_page(request: PageRequest, block_id: str) -> HttpResponse:
    """Chooses whose writes, shows what taking them out would change, and does it: one new version, or the merge screen."""
    caller = request.caller
    caller.check("edit")
    block = get_block_for(caller=caller, block_id=block_id)
    asked = request.POST if request.method == "POST" else request.GET
    context: dict[str, Any] = {
        "memory_block": block,
        "actor": asked.get("actor", ""),
        "run": asked.get("run", ""),
        "since": asked.get("since", ""),
        "writers": list_writers(block),
    }
    status = 200
    try:
        wrote = _wrote(context)
        if request.method == "POST":
            revert = revert_writes(caller=caller, block_id=block_id, wrote=wrote, base_version=_base(request))
            count = len(revert.reverted)
            said = f"Took {count} version{'' if count == 1 else 's'} out of {revert.block.label}"
            messages.success(request, f"{said}: v{revert.block.version}")
            return redirect("blocks:detail", block_id=block_id)
        if wrote.actor_id or wrote.run_id:
            context |= _meant(block, wrote)
            after = preview_revert(caller=caller, block_id=block_id, wrote=wrote).block
            context |= {"rows": diff_rows(block.value, after.value), "fields": _moved(block, after)}
    except BlockConflict as error:
        if request.method == "POST":
            name = _name(context)
            return show_merge(request, block_id, error, title=f"Others have built on what {name} wrote.")
        context["clash_count"] = max(1, len(error.merge.clashes))
    except AdeError as error:
        context["error"], status = error.message, error.status
    return render(request, "blocks/revert.html", context, status=status)


def _wrote(asked: dict[str, Any]) -> Wrote:
    since = None
    if asked["since"]:
        try:
            since = datetime.fromisoformat(asked["since"])
        except ValueError as error:
            raise Invalid(f"{asked['since']!r} is no time. Write it like 2026-11-26T14:00.") from error
        since = since if since.tzinfo else since.replace(tzinfo=UTC)
    return Wrote(actor_id=asked["actor"] or None, run_id=asked["run"] or None, since=since)


def _meant(block: Block, wrote: Wrote) -> dict[str, Any]:
    """The versions that are meant, and the runs to choose from."""
    whole = written_by(block, Wrote(actor_id=wrote.actor_id, run_id=None if wrote.actor_id else wrote.run_id))
    runs: dict[str, Any] = {}
    rows = whole.exclude(run_id=None).order_by("-number").values_list("run_id", "created_at")
    for run_id, moment in rows[:_MOST_VERSIONS]:
        runs.setdefault(str(run_id), moment)
    meant = written_by(block, wrote).filter(number__gt=1).order_by("-number").defer("value", "line_changes")
    return {"meant": list(meant[:_MOST_VERSIONS]), "runs": list(runs.items())[:_MOST_RUNS]}


def _name(context: dict[str, Any]) -> str:
    names = [each.name for each in context["writers"] if each.key == context["actor"]]
    return str(names[0]) if names else "this run"


def _moved(old: Any, new: Any) -> list[tuple[str, Any, Any]]:
    return [
        (title, getattr(old, name), getattr(new, name))
        for name, title in FIELD_NAMES.items()
        if getattr(old, name) != getattr(new, name)
    ]


def _base(request: PageRequest) -> int | None:
    text = request.POST.get("base_version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
