"""One server and one fake provider for all tests of the SDK, and the SDK's clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta

from tests.support.fake_openai import FakeOpenAI
from tests.support.server import RunningServer, running_server, wait_until_quiet
from tests.support.wire import Wire


@pytest.fixture(scope="session")
def provider() -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    with fake:
        yield fake


@pytest.fixture(scope="session")
def server(django_db_setup: None, provider: FakeOpenAI) -> Iterator[RunningServer]:
    environment = {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "ADE_LLM_RETRIES": "0",
    }
    with running_server(environment) as running:
        yield running


@pytest.fixture
def client(server: RunningServer, provider: FakeOpenAI, transactional_db: None) -> Iterator[Letta]:
    # Not above: this file may be loaded before Django is set up.
    from tests.support.factories import local_workspace

    # The flush after a test takes away what a migration made.
    local_workspace()
    with Letta(base_url=server.url) as letta:
        yield letta
    wait_until_quiet()
    # What a test did not use must not answer the next one.
    provider.replies.clear()


@pytest.fixture
def agent(client: Letta) -> Any:
    return client.agents.create(
        model="openai/gpt-4o-mini",
        embedding="openai/text-embedding-3-small",
        memory_blocks=[
            {"label": "human", "value": "Name: Ada"},
            {"label": "persona", "value": "I answer briefly."},
        ],
    )


@pytest.fixture
def wire(client: Letta, server: RunningServer, agent: Any) -> Iterator[Wire]:
    made = Wire(server.url, agent)
    with made.client:
        yield made
