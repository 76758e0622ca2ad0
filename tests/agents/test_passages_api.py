"""Archival memory of an agent over REST."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from letta_ade.core.ids import new_id
from memory.models import Archive, Passage
from tests.support.api import Api
from tests.support.factories import make_agent, make_archive, make_passage, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Ada", timezone="Europe/Paris")


def url(agent: Agent, rest: str = "") -> str:
    return f"/v1/agents/{agent.id}/archival-memory{rest}"


def texts(answer: Any) -> list[str]:
    return [passage["text"] for passage in answer.json()]


def test_the_first_insert_makes_an_archive_and_answers_a_list(api: Api, agent: Agent) -> None:
    (passage,) = api.post(url(agent), {"text": "Tea at five.", "tags": ["a", "a"]}).json()
    assert passage["text"] == "Tea at five."
    assert passage["tags"] == ["a"]
    assert {"embedding", "embedding_config", "source_id", "file_id", "file_name", "is_deleted"} <= set(
        passage
    )
    assert Archive.objects.get().name == "Ada's Archive"
    api.post(url(agent), {"content": "By its other name."})
    assert Archive.objects.count() == 1
    assert texts(api.get(url(agent))) == ["Tea at five.", "By its other name."]


def test_a_passage_may_have_a_date_of_its_own(api: Api, agent: Agent) -> None:
    api.post(url(agent), {"text": "new"})
    api.post(url(agent), {"text": "old", "created_at": "2020-01-01T12:00:00+00:00"})
    assert texts(api.get(url(agent))) == ["old", "new"]
    assert texts(api.get(url(agent), ascending="false")) == ["new", "old"]


@pytest.mark.parametrize(
    ("body", "status"),
    [({}, 422), ({"text": "  "}, 400), ({"text": "word " * 9000}, 400), ({"text": 1}, 422)],
)
def test_a_bad_passage_is_refused(api: Api, agent: Agent, body: dict[str, Any], status: int) -> None:
    assert api.post(url(agent), body).status_code == status
    assert not Passage.objects.exists()


def test_the_list_can_be_narrowed_and_paged(api: Api, agent: Agent) -> None:
    archive = make_archive(agent=agent)
    for word in ("apple", "banana", "cherry"):
        make_passage(archive=archive, text=f"One {word}.")
    assert texts(api.get(url(agent), search="BAN")) == ["One banana."]
    assert texts(api.get(url(agent), query="cherry")) == ["One cherry."]
    first = api.get(url(agent), limit=2).json()
    assert texts(api.get(url(agent), after=first[-1]["id"])) == ["One cherry."]
    assert texts(api.get(url(agent), before=first[-1]["id"])) == ["One apple."]


def test_the_archives_of_an_agent_are_searched_together(api: Api, agent: Agent) -> None:
    make_passage(
        archive=make_archive(agent=agent), text="The apple tree stands in the garden.", tags=["tree"]
    )
    make_passage(archive=make_archive(agent=agent), text="An apple a day.", tags=["saying"])
    make_passage(text="An apple of somebody else.")
    body = api.get(url(agent, "/search"), query="Where does the apple tree stand?").json()
    assert body["count"] == len(body["results"]) == 2
    best = body["results"][0]
    assert best["content"] == "The apple tree stands in the garden."
    assert best["timestamp"].endswith(("+01:00", "+02:00"))
    tagged = api.get(url(agent, "/search"), query="apple", tags=["saying"]).json()["results"]
    assert [each["content"] for each in tagged] == ["An apple a day."]
    assert api.get(url(agent, "/search"), query="").json() == {"results": [], "count": 0}


def test_a_search_by_date_counts_both_ends_in_the_agents_zone(api: Api, agent: Agent) -> None:
    api.post(url(agent), {"text": "apple late", "created_at": "2026-03-01T22:30:00+00:00"})
    api.post(url(agent), {"text": "apple next", "created_at": "2026-03-01T23:30:00+00:00"})

    def found(**dates: str) -> list[str]:
        results = api.get(url(agent, "/search"), query="apple", **dates).json()["results"]
        return sorted(each["content"] for each in results)

    assert found(end_datetime="2026-03-01") == ["apple late"]
    assert found(start_datetime="2026-03-02") == ["apple next"]
    assert found(start_datetime="2026-03-01", end_datetime="2026-03-02") == ["apple late", "apple next"]
    assert api.get(url(agent, "/search"), query="apple", end_datetime="tomorrow").status_code == 400


def test_a_passage_is_deleted_once_and_only_by_its_agent(api: Api, agent: Agent) -> None:
    passage = make_passage(archive=make_archive(agent=agent))
    foreign = make_passage(archive=make_archive(workspace=make_workspace()))
    assert api.delete(url(agent, f"/{foreign.id}")).status_code == 404
    assert api.delete(url(make_agent(), f"/{passage.id}")).status_code == 404
    assert api.delete(url(agent, f"/{passage.id}")).status_code == 200
    assert api.delete(url(agent, f"/{passage.id}")).status_code == 404
    assert api.delete(url(agent, "/passage-1")).status_code == 422
    assert api.get(f"/v1/agents/{new_id('agent')}/archival-memory").status_code == 404
