"""Streams of a run over REST: framing, order, ids, errors, resuming (spec/streaming.md)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from django.utils import timezone

from agents.api.sse import Reader, sse_stream
from agents.api.streaming import Format
from agents.models import Agent, Run, RunLease
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.errors import ModelConnection
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import (
    ScriptedModel,
    error,
    gate,
    hang,
    hidden_reasoning,
    installed,
    reasoning,
    text,
    tool_call,
)
from memory.services.blocks import BlockDraft
from tests.support.api import asgi_client, events_of
from tests.support.factories import make_caller
from tests.support.transcripts import added_up
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(model=model.handle, blocks=(BlockDraft(label="human", value="Nothing yet."),))
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


def read(body: str) -> list[dict[str, Any]]:
    """The messages of a stream; checks its end."""
    events = events_of(body)
    assert events[-1] == ("", "[DONE]")
    assert {name for name, _ in events} <= {"", "error"}
    return [json.loads(data) for _, data in events[:-1]]


def types(messages: list[dict[str, Any]]) -> list[str]:
    return [message["message_type"] for message in messages]


def once_called(called: asyncio.Event, *pieces: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """A reply that says when the model was asked for it."""

    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return list(pieces)

    return reply


TURN: list[list[Any]] = [
    [
        reasoning("Let me note this."),
        text("One moment, please."),
        tool_call("memory_insert", label="human", new_string="Likes tea."),
        tool_call("conversation_search", query="tea"),
    ],
    [hidden_reasoning(), text("All noted — and I'll remember it.")],
]


async def post(api: httpx.AsyncClient, agent: Agent, **body: Any) -> httpx.Response:
    said = {} if "messages" in body else {"input": "I like tea."}
    return await api.post(f"/agents/{agent.id}/messages", json={**said, "streaming": True, **body})


async def test_a_stream_has_its_headers_and_its_frames(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hello there."))
    answer = await post(api, agent)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    assert all(line.startswith("data: ") for line in answer.text.split("\n\n") if line), (
        "one line of data an event, and no name"
    )


async def test_steps_are_told_whole_and_in_order(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(*TURN)
    messages = read((await post(api, agent)).text)
    assert types(messages) == [
        "ping",
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "hidden_reasoning_message",
        "assistant_message",
        "stop_reason",
        "usage_statistics",
    ]
    assert len(messages[3]["tool_calls"]) == len(messages[4]["tool_returns"]) == 2
    assert messages[-2] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert messages[-1]["step_count"] == 2
    run = await threads.run(Run.objects.get)
    assert {message["run_id"] for message in messages[:-2]} == {run.id}
    assert all(message["seq_id"] is None for message in messages[:-2])


async def test_tokens_put_together_are_the_stored_messages(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(*TURN)
    messages = read((await post(api, agent, stream_tokens=True)).text)
    pieces = [message for message in messages if message["message_type"] == "assistant_message"]
    assert len(pieces) > 4
    assert len({message["id"] for message in pieces}) == 2
    stored = (await api.get(f"/agents/{agent.id}/messages")).json()[2:]
    assert added_up(messages[1:-2]) == added_up(stored)
    calls = [message["tool_call"] for message in messages if message["message_type"] == "tool_call_message"]
    assert all(call["tool_call_id"] for call in calls)
    assert [call["name"] for call in calls if "name" in call] == ["memory_insert", "conversation_search"]


async def test_a_tool_return_comes_before_the_next_steps_words(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(*TURN)
    kinds = types(read((await post(api, agent, stream_tokens=True)).text))
    at = kinds.index("tool_return_message")
    assert "tool_call_message" not in kinds[at:]
    assert kinds[at + 1] == "hidden_reasoning_message"


async def test_chosen_types_never_hide_the_frame(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(*TURN)
    chosen = {"include_return_message_types": ["tool_return_message"], "stream_tokens": True}
    messages = read((await post(api, agent, **chosen)).text)
    assert types(messages) == ["ping", "tool_return_message", "stop_reason", "usage_statistics"]


async def test_pings_can_be_left_out(api: httpx.AsyncClient, agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi."))
    assert "ping" not in types(read((await post(api, agent, include_pings=False)).text))


async def test_a_broken_model_ends_with_stop_reason_and_a_named_error(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(
        [text("I was about to"), error(ModelConnection("The connection broke.", detail="reset by peer"))]
    )
    answer = await post(api, agent, stream_tokens=True)
    events = events_of(answer.text)
    assert [name for name, _ in events][-3:] == ["", "error", ""]
    assert json.loads(events[-3][1]) == {"message_type": "stop_reason", "stop_reason": "llm_api_error"}
    run = await threads.run(Run.objects.get)
    assert json.loads(events[-2][1]) == {
        "message_type": "error_message",
        "run_id": run.id,
        "error_type": "llm_error",
        "message": "The connection broke.",
        "detail": "reset by peer",
        "seq_id": None,
    }
    assert run.status == "failed"
    assert "usage_statistics" not in answer.text


async def test_what_is_wrong_before_the_first_byte_is_a_plain_error(
    api: httpx.AsyncClient, agent: Agent
) -> None:
    for body, status in (
        ({"input": ""}, 400),
        ({"override_model": "demo/no"}, 404),
        ({"max_steps": 0}, 422),
    ):
        answer = await post(api, agent, **body)
        assert answer.status_code == status
        assert answer.headers["content-type"] == "application/json"
    answer = await api.post(
        f"/agents/{new_id('agent')}/messages/stream", json={"input": "x", "stream_tokens": True}
    )
    assert answer.status_code == 404


async def test_the_deprecated_route_always_streams(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi."))
    answer = await api.post(f"/agents/{agent.id}/messages/stream", json={"input": "x"})
    assert "assistant_message" in types(read(answer.text))


async def test_a_cancelled_run_ends_its_stream_and_keeps_what_was_said(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, text("Let me think"), gate(asyncio.Event())))
    streaming = asyncio.create_task(post(api, agent, stream_tokens=True))
    await called.wait()
    await api.post(f"/agents/{agent.id}/messages/cancel")
    messages = read((await streaming).text)
    stop = messages[types(messages).index("stop_reason")]
    assert stop["stop_reason"] == "cancelled"
    said = [message for message in messages if message["message_type"] == "assistant_message"]
    stored = (await api.get(f"/agents/{agent.id}/messages")).json()
    assert added_up(said) == added_up(
        [each for each in stored if each["message_type"] == "assistant_message"]
    )


async def start(agent: Agent, **fields: Any) -> str:
    caller = await threads.run(make_caller)
    message = InputMessage(role="user", content=(TextPart(text="Hi"),))
    request = RunRequest(agent_id=agent.id, messages=(message,), **fields)
    return (await execution.start_run(caller=caller, request=request)).run_id


async def test_a_reader_that_leaves_does_not_stop_the_run(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    go_on = asyncio.Event()
    model.add([text("One"), gate(go_on), text(" two.")])
    run_id = await start(agent)
    stream = sse_stream(Reader(run_id=run_id, format=Format(stream_tokens=True)))
    while b"assistant_message" not in await anext(stream):
        pass
    await stream.aclose()
    go_on.set()
    rest = [frame async for frame in sse_stream(Reader(run_id=run_id, format=Format()))]
    assert b"One two." in b"".join(rest)
    assert model.broken_off == 0


async def test_a_silent_model_is_bridged_by_pings(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.KEEPALIVE_SECONDS = 0.01
    go_on = asyncio.Event()
    model.add([gate(go_on), text("Here I am.")])
    run_id = await start(agent)
    pings = 0
    async for frame in sse_stream(Reader(run_id=run_id, format=Format())):
        pings += frame.count(b'"ping"')
        if pings == 3:
            go_on.set()
    assert pings >= 3


async def test_pings_come_also_while_the_model_speaks_and_this_reader_is_told_nothing(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.KEEPALIVE_SECONDS = 0.02
    model._word_seconds = 0.005
    model.add(text("word " * 40))
    kinds = types(read((await post(api, agent)).text))
    assert kinds.count("ping") > 3
    assert kinds[-3:] == ["assistant_message", "stop_reason", "usage_statistics"]


async def test_without_pings_a_silent_model_leaves_the_stream_silent(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.KEEPALIVE_SECONDS = 0.005
    model._word_seconds = 0.005
    model.add(text("word " * 10))
    answer = await post(api, agent, include_pings=False)
    assert types(read(answer.text)) == ["assistant_message", "stop_reason", "usage_statistics"]


async def test_a_run_that_tells_nothing_for_too_long_is_failed_and_every_reader_is_told_why(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.KEEPALIVE_SECONDS, settings.STREAM_SILENCE_SECONDS = 0.01, 0.05
    model.add(hang())
    run_id = await start(agent)
    readers = [sse_stream(Reader(run_id=run_id, format=Format())) for _ in range(2)]
    bodies = await asyncio.gather(*(whole(reader) for reader in readers))
    for body in bodies:
        messages = read(body)
        assert types(messages)[-2:] == ["stop_reason", "error_message"]
        assert set(types(messages)[:-2]) == {"ping"}
        assert messages[-1]["error_type"] == "stream_incomplete"
        assert "told nothing" in messages[-1]["message"]
    run = await threads.run(Run.objects.get)
    assert (run.status, run.stop_reason) == ("failed", "error")
    assert run.metadata["error"]["message"] == messages[-1]["message"]
    assert not await threads.run(RunLease.objects.exists)
    model.add(text("The next message is answered."))
    assert "answered" in (await post(api, agent)).text


async def whole(stream: AsyncIterator[bytes]) -> str:
    return b"".join([frame async for frame in stream]).decode()


async def test_half_of_a_surrogate_pair_does_not_break_a_stream(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    """The model's reply then cannot be stored, which ends the run, but never its stream."""
    model.add(text("Half \ud83d"))
    messages = read((await post(api, agent, stream_tokens=True)).text)
    said = "".join(each["content"] for each in messages if each["message_type"] == "assistant_message")
    assert said == "Half \N{REPLACEMENT CHARACTER}"


