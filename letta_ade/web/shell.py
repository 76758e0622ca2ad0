"""What every page shows around its content: the rail, the workspace, who is here."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property
from typing import Any

from django.conf import settings
from django.db.models import Count, IntegerField, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce
from django.http import HttpRequest

from agents.models import Agent
from agents.services.failed_runs import open_failures
from agents.services.waiting import open_requests
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.models import Workspace
from memory.models import Block, BlockProposal
from memory.models.block_proposal import ProposalState
from tools.models import Tool


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A link of the rail. Only sections that exist are drawn."""

    name: str
    icon: str
    #: The URL namespace whose pages belong to it, and the page it opens.
    namespace: str
    page: str
    #: `g` and this letter go there.
    key: str
    count: int | None = None
    #: What is counted waits for somebody.
    is_urgent: bool = False
    #: A phone has room for five.
    is_on_phone: bool = True

    @property
    def url_name(self) -> str:
        return f"{self.namespace}:{self.page}"


class Shell:
    """The frame of one page. Fragments never ask it for rows, so they cost no query."""

    def __init__(self, request: HttpRequest, caller: Caller) -> None:
        self.request = request
        self.caller = caller

    @property
    def is_local(self) -> bool:
        """Trusted local mode: nobody signed in, nobody can sign out."""
        return self.caller.kind == "local"

    @property
    def current(self) -> str:
        """The namespace of this page; the rail marks it."""
        match = self.request.resolver_match
        namespace = match.namespace if match is not None else ""
        # A proposal is opened from what waits.
        return "inbox" if namespace == "proposals" else namespace

    @cached_property
    def workspace(self) -> Workspace:
        """The workspace with the counts of the rail, in one query."""
        statement, parameters = _counting()
        return Workspace.objects.raw(statement, [*parameters, self.caller.workspace_id])[0]

    @property
    def sections(self) -> tuple[Section, ...]:
        row: Any = self.workspace
        return (
            Section(
                name="Inbox",
                icon="inbox",
                namespace="inbox",
                page="list",
                key="i",
                count=row.waiting_count,
                is_urgent=True,
            ),
            Section(
                name="Agents", icon="robot", namespace="agents", page="list", key="a", count=row.agent_count
            ),
            Section(
                name="Blocks", icon="stack-2", namespace="blocks", page="list", key="b", count=row.block_count
            ),
            Section(name="Tools", icon="tool", namespace="tools", page="list", key="t", count=row.tool_count),
            # Of hundreds of thousands the number says nothing, and counting them would hold up every page.
            Section(name="Runs", icon="activity", namespace="runs", page="list", key="r", is_on_phone=False),
        )


# Every page needs it, and building it anew takes longer than all else that the frame does.
@cache
def _counting() -> tuple[str, tuple[Any, ...]]:
    """The statement that reads a workspace and counts, with its parameters but for the last one: the workspace's id."""
    own = {"workspace_id": OuterRef("id")}
    rows = Workspace.objects.annotate(
        agent_count=_count_of(Agent.objects.filter(**own).exclude(hidden=True)),
        block_count=_count_of(Block.objects.filter(**own).exclude(hidden=True)),
        tool_count=_count_of(Tool.objects.filter(**own)),
        waiting_count=_count_of(open_requests().filter(**own))
        + _count_of(BlockProposal.objects.filter(**own, state=ProposalState.PENDING))
        + _count_of(open_failures().filter(**own)),
    )
    statement, parameters = rows.filter(id="").query.sql_with_params()
    return statement, tuple(parameters[:-1])


def _count_of(rows: QuerySet[Any]) -> Coalesce:
    counted = rows.order_by().values("workspace_id").annotate(n=Count("*")).values("n")
    return Coalesce(Subquery(counted, output_field=IntegerField()), 0)


def shell_context(request: HttpRequest) -> dict[str, Any]:
    """`caller` and `shell`; both None on the login page and for errors before a caller is known."""
    caller: Caller | None = getattr(request, "caller", None)
    return {
        "caller": caller,
        "shell": Shell(request, caller) if caller is not None else None,
        "websocket_root": f"{settings.URL_PREFIX}/ws/",
        "base_url": f"{request.scheme}://{request.get_host()}{settings.URL_PREFIX}",
    }
