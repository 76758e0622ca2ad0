"""The list of tags: those of agents and blocks, each once, page by page."""

from __future__ import annotations

from typing import Any

import pytest
from pytest_django import DjangoAssertNumQueries

from tests.support.api import Api
from tests.support.factories import make_agent, make_block, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    make_agent(tags=["support", "EU", "tier-1"])
    make_agent(tags=["support", "österreich"])
    make_block(tags=["policy", "EU"])
    make_block(tags=[])
    make_agent(workspace=make_workspace(), tags=["somebody else's"])
    make_block(workspace=make_workspace(), tags=["theirs"])
    return Api()


ALL = ["EU", "policy", "support", "tier-1", "österreich"]


@pytest.mark.parametrize(
    ("asked", "tags"),
    [
        ({}, ALL),
        ({"order": "desc"}, ALL[::-1]),
        ({"order_by": "name", "limit": 2}, ALL[:2]),
        ({"limit": 2, "after": "EU"}, ["policy", "support"]),
        ({"limit": 2, "after": "nobody carries this"}, ["policy", "support"]),
        ({"limit": 2, "before": "tier-1"}, ["policy", "support"]),
        ({"limit": 2, "before": "tier-1", "order": "desc"}, ["österreich"]),
        ({"limit": 2, "after": "tier-1", "order": "desc"}, ["support", "policy"]),
        ({"after": "EU", "before": "tier-1", "limit": 1}, ["policy"]),
        ({"after": "österreich"}, []),
        ({"name": "E"}, ["EU", "tier-1", "österreich"]),
        ({"query_text": "SUPP"}, ["support"]),
        ({"name": "%"}, []),
    ],
)
def test_tags_are_listed(api: Api, asked: dict[str, Any], tags: list[str]) -> None:
    assert api.get("/v1/tags/", **asked).json() == tags


def test_the_list_costs_a_query_for_each_kind(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    with django_assert_num_queries(2):
        assert api.get("/v1/tags/").json() == ALL


@pytest.mark.parametrize("asked", [{"limit": 0}, {"limit": "many"}, {"order": "up"}, {"order_by": "age"}])
def test_what_cannot_be_asked_is_422(api: Api, asked: dict[str, Any]) -> None:
    assert api.get("/v1/tags/", **asked).status_code == 422
