"""A provider that says nothing for too long ends the run, with the provider's name and the time in the error."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from pytest_django import Settings

from agents.models import Agent, Message
from agents.runtime.events import RunEnded
from agents.services.agents import AgentDraft, create_agent
from letta_ade.llm import catalog
from letta_ade.llm.providers import clients
from tests.support.factories import make_caller
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.runs import check_one_end, db, finish, roles, start

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def provider(settings: Settings) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": fake.base_url}
        settings.LLM_REQUEST_TIMEOUT_SECONDS = 0.3
        settings.LLM_RETRIES = 0
        catalog._current = None
        yield fake
    catalog._current = None


@pytest_asyncio.fixture(autouse=True)
async def closed_clients() -> AsyncIterator[None]:
    """The loop ends with the test; its connections must not outlive it."""
    yield
    await clients.close_clients()


@pytest.fixture
def agent(provider: FakeOpenAI) -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(model="openai/gpt-4o-mini"))


@pytest.mark.parametrize("after", [0, 3], ids=["before it says anything", "in the middle of its words"])
async def test_silence_ends_the_run(agent: Agent, provider: FakeOpenAI, after: int) -> None:
    provider.enqueue(FakeReply(text="One two three four.", hang_after=after))
    started = await start(agent, "Hello")
    ended = (await finish(started.run_id))[-1]
    assert isinstance(ended, RunEnded)
    assert ended.error is not None
    assert ended.error["error_type"] == "llm_timeout"
    assert ended.error["message"] == "OpenAI sent nothing for 0.3 seconds."
    run = await check_one_end(started.run_id)
    assert (run.status, run.stop_reason) == ("failed", "llm_api_error")
    assert (await db(lambda: Message.objects.get(role="user"))).is_err
    provider.enqueue(FakeReply(text="Here I am."))
    await finish((await start(agent, "And now?")).run_id)
    assert await db(lambda: roles(agent)) == ["system", "user", "assistant"]
