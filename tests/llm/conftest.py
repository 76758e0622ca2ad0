"""Fakes of the providers, and connections closed after each test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from letta_ade.llm.providers import clients
from letta_ade.llm.testing import forbid_remote_models
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_openai import FakeOpenAI


@pytest.fixture
def fake_openai() -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    with fake:
        yield fake


@pytest.fixture
def fake_anthropic() -> Iterator[FakeAnthropic]:
    fake = FakeAnthropic()
    with fake:
        yield fake


@pytest.fixture(autouse=True)
def no_real_models() -> Iterator[None]:
    forbid_remote_models()
    yield
    forbid_remote_models(False)
    clients.close_sync_clients()


@pytest_asyncio.fixture
async def closed_clients() -> AsyncIterator[None]:
    """The loop ends with the test; its connections must not outlive it."""
    yield
    await clients.close_clients()
