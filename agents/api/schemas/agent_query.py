"""What may be asked of a list of agents, and with what an agent is sent (spec/sdk-and-server.md §5.2)."""

from __future__ import annotations

from typing import Literal

from django.http import HttpRequest
from ninja import Schema

from agents.services.agents import AgentFilters
from letta_ade.core.clients import is_old_sdk
from letta_ade.core.pagination import Order, PageRequest
from letta_ade.core.schemas import PageQuery

#: What `include` may ask for, and what it is called without its prefix.
Included = Literal[
    "agent.blocks",
    "agent.identities",
    "agent.managed_group",
    "agent.pending_approval",
    "agent.secrets",
    "agent.sources",
    "agent.tags",
    "agent.tools",
]
_RELATED = frozenset({"blocks", "tools", "tags", "sources", "identities"})


class IncludeQuery(Schema):
    """What an answer with agents is to hold beside the agents themselves."""

    include: list[Included] | None = None
    #: Deprecated; names without `agent.`.
    include_relationships: list[str] | None = None

    def included(self, request: HttpRequest) -> frozenset[str]:
        """Names without prefix. SDK 0.x gets all relationships unless it names some."""
        named = {name.removeprefix("agent.") for name in self.include or ()}
        named |= {"blocks" if name == "memory" else name for name in self.include_relationships or ()}
        if not named and self.include_relationships is None and is_old_sdk(request):
            return _RELATED
        return frozenset(named)


class RelatedQuery(PageQuery, IncludeQuery):
    """A list of agents that something else leads to."""


class AgentQuery(IncludeQuery):
    """Filters of the list of agents."""

    before: str | None = None
    after: str | None = None
    limit: int | None = None
    order: Order | None = None
    order_by: Literal["created_at", "updated_at", "last_run_completion"] | None = None
    ascending: bool | None = None
    sort_by: str | None = None
    name: str | None = None
    tags: list[str] | None = None
    match_all_tags: bool = False
    query_text: str | None = None
    project_id: str | None = None
    template_id: str | None = None
    base_template_id: str | None = None
    identity_id: str | None = None
    identifier_keys: list[str] | None = None
    last_stop_reason: str | None = None
    created_by_id: str | None = None
    show_hidden_agents: bool = False

    def page(self) -> PageRequest:
        order: Order = "asc" if self.ascending else "desc"
        return PageRequest(
            limit=50 if self.limit is None else self.limit,
            order=self.order or order,
            after=self.after or None,
            before=self.before or None,
            order_by=self.order_by or _sort_field(self.sort_by),
        )

    def filters(self) -> AgentFilters:
        return AgentFilters(
            name=self.name,
            query=self.query_text,
            tags=tuple(self.tags or ()),
            match_all_tags=self.match_all_tags,
            project_id=self.project_id,
            last_stop_reason=self.last_stop_reason,
            created_by_id=self.created_by_id,
            shows_hidden=self.show_hidden_agents,
            is_impossible=any(
                (self.template_id, self.base_template_id, self.identity_id, self.identifier_keys)
            ),
        )


def _sort_field(name: str | None) -> str:
    return name if name in ("created_at", "updated_at", "last_run_completion") else "created_at"
