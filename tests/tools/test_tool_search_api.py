"""Tools found by their words, by their meaning, and by both; the fake's vectors are near where texts share words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client.types import ToolSearchResponse
from pytest_django import DjangoAssertNumQueries, Settings

from letta_ade.llm import catalog
from letta_ade.llm.services.providers import ProviderDraft, create_provider
from tests.support.api import Api
from tests.support.factories import make_caller, make_tool
from tests.support.fake_openai import FakeOpenAI
from tests.support.strict import validate
from tools.models import Tool, ToolVector

pytestmark = pytest.mark.django_db

EMBEDDING = "house/text-embedding-3-small"


@pytest.fixture
def embedder(settings: Settings) -> Iterator[FakeOpenAI]:
    """The provider of the workspace whose model the operator has chosen."""
    settings.LLM_ENVIRONMENT = {}
    settings.DEFAULT_EMBEDDING_HANDLE = EMBEDDING
    catalog._current = None
    with FakeOpenAI() as fake:
        draft = ProviderDraft(name="house", provider_type="openai", api_key="k", base_url=fake.url)
        create_provider(caller=make_caller(), draft=draft)
        yield fake
    catalog._current = None


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def tools() -> list[Tool]:
    return [
        make_tool(name="roll", description="Me and you throw dice."),
        make_tool(name="forecast", description="Tell the weather."),
    ]


def search(api: Api, query: str, **body: Any) -> tuple[str, list[dict[str, Any]]]:
    answer = api.post("/v1/tools/search", {"query": query, "tool_types": ["custom"], **body})
    assert answer.status_code == 200, answer.content
    validate(ToolSearchResponse, answer.json())
    return answer.headers["X-Search-Mode"], answer.json()


def embedded(fake: FakeOpenAI) -> list[list[str]]:
    return [each.body["input"] for each in fake.received if each.path.endswith("/embeddings")]


def test_a_meaning_is_found_without_a_word_of_it(api: Api, tools: list[Tool], embedder: FakeOpenAI) -> None:
    assert search(api, "me and you", search_mode="fts")[1] == []
    mode, hits = search(api, "me and you", search_mode="vector")
    assert mode == "vector"
    assert [(hit["tool"]["name"], hit["vector_rank"], hit["fts_rank"]) for hit in hits] == [
        ("roll", 1, None),
        ("forecast", 2, None),
    ]


def test_both_rankings_are_made_one(api: Api, tools: list[Tool], embedder: FakeOpenAI) -> None:
    mode, hits = search(api, "weather")
    assert mode == "hybrid"
    assert (hits[0]["tool"]["name"], hits[0]["fts_rank"], hits[0]["vector_rank"]) == ("forecast", 1, 1)
    assert hits[0]["combined_score"] == pytest.approx(1 / 61)


def test_a_tool_is_embedded_once_and_again_when_it_says_something_else(
    api: Api, tools: list[Tool], embedder: FakeOpenAI
) -> None:
    search(api, "dice")
    (first,) = embedded(embedder)
    assert len(first) == 3
    search(api, "dice")
    assert embedded(embedder)[1] == ["dice"]
    Tool.objects.filter(id=tools[0].id).update(description="Shuffle cards.")
    _, hits = search(api, "shuffle cards", search_mode="vector")
    assert embedded(embedder)[2] == ["shuffle cards", "roll\nShuffle cards."]
    assert hits[0]["tool"]["name"] == "roll"
    assert ToolVector.objects.count() == 2


def test_no_vector_is_asked_for_where_there_is_nothing_to_look_for(
    api: Api, tools: list[Tool], embedder: FakeOpenAI
) -> None:
    assert len(search(api, " ", search_mode="vector")[1]) == 2
    search(api, "dice", search_mode="fts")
    assert embedded(embedder) == []


def test_without_a_model_every_mode_is_by_words_and_says_so(api: Api, tools: list[Tool]) -> None:
    for mode in ("vector", "hybrid", "fts"):
        used, hits = search(api, "weather", search_mode=mode)
        assert used == "fts"
        assert [(hit["tool"]["name"], hit["fts_rank"], hit["vector_rank"]) for hit in hits] == [
            ("forecast", 1, None)
        ]


def test_a_model_that_does_not_answer_leaves_words(api: Api, tools: list[Tool], settings: Settings) -> None:
    settings.DEFAULT_EMBEDDING_HANDLE = "nowhere/embedding"
    assert [hit["tool"]["name"] for hit in search(api, "weather")[1]] == ["forecast"]
    refused = api.post("/v1/tools/search", {"query": "weather", "search_mode": "vector"})
    assert refused.status_code == 503
    assert "nowhere/embedding" in refused.json()["detail"]


def test_many_tools_cost_no_more_queries_than_few(
    api: Api, tools: list[Tool], embedder: FakeOpenAI, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(20):
        make_tool(name=f"dice_{number}", description="Throw dice.")
    search(api, "dice")
    with django_assert_num_queries(9):
        assert len(search(api, "dice")[1]) == 22
