"""Cursor pages: adjacent rows, ties by id, each row once, whatever the direction."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from agents.models import Agent
from letta_ade.core.errors import NotFound, Unprocessable
from letta_ade.core.pagination import PageRequest, paginate
from tests.support.factories import make_agent

START = datetime(2026, 1, 1, tzinfo=UTC)


def agents_at(*minutes: int | None, field: str = "created_at") -> list[str]:
    """Agents whose field has these times, in their order by (time, id)."""
    made = []
    for minute in minutes:
        agent = make_agent()
        moment = None if minute is None else START + timedelta(minutes=minute)
        Agent.objects.filter(id=agent.id).update(**{field: moment})
        made.append((moment, agent.id))
    return [
        row_id for _, row_id in sorted(made, key=lambda each: (each[0] is None, each[0] or START, each[1]))
    ]


def page(**fields: Any) -> list[str]:
    return [agent.id for agent in paginate(Agent.objects.all(), PageRequest(**fields))]


@pytest.mark.django_db
class TestPages:
    def test_after_goes_on_in_the_order_asked_for(self) -> None:
        ids = agents_at(1, 2, 3, 4)
        assert page(order="asc", after=ids[0], limit=2) == ids[1:3]
        assert page(order="desc", after=ids[3], limit=2) == [ids[2], ids[1]]

    def test_before_gives_the_rows_next_to_the_cursor(self) -> None:
        ids = agents_at(1, 2, 3, 4, 5)
        assert page(order="asc", before=ids[4], limit=2) == ids[2:4]
        assert page(order="desc", before=ids[0], limit=2) == [ids[2], ids[1]]

    def test_both_cursors_make_a_window(self) -> None:
        ids = agents_at(1, 2, 3, 4, 5)
        assert page(order="asc", after=ids[0], before=ids[4]) == ids[1:4]

    def test_rows_without_a_value_come_last_in_both_orders(self) -> None:
        ids = agents_at(1, 2, None, None, field="last_run_completion")
        order_by = "last_run_completion"
        assert page(order="asc", order_by=order_by) == ids
        nulls = sorted(ids[2:], reverse=True)
        assert page(order="desc", order_by=order_by) == [ids[1], ids[0], *nulls]
        assert page(order="desc", order_by=order_by, after=ids[0]) == nulls
        assert page(order="desc", order_by=order_by, before=nulls[1], limit=2) == [ids[0], nulls[0]]

    def test_an_unknown_cursor_is_not_found(self) -> None:
        with pytest.raises(NotFound):
            page(after="agent-unknown")

    def test_a_limit_below_one_is_refused(self) -> None:
        with pytest.raises(Unprocessable):
            page(limit=0)

    def test_a_row_that_left_the_filter_still_holds_its_place(self) -> None:
        ids = agents_at(1, 2, 3)
        Agent.objects.filter(id=ids[1]).update(name="renamed")
        rows = Agent.objects.exclude(name="renamed")
        request = PageRequest(order="asc", after=ids[1])
        assert [agent.id for agent in paginate(rows, request, among=Agent.objects.all())] == [ids[2]]


class TestEveryRowOnce(TestCase):
    @settings(deadline=None, max_examples=40)
    @given(
        minutes=st.lists(st.integers(0, 3), max_size=9),
        limit=st.integers(1, 4),
        is_falling=st.booleans(),
        is_backward=st.booleans(),
    )
    def test_paging_sees_every_row_once(
        self, minutes: list[int], limit: int, is_falling: bool, is_backward: bool
    ) -> None:
        ids = agents_at(*minutes)
        expected = ids[::-1] if is_falling else ids
        seen: list[str] = []
        options: dict[str, Any] = {"limit": limit, "order": "desc" if is_falling else "asc"}
        if is_backward:
            if not ids:
                return
            seen, cursor = [expected[-1]], expected[-1]
            while found := page(**options, before=cursor):
                seen, cursor = found + seen, found[0]
        else:
            found = page(**options)
            while found:
                seen += found
                found = page(**options, after=found[-1])
        assert seen == expected
