"""Whole streams of the real server, field by field, and as letta-client reads them (spec/streaming.md §2 to §8)."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from letta_client import Letta
from letta_client.types.agents.letta_response import LettaResponse
from letta_client.types.agents.message import Message

from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer, running_server
from tests.support.strict import validate
from tests.support.transcripts import Transcript, added_up, record

pytestmark = pytest.mark.slow

USAGE = {"prompt_tokens": 100, "completion_tokens": 7, "total_tokens": 107}
NOTE = FakeCall(name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea."}', id="call_1")
SEARCH = FakeCall(name="conversation_search", arguments='{"query": "tea"}', id="call_2")


@pytest.fixture(scope="module")
def anthropic() -> Iterator[FakeAnthropic]:
    with FakeAnthropic() as fake:
        yield fake


@pytest.fixture(scope="module")
def environment(provider: FakeOpenAI, anthropic: FakeAnthropic) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": "sk-test",
        "OPENAI_BASE_URL": provider.base_url,
        "ANTHROPIC_API_KEY": "sk-test",
        "ANTHROPIC_BASE_URL": anthropic.url,
        "ADE_LLM_RETRIES": "0",
    }


@pytest.fixture(scope="module")
def server(django_db_setup: None, environment: dict[str, str]) -> Iterator[RunningServer]:
    with running_server(environment) as running:
        yield running


class Wire:
    """An agent, and the bytes that its routes send."""

    def __init__(self, url: str, agent: Any) -> None:
        self.agent = agent
        self.client = httpx.Client(base_url=f"{url}/v1", timeout=30)

    @property
    def path(self) -> str:
        return f"/agents/{self.agent.id}/messages"

    def stream(self, **body: Any) -> Transcript:
        return record(self.client, self.path, {"input": "I like tea.", "streaming": True, **body})

    def resume(self, run_id: str, **body: Any) -> Transcript:
        return record(self.client, f"/runs/{run_id}/stream", body or None)

    def stored(self, run_id: str) -> list[dict[str, Any]]:
        """What the run has said, as lists have it."""
        listed = self.client.get(self.path).raise_for_status().json()
        for message in listed:
            validate(Message, message)
        return [
            message
            for message in listed
            if message["run_id"] == run_id
            and message["message_type"] not in ("user_message", "system_message")
        ]

    @contextmanager
    def open_stream(self, **body: Any) -> Iterator[Callable[[bytes], bytes]]:
        """A stream that is read in parts: the function reads until the mark, or to the end for b""."""
        asked = {"input": "I like tea.", "streaming": True, "stream_tokens": True, **body}
        with self.client.stream("POST", self.path, json=asked) as answer:
            pieces, read = answer.iter_raw(), b""

            def until(mark: bytes) -> bytes:
                nonlocal read
                while not mark or mark not in read:
                    if (piece := next(pieces, None)) is None:
                        break
                    read += piece
                return read

            yield until


@pytest.fixture
def wire(client: Letta, server: RunningServer, agent: Any) -> Iterator[Wire]:
    made = Wire(server.url, agent)
    with made.client:
        yield made


@pytest.fixture
def claude(client: Letta, server: RunningServer, anthropic: FakeAnthropic) -> Iterator[Wire]:
    made = Wire(server.url, client.agents.create(model="anthropic/claude-sonnet-4-5", memory_blocks=[HUMAN]))
    with made.client:
        yield made
    anthropic.replies.clear()


HUMAN: Any = {"label": "human", "value": "Name: Ada"}


# What the messages of a transcript look like with short names; a message that is not given fields has nulls.


def told(kind: str, message: int, k: int, *, step: int = 1, **fields: Any) -> dict[str, Any]:
    return {
        "id": f"message-{message}",
        "date": "date",
        "name": None,
        "message_type": kind,
        "otid": f"message-{message}.{k}",
        "sender_id": None,
        "step_id": f"step-{step}",
        "is_err": None,
        "seq_id": None,
        "run_id": "run-1",
        **fields,
    }


def said(content: str, message: int, k: int, **fields: Any) -> dict[str, Any]:
    return told("assistant_message", message, k, content=content, **fields)


def thought(
    reasoning: str, message: int, k: int, *, signature: str | None = None, **fields: Any
) -> dict[str, Any]:
    return told(
        "reasoning_message",
        message,
        k,
        source="reasoner_model",
        reasoning=reasoning,
        signature=signature,
        **fields,
    )


def piece(message: int, k: int, *, call: dict[str, str], **fields: Any) -> dict[str, Any]:
    return told("tool_call_message", message, k, tool_call=call, tool_calls=call, **fields)


def calls(message: int, k: int, *made: FakeCall, **fields: Any) -> dict[str, Any]:
    listed = [{"name": call.name, "arguments": call.arguments, "tool_call_id": call.id} for call in made]
    return told("tool_call_message", message, k, tool_call=listed[0], tool_calls=listed, **fields)


def returns(message: int, *returned: tuple[str, str], **fields: Any) -> dict[str, Any]:
    listed = [
        {
            "type": "tool",
            "tool_call_id": call_id,
            "status": "success",
            "tool_return": text,
            "stdout": None,
            "stderr": None,
        }
        for call_id, text in returned
    ]
    first: dict[str, Any] = {key: value for key, value in listed[0].items() if key != "type"}
    return told("tool_return_message", message, 0, **first, tool_returns=listed, **fields)


PING = {
    "id": "ping",
    "date": "date",
    "name": None,
    "message_type": "ping",
    "otid": None,
    "sender_id": None,
    "step_id": None,
    "is_err": None,
    "seq_id": None,
    "run_id": "run-1",
}


def ending(reason: str = "end_turn", **usage: Any) -> list[dict[str, Any]]:
    counted = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "total_tokens": 107,
        "step_count": 1,
        "run_ids": None,
        "cached_input_tokens": None,
        "cache_write_tokens": None,
        "reasoning_tokens": None,
        "context_tokens": 107,
    }
    return [
        {"message_type": "stop_reason", "stop_reason": reason},
        {"message_type": "usage_statistics", **counted, **usage},
    ]


def without(messages: list[dict[str, Any]], *fields: str) -> list[dict[str, Any]]:
    return [{key: value for key, value in message.items() if key not in fields} for message in messages]


def test_a_plain_answer_is_what_its_type_says(wire: Wire, provider: FakeOpenAI) -> None:
    provider.enqueue(
        FakeReply(text="One moment.", calls=(NOTE, SEARCH)),
        FakeReply(reasoning="Hm.", text="Done.", usage=USAGE),
    )
    answer = wire.client.post(wire.path, json={"input": "I like tea."}).raise_for_status().json()
    validate(LettaResponse, answer, extra=["message_type"])
    assert [message["message_type"] for message in answer["messages"]] == [
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "reasoning_message",
        "assistant_message",
    ]
    assert added_up(answer["messages"]) == added_up(wire.stored(answer["messages"][0]["run_id"]))


def test_steps_are_streamed_as_whole_messages(wire: Wire, provider: FakeOpenAI) -> None:
    provider.enqueue(
        FakeReply(reasoning="A note.", text="One moment.", calls=(NOTE, SEARCH), usage=USAGE),
        FakeReply(text="All noted.", usage=USAGE),
    )
    stream = wire.stream()
    stream.check()
    noted, searched = (each["tool_return"] for each in stream.of("tool_return_message")[0]["tool_returns"])
    assert stream.named() == [
        PING,
        thought("A note.", 1, 0),
        said("One moment.", 1, 1),
        calls(1, 2, NOTE, SEARCH),
        returns(2, ("call_1", noted), ("call_2", searched)),
        said("All noted.", 3, 0, step=2),
        *ending(prompt_tokens=200, completion_tokens=14, total_tokens=214, step_count=2),
    ]
    assert without(stream.messages[1:-2]) == without(wire.stored(stream.run_id))


def test_tokens_are_streamed_in_pieces_that_add_up_to_what_is_stored(
    wire: Wire, provider: FakeOpenAI
) -> None:
    provider.enqueue(FakeReply(reasoning="Tea, tea.", text="You like tea.", usage=USAGE))
    stream = wire.stream(stream_tokens=True)
    stream.check()
    assert stream.named() == [
        PING,
        thought("Tea, ", 1, 0),
        thought("tea.", 1, 0),
        said("You ", 1, 1),
        said("like ", 1, 1),
        said("tea.", 1, 1),
        *ending(),
    ]
    assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))


def test_parallel_calls_are_told_under_one_id_and_return_in_one_message(
    wire: Wire, provider: FakeOpenAI
) -> None:
    provider.enqueue(FakeReply(calls=(NOTE, SEARCH), usage=USAGE), FakeReply(text="Done.", usage=USAGE))
    stream = wire.stream(stream_tokens=True)
    stream.check()
    noted, searched = (each["tool_return"] for each in stream.of("tool_return_message")[0]["tool_returns"])
    assert stream.named() == [
        PING,
        piece(1, 0, call={"name": "memory_insert", "tool_call_id": "call_1"}),
        *(
            piece(1, 0, call={"arguments": text, "tool_call_id": "call_1"})
            for text in ('{"label": ', '"human", ', '"new_string": ', '"Likes ', 'tea."}')
        ),
        piece(1, 0, call={"name": "conversation_search", "tool_call_id": "call_2"}),
        *(
            piece(1, 0, call={"arguments": text, "tool_call_id": "call_2"})
            for text in ('{"query": ', '"tea"}')
        ),
        returns(2, ("call_1", noted), ("call_2", searched)),
        said("Done.", 3, 0, step=2),
        *ending(prompt_tokens=200, completion_tokens=14, total_tokens=214, step_count=2),
    ]
    assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))


def test_a_call_of_anthropics_names_its_tool_in_each_piece(claude: Wire, anthropic: FakeAnthropic) -> None:
    anthropic.enqueue(
        FakeReply(reasoning="Look it up.", signature="sig", text="One moment.", calls=(SEARCH,)),
        FakeReply(text="Done."),
    )
    stream = claude.stream(stream_tokens=True)
    stream.check()
    [returned] = stream.of("tool_return_message")
    assert stream.named()[1:-2] == [
        thought("Look ", 1, 0),
        thought("it ", 1, 0),
        thought("up.", 1, 0),
        said("One ", 1, 1),
        said("moment.", 1, 1),
        piece(1, 2, call={"name": "conversation_search", "tool_call_id": "call_2"}),
        *(
            piece(1, 2, call={"name": "conversation_search", "arguments": text, "tool_call_id": "call_2"})
            for text in ('{"query": ', '"tea"}')
        ),
        returns(2, ("call_2", returned["tool_return"])),
        said("Done.", 3, 0, step=2),
    ]
    stored = claude.stored(stream.run_id)
    assert added_up(stream.messages[1:-2]) == added_up(stored)
    # A piece has no signature; the stored message has.
    assert stored[0]["signature"] == "sig"


def test_reasoning_out_of_sight_is_said_once_and_first(
    client: Letta, server: RunningServer, provider: FakeOpenAI
) -> None:
    wire = Wire(server.url, client.agents.create(model="openai/o4-mini", memory_blocks=[HUMAN]))
    with wire.client:
        for stream_tokens in (True, False):
            provider.enqueue(FakeReply(text="Forty-two.", usage=USAGE))
            stream = wire.stream(stream_tokens=stream_tokens)
            stream.check()
            assert stream.named() == [
                PING,
                told("hidden_reasoning_message", 1, 0, state="omitted", hidden_reasoning=None),
                said("Forty-two.", 1, 1),
                *ending(),
            ]
            assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))


def test_redacted_reasoning_comes_with_its_blob(claude: Wire, anthropic: FakeAnthropic) -> None:
    anthropic.enqueue(FakeReply(redacted="c2VjcmV0", text="Done."))
    stream = claude.stream(stream_tokens=True)
    stream.check()
    assert stream.named()[1:-2] == [
        told("hidden_reasoning_message", 1, 0, state="redacted", hidden_reasoning="c2VjcmV0"),
        said("Done.", 1, 1),
    ]
    assert added_up(stream.messages[1:-2]) == added_up(claude.stored(stream.run_id))


@pytest.mark.parametrize("stream_tokens", [True, False])
def test_chosen_types_leave_the_frame(wire: Wire, provider: FakeOpenAI, stream_tokens: bool) -> None:
    provider.enqueue(
        FakeReply(reasoning="Hm.", text="So.", calls=(SEARCH,), usage=USAGE),
        FakeReply(text="Done.", usage=USAGE),
    )
    stream = wire.stream(
        stream_tokens=stream_tokens, include_return_message_types=["tool_return_message", "reasoning_message"]
    )
    stream.check()
    assert stream.types == [
        "ping",
        "reasoning_message",
        "tool_return_message",
        "stop_reason",
        "usage_statistics",
    ]


def test_without_pings_a_stream_begins_with_its_first_message(wire: Wire, provider: FakeOpenAI) -> None:
    provider.enqueue(FakeReply(text="Hello.", usage=USAGE))
    stream = wire.stream(include_pings=False)
    stream.check(has_pings=False)
    assert stream.named() == [said("Hello.", 1, 0), *ending()]


def test_a_tool_call_id_that_comes_again_is_replaced(wire: Wire, provider: FakeOpenAI) -> None:
    """Some local servers give every call the same id; a history with one id twice is refused by others."""
    again = FakeCall(name="conversation_search", arguments='{"query": "milk"}', id="call_2")
    provider.enqueue(
        FakeReply(calls=(SEARCH, again), usage=USAGE),
        FakeReply(calls=(SEARCH,), usage=USAGE),
        FakeReply(text="Done.", usage=USAGE),
    )
    stream = wire.stream(stream_tokens=True)
    stream.check()
    ids = [
        [each["tool_call_id"] for each in message["tool_returns"]]
        for message in stream.of("tool_return_message")
    ]
    assert [len(each) for each in ids] == [2, 1]
    assert len({call_id for each in ids for call_id in each}) == 3
    assert ids[0][0] == "call_2"
    assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))


def test_a_request_that_cannot_work_is_an_error_before_the_stream(wire: Wire, provider: FakeOpenAI) -> None:
    asked = len(provider.bodies)
    for body, status in (
        ({"input": ""}, 400),
        ({"input": "x", "override_model": "openai/nothing"}, 404),
        ({}, 422),
        ({"input": "x", "background": True, "streaming": False}, 422),
    ):
        answer = wire.client.post(wire.path, json={"streaming": True, **body})
        assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
        assert answer.json()["detail"]
    assert len(provider.bodies) == asked, "nobody was asked"


@pytest.mark.parametrize(
    ("status", "kind"), [(401, "llm_authentication"), (429, "llm_rate_limit"), (500, "llm_error")]
)
def test_a_model_that_refuses_ends_the_stream_with_its_reason(
    wire: Wire, provider: FakeOpenAI, status: int, kind: str
) -> None:
    provider.enqueue(FakeReply(status=status, error="The provider's own words."))
    stream = wire.stream(stream_tokens=True)
    stream.check()
    assert stream.types == ["ping", "stop_reason", "error_message"]
    assert stream.messages[1] == {"message_type": "stop_reason", "stop_reason": "llm_api_error"}
    error = stream.messages[2]
    assert (error["run_id"], error["error_type"], error["seq_id"]) == (stream.run_id, kind, None)
    assert "The provider's own words." in f"{error['message']} {error['detail']}"
    run = wire.client.get(f"/runs/{stream.run_id}").json()
    assert (run["status"], run["stop_reason"]) == ("failed", "llm_api_error")
    # What the row has is what the reader was told.
    assert {key: run["metadata"]["error"][key] for key in ("error_type", "message", "detail")} == {
        key: error[key] for key in ("error_type", "message", "detail")
    }


def test_a_model_that_breaks_off_ends_the_stream_after_what_it_said(wire: Wire, provider: FakeOpenAI) -> None:
    provider.enqueue(FakeReply(text="I was about to say", drop_after=4))
    stream = wire.stream(stream_tokens=True)
    stream.check()
    assert stream.named()[:-2] == [PING, said("I ", 1, 0), said("was ", 1, 0), said("about ", 1, 0)]
    assert stream.types[-2:] == ["stop_reason", "error_message"]
    assert wire.client.get(f"/runs/{stream.run_id}").json()["status"] == "failed"
    assert wire.stored(stream.run_id) == []


def test_a_cancel_in_mid_stream_ends_it_and_stores_what_was_said(wire: Wire, provider: FakeOpenAI) -> None:
    provider.enqueue(FakeReply(text="Let me think about it.", hang_after=4))
    with wire.open_stream() as until:
        until(b'"think ')
        cancelled = wire.client.post(f"{wire.path}/cancel").raise_for_status().json()
        stream = Transcript(until(b""))
    stream.check()
    assert set(cancelled.values()) == {"cancelled"}
    assert stream.named() == [
        PING,
        said("Let ", 1, 0),
        said("me ", 1, 0),
        said("think ", 1, 0),
        *ending(
            "cancelled",
            prompt_tokens=0,
            completion_tokens=0,
            total_tokens=0,
            step_count=0,
            context_tokens=None,
        ),
    ]
    assert added_up(stream.messages[1:-2]) == added_up(wire.stored(stream.run_id))
    assert wire.client.get(f"/runs/{stream.run_id}").json()["status"] == "cancelled"


class TestBackground:
    """A background run is numbered; a reader comes back to it, also on another server."""

    @pytest.fixture
    def another(self, provider: FakeOpenAI) -> dict[str, str]:
        """What a further server has in its environment."""
        return {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": provider.base_url,
            "ADE_JOB_WORKER": "1",
            "ADE_LEASE_SECONDS": "3",
        }

    @pytest.fixture
    def working(self, wire: Wire, another: dict[str, str]) -> Iterator[Wire]:
        """The agent on a server that works on runs of the background; the others' does not."""
        with running_server(another) as running, Wire(running.url, wire.agent).client as client:
            wire.client, before = client, wire.client
            yield wire
            wire.client = before

    def first(self, working: Wire, provider: FakeOpenAI) -> Transcript:
        provider.enqueue(
            FakeReply(reasoning="Hm, hm.", text="One moment.", calls=(NOTE, SEARCH), usage=USAGE),
            FakeReply(text="All noted.", usage=USAGE),
        )
        stream = working.stream(stream_tokens=True, background=True)
        stream.check()
        return stream

    def test_messages_are_numbered_and_the_frame_is_not(self, working: Wire, provider: FakeOpenAI) -> None:
        stream = self.first(working, provider)
        named = stream.named()
        assert named[0] == PING
        assert {message["seq_id"] for message in named[1:-2]} == {"n"}
        assert stream.messages[1]["seq_id"] >= 1
        assert all("seq_id" not in message for message in named[-2:])
        assert added_up(stream.messages[1:-2]) == added_up(working.stored(stream.run_id))

    def test_a_reader_goes_on_after_each_number(self, working: Wire, provider: FakeOpenAI) -> None:
        stream = self.first(working, provider)
        whole = working.resume(stream.run_id)
        whole.check()
        assert without(whole.messages[1:], "date") == without(stream.messages[1:], "date")
        for at, message in enumerate(stream.messages[1:-2], 1):
            rest = working.resume(stream.run_id, starting_after=message["seq_id"])
            rest.check()
            assert rest.messages[0]["seq_id"] == message["seq_id"]
            assert without(rest.messages[1:], "date") == without(stream.messages[at + 1 :], "date")

    def test_the_real_client_resumes(self, working: Wire, client: Letta, provider: FakeOpenAI) -> None:
        stream = self.first(working, provider)
        at = stream.messages[3]["seq_id"]
        read: list[Any] = list(
            client.runs.messages.stream(
                stream.run_id,
                starting_after=at,
                include_pings=False,
                poll_interval=0.1,
                batch_size=10,
                agent_id=working.agent.id,
                body_run_id=stream.run_id,
                otid=None,
            )
        )
        assert [each.message_type for each in read] == stream.types[4:]

    def test_a_reader_goes_on_at_a_server_that_was_started_since(
        self, working: Wire, provider: FakeOpenAI, another: dict[str, str]
    ) -> None:
        with running_server(another) as first:
            working.client.base_url = f"{first.url}/v1"
            stream = self.first(working, provider)
        with running_server(another) as second:
            working.client.base_url = f"{second.url}/v1"
            whole = working.resume(stream.run_id)
            rest = working.resume(
                stream.run_id, starting_after=stream.messages[5]["seq_id"], include_pings=False
            )
        whole.check()
        rest.check(has_pings=False)
        assert without(whole.messages[1:], "date") == without(stream.messages[1:], "date")
        assert without(rest.messages, "date") == without(stream.messages[6:], "date")

    def test_a_server_that_stops_lets_its_readers_go_and_the_next_one_goes_on(
        self, wire: Wire, provider: FakeOpenAI, another: dict[str, str]
    ) -> None:
        provider.enqueue(FakeReply(text="This is going to take", hang_after=4), FakeReply(text="At last."))
        with running_server(another) as first:
            wire.client.base_url = f"{first.url}/v1"
            with wire.open_stream(background=True) as until:
                until(b'"going ')
                first.process.terminate()
                stream = Transcript(until(b""))
        stream.check()
        assert stream.types[-3:] == ["assistant_message", "stop_reason", "error_message"]
        assert stream.messages[-1]["error_type"] == "stream_incomplete"
        self.goes_on(wire, another, stream.run_id, last=stream.messages[-3]["seq_id"])

    def test_a_reader_of_a_killed_server_is_told_the_rest_by_the_next_one(
        self, wire: Wire, provider: FakeOpenAI, another: dict[str, str]
    ) -> None:
        provider.enqueue(FakeReply(text="This is going to take", hang_after=4), FakeReply(text="At last."))
        with running_server(another) as first:
            wire.client.base_url = f"{first.url}/v1"
            with wire.open_stream(background=True) as until:
                read = until(b'"going ')
                first.process.kill()
                first.process.wait()
        seen = [
            json.loads(line.removeprefix(b"data: "))
            for line in read.split(b"\n\n")
            if line.startswith(b"data: ")
        ]
        self.goes_on(wire, another, seen[0]["run_id"], last=seen[-1]["seq_id"])

    def goes_on(self, wire: Wire, environment: dict[str, str], run_id: str, *, last: int) -> None:
        """The next server tells the step that it made anew, and what the first one had begun is not in the list."""
        with running_server(environment) as second:
            wire.client.base_url = f"{second.url}/v1"
            rest = wire.resume(run_id, starting_after=last)
            rest.check()
            said = [each for each in rest.messages if each["message_type"] == "assistant_message"]
            assert "".join(each["content"] for each in said) == "At last."
            assert rest.types[-2:] == ["stop_reason", "usage_statistics"]
            assert min(each["seq_id"] for each in said) > last
            assert [each["content"] for each in wire.stored(run_id)] == ["At last."]

    def test_a_reader_at_another_server_is_told_what_happens_at_the_first(
        self, working: Wire, provider: FakeOpenAI, another: dict[str, str]
    ) -> None:
        """Two processes on one database: the events come through the table, announced by notices."""
        provider.enqueue(FakeReply(text="Let me think about it.", hang_after=4))
        with running_server(another) as second, working.open_stream(background=True) as until:
            run_id = json.loads(until(b"\n\n").split(b"\n\n")[0].removeprefix(b"data: "))["run_id"]
            until(b'"think ')
            there = Wire(second.url, working.agent)
            found: list[Transcript] = []
            reading = threading.Thread(target=lambda: found.append(there.resume(run_id)))
            reading.start()
            working.client.post(f"{working.path}/cancel").raise_for_status()
            here = Transcript(until(b""))
            # Less than a reader waits before it looks without a notice.
            reading.join(10)
            there.client.close()
        [elsewhere] = found
        elsewhere.check()
        assert without(elsewhere.messages[1:], "date") == without(here.messages[1:], "date")
