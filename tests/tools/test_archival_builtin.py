"""The tools that keep and find passages, as a model calls them."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from memory.models import Passage, PassageVector
from tests.support.factories import make_agent, make_archive, make_passage, make_tool_context
from tools.execution import prepare_call, run_call

pytestmark = pytest.mark.django_db


def call(name, context, **arguments):
    prepared = prepare_call(name, context, arguments)
    return run_call(name, context, arguments, prepared)


def results(context, **arguments):
    outcome = call("archival_memory_search", context, **arguments)
    assert not outcome.is_error, outcome.value_text
    return json.loads(outcome.value_text)


@pytest.fixture
def agent():
    return make_agent(timezone="America/New_York")


def test_an_insert_goes_to_the_first_archive(agent):
    first, second = make_archive(agent=agent), make_archive(agent=agent)
    context = make_tool_context(agent)
    outcome = call("archival_memory_insert", context, content="Ada likes tea.", tags=["drinks", "drinks"])
    assert (outcome.value_text, outcome.is_error) == ("None", False)
    passage = Passage.objects.get()
    assert (passage.archive_id, passage.tags) == (first.id, ["drinks"])
    assert (passage.agent_id, passage.run_id, passage.message_id) == (
        agent.id,
        context.run_id,
        context.message_id,
    )
    assert passage.archive_id != second.id


def test_a_first_insert_makes_the_archive(agent):
    context = make_tool_context(agent)
    assert not call("archival_memory_insert", context, content="Ada likes tea.").is_error
    assert agent.archives.get().passages.count() == 1


def test_a_failing_embedding_model_costs_no_text(agent):
    make_archive(agent=agent, embedding="nobody/nothing")
    context = make_tool_context(agent)
    assert not call("archival_memory_insert", context, content="Ada likes tea.").is_error
    assert not PassageVector.objects.exists()
    assert [hit["content"] for hit in results(context, query="tea")] == ["Ada likes tea."]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "MissingArguments: missing required argument 'content'. The tool takes: content, tags."),
        ({"content": " "}, "Invalid: The text of a passage is empty."),
        ({"content": "word " * 8000}, "at most 8192 tokens"),
        ({"content": "x", "tags": 5}, "tags must be a list of texts, not 5"),
        ({"content": "x\0"}, "U+0000"),
    ],
)
def test_a_bad_insert_says_what_is_wrong(agent, arguments, words):
    outcome = call("archival_memory_insert", make_tool_context(agent), **arguments)
    assert outcome.is_error
    assert words in outcome.value_text
    assert not Passage.objects.exists()
    assert not agent.archives.exists()


@pytest.mark.parametrize("tags", ["work", '["work"]', ["work"], [" work ", ""]])
def test_one_tag_may_come_without_its_list(agent, tags):
    call("archival_memory_insert", make_tool_context(agent), content="x", tags=tags)
    assert Passage.objects.get().tags == ["work"]


def test_a_hit_has_its_time_in_the_agents_zone_and_its_ranks(agent):
    archive = make_archive(agent=agent)
    passage = make_passage(
        archive=archive, text="Ada likes tea.", tags=["a"], dated_at=datetime(2026, 1, 5, 3, tzinfo=UTC)
    )
    assert results(make_tool_context(agent), query="tea") == [
        {
            "id": passage.id,
            "timestamp": "2026-01-04T22:00:00-05:00",
            "content": "Ada likes tea.",
            "tags": ["a"],
            "relevance": {"rrf_score": 0.008197, "vector_rank": None, "fts_rank": 1},
        }
    ]


def test_days_are_those_of_the_agents_zone_and_the_last_is_included(agent):
    make_passage(
        archive=make_archive(agent=agent), text="tea", dated_at=datetime(2026, 1, 6, 4, 30, tzinfo=UTC)
    )
    context = make_tool_context(agent)
    # 23:30 on 5 January in New York
    assert len(results(context, query="tea", end_datetime="2026-01-05")) == 1
    assert len(results(context, query="tea", start_datetime="2026-01-05", end_datetime="2026-01-05")) == 1
    assert results(context, query="tea", start_datetime="2026-01-06") == []
    assert results(context, query="tea", end_datetime="2026-01-05T23:00") == []


def test_tags_narrow_before_the_limit(agent):
    archive = make_archive(agent=agent)
    for number in range(6):
        make_passage(archive=archive, text=f"tea tea {number}")
    make_passage(archive=archive, text="one mention of tea in a long sentence", tags=["rare", "b"])
    context = make_tool_context(agent)
    assert len(results(context, query="tea")) == 5
    assert len(results(context, query="tea", tags=["rare", "x"], top_k=1)) == 1
    assert results(context, query="tea", tags=["rare", "x"], tag_match_mode="all") == []
    assert len(results(context, query="tea", tags=["rare", "b"], tag_match_mode="all")) == 1


def test_all_archives_are_searched(agent):
    for text in ("tea here", "tea there"):
        make_passage(archive=make_archive(agent=agent), text=text)
    make_passage(archive=make_archive(), text="tea of somebody else")
    assert {hit["content"] for hit in results(make_tool_context(agent), query="tea")} == {
        "tea here",
        "tea there",
    }


@pytest.mark.parametrize("query", ["", "   "])
def test_an_empty_query_finds_nothing(agent, query):
    make_passage(archive=make_archive(agent=agent))
    assert results(make_tool_context(agent), query=query) == []


def test_an_agent_without_an_archive_finds_nothing(agent):
    assert results(make_tool_context(agent), query="tea") == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tag_match_mode": "some"}, "tag_match_mode must be 'any' or 'all', not 'some'"),
        ({"top_k": 0}, "top_k must be a whole number from 1 to 100, not 0"),
        ({"top_k": "many"}, "top_k must be a whole number from 1 to 100, not 'many'"),
        ({"start_datetime": "soon"}, "'soon' is not an ISO 8601 date"),
    ],
)
def test_a_bad_search_says_what_is_wrong(agent, arguments, words):
    outcome = call("archival_memory_search", make_tool_context(agent), query="tea", **arguments)
    assert outcome.is_error
    assert words in outcome.value_text


def test_a_long_result_is_not_cut(agent):
    archive = make_archive(agent=agent)
    make_passage(archive=archive, text="tea " * 500)
    outcome = call("archival_memory_search", make_tool_context(agent, return_char_limit=10), query="tea")
    assert json.loads(outcome.value_text)[0]["content"] == "tea " * 500
