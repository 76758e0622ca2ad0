"""Background runs: their streams are numbered, and a reader comes back to them anywhere (spec/streaming.md §7)."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer, running_server
from tests.support.transcripts import Transcript, added_up
from tests.support.wire import PING, Wire, background_run, without

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def environment(provider: FakeOpenAI) -> dict[str, str]:
    return {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": provider.base_url}


@pytest.fixture(scope="module")
def server(django_db_setup: None, environment: dict[str, str]) -> Iterator[RunningServer]:
    with running_server({**environment, "ADE_JOB_WORKER": "1"}) as running:
        yield running


def test_messages_are_numbered_and_the_frame_is_not(wire: Wire, provider: FakeOpenAI) -> None:
    stream = background_run(wire, provider)
    named = stream.named()
    assert named[0] == PING
    assert {message["seq_id"] for message in named[1:-2]} == {"n"}
    assert stream.messages[1]["seq_id"] >= 1
    assert all("seq_id" not in message for message in named[-2:])
    assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))


def test_a_reader_goes_on_after_each_number(wire: Wire, provider: FakeOpenAI) -> None:
    stream = background_run(wire, provider)
    whole = wire.resume(stream.run_id)
    whole.check()
    assert without(whole.messages[1:], "date") == without(stream.messages[1:], "date")
    for at, message in enumerate(stream.messages[1:-2], 1):
        rest = wire.resume(stream.run_id, starting_after=message["seq_id"])
        rest.check()
        assert rest.messages[0]["seq_id"] == message["seq_id"]
        assert without(rest.messages[1:], "date") == without(stream.messages[at + 1 :], "date")


def test_the_real_client_resumes(wire: Wire, client: Letta, provider: FakeOpenAI) -> None:
    stream = background_run(wire, provider)
    at = stream.messages[3]["seq_id"]
    read: list[Any] = list(
        client.runs.messages.stream(
            stream.run_id,
            starting_after=at,
            include_pings=False,
            poll_interval=0.1,
            batch_size=10,
            agent_id=wire.agent.id,
            body_run_id=stream.run_id,
            otid=None,
        )
    )
    assert [each.message_type for each in read] == stream.types[4:]


def test_a_reader_at_another_server_is_told_what_happens_at_the_first(
    wire: Wire, provider: FakeOpenAI, environment: dict[str, str]
) -> None:
    """Two processes on one database: the events come through the table, announced by notices."""
    provider.enqueue(FakeReply(text="Let me think about it.", hang_after=4))
    with running_server(environment) as second, wire.open_stream(background=True) as until:
        run_id = json.loads(until(b"\n\n").split(b"\n\n")[0].removeprefix(b"data: "))["run_id"]
        until(b'"think ')
        there = Wire(second.url, wire.agent)
        found: list[Transcript] = []
        reading = threading.Thread(target=lambda: found.append(there.resume(run_id)))
        reading.start()
        wire.client.post(f"{wire.path}/cancel").raise_for_status()
        here = Transcript(until(b""))
        # Less than a reader waits before it looks without a notice.
        reading.join(10)
        there.client.close()
    [elsewhere] = found
    elsewhere.check()
    assert without(elsewhere.messages[1:], "date") == without(here.messages[1:], "date")
