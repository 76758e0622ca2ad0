"""How many queries each page makes: a number that may only go down, and does not grow with the rows that are shown."""

from __future__ import annotations

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from tests.support.factories import make_agent, make_block, make_conversation, make_run, make_step

pytestmark = pytest.mark.django_db

COUNTS = {
    "/": 9,
    "/agents/": 8,
    "/runs/": 6,
    "/blocks/": 5,
    "/tools/": 3,
    "/inbox/": 6,
    "/search/": 5,
    "/search/?q=tea": 7,
    "/settings/about/": 2,
}


@pytest.mark.parametrize(("address", "count"), COUNTS.items())
def test_a_page_makes_as_many_queries_as_are_recorded(
    address: str, count: int, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    client = Client(HTTP_HOST="localhost")
    for number in range(2):
        _fill(number)
        # The first time some pages make what is missing.
        assert client.get(address).status_code == 200
        with django_assert_num_queries(count):
            client.get(address)


def _fill(number: int) -> None:
    for place in range(3):
        agent = make_agent(name=f"tea {number} {place}")
        make_block(agent=agent, label=f"tea_{number}_{place}")
        conversation = make_conversation(agent=agent)
        for status in ("completed", "failed", "running"):
            make_step(run=make_run(conversation=conversation, status=status), prompt_tokens=100)
