"""What the API answers while its database is away."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.db import InterfaceError, OperationalError
from psycopg.errors import DeadlockDetected

from letta_ade import api as rest
from letta_ade.core import threads
from memory.services import blocks
from tests.support.api import Api, asgi_client

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), InterfaceError("closed")])
def test_a_request_is_told_to_come_back(api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(**_: Any) -> None:
        raise error

    monkeypatch.setattr(blocks, "get_block_for", fail)
    answer = api.get("/v1/blocks/block-123e4567-e89b-42d3-8456-426614174000")
    assert answer.status_code == 503
    assert answer.json() == {"detail": "UNAVAILABLE: The database cannot be reached."}
    assert answer["Retry-After"] == "1"
    # The SDK tries again by itself; nothing has been done.
    assert "x-should-retry" not in answer


def test_a_lost_race_is_a_conflict_that_may_be_tried_again(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: Any) -> None:
        raise OperationalError("deadlock detected") from DeadlockDetected()

    monkeypatch.setattr(blocks, "get_block_for", fail)
    answer = api.get("/v1/blocks/block-123e4567-e89b-42d3-8456-426614174000")
    assert (answer.status_code, answer["Retry-After"]) == (409, "1")


@pytest.mark.parametrize("error", [OperationalError("the connection is lost"), InterfaceError("closed")])
def test_readiness_says_so(api: Api, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    class Away:
        def cursor(self) -> None:
            raise error

    monkeypatch.setattr(rest, "connection", Away())
    answer = api.get("/v1/ready/")
    assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")


async def test_health_waits_for_no_thread() -> None:
    """All of them wait for the database, and the server is alive."""
    go_on = threading.Event()
    for _ in range(40):
        threads.pool().submit(go_on.wait, 20)
    try:
        async with asgi_client() as client:
            assert (await client.get("/health/")).json()["status"] == "ok"
    finally:
        go_on.set()