class TestBackground:
    """A background run is numbered, and a reader can come back to it."""

    @pytest.fixture(autouse=True)
    async def worker(self, agent: Agent) -> AsyncIterator[None]:
        async with run_queue_worker():
            yield

    async def first(self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel) -> list[dict[str, Any]]:
        model.add(*TURN)
        return await self.ordered(api, agent, stream_tokens=True)

    async def ordered(self, api: httpx.AsyncClient, agent: Agent, **body: Any) -> list[dict[str, Any]]:
        return read((await post(api, agent, background=True, **body)).text)

    async def again(self, api: httpx.AsyncClient, run_id: str, body: Any = None) -> list[dict[str, Any]]:
        answer = await api.post(f"/runs/{run_id}/stream", json=body)
        assert answer.status_code == 200, answer.text
        return read(answer.text)

    async def test_numbers_rise_and_a_second_reader_gets_the_same(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        messages = await self.first(api, agent, model)
        numbers = [message["seq_id"] for message in messages[1:-2]]
        assert numbers == sorted(set(numbers))
        assert numbers[0] >= 1
        replayed = await self.again(api, messages[0]["run_id"])
        dates = {"date": None}
        assert [{**each, **dates} for each in replayed[1:]] == [{**each, **dates} for each in messages[1:]]

    async def test_a_reader_goes_on_anywhere_without_gap_or_repeat(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        messages = await self.first(api, agent, model)
        run_id = messages[0]["run_id"]
        pieces = messages[1:-2]
        for at, message in enumerate(pieces):
            rest = await self.again(
                api, run_id, {"starting_after": message["seq_id"], "include_pings": False}
            )
            assert [each["seq_id"] for each in rest[:-2]] == [each["seq_id"] for each in pieces[at + 1 :]]

    async def test_a_repeat_is_told_in_the_form_of_the_first_request(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        """The numbers belong to that form: a reader that changed it in between would get the wrong rest."""
        model.add(*TURN)
        message = {"role": "user", "content": "Tea.", "otid": "123e4567-e89b-42d3-8456-426614174000"}
        first = await self.ordered(api, agent, messages=[message], stream_tokens=True)
        again = read((await post(api, agent, messages=[message], background=True)).text)
        assert [each.get("seq_id") for each in again[1:]] == [each.get("seq_id") for each in first[1:]]

    async def test_a_repeat_of_a_request_whose_events_are_gone_is_410(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
    ) -> None:
        settings.EVENT_RETENTION_HOURS = 1
        model.add(text("Hi."))
        message = {"role": "user", "content": "Tea.", "otid": "123e4567-e89b-42d3-8456-426614174000"}
        await self.ordered(api, agent, messages=[message])
        await threads.run(Run.objects.update, created_at=timezone.now() - timedelta(hours=2))
        answer = await post(api, agent, messages=[message], background=True)
        assert answer.status_code == 410
        assert "1 hours" in answer.json()["detail"]

    async def test_the_body_may_be_empty_or_full_of_nulls(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        messages = await self.first(api, agent, model)
        run_id = messages[0]["run_id"]
        names = (
            "starting_after",
            "include_pings",
            "poll_interval",
            "batch_size",
            "run_id",
            "otid",
            "agent_id",
        )
        for body in (None, {}, dict.fromkeys(names)):
            again = await self.again(api, run_id, body)
            assert types(again) == types(messages)
        for bad in ({"starting_after": -1}, {"starting_after": "soon"}, {"include_pings": "maybe"}):
            assert (await api.post(f"/runs/{run_id}/stream", json=bad)).status_code == 422

    async def test_an_event_of_many_messages_has_rising_numbers(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        pieces = [
            piece for number in range(40) for piece in (reasoning(f"Hm {number}."), text(f"So {number}."))
        ]
        model.add(pieces)
        messages = await self.ordered(api, agent)
        numbers = [message["seq_id"] for message in messages[1:-2]]
        assert len(numbers) == 80
        assert numbers == sorted(set(numbers))
        at = numbers[50]
        rest = await self.again(api, messages[0]["run_id"], {"starting_after": at})
        assert [each["seq_id"] for each in rest[:-2]] == [at, *numbers[51:]]

    async def test_a_ping_carries_the_last_number(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
    ) -> None:
        settings.KEEPALIVE_SECONDS = 0.02
        go_on = asyncio.Event()
        model.add([text("One"), gate(go_on), text(" two.")])
        run_id = await start(agent)
        body = b""
        async for part in sse_stream(
            Reader(run_id=run_id, format=Format(stream_tokens=True), is_numbered=True)
        ):
            body += part
            if b'"ping"' in body.partition(b"One")[2]:
                go_on.set()
        messages = read(body.decode())
        assert messages[0]["seq_id"] is None
        said = types(messages).index("assistant_message")
        later = [message for message in messages[said + 1 :] if message["message_type"] == "ping"]
        assert {message["seq_id"] for message in later[:1]} == {messages[said]["seq_id"]}

    async def test_what_has_no_stream_to_come_back_to(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("Hi."))
        run_id = read((await post(api, agent)).text)[0]["run_id"]
        assert (await api.post(f"/runs/{run_id}/stream")).status_code == 400
        assert (await api.post(f"/runs/{new_id('run')}/stream")).status_code == 404
        old = timezone.now() - timedelta(hours=4)
        await threads.run(Run.objects.filter(id=run_id).update, background=True, created_at=old)
        assert (await api.post(f"/runs/{run_id}/stream")).status_code == 410
