"""Messages of all agents over REST: searched by words and by meaning, listed, looked at."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from letta_client.types.message_list_response import MessageListResponse
from letta_client.types.message_retrieve_response import MessageRetrieveResponse
from letta_client.types.message_search_response import MessageSearchResponse
from pytest_django import DjangoAssertNumQueries, Settings

from agents.models import Agent, Conversation, MessageVector
from letta_ade.core.ids import new_id
from letta_ade.llm import catalog
from letta_ade.llm.services.providers import ProviderDraft, create_provider
from tests.support.api import Api
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_message,
    make_workspace,
)
from tests.support.fake_openai import FakeOpenAI
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
EMBEDDING = "house/text-embedding-3-small"


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    return make_agent()


@pytest.fixture
def conversation(agent: Agent) -> Conversation:
    return make_conversation(agent=agent)


@pytest.fixture
def embedder(settings: Settings, agent: Agent) -> Iterator[FakeOpenAI]:
    """The provider of the workspace whose embedding model the agent uses."""
    settings.LLM_ENVIRONMENT = {}
    catalog._current = None
    with FakeOpenAI() as fake:
        draft = ProviderDraft(name="house", provider_type="openai", api_key="k", base_url=fake.url)
        create_provider(caller=make_caller(), draft=draft)
        agent.embedding = EMBEDDING
        agent.save()
        yield fake
    catalog._current = None


def search(api: Api, query: str, **body: Any) -> Any:
    answer = api.post("/v1/messages/search", {"query": query, **body})
    assert answer.status_code == 200, answer.content
    validate(MessageSearchResponse, answer.json())
    return answer.json()


def found(api: Api, query: str, **body: Any) -> list[str]:
    return [each["content"] for each in search(api, query, **body)]


def embedded(fake: FakeOpenAI) -> list[list[str]]:
    """The texts of each request for vectors."""
    return [each.body["input"] for each in fake.received if each.path.endswith("/embeddings")]


class TestByWords:
    def test_a_hit_says_whose_and_what_it_is(self, api: Api, conversation: Conversation) -> None:
        message = make_message(conversation=conversation, text="I like green tea.", created_at=NOON)
        assert search(api, "tea") == [
            {
                "message_type": "user_message",
                "content": "I like green tea.",
                "message_id": message.id,
                "agent_id": conversation.agent_id,
                "conversation_id": conversation.id,
                "created_at": "2026-03-01T12:00:00Z",
            }
        ]

    def test_what_was_said_is_found_and_nothing_else(self, api: Api, conversation: Conversation) -> None:
        make_message(conversation=conversation, role="system", text="Tea is served.", created_at=NOON)
        make_message(conversation=conversation, role="assistant", text="Your tea.", created_at=NOON)
        make_message(conversation=conversation, text="tea", is_err=True)
        make_message(conversation=conversation, role="tool", text="", content=[])
        kinds = {each["message_type"] for each in search(api, "tea")}
        assert kinds == {"system_message", "assistant_message"}

    def test_words_said_through_a_tool_are_shown_as_words(self, api: Api) -> None:
        conversation = make_conversation(agent=make_agent(agent_type="memgpt_v2_agent"))
        thought = {"type": "text", "text": "They want tea.", "signature": None}
        call = {"id": "call_1", "name": "send_message", "arguments": '{"message": "Tea for you."}'}
        make_message(
            conversation=conversation,
            role="assistant",
            text="They want tea.\nTea for you.",
            content=[thought],
            tool_calls=[call],
        )
        assert found(api, "tea") == ["Tea for you."]

    def test_the_best_comes_first_and_the_list_is_cut(self, api: Api, conversation: Conversation) -> None:
        for words in ("tea", "green tea", "green"):
            make_message(conversation=conversation, text=words)
        assert found(api, "green tea", search_mode="fts")[0] == "green tea"
        assert len(found(api, "green tea", limit=2)) == 2

    def test_parts_of_words_are_found_where_no_word_is(self, api: Api, conversation: Conversation) -> None:
        make_message(conversation=conversation, text="東京に住んでいます")
        assert found(api, "住んで") == ["東京に住んでいます"]

    def test_without_a_query_the_newest_are_found(self, api: Api, conversation: Conversation) -> None:
        for number in range(3):
            make_message(
                conversation=conversation, text=f"{number}", created_at=NOON + timedelta(hours=number)
            )
        assert found(api, "  ", limit=2) == ["2", "1"]

    def test_it_is_narrowed(self, api: Api, agent: Agent, conversation: Conversation) -> None:
        beside = make_conversation(agent=agent)
        make_message(conversation=conversation, text="tea one", created_at=NOON - timedelta(days=1))
        make_message(conversation=beside, text="tea two", created_at=NOON)
        make_message(text="tea of another agent", created_at=NOON + timedelta(days=1))
        foreign = make_agent(workspace=make_workspace())
        make_message(conversation=make_conversation(agent=foreign), text="tea of another workspace")
        assert set(found(api, "tea")) == {"tea one", "tea two", "tea of another agent"}
        assert set(found(api, "tea", agent_id=agent.id)) == {"tea one", "tea two"}
        assert found(api, "tea", conversation_id=beside.id) == ["tea two"]
        assert found(api, "tea", agent_id=agent.id, conversation_id="default") == ["tea one"]
        assert found(api, "tea", start_date="2026-03-01", end_date="2026-03-01") == ["tea two"]
        assert found(api, "tea", start_date="2026-03-01T12:00:01+00:00") == ["tea of another agent"]
        assert found(api, "tea", end_date="2026-02-28T12:00:00Z") == ["tea one"]

    def test_it_takes_three_queries_however_many_are_found(
        self, api: Api, conversation: Conversation, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for number in range(5):
            make_message(conversation=conversation, text=f"tea {number}")
        with django_assert_num_queries(2):
            assert len(found(api, "tea", search_mode="fts")) == 5
        with django_assert_num_queries(3):
            found(api, "tea", search_mode="fts", agent_id=conversation.agent_id)

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({}, 422),
            ({"query": "tea", "search_mode": "magic"}, 422),
            ({"query": "tea", "limit": 0}, 422),
            ({"query": "tea", "limit": 101}, 422),
            ({"query": "tea", "start_date": "soon"}, 400),
            ({"query": "tea", "conversation_id": "default"}, 400),
            ({"query": "tea", "agent_id": new_id("agent")}, 404),
            ({"query": "tea", "conversation_id": new_id("conversation")}, 404),
        ],
    )
    def test_bad_searches_are_refused(self, api: Api, body: dict[str, Any], status: int) -> None:
        assert api.post("/v1/messages/search", body).status_code == status

    def test_who_is_of_another_workspace_is_not_found(self, api: Api) -> None:
        foreign = make_conversation(agent=make_agent(workspace=make_workspace()))
        for where in ({"agent_id": foreign.agent_id}, {"conversation_id": foreign.id}):
            assert api.post("/v1/messages/search", {"query": "tea", **where}).status_code == 404


class TestByMeaning:
    """The fake's vectors are near where texts share words, so a word that PostgreSQL leaves out shows who found it."""

    def test_what_has_no_vector_gets_one_once(
        self, api: Api, conversation: Conversation, embedder: FakeOpenAI
    ) -> None:
        for words in ("me and you", "something else"):
            make_message(conversation=conversation, text=words)
        assert found(api, "you and me", search_mode="vector", agent_id=conversation.agent_id) == [
            "me and you",
            "something else",
        ]
        (first,) = embedded(embedder)
        assert sorted(first) == ["me and you", "something else", "you and me"]
        make_message(conversation=conversation, text="nothing")
        found(api, "you", agent_id=conversation.agent_id)
        assert embedded(embedder)[1:] == [["you", "nothing"]]
        assert MessageVector.objects.filter(model=EMBEDDING, dimensions=1536).count() == 3

    def test_both_rankings_are_made_one(
        self, api: Api, conversation: Conversation, embedder: FakeOpenAI
    ) -> None:
        make_message(conversation=conversation, text="me and you")
        both = make_message(conversation=conversation, text="tea and you")
        body = {"query": "tea and you", "agent_id": conversation.agent_id}
        hits = api.post("/v1/agents/messages/search", body).json()
        assert [(each["fts_rank"], each["vector_rank"]) for each in hits] == [(1, 1), (None, 2)]
        assert hits[0]["message"]["id"] == both.id
        assert hits[0]["rrf_score"] == pytest.approx(1 / 61)
        # Words alone cost nothing.
        asked = len(embedded(embedder))
        found(api, "tea", search_mode="fts", agent_id=conversation.agent_id)
        assert len(embedded(embedder)) == asked

    def test_filters_hold_for_vectors_too(
        self, api: Api, agent: Agent, conversation: Conversation, embedder: FakeOpenAI
    ) -> None:
        make_message(conversation=conversation, text="me and you")
        make_message(conversation=make_conversation(agent=agent), text="you and me")
        assert found(
            api, "you", search_mode="vector", agent_id=agent.id, conversation_id=conversation.id
        ) == ["me and you"]

    def test_without_a_model_words_are_all_there_is(self, api: Api, conversation: Conversation) -> None:
        make_message(conversation=conversation, text="tea")
        assert found(api, "tea", search_mode="hybrid") == ["tea"]
        refused = api.post("/v1/messages/search", {"query": "tea", "search_mode": "vector"})
        assert refused.status_code == 400
        assert "no embedding model" in refused.json()["detail"]

    def test_a_model_that_does_not_answer_leaves_words(
        self, api: Api, agent: Agent, conversation: Conversation
    ) -> None:
        agent.embedding = "nowhere/embedding"
        agent.save()
        make_message(conversation=conversation, text="tea")
        assert found(api, "tea", agent_id=agent.id) == ["tea"]
        body = {"query": "tea", "search_mode": "vector", "agent_id": agent.id}
        refused = api.post("/v1/messages/search", body)
        assert refused.status_code == 503
        assert "nowhere/embedding" in refused.json()["detail"]


