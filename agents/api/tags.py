"""The list of tags."""

from __future__ import annotations

from typing import Literal

from django.http import HttpResponse
from ninja import Query, Router, Schema

from agents.services.tags import list_tags as tags_of_workspace
from letta_ade.accounts.requests import ApiRequest
from letta_ade.core.pagination import Order, PageRequest
from letta_ade.core.schemas import Limit, respond

router = Router()


class TagQuery(Schema):
    """Which tags, and which part of their list. `query_text` is the older spelling of `name`."""

    after: str | None = None
    before: str | None = None
    limit: Limit = None
    order: Order | None = None
    order_by: Literal["name"] | None = None
    name: str | None = None
    query_text: str | None = None

    def page(self) -> PageRequest:
        return PageRequest(
            after=self.after, before=self.before, limit=self.limit or 50, order=self.order or "asc"
        )


@router.get("/", response=list[str])
def list_tags(request: ApiRequest, query: Query[TagQuery]) -> HttpResponse:
    part = query.name or query.query_text
    return respond(tags_of_workspace(caller=request.auth, page=query.page(), part=part))
