"""Saving over what others saved meanwhile: the merge screen, and what is made of its answers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib import messages
from django.http import HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from letta_ade.accounts.pages import PageRequest
from letta_ade.core.errors import AdeError, Conflict, Unprocessable
from letta_ade.llm.tokens import estimate_text
from memory.models import Block, BlockVersion
from memory.services.block_merges import BlockConflict, get_base
from memory.services.block_versions import get_current_version, get_version_of
from memory.services.blocks import BlockChange, BlockChanges, change_block, get_block_for
from memory.web.forms import BlockForm
from memory.web.merge_view import FIELDS, MergeView, merge_view

#: Names of writers that are told apart.
_MOST_WRITERS = 200


@require_http_methods(["GET", "POST"])
def merge_page(request: PageRequest, block_id: str) -> HttpResponse:
    """Save what the merge screen answers. When yet another save came in between, the screen again, with the answers in it."""
    caller = request.caller
    caller.check("edit")
    block = get_block_for(caller=caller, block_id=block_id)
    if request.method == "GET":
        # Its address alone says nothing about the text that was typed.
        return redirect("blocks:detail", block_id=block_id)
    form = BlockForm(request.POST)
    form.is_valid()
    data = form.cleaned_data
    if any(name not in data for name in (*FIELDS, "value")) or data.get("base_version") is None:
        raise Unprocessable("The merge screen was sent incompletely. Open the block and save again.")
    view = _view(
        block,
        base=get_base(block, data["base_version"]),
        theirs=get_version_of(block, _number(request.POST.get("theirs_version", ""))),
        mine=data["value"],
        mine_fields=data,
        answers=request.POST,
    )
    title = request.POST.get("mine_title", "")[:200]
    if view.left:
        return _render(request, block, view, title, status=422)
    changes = BlockChanges(value=view.text(), **{name: view.field(name) for name in FIELDS})
    try:
        change = change_block(
            caller=caller, block_id=block_id, changes=changes, base_version=view.theirs.number
        )
    except BlockConflict as error:
        return show_merge(request, block_id, error, title=title)
    except AdeError as error:
        return _render(request, block, view, title, status=error.status, error=error.message)
    return saved(request, change, base_version=view.base.number)


def show_merge(request: PageRequest, block_id: str, error: BlockConflict, *, title: str = "") -> HttpResponse:
    """The merge screen for a change that could not be merged by itself. `title` says what "yours" is when nobody typed it."""
    block = get_block_for(caller=request.caller, block_id=block_id)
    base = get_version_of(block, error.data["base_version"])
    view = _view(
        block,
        base=base,
        # Not of the refused change: what it found written without a version has gone with its transaction.
        theirs=get_current_version(caller=request.caller, block_id=block_id),
        mine=error.wanted.get("value", base.value),
        mine_fields={name: error.wanted.get(name, getattr(base, name)) for name in FIELDS},
        answers={},
    )
    return _render(request, block, view, title, status=409)


def saved(request: PageRequest, change: BlockChange, *, base_version: int | None) -> HttpResponse:
    """To the block's page, which says what was saved and with whose versions it was merged."""
    block = change.block
    if not change.is_written:
        messages.success(request, f"{block.label} is unchanged")
    elif base_version is not None and base_version < block.version - 1:
        names = " and ".join(_writers(block, base_version, block.version - 1)[:3])
        messages.success(
            request, f"Saved {block.label} v{block.version}, merged with v{block.version - 1} by {names}"
        )
    else:
        messages.success(request, f"Saved {block.label} v{block.version}")
    # The number lets the page forget the draft that has been saved (behaviors/drafts.js).
    return redirect(f"{reverse('blocks:detail', args=[block.id])}?saved={block.version}")


def _view(
    block: Block,
    *,
    base: BlockVersion,
    theirs: BlockVersion,
    mine: str,
    mine_fields: Mapping[str, Any],
    answers: Mapping[str, str],
) -> MergeView:
    return merge_view(
        base=base,
        theirs=theirs,
        mine=mine,
        mine_fields=mine_fields,
        writers=_writers(block, base.number, theirs.number),
        answers=answers,
    )


def _writers(block: Block, after: int, until: int) -> list[str]:
    """Who wrote the versions after one, each once, the last one first."""
    rows = BlockVersion.objects.filter(block_id=block.pk, number__gt=after, number__lte=until)
    names = rows.order_by("-number").values_list("actor_name", flat=True)[:_MOST_WRITERS]
    return list(dict.fromkeys(names))


def _render(
    request: PageRequest, block: Block, view: MergeView, title: str, *, status: int, error: str = ""
) -> HttpResponse:
    added = estimate_text(view.text()) - estimate_text(view.theirs.value)
    context = {"memory_block": block, "view": view, "title": title, "error": error, "tokens_added": added}
    return render(request, "blocks/merge.html", context, status=status)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise Conflict("The merge screen does not say which version it was made for. Open the block again.")
    return int(text)
