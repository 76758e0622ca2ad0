"""Conversations as letta-client makes, streams, forks and searches them; each answer is held against the SDK's own types."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import letta_client
import pytest
from letta_client import Letta
from letta_client.types import ConversationListResponse, MessageSearchResponse
from letta_client.types.agents import LettaResponse, Message
from letta_client.types.conversation import Conversation

from letta_ade.core.ids import new_id
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer, running_server
from tests.support.strict import validate
from tests.support.transcripts import Transcript, added_up, record
from tests.support.wire import NOTE, PING, USAGE, calls, ending, returns, said

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

#: Fields that we send and the client's type does not know.
OURS = ["isolated_block_ids", "hidden"]


@pytest.fixture(scope="module")
def server(django_db_setup: None, provider: FakeOpenAI) -> Iterator[RunningServer]:
    """One that works on runs of the background, too."""
    environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.base_url, "ADE_JOB_WORKER": "1"}
    with running_server(environment) as running:
        yield running


@pytest.fixture
def http(server: RunningServer) -> Any:
    with httpx.Client(base_url=f"{server.url}/v1", timeout=30) as made:
        yield made


@pytest.fixture
def raw(http: httpx.Client) -> Callable[..., Any]:
    """Reads JSON as it goes over the wire."""

    def read(path: str, **query: Any) -> Any:
        return http.get(path, params=query).raise_for_status().json()

    return read


def contents(messages: Any) -> list[str]:
    return [message.content for message in messages if message.message_type != "system_message"]


def send(client: Letta, conversation_id: str, words: str, **fields: Any) -> list[Any]:
    """What the SDK reads of the stream."""
    return list(client.conversations.messages.create(conversation_id, input=words, **fields))


def heard(chunks: list[Any]) -> list[str]:
    return [chunk.content for chunk in chunks if chunk.message_type == "assistant_message"]


def test_a_conversation_is_made_changed_listed_and_deleted(client: Letta, agent: Any, raw: Any) -> None:
    made = client.conversations.create(
        agent_id=agent.id,
        summary="Tea",
        description="About tea.",
        model="openai/gpt-4o",
        model_settings={"provider_type": "openai", "temperature": 0.2},
        context_window_limit=20_000,
    )
    validate(Conversation, raw(f"/conversations/{made.id}"), extra=OURS)
    assert (made.agent_id, made.summary, made.model) == (agent.id, "Tea", "openai/gpt-4o")
    settings: Any = made.api_model_settings
    assert settings.temperature == 0.2
    assert client.conversations.retrieve(made.id) == made
    changed = client.conversations.update(made.id, summary="Green tea", archived=True, model=None)
    assert (changed.summary, changed.archived, changed.model) == ("Green tea", True, None)
    assert client.conversations.list(agent_id=agent.id) == []
    listed = client.conversations.list(
        agent_id=agent.id,
        archive_status="archived",
        summary_search="green",
        order="asc",
        order_by="last_message_at",
    )
    assert [each.id for each in listed] == [made.id]
    validate(
        ConversationListResponse, raw("/conversations/", agent_id=agent.id, archive_status="all"), extra=OURS
    )
    client.conversations.delete(made.id)
    with pytest.raises(letta_client.NotFoundError):
        client.conversations.retrieve(made.id)
    with pytest.raises(letta_client.NotFoundError):
        client.conversations.delete(new_id("conversation"))


def test_pages_are_followed_to_their_end(client: Letta, agent: Any) -> None:
    made = [client.conversations.create(agent_id=agent.id).id for _ in range(3)]
    seen: list[str] = []
    while page := client.conversations.list(
        agent_id=agent.id, limit=2, order_by="last_run_completion", after=seen[-1] if seen else None
    ):
        seen += [each.id for each in page]
    assert sorted(seen) == sorted(made)


def test_the_stream_of_a_conversation_is_that_of_an_agent(
    client: Letta, agent: Any, provider: FakeOpenAI, http: httpx.Client
) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    path = f"/conversations/{conversation.id}/messages"
    provider.enqueue(
        FakeReply(text="One moment.", calls=(NOTE,), usage=USAGE), FakeReply(text="Noted.", usage=USAGE)
    )
    stream = record(http, path, {"input": "I like tea."})
    stream.check()
    (noted,) = stream.of("tool_return_message")
    assert stream.named() == [
        PING,
        said("One moment.", 1, 0),
        calls(1, 1, NOTE),
        returns(2, ("call_1", noted["tool_return"])),
        said("Noted.", 3, 0, step=2),
        *ending(prompt_tokens=200, completion_tokens=14, total_tokens=214, step_count=2),
    ]
    assert stream.messages[1:-2] == stored(http, path)
    tokens = record(http, path, {"input": "More.", "stream_tokens": True})
    tokens.check()
    assert added_up(tokens.messages[1:-2]) == added_up(stored(http, path)[-1:])


def stored(http: httpx.Client, path: str) -> list[dict[str, Any]]:
    """What the agent has said, as the list has it."""
    listed = http.get(path, params={"order": "asc"}).raise_for_status().json()
    for message in listed:
        validate(Message, message)
    return [each for each in listed if each["message_type"] not in ("system_message", "user_message")]


def test_a_plain_answer_is_what_its_type_says(
    client: Letta, agent: Any, provider: FakeOpenAI, http: httpx.Client
) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    provider.enqueue(FakeReply(text="Hello.", usage=USAGE))
    answer = http.post(f"/conversations/{conversation.id}/messages", json={"input": "Hi", "streaming": False})
    validate(LettaResponse, answer.raise_for_status().json(), extra=["message_type"])
    assert [message["content"] for message in answer.json()["messages"]] == ["Hello."]


def test_each_conversation_has_its_own_memory_of_what_was_said(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    one, two = (client.conversations.create(agent_id=agent.id).id for _ in range(2))
    provider.enqueue(*(FakeReply(text=f"{n}.") for n in range(4)))
    assert heard(send(client, one, "Tea")) == ["0."]
    assert heard(send(client, two, "Coffee")) == ["1."]
    assert heard(send(client, "default", "Water", agent_id=agent.id)) == ["2."]
    send(client, one, "More")
    asked = [message["content"] for message in provider.bodies[-1]["messages"][1:]]
    assert asked == ["Tea", "0.", "More"]
    listed = client.conversations.messages.list(one, order="asc")
    assert contents(listed) == ["Tea", "0.", "More", "3."]
    newest_first = [message.id for message in client.conversations.messages.list(one, limit=2)]
    assert newest_first == [message.id for message in listed][::-1]
    direct = client.conversations.messages.list("default", agent_id=agent.id)
    assert contents(direct) == ["Water", "2."]
    # The list of the agent has all of them.
    everything = client.agents.messages.list(agent.id, limit=100)
    assert {"Tea", "Coffee", "Water"} <= set(contents(everything))
    assert contents(client.agents.messages.list(agent.id, conversation_id=two)) == ["Coffee", "1."]


def test_a_fork_goes_its_own_way(client: Letta, agent: Any, provider: FakeOpenAI, raw: Any) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    provider.enqueue(*(FakeReply(text=f"{n}.") for n in range(4)))
    send(client, conversation.id, "Tea")
    send(client, conversation.id, "More")
    ids = client.conversations.retrieve(conversation.id).in_context_message_ids
    assert ids is not None
    forked = client.conversations.fork(conversation.id, message_id=ids[2])
    validate(Conversation, raw(f"/conversations/{forked.id}"), extra=OURS)
    assert forked.in_context_message_ids is not None
    assert forked.in_context_message_ids[1:] == ids[1:3]
    assert forked.in_context_message_ids[0] != ids[0]
    send(client, forked.id, "Less")
    again = client.conversations.fork(forked.id, hidden=True)
    send(client, again.id, "None")
    assert contents(client.conversations.messages.list(again.id, order="asc")) == [
        "Tea",
        "0.",
        "Less",
        "2.",
        "None",
        "3.",
    ]
    assert client.conversations.retrieve(conversation.id).in_context_message_ids == ids
    assert again.id not in [each.id for each in client.conversations.list(agent_id=agent.id)]
    default = client.conversations.fork("default", agent_id=agent.id)
    assert default.in_context_message_ids is not None
    assert len(default.in_context_message_ids) == 1
    with pytest.raises(letta_client.NotFoundError, match="has no message"):
        client.conversations.fork(default.id, message_id=ids[1])


def test_recompiling_shows_the_memory_of_now(client: Letta, agent: Any) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    client.agents.blocks.update("human", agent_id=agent.id, value="Name: Grace")
    assert "Name: Grace" in client.conversations.recompile(conversation.id, dry_run=True)
    system: Any
    (system,) = client.conversations.messages.list(conversation.id)
    assert "Name: Ada" in system.content
    client.conversations.recompile(conversation.id)
    (system,) = client.conversations.messages.list(conversation.id)
    assert "Name: Grace" in system.content
    assert "Name: Grace" in client.conversations.recompile("default", agent_id=agent.id)


def test_a_background_stream_is_come_back_to(
    client: Letta, agent: Any, provider: FakeOpenAI, http: httpx.Client
) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    provider.enqueue(FakeReply(text="Hello there.", usage=USAGE))
    messages: Any = [{"role": "user", "content": "Hi", "otid": "o1"}]
    chunks = list(
        client.conversations.messages.create(
            conversation.id, messages=messages, background=True, stream_tokens=True
        )
    )
    run_id = next(chunk.run_id for chunk in chunks if chunk.message_type == "ping")
    names: tuple[Any, ...] = ({"run_id": run_id}, {"otid": "o1"})
    for asked in names:
        again = client.conversations.messages.stream(conversation.id, **asked)
        assert heard(list(again)) == heard(chunks)
    transcript: Transcript = record(http, f"/conversations/{conversation.id}/stream", {"run_id": run_id})
    transcript.check()
    with pytest.raises(letta_client.BadRequestError, match="No run of this conversation"):
        client.conversations.messages.stream(conversation.id)


def test_cancelling_where_nothing_runs_is_a_conflict_that_is_not_tried_again(
    client: Letta, agent: Any
) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    with pytest.raises(letta_client.ConflictError):
        client.conversations.cancel(conversation.id)
    with pytest.raises(letta_client.ConflictError):
        client.conversations.cancel("default", agent_id=agent.id)


def test_messages_are_searched_listed_and_looked_at(
    client: Letta, agent: Any, provider: FakeOpenAI, http: httpx.Client
) -> None:
    conversation = client.conversations.create(agent_id=agent.id)
    provider.enqueue(FakeReply(text="The deployment is on Friday."), FakeReply(text="Fine."))
    send(client, conversation.id, "When do we ship?")
    send(client, "default", "Thanks", agent_id=agent.id)
    for mode in ("fts", "vector", "hybrid"):
        body: Any = {"query": "deployment", "agent_id": agent.id, "search_mode": mode}
        validate(MessageSearchResponse, http.post("/messages/search", json=body).raise_for_status().json())
        best: Any = client.messages.search(**body)[0]
        assert best.message_type == "assistant_message"
        assert best.content == "The deployment is on Friday."
        assert best.conversation_id == conversation.id
    (told,) = client.messages.retrieve(best.message_id)
    assert told.message_type == "assistant_message"
    assert contents(client.messages.list(conversation_id=conversation.id, order="asc")) == [
        "When do we ship?",
        "The deployment is on Friday.",
    ]
    assert set(contents(client.messages.list())) >= {"When do we ship?", "Thanks"}
