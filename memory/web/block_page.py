"""The page of one block: its value to edit, and how what is typed differs from what is stored."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_http_methods

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict
from letta_ade.llm.tokens import estimate_text
from memory.diffs import diff_rows
from memory.history import count_changed_lines
from memory.models import Block
from memory.services.block_merges import BlockConflict
from memory.services.block_restores import reach_of
from memory.services.block_versions import blame_block
from memory.services.blocks import change_block, get_block_for
from memory.web.block_blame import blame_groups
from memory.web.block_history import versions_context
from memory.web.block_merge import saved, show_merge
from memory.web.forms import BlockForm

#: Ways to look at the value; the first one edits it.
VIEWS = {"edit": "Edit", "blame": "Blame", "diff": "Diff", "raw": "Raw"}


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
    except BlockConflict as error:
        return show_merge(request, block_id, error)
    except Conflict as error:
        form.add_error("label", error.message)
        return _detail(request, block, form, status=422)
    except AdeError as error:
        form.add_error(None, error.message)
        return _detail(request, block, form, status=422)
    return saved(request, change, base_version=base_version)


@require_http_methods(["GET", "POST"])
def diff_part(request: PageRequest, block_id: str) -> HttpResponse:
    """How what is typed differs from what is stored now."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    mine = request.POST.get("value", block.value).replace("\r\n", "\n")
    context = {
        "memory_block": block,
        "rows": diff_rows(block.value, mine),
        "lines": count_changed_lines(block.value, mine),
    }
    return render(request, "blocks/partials/unsaved.html", context)


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


def _detail(request: PageRequest, block: Block, form: BlockForm, *, status: int = 200) -> HttpResponse:
    shown = request.GET.get("view", "")
    context: dict[str, Any] = {
        **versions_context(request, block),
        "form": form,
        "token_count": estimate_text(block.value),
        "reach": reach_of(block),
        "views": VIEWS.items(),
        "view": shown if shown in VIEWS else "edit",
        "saved_version": request.GET.get("saved", ""),
    }
    if context["view"] == "blame":
        lines = blame_block(caller=request.caller, block_id=block.id)
        value = "\n".join(line.text for line in lines)
        context["groups"] = list(blame_groups(lines, value, value))
    return render(request, "blocks/detail.html", context, status=status)
