"""The tags of a workspace: whatever its agents and blocks carry."""

from __future__ import annotations

from collections.abc import Iterable

from django.db.models import CharField, F, Func

from agents.models import Agent
from letta_ade.accounts.auth import Caller
from letta_ade.core.pagination import MOST_ROWS, PageRequest
from memory.models import Block


def list_tags(*, caller: Caller, page: PageRequest, part: str | None = None) -> list[str]:
    """A page of the tags in use, each once, in the order of their characters; with `part`, those that contain it in any case.

    A cursor is a tag; it keeps its place when nothing carries it any more.
    """
    found: set[str] = set()
    for model in (Agent, Block):
        tags = model.objects.filter(workspace_id=caller.workspace_id).annotate(
            tag=Func(F("tags"), function="unnest", output_field=CharField())
        )
        found.update(tags.order_by().values_list("tag", flat=True).distinct())
    wanted = part.casefold() if part else ""
    return _page(sorted(tag for tag in found if wanted in tag.casefold()), page)


def _page(ascending: Iterable[str], page: PageRequest) -> list[str]:
    is_descending = page.order == "desc"
    tags = list(ascending)
    if is_descending:
        tags.reverse()
    low, high = (page.before, page.after) if is_descending else (page.after, page.before)
    tags = [tag for tag in tags if (low is None or tag > low) and (high is None or tag < high)]
    limit = min(page.limit, MOST_ROWS)
    # With `before` alone: those nearest to it.
    return tags[-limit:] if page.before is not None and page.after is None else tags[:limit]