def test_the_older_search_tells_the_stored_message_and_its_ranks(
    api: Api, conversation: Conversation
) -> None:
    user = make_message(conversation=conversation, text="green tea")
    make_message(conversation=conversation, role="assistant", text="black tea")
    (hit,) = api.post("/v1/agents/messages/search", {"query": "tea", "roles": ["user"]}).json()
    assert hit["embedded_text"] == "green tea"
    assert (hit["message"]["id"], hit["message"]["role"]) == (user.id, "user")
    assert (hit["fts_rank"], hit["vector_rank"]) == (1, None)
    assert len(api.post("/v1/agents/messages/search", {}).json()) == 2


class TestAllMessages:
    def test_they_are_of_all_agents_of_the_workspace(
        self, api: Api, conversation: Conversation, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        mine = make_message(conversation=conversation, created_at=NOON)
        other = make_message(created_at=NOON + timedelta(hours=1))
        make_message(created_at=NOON + timedelta(hours=2), is_err=True)
        make_message(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        with django_assert_num_queries(1):
            listed = api.get("/v1/messages/").json()
        validate(MessageListResponse, listed)
        assert [each["id"] for each in listed] == [mine.id, other.id]
        for query, expected in (
            ({"limit": 1}, [other.id]),
            ({"order": "desc"}, [other.id, mine.id]),
            ({"after": mine.id}, [other.id]),
            ({"conversation_id": conversation.id}, [mine.id]),
            ({"include_return_message_types": ["assistant_message"]}, []),
        ):
            assert [each["id"] for each in api.get("/v1/messages/", **query).json()] == expected

    def test_unknown_cursors_and_conversations(self, api: Api) -> None:
        foreign = make_message(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        assert api.get("/v1/messages/", after=foreign.id).status_code == 404
        assert api.get("/v1/messages/", conversation_id=foreign.conversation_id).status_code == 404
        assert api.get("/v1/messages/", conversation_id="default").status_code == 400
        assert api.get("/v1/messages/", limit=0).status_code == 422

    def test_one_message_is_all_that_it_says(self, api: Api, conversation: Conversation) -> None:
        thought = {"type": "reasoning", "reasoning": "Hm.", "signature": None, "is_native": True}
        words = {"type": "text", "text": "Yes.", "signature": None}
        message = make_message(conversation=conversation, role="assistant", content=[thought, words])
        told = api.get(f"/v1/messages/{message.id}").json()
        validate(MessageRetrieveResponse, told)
        assert [each["message_type"] for each in told] == ["reasoning_message", "assistant_message"]
        foreign = make_message(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
        for message_id, status in ((foreign.id, 404), (new_id("message"), 404), ("message-1", 422)):
            assert api.get(f"/v1/messages/{message_id}").status_code == status
