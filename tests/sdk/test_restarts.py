"""Background runs whose server stops or dies: their readers go on at the next one (spec/streaming.md §7, §8)."""

from __future__ import annotations

import json

import pytest

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import running_server
from tests.support.transcripts import Transcript
from tests.support.wire import Wire, background_run, without

pytestmark = pytest.mark.slow


@pytest.fixture
def working(provider: FakeOpenAI) -> dict[str, str]:
    """The environment of a server that works on background runs."""
    return {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "ADE_JOB_WORKER": "1",
        "ADE_LEASE_SECONDS": "3",
    }


def test_a_reader_goes_on_at_a_server_that_was_started_since(
    wire: Wire, provider: FakeOpenAI, working: dict[str, str]
) -> None:
    with running_server(working) as first:
        wire.client.base_url = f"{first.url}/v1"
        stream = background_run(wire, provider)
    with running_server(working) as second:
        wire.client.base_url = f"{second.url}/v1"
        whole = wire.resume(stream.run_id)
        rest = wire.resume(stream.run_id, starting_after=stream.messages[5]["seq_id"], include_pings=False)
    whole.check()
    rest.check(has_pings=False)
    assert without(whole.messages[1:], "date") == without(stream.messages[1:], "date")
    assert without(rest.messages, "date") == without(stream.messages[6:], "date")


def test_a_server_that_stops_lets_its_readers_go_and_the_next_one_goes_on(
    wire: Wire, provider: FakeOpenAI, working: dict[str, str]
) -> None:
    provider.enqueue(FakeReply(text="This is going to take", hang_after=4), FakeReply(text="At last."))
    with running_server(working) as first:
        wire.client.base_url = f"{first.url}/v1"
        with wire.open_stream(background=True) as until:
            until(b'"going ')
            first.process.terminate()
            stream = Transcript(until(b""))
    stream.check()
    assert stream.types[-3:] == ["assistant_message", "stop_reason", "error_message"]
    assert stream.messages[-1]["error_type"] == "stream_incomplete"
    check_the_rest(wire, working, stream.run_id, last=stream.messages[-3]["seq_id"])


def test_a_reader_of_a_killed_server_is_told_the_rest_by_the_next_one(
    wire: Wire, provider: FakeOpenAI, working: dict[str, str]
) -> None:
    provider.enqueue(FakeReply(text="This is going to take", hang_after=4), FakeReply(text="At last."))
    with running_server(working) as first:
        wire.client.base_url = f"{first.url}/v1"
        with wire.open_stream(background=True) as until:
            read = until(b'"going ')
            first.process.kill()
            first.process.wait()
    seen = [
        json.loads(line.removeprefix(b"data: ")) for line in read.split(b"\n\n") if line.startswith(b"data: ")
    ]
    check_the_rest(wire, working, seen[0]["run_id"], last=seen[-1]["seq_id"])


def check_the_rest(wire: Wire, environment: dict[str, str], run_id: str, *, last: int) -> None:
    """The next server tells the step that it made anew; what the first one had begun is not in the list."""
    with running_server(environment) as second:
        wire.client.base_url = f"{second.url}/v1"
        rest = wire.resume(run_id, starting_after=last)
        rest.check()
        said = [each for each in rest.messages if each["message_type"] == "assistant_message"]
        assert "".join(each["content"] for each in said) == "At last."
        assert rest.types[-2:] == ["stop_reason", "usage_statistics"]
        assert min(each["seq_id"] for each in said) > last
        assert [each["content"] for each in wire.stored(run_id)] == ["At last."]
