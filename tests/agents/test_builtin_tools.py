"""conversation_search, as a model calls it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from agents.builtin_tools import time_ago
from tests.support.factories import (
    make_agent,
    make_archive,
    make_conversation,
    make_message,
    make_passage,
    make_run,
    make_tool_context,
    make_workspace,
)
from tools.execution import prepare_call, run_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent():
    return make_agent(timezone="America/New_York")


@pytest.fixture
def conversation(agent):
    return make_conversation(agent=agent)


def search(agent, *, context=None, **arguments):
    outcome = run_call("conversation_search", context or make_tool_context(agent), arguments, None)
    assert not outcome.is_error, outcome.value_text
    return json.loads(outcome.value_text)


def texts(agent, **arguments):
    return [row["content"] for row in search(agent, **arguments)["results"]]


def test_a_question_finds_what_was_said(agent, conversation):
    make_message(conversation=conversation, text="My cat is called Rosa.")
    make_message(conversation=conversation, text="The weather is fine.", role="assistant")
    found = search(agent, query="What was the name of my cat Rosa again?")
    assert found["message"] == "Showing 1 result:"
    (row,) = found["results"]
    assert (row["role"], row["content"]) == ("user", "My cat is called Rosa.")
    assert row["relevance"] == {"rrf_score": 0.008197, "vector_rank": None, "fts_rank": 1}


def test_the_message_with_more_of_the_words_comes_first(agent, conversation):
    make_message(conversation=conversation, text="I like the cat.")
    make_message(conversation=conversation, text="The cat Rosa likes tuna.")
    make_message(conversation=conversation, text="Dogs bark.")
    assert texts(agent, query="cat Rosa tuna") == ["The cat Rosa likes tuna.", "I like the cat."]


def test_parts_of_words_are_found_when_no_word_is(agent, conversation):
    make_message(conversation=conversation, text="See config_loader.py for that.")
    assert texts(agent, query="onfig_loa") == ["See config_loader.py for that."]


def test_nothing_found_says_so(agent, conversation):
    make_message(conversation=conversation, text="Hello.")
    assert search(agent, query="zebra") == {"message": "No results found.", "results": []}


def test_without_a_query_the_newest_come_first(agent, conversation):
    now = timezone.now()
    for hours in (3, 2, 1):
        make_message(conversation=conversation, text=f"{hours} h", created_at=now - timedelta(hours=hours))
    found = search(agent, limit=2)
    assert found["message"] == "Showing 2 results:"
    assert [row["content"] for row in found["results"]] == ["1 h", "2 h"]
    assert [row["time_ago"] for row in found["results"]] == ["1h ago", "2h ago"]
    assert "relevance" not in found["results"][0]


def test_times_are_in_the_agents_zone(agent, conversation):
    make_message(conversation=conversation, text="tea", created_at=datetime(2026, 1, 5, 3, tzinfo=UTC))
    assert search(agent, query="tea")["results"][0]["timestamp"] == "2026-01-04T22:00:00-05:00"


def test_days_are_those_of_the_agents_zone_and_the_last_is_included(agent, conversation):
    # 23:30 on 5 January in New York
    make_message(conversation=conversation, text="tea", created_at=datetime(2026, 1, 6, 4, 30, tzinfo=UTC))
    assert texts(agent, query="tea", end_date="2026-01-05") == ["tea"]
    assert texts(agent, start_date="2026-01-05", end_date="2026-01-05") == ["tea"]
    assert texts(agent, query="tea", start_date="2026-01-06") == []
    assert texts(agent, query="tea", end_date="2026-01-05T23:00:00") == []


def test_roles_narrow_the_search(agent, conversation):
    make_message(conversation=conversation, text="tea of the user")
    make_message(conversation=conversation, text="tea of the agent", role="assistant")
    assert texts(agent, query="tea", roles=["user"]) == ["tea of the user"]
    assert texts(agent, query="tea", roles='["assistant"]') == ["tea of the agent"]
    assert texts(agent, query="tea", roles="assistant") == ["tea of the agent"]
    assert len(texts(agent, query="tea")) == 2


def test_tool_messages_and_earlier_searches_never_appear(agent, conversation):
    make_message(conversation=conversation, role="tool", text="tea of a tool")
    make_message(conversation=conversation, role="system", text="tea of the system")
    make_message(
        conversation=conversation,
        role="assistant",
        text="Let me search for tea.",
        tool_calls=[{"id": "c", "name": "conversation_search", "arguments": '{"query": "tea"}'}],
    )
    make_message(
        conversation=conversation,
        role="assistant",
        text="I note the tea.",
        tool_calls=[{"id": "d", "name": "memory_insert", "arguments": "{}"}],
    )
    assert texts(agent, query="tea") == ["I note the tea."]
    assert texts(agent, query="tea", roles=["tool"]) == []


def test_failed_and_empty_messages_never_appear(agent, conversation):
    make_message(conversation=conversation, text="tea", is_err=True)
    make_message(conversation=conversation, text="", role="assistant")
    assert texts(agent) == []


def test_the_run_that_searches_does_not_find_its_own_question(agent, conversation):
    run = make_run(conversation=conversation)
    earlier = make_run(conversation=conversation)
    make_message(conversation=conversation, text="I like green tea.", run=earlier)
    make_message(conversation=conversation, text="Which tea do I like?", run=run)
    context = make_tool_context(agent, run_id=run.id)
    assert texts(agent, context=context, query="tea") == ["I like green tea."]


def test_all_conversations_of_the_agent_are_searched_and_no_others(agent, conversation):
    make_message(conversation=conversation, text="tea one")
    make_message(conversation=make_conversation(agent=agent), text="tea two")
    make_message(conversation=make_conversation(), text="tea of another agent")
    elsewhere = make_conversation(agent=make_agent(workspace=make_workspace()))
    make_message(conversation=elsewhere, text="tea of another workspace")
    assert set(texts(agent, query="tea")) == {"tea one", "tea two"}


def test_long_messages_are_shortened(agent, conversation):
    make_message(conversation=conversation, text="tea " * 1000)
    (text,) = texts(agent, query="tea")
    assert text.startswith("tea " * 500 + "… [cut: the message has 4000 characters]")


def test_the_result_as_a_whole_is_not_cut(agent, conversation):
    make_message(conversation=conversation, text="tea " * 100)
    assert texts(agent, context=make_tool_context(agent, return_char_limit=5), query="tea") == ["tea " * 100]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"roles": ["system"]}, "roles must be a list of 'assistant', 'user', 'tool', not ['system']"),
        ({"limit": 0}, "limit must be a whole number from 1 to 50, not 0"),
        ({"end_date": "soon"}, "'soon' is not an ISO 8601 date"),
    ],
)
def test_bad_arguments_are_explained(agent, arguments, words):
    outcome = run_call("conversation_search", make_tool_context(agent), arguments, None)
    assert outcome.is_error
    assert words in outcome.value_text


def test_a_search_takes_two_queries_and_a_savepoint(agent, conversation, django_assert_num_queries):
    for number in range(4):
        make_message(conversation=conversation, text=f"tea {number}")
    context = make_tool_context(agent)
    with django_assert_num_queries(4):
        search(agent, context=context, query="tea")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-5, "0s ago"), (42, "42s ago"), (300, "5m ago"), (3 * 3600 + 59, "3h ago"), (2 * 86_400, "2d ago")],
)
def test_time_ago_is_in_the_largest_whole_unit(seconds, text):
    now = datetime(2026, 1, 5, tzinfo=UTC)
    assert time_ago(now - timedelta(seconds=seconds), now) == text


def test_a_span_of_days_can_be_asked_for_alone(agent, conversation):
    make_message(conversation=conversation, text="tea", created_at=datetime(2026, 1, 6, 4, 30, tzinfo=UTC))
    make_message(conversation=conversation, text="later", created_at=datetime(2026, 1, 9, tzinfo=UTC))
    arguments = {"start_date": "2026-01-05", "end_date": "2026-01-05"}
    outcome = run_call("conversation_search_date", make_tool_context(agent), arguments, None)
    assert [row["content"] for row in json.loads(outcome.value_text)["results"]] == ["tea"]
    refused = run_call(
        "conversation_search_date", make_tool_context(agent), {"start_date": "2026-01-05"}, None
    )
    assert (refused.is_error, "'end_date'" in refused.value_text) == (True, True)


def look(agent, *, context=None, **arguments):
    context = context or make_tool_context(agent)
    outcome = run_call("search_memory", context, arguments, prepare_call("search_memory", context, arguments))
    assert not outcome.is_error, outcome.value_text
    found = json.loads(outcome.value_text)
    return [[row["content"] for row in found[where]] for where in ("archival", "conversation")]


def test_search_memory_looks_into_archive_and_conversation(agent, conversation):
    make_passage(archive=make_archive(agent=agent), text="Rosa is a cat.")
    make_message(conversation=conversation, text="My cat likes tuna.")
    make_message(conversation=conversation, text="Dogs bark.")
    assert look(agent, convo_keyword_queries=["Rosa", "tuna"]) == [["Rosa is a cat."], ["My cat likes tuna."]]


def test_search_memory_without_words_looks_for_what_was_said_last(agent, conversation):
    make_passage(archive=make_archive(agent=agent), text="Rosa is a cat.")
    make_message(conversation=conversation, text="Rosa likes tuna.")
    context = make_tool_context(agent, input_texts=("Hello.", "Who was Rosa?"))
    assert look(agent, context=context) == [["Rosa is a cat."], ["Rosa likes tuna."]]


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({}, ["tea 90", "tea 30", "tea 5"]),
        ({"start_minutes_ago": 10}, ["tea 90", "tea 30"]),
        ({"end_minutes_ago": 60}, ["tea 30", "tea 5"]),
        ({"start_minutes_ago": 10, "end_minutes_ago": 60}, ["tea 30"]),
        ({"start_minutes_ago": 60, "end_minutes_ago": 10}, ["tea 30"]),
    ],
)
def test_search_memory_can_be_bounded_in_time(agent, conversation, bounds, expected):
    now = timezone.now()
    for minutes in (90, 30, 5):
        made = now - timedelta(minutes=minutes)
        make_message(conversation=conversation, text=f"tea {minutes}", created_at=made)
    _, said = look(agent, convo_keyword_queries=["tea"], **bounds)
    assert sorted(said) == sorted(expected)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"convo_keyword_queries": {"a": 1}}, "convo_keyword_queries must be a list of texts"),
        ({"start_minutes_ago": -1}, "start_minutes_ago must be a whole number of minutes from 0 on, not -1"),
        ({"end_minutes_ago": 10**12}, "end_minutes_ago must be a whole number"),
    ],
)
def test_a_bad_question_to_memory_is_explained(agent, arguments, words):
    context = make_tool_context(agent)
    outcome = run_call("search_memory", context, arguments, prepare_call("search_memory", context, arguments))
    assert outcome.is_error
    assert words in outcome.value_text


def test_a_search_of_memory_is_not_found_by_the_next(agent, conversation):
    make_message(
        conversation=conversation,
        role="assistant",
        text="I look for tea.",
        tool_calls=[{"id": "c", "name": "search_memory", "arguments": "{}"}],
    )
    assert texts(agent, query="tea") == []
