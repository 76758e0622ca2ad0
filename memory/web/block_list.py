"""The list of blocks with its filters and its peek, and the form for a new block."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.http import HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from letta_ade.accounts.pages import PageRequest
from letta_ade.core import pagination
from letta_ade.core.errors import AdeError, NotFound
from memory.models import Block
from memory.services import block_rows
from memory.services.blocks import BlockFilters, copy_as_template, create_block, get_block_for, list_blocks
from memory.web.block_versions import VersionLine, list_lines
from memory.web.forms import OFFERED_LIMIT, BlockForm

PAGE_ROWS = 50
#: Versions in the peek.
PEEK_VERSIONS = 3
#: Value of `sort` → (its name, the column, the direction). The first is the default.
SORTS: dict[str, tuple[str, str, pagination.Order]] = {
    "changed": ("Changed, newest first", "updated_at", "desc"),
    "created": ("Created, newest first", "created_at", "desc"),
    "label": ("Label, A to Z", "label", "asc"),
}
#: Filters with few values: the parameter → its name, and the name of each value.
CHOICES: dict[str, tuple[str, dict[str, str]]] = {
    "held": ("held by", {"shared": "several agents", "none": "no agent"}),
    "access": ("access", {"read-only": "read-only", "open": "agents may edit"}),
    "kind": ("kind", {"template": "template"}),
    "writer": (
        "last writer",
        {
            "agent": "an agent",
            "user": "a person",
            "local": "you, on this machine",
            "api_key": "an API key",
            "import": "an import",
            "system": "the server",
            "unknown": "unknown",
        },
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ListFilters:
    """What the address asks for."""

    text: str
    tags: tuple[str, ...]
    #: Parameters of `CHOICES` with their values.
    chosen: dict[str, str]

    @property
    def count(self) -> int:
        return bool(self.text) + len(self.tags) + len(self.chosen)

    @property
    def chips(self) -> list[tuple[str, str, str, str]]:
        """Of each filter its parameter, the value, and both as they are said."""
        tags = [("tag", tag, "tag", tag) for tag in self.tags]
        return tags + [
            (name, value, CHOICES[name][0], CHOICES[name][1][value]) for name, value in self.chosen.items()
        ]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """The parameters but the text, for the hidden fields of a form."""
        return [(name, value) for name, value, _, _ in self.chips]

    def wanted(self) -> BlockFilters:
        held, access = self.chosen.get("held"), self.chosen.get("access")
        return BlockFilters(
            text=self.text or None,
            tags=self.tags,
            match_all_tags=True,
            holders_from=2 if held == "shared" else None,
            holders_to=0 if held == "none" else None,
            read_only=None if access is None else access == "read-only",
            templates_only="kind" in self.chosen,
            writer_kind=self.chosen.get("writer"),
        )


def filters_of(query: QueryDict) -> ListFilters:
    """The filters of an address; what it does not know counts for nothing."""
    return ListFilters(
        text=query.get("q", "").strip(),
        tags=tuple(dict.fromkeys(tag for tag in query.getlist("tag") if tag)),
        chosen={
            name: value for name, (_, values) in CHOICES.items() if (value := query.get(name, "")) in values
        },
    )


@require_GET
def list_page(request: PageRequest) -> HttpResponse:
    """The blocks, filtered and sorted by the address; `peek` opens one beside the list."""
    caller = request.caller
    filters = filters_of(request.GET)
    sort = request.GET.get("sort", "") if request.GET.get("sort") in SORTS else "changed"
    _, column, order = SORTS[sort]
    after = request.GET.get("after") or None
    page = pagination.PageRequest(limit=PAGE_ROWS + 1, order=order, after=after, order_by=column)
    blocks = list_blocks(caller=caller, filters=filters.wanted())
    found = block_rows.page_of_rows(caller=caller, blocks=blocks, page=page, text=filters.text)
    total = block_rows.count_up_to_page(blocks, found, page)
    context: dict[str, Any] = {
        "rows": found[:PAGE_ROWS],
        "next_after": found[PAGE_ROWS - 1].block.id if len(found) > PAGE_ROWS else None,
        "has_earlier": after is not None,
        "total": total,
        "filters": filters,
        "choices": CHOICES,
        "sort": sort,
        "sort_name": SORTS[sort][0],
        "sorts": [(value, name) for value, (name, _, _) in SORTS.items()],
        "has_any": bool(total) or bool(filters.count),
        "peek": _peek(request),
    }
    template = "blocks/partials/list.html" if request.htmx.target == "block-list" else "blocks/list.html"
    return render(request, template, context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Peek:
    """A block beside the list."""

    block: Block
    lines: list[VersionLine]


def _peek(request: PageRequest) -> Peek | None:
    block_id = request.GET.get("peek")
    if not block_id:
        return None
    try:
        return _look(request, block_id)
    except NotFound:  # deleted since: the list is still worth showing
        return None


def _look(request: PageRequest, block_id: str) -> Peek:
    block = get_block_for(caller=request.caller, block_id=block_id)
    lines, _ = list_lines(block)
    return Peek(block=block, lines=lines[:PEEK_VERSIONS])


@require_GET
def peek_panel(request: PageRequest, block_id: str) -> HttpResponse:
    """One block beside the list."""
    return render(request, "blocks/partials/peek.html", {"peek": _look(request, block_id)})


@require_http_methods(["GET", "POST"])
def create_page(request: PageRequest) -> HttpResponse:
    """The form for a block that no agent holds yet; `from` in the address fills it with the text of another one."""
    caller = request.caller
    caller.check("edit")
    form = BlockForm(request.POST if request.method == "POST" else None, initial=_initial(request))
    if request.method == "POST" and form.is_valid():
        try:
            block = create_block(caller=caller, draft=form.draft())
        except AdeError as error:
            form.add_error(None, error.message)
        else:
            messages.success(request, f"Created {block.label} v1")
            return redirect("blocks:detail", block_id=block.id)
    return render(request, "blocks/create.html", {"form": form}, status=422 if form.errors else 200)


def _initial(request: PageRequest) -> dict[str, Any]:
    """What stands in the new form. A block made from another is a copy: the two are not linked. Raises NotFound."""
    if not (source_id := request.GET.get("from")):
        return {"limit": OFFERED_LIMIT}
    source = get_block_for(caller=request.caller, block_id=source_id.replace("\0", ""))
    return {
        "label": source.label,
        "description": source.description or "",
        "limit": source.limit,
        "value": source.value,
        "read_only": source.read_only,
    }


@require_POST
def save_as_template(request: PageRequest, block_id: str) -> HttpResponse:
    """Makes a template with the block's text; the block itself stays what it is."""
    template = copy_as_template(caller=request.caller, block_id=block_id)
    messages.success(request, f"Saved {template.label} as a template")
    return redirect(f"{reverse('blocks:list')}?kind=template")
