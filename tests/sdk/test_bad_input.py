"""What a user of the SDK sees when something is wrong, and how often the SDK asks."""

from __future__ import annotations

from typing import Any

import httpx
import letta_client
import pytest
from letta_client import AsyncLetta, Letta

from agents.models import Run
from letta_ade.core.ids import new_id
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer

pytestmark = pytest.mark.slow


def test_an_unknown_model_is_named_with_what_there_is(client: Letta) -> None:
    with pytest.raises(letta_client.NotFoundError, match="gpt-4o-mini"):
        client.agents.create(model="openai/gpt-99")


def test_a_provider_without_a_key_is_named_with_its_variable(client: Letta) -> None:
    with pytest.raises(letta_client.NotFoundError, match="ANTHROPIC_API_KEY"):
        client.agents.create(model="anthropic/claude-sonnet-4-5")


@pytest.mark.parametrize(
    ("status", "raised"),
    [
        (401, letta_client.AuthenticationError),
        (429, letta_client.RateLimitError),
        (500, letta_client.InternalServerError),
        (400, letta_client.BadRequestError),
    ],
)
def test_a_providers_failure_reaches_the_caller_once_with_its_own_text(
    client: Letta, agent: Any, provider: FakeOpenAI, status: int, raised: type[letta_client.APIStatusError]
) -> None:
    provider.replies.append(FakeReply(status=status, error="The provider's own words."))
    with pytest.raises(raised) as failure:
        client.agents.messages.create(agent_id=agent.id, input="Hi")
    body: Any = failure.value.body
    assert "The provider's own words." in f"{body['error']['message']} {body['error']['detail']}"
    # A repeat by the SDK would have made a second run.
    assert Run.objects.filter(agent_id=agent.id).count() == 1


def test_a_dropped_connection_ends_a_stream_with_an_error(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    provider.replies.append(FakeReply(text="one two three four", drop_after=3))
    kinds: list[str | None] = []
    stream = client.agents.messages.create(agent_id=agent.id, input="Hi", streaming=True, stream_tokens=True)
    with pytest.raises(letta_client.APIError):
        kinds.extend(chunk.message_type for chunk in stream)
    assert kinds[0] == "ping"
    assert kinds[-1] == "stop_reason"
    assert Run.objects.get(agent_id=agent.id).status == "failed"


def test_an_unknown_agent_is_not_found_before_the_stream_begins(client: Letta) -> None:
    with pytest.raises(letta_client.NotFoundError):
        client.agents.messages.create(agent_id=new_id("agent"), input="Hi", streaming=True)


def test_an_empty_message_is_refused(client: Letta, agent: Any) -> None:
    with pytest.raises(letta_client.BadRequestError, match="empty"):
        client.agents.messages.create(agent_id=agent.id, input="")


def test_a_message_of_ten_megabytes_is_refused_with_both_sizes(client: Letta, agent: Any) -> None:
    with pytest.raises(letta_client.BadRequestError, match="128,000"):
        client.agents.messages.create(agent_id=agent.id, input="x" * 10_000_000)


def test_a_body_over_the_limit_is_413(server: RunningServer, client: Letta) -> None:
    body = b'{"label": "x", "value": "' + b"x" * (65 * 1024 * 1024) + b'"}'
    answer = httpx.post(
        f"{server.url}/v1/blocks/", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413
    assert "64 MB" in answer.json()["detail"]


def test_a_value_over_a_blocks_limit_is_refused(client: Letta, agent: Any) -> None:
    with pytest.raises(letta_client.UnprocessableEntityError, match="100000"):
        client.agents.blocks.update("human", agent_id=agent.id, value="x" * 100_001)


def test_a_second_message_while_one_runs_is_refused_at_once(
    client: Letta, agent: Any, provider: FakeOpenAI
) -> None:
    provider.replies.append(FakeReply(text="one two three four five", hang_after=4))
    stream = client.agents.messages.create(agent_id=agent.id, input="Hi", streaming=True, stream_tokens=True)
    chunks: Any = iter(stream)
    run_id = next(chunks).run_id  # the first event is the ping
    assert next(chunk for chunk in chunks if chunk.message_type == "assistant_message").content
    with pytest.raises(letta_client.ConflictError) as conflict:
        client.agents.messages.create(agent_id=agent.id, input="Hello?")
    body: Any = conflict.value.body
    assert body["run_id"] == run_id
    assert conflict.value.response.request.headers["x-stainless-retry-count"] == "0"
    assert client.agents.messages.cancel(agent_id=agent.id) == {run_id: "cancelled"}
    assert [chunk.message_type for chunk in chunks][-2:] == ["stop_reason", "usage_statistics"]
    stored = client.agents.messages.list(agent.id).items
    assert stored[-1].message_type == "assistant_message"


def test_the_asynchronous_client_streams_and_pages(
    agent: Any, provider: FakeOpenAI, server: RunningServer
) -> None:
    import asyncio

    provider.replies.append(FakeReply(text="Hello there."))

    async def talk() -> tuple[str, list[str]]:
        async with AsyncLetta(base_url=server.url) as client:
            stream = await client.agents.messages.create(
                agent_id=agent.id, input="Hi", streaming=True, stream_tokens=True
            )
            words: list[Any] = [chunk async for chunk in stream if chunk.message_type == "assistant_message"]
            messages: list[Any] = [each async for each in client.agents.messages.list(agent.id, limit=2)]
            return "".join(chunk.content for chunk in words), [each.message_type for each in messages]

    assert asyncio.run(talk()) == ("Hello there.", ["user_message", "assistant_message"])
