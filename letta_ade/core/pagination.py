"""Cursor pages, the same for every list (spec/sdk-and-server.md §5.2): the rows next to the cursor, in the order asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from django.db.models import F, Model, Q, QuerySet

from letta_ade.core.errors import NotFound, Unprocessable

Order = Literal["asc", "desc"]
M = TypeVar("M", bound=Model)

#: A list gives at most this many rows at once, however many are asked for.
MOST_ROWS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class PageRequest:
    """Which part of a list is wanted. `after` and `before` are ids, relative to `order`."""

    limit: int = 50
    order: Order = "desc"
    after: str | None = None
    before: str | None = None
    #: A field of the row; ties are broken by id in the same direction. Rows without a value come last.
    order_by: str = "created_at"


def paginate(rows: QuerySet[M], page: PageRequest, *, among: QuerySet[M] | None = None) -> list[M]:
    """One page of `rows`.

    A cursor is looked up in `among` (default: `rows`), so that a row which no longer passes the list's filters still
    holds its place. Raises NotFound for an unknown cursor and Unprocessable for a limit below 1.
    """
    if page.limit < 1:
        raise Unprocessable(f"limit must be between 1 and {MOST_ROWS}, not {page.limit}.")
    limit = min(page.limit, MOST_ROWS)
    known = rows if among is None else among
    # With `before` alone the rows nearest to the cursor are its last predecessors: read backwards, then turned.
    is_backward = page.before is not None and page.after is None
    for cursor, goes_on in ((page.after, True), (page.before, False)):
        if cursor is not None:
            rows = _beside(rows, _place_of(cursor, known, page.order_by), page, goes_on=goes_on)
    found = list(rows.order_by(*_ordering(rows, page, is_backward=is_backward))[:limit])
    return found[::-1] if is_backward else found


def _place_of(cursor: str, known: QuerySet[M], order_by: str) -> tuple[Any, str]:
    # Lists may read few columns of a row (`only`); the cursor needs exactly these two.
    place: tuple[Any, str] | None = known.order_by().filter(pk=cursor).values_list(order_by, "pk").first()
    if place is None:
        raise NotFound(f"There is no {cursor!r} in this list to go on from.")
    return place


def _ordering(rows: QuerySet[M], page: PageRequest, *, is_backward: bool) -> list[Any]:
    is_falling = (page.order == "desc") != is_backward
    if not _can_be_null(rows, page.order_by):  # a plain ordering can use the index
        return [f"-{page.order_by}", "-pk"] if is_falling else [page.order_by, "pk"]
    field = F(page.order_by)
    # Rows without a value are last in the order asked for, so first when it is read backwards.
    place = {"nulls_first": True} if is_backward else {"nulls_last": True}
    return [field.desc(**place), "-pk"] if is_falling else [field.asc(**place), "pk"]


def _can_be_null(rows: QuerySet[M], name: str) -> bool:
    field = rows.model._meta.get_field(name)
    return bool(getattr(field, "null", False))


def _beside(rows: QuerySet[M], place: tuple[Any, str], page: PageRequest, *, goes_on: bool) -> QuerySet[M]:
    """The rows beyond a place: those that follow it, or (`goes_on` False) those that come before it."""
    value, row_id = place
    name = page.order_by
    direction = "gt" if (page.order == "asc") == goes_on else "lt"
    tie = Q(**{f"pk__{direction}": row_id})
    if value is None:
        empty = Q(**{f"{name}__isnull": True}) & tie
        return rows.filter(empty if goes_on else empty | Q(**{f"{name}__isnull": False}))
    # `value >= x` beside the alternatives lets PostgreSQL start its index scan at the cursor.
    beyond = Q(**{f"{name}__{direction}e": value}) & (Q(**{f"{name}__{direction}": value}) | tie)
    if goes_on and _can_be_null(rows, name):
        beyond |= Q(**{f"{name}__isnull": True})
    return rows.filter(beyond)
