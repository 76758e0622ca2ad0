"""What a request may ask for beside its messages: probabilities, steps, another model, types of messages."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest
from letta_client.types.agents import LettaResponse

from agents.models import Agent, Run, Step
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.llm.testing import ScriptedModel, ending, installed, reasoning, text, tool_call
from tests.support.api import asgi_client, events_of
from tests.support.factories import make_caller
from tests.support.strict import validate
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)

TOKEN = {"token": "Hi", "logprob": -0.5, "bytes": [72, 105], "top_logprobs": []}
OTHER = {"token": "Yo", "logprob": -2.5, "bytes": None}


@pytest.fixture
def model() -> ScriptedModel:
    return ScriptedModel()


@pytest.fixture
def other() -> ScriptedModel:
    return ScriptedModel(handle="test/other", context_window=9_000)


@pytest.fixture(autouse=True)
def _installed(model: ScriptedModel, other: ScriptedModel) -> Iterator[None]:
    with installed(model, other):
        yield


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    settings = {"temperature": 0.3, "max_output_tokens": 700, "parallel_tool_calls": False}
    return create_agent(caller=make_caller(), draft=AgentDraft(model=model.handle, model_settings=settings))


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


async def send(api: httpx.AsyncClient, agent: Agent, rest: str = "", **fields: Any) -> httpx.Response:
    return await api.post(f"/agents/{agent.id}/messages{rest}", json={"input": "Hello", **fields})


async def answer_to(api: httpx.AsyncClient, agent: Agent, **fields: Any) -> Any:
    answer = await send(api, agent, **fields)
    assert answer.status_code == 200, answer.text
    validate(LettaResponse, answer.json())
    return answer.json()


async def test_log_probabilities_of_the_last_call_come_with_the_answer(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    early = {"content": [{**TOKEN, "token": "early"}], "refusal": None}
    last = {"content": [{**TOKEN, "top_logprobs": [OTHER]}], "refusal": None}
    model.add(
        [tool_call("conversation_search", query="tea"), ending(logprobs=early)],
        [text("Hi"), ending(logprobs=last)],
    )
    body = await answer_to(api, agent, return_logprobs=True, top_logprobs=2)
    assert body["logprobs"] == last
    assert [(each.return_logprobs, each.top_logprobs) for each in model.requests] == [(True, 2)] * 2


async def test_nobody_gets_probabilities_that_nobody_asked_for(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi"))
    assert (await answer_to(api, agent))["logprobs"] is None
    assert not model.requests[0].return_logprobs


@pytest.mark.parametrize(
    "told",
    [
        {"content": [{"token": "Hi", "logprob": -0.5, "token_id": 7}]},
        {"content": [{"token": "Hi", "logprob": "likely"}]},
        {"content": "likely"},
    ],
)
async def test_what_a_server_says_its_own_way_does_not_spoil_the_answer(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, told: dict[str, Any]
) -> None:
    model.add([text("Hi"), ending(logprobs=told)])
    body = await answer_to(api, agent, return_logprobs=True)
    assert body["messages"][0]["content"] == "Hi"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"top_logprobs": 2}, "'top_logprobs' needs return_logprobs: true"),
        ({"top_logprobs": 2, "return_logprobs": False}, "'top_logprobs' needs return_logprobs: true"),
        ({"top_logprobs": -1, "return_logprobs": True}, "greater than or equal to 0"),
        ({"top_logprobs": 21, "return_logprobs": True}, "less than or equal to 20"),
        ({"max_steps": 0}, "greater than or equal to 1"),
    ],
)
@pytest.mark.parametrize("rest", ["", "/stream", "/async"])
async def test_what_means_nothing_is_refused_on_every_path(
    api: httpx.AsyncClient, agent: Agent, rest: str, fields: dict[str, Any], message: str
) -> None:
    answer = await send(api, agent, rest, **fields)
    assert answer.status_code == 422
    assert message in answer.json()["detail"]
    assert not await threads.run(Run.objects.exists)


async def test_a_run_takes_as_many_steps_as_it_may(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    call = tool_call("conversation_search", query="tea")
    model.add(call, call)
    body = await answer_to(api, agent, max_steps=2)
    assert (body["stop_reason"]["stop_reason"], body["usage"]["step_count"]) == ("max_steps", 2)
    settings.DEFAULT_MAX_STEPS = 1
    model.add(call)
    body = await answer_to(api, agent, max_steps=None)
    assert (body["stop_reason"]["stop_reason"], body["usage"]["step_count"]) == ("max_steps", 1)


async def test_another_model_for_one_request_brings_its_own_settings_and_window(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, other: ScriptedModel
) -> None:
    model.add(text("Mine."))
    other.add(text("Theirs."))
    await answer_to(api, agent)
    await answer_to(api, agent, override_model=other.handle)
    [own], [borrowed] = model.requests, other.requests
    assert (own.temperature, own.max_output_tokens) == (0.3, 700)
    assert (borrowed.temperature, borrowed.parallel_tool_calls) == (1.0, False)
    assert borrowed.max_output_tokens != 700
    steps = await threads.run(lambda: list(Step.objects.order_by("created_at")))
    assert [(step.model_handle, step.context_window_limit) for step in steps] == [
        ("test/scripted", 32_000),
        ("test/other", 9_000),
    ]
    unknown = await send(api, agent, override_model="test/nobody")
    assert unknown.status_code == 404


async def test_a_message_must_fit_the_model_that_is_to_read_it(
    api: httpx.AsyncClient, agent: Agent, other: ScriptedModel
) -> None:
    answer = await send(api, agent, input="word " * 12_000, override_model=other.handle)
    assert answer.status_code == 400
    assert "9,000" in answer.json()["detail"]


async def test_only_wanted_types_are_told_on_every_path(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    for _ in range(5):
        model.add([reasoning("Hm."), text("Hi")])
    wanted = {"include_return_message_types": ["assistant_message"]}

    def told(body: str) -> set[str]:
        frames = [json.loads(data) for _, data in events_of(body) if data != "[DONE]"]
        return {frame["message_type"] for frame in frames} - {"ping", "stop_reason", "usage_statistics"}

    plain = await answer_to(api, agent, **wanted)
    assert {each["message_type"] for each in plain["messages"]} == {"assistant_message"}
    for fields in ({}, {"stream_tokens": True}):
        answer = await send(api, agent, "/stream", **fields, **wanted)
        assert told(answer.text) == {"assistant_message"}
    async with run_queue_worker():
        background = await send(api, agent, "/stream", background=True, **wanted)
        assert told(background.text) == {"assistant_message"}
        run = (await send(api, agent, "/async", **wanted)).json()
        resumed = await api.post(f"/runs/{run['id']}/stream")
    assert told(resumed.text) == {"assistant_message"}
    assert run["request_config"]["include_return_message_types"] == ["assistant_message"]


async def test_a_queued_request_keeps_what_it_asked_for(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi"))
    run = (await send(api, agent, "/async", return_logprobs=True, top_logprobs=3)).json()
    async with run_queue_worker():
        await api.post(f"/runs/{run['id']}/stream")
    assert (model.requests[0].return_logprobs, model.requests[0].top_logprobs) == (True, 3)
