"""Whole streams of the real server, field by field, and as letta-client reads them (spec/streaming.md §2 to §8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta
from letta_client.types.agents.letta_response import LettaResponse

from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer, running_server
from tests.support.strict import validate
from tests.support.transcripts import Transcript, added_up
from tests.support.wire import (
    NOTE,
    PING,
    SEARCH,
    USAGE,
    Wire,
    calls,
    ending,
    piece,
    returns,
    said,
    thought,
    told,
)

pytestmark = pytest.mark.slow

HUMAN: Any = {"label": "human", "value": "Name: Ada"}


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


@pytest.fixture
def claude(client: Letta, server: RunningServer, anthropic: FakeAnthropic) -> Iterator[Wire]:
    made = Wire(server.url, client.agents.create(model="anthropic/claude-sonnet-4-5", memory_blocks=[HUMAN]))
    with made.client:
        yield made
    anthropic.replies.clear()


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
    assert stream.messages[1:-2] == wire.stored(stream.run_id)


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
