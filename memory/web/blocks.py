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
from memory.services.block_versions import verify_block
from memory.services.blocks import (
    change_block,
    delete_block,
    get_block_for,
)
from memory.web.block_versions import get_version, list_lines
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
    except Conflict as error:
        if "current_version" not in error.data:
            form.add_error("label", error.message)
            return _detail(request, block, form, status=422)
        return _clash(request, get_block_for(caller=caller, block_id=block_id), form)
    except AdeError as error:
        form.add_error(None, error.message)
        return _detail(request, block, form, status=422)
    saved = change.block
    if change.merged_with:
        messages.success(request, f"Saved {saved.label} v{saved.version}, merged with v{change.merged_with}")
    elif not change.is_written:
        messages.success(request, f"{saved.label} is unchanged")
    else:
        messages.success(request, f"Saved {saved.label} v{saved.version}")
    return redirect("blocks:detail", block_id=block_id)


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


def _clash(request: PageRequest, block: Block, form: BlockForm) -> HttpResponse:
    """Somebody saved in between: what was typed stays, next to how it differs from what is stored now."""
    kept = BlockForm(
        {**{name: form.data.get(name, "") for name in form.fields}, "base_version": block.version}
    )
    kept.is_valid()
    extra = {"clash": diff_rows(block.value, form.cleaned_data["value"]), "is_clash": True}
    return _detail(request, block, kept, status=409, **extra)


def _detail(
    request: PageRequest, block: Block, form: BlockForm, *, status: int = 200, **extra: Any
) -> HttpResponse:
    lines, more_before = list_lines(caller=request.caller, block=block)
    context = {
        "memory_block": block,
        "form": form,
        "lines": lines,
        "more_before": more_before,
        "token_count": estimate_text(block.value),
        **extra,
    }
    return render(request, "blocks/detail.html", context, status=status)


@require_GET
def version_page(request: PageRequest, block_id: str, number: int) -> HttpResponse:
    """One version: how it differs from the one before it, and its whole value."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    version, before = get_version(caller=request.caller, block=block, number=number)
    lines, more_before = list_lines(caller=request.caller, block=block)
    context = {
        "memory_block": block,
        "version": version,
        "before": before,
        "rows": diff_rows(before.value if before else "", version.value),
        "value_lines": version.value.split("\n"),
        "shows_value": request.GET.get("show") == "value",
        "lines": lines,
        "more_before": more_before,
    }
    return render(request, "blocks/version.html", context)


@require_GET
def older_versions(request: PageRequest, block_id: str, before: int) -> HttpResponse:
    """More of the list of versions."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    lines, more_before = list_lines(caller=request.caller, block=block, before=before)
    context = {"memory_block": block, "lines": lines, "more_before": more_before}
    return render(request, "blocks/partials/version_items.html", context)


@require_GET
def verify_part(request: PageRequest, block_id: str) -> HttpResponse:
    """Whether the chain of versions holds."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    context = {"memory_block": block, "problems": verify_block(block)}
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
