"""An agent of the heartbeat loop as clients see it: plain, streamed and listed, all the same."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from agents.models import Agent
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.llm.testing import ScriptedModel, installed, reasoning, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.api import asgi_client, events_of
from tests.support.factories import make_caller
from tests.support.transcripts import added_up

pytestmark = pytest.mark.django_db(transaction=True)

WORDS = 'Hello Ada, "welcome"\nback – ü'


@pytest.fixture
async def model() -> AsyncIterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
async def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        name="Ada's",
        agent_type="memgpt_agent",
        model=model.handle,
        blocks=(BlockDraft(label="human", value="Ada"),),
        initial_messages=(),
    )
    return await threads.run(lambda: create_agent(caller=make_caller(), draft=draft))


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


def two_steps(model: ScriptedModel) -> None:
    """It thinks and remembers, asks to go on, and then speaks."""
    model.add(
        [
            reasoning("Deep down."),
            text("I note the name."),
            tool_call("core_memory_append", label="human", content="Likes tea", request_heartbeat=True),
        ],
        [text("Now I greet."), tool_call("send_message", message=WORDS)],
    )


async def ask(api: httpx.AsyncClient, agent: Agent, **body: Any) -> httpx.Response:
    answer = await api.post(f"/agents/{agent.id}/messages", json={"input": "I like tea.", **body})
    assert answer.status_code == 200, answer.text
    return answer


async def listed(api: httpx.AsyncClient, agent: Agent, **query: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await api.get(f"/agents/{agent.id}/messages", params=query)).json()
    return found


def kinds(messages: list[dict[str, Any]]) -> list[str]:
    return [message["message_type"] for message in messages]


async def test_a_plain_answer_has_thoughts_calls_and_words(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    two_steps(model)
    body = (await ask(api, agent)).json()
    assert kinds(body["messages"]) == [
        "reasoning_message",
        "reasoning_message",
        "tool_call_message",
        "tool_return_message",
        "reasoning_message",
        "assistant_message",
    ]
    assert [each["source"] for each in body["messages"] if "source" in each] == [
        "reasoner_model",
        "non_reasoner_model",
        "non_reasoner_model",
    ]
    assert body["messages"][-1]["content"] == WORDS
    assert body["stop_reason"]["stop_reason"] == "tool_rule"
    assert body["usage"]["step_count"] == 2


async def test_the_list_tells_the_same_and_shows_the_heartbeat(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    two_steps(model)
    said = (await ask(api, agent)).json()["messages"]
    found = await listed(api, agent)
    assert [each for each in found if each["message_type"] not in ("system_message", "user_message")] == said
    users = [each["content"] for each in found if each["message_type"] == "user_message"]
    assert users[0] == "I like tea."
    heartbeat = json.loads(users[1])
    assert heartbeat["type"] == "heartbeat"
    assert heartbeat.keys() == {"type", "reason", "time"}


async def test_the_runs_and_steps_lists_tell_the_same(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    two_steps(model)
    said = (await ask(api, agent)).json()["messages"]
    of_run = (await api.get(f"/runs/{said[0]['run_id']}/messages")).json()
    assert [each for each in of_run if each["message_type"] not in ("system_message", "user_message")] == said
    of_step = (await api.get(f"/steps/{said[-1]['step_id']}/messages")).json()
    assert kinds(of_step) == ["reasoning_message", "assistant_message"]


async def test_a_token_stream_says_the_words_as_they_come(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    two_steps(model)
    answer = await ask(api, agent, streaming=True, stream_tokens=True)
    messages = [json.loads(data) for _, data in events_of(answer.text) if data != "[DONE]"]
    pieces = [each for each in messages if each["message_type"] == "assistant_message"]
    assert len(pieces) > 2
    assert "".join(each["content"] for each in pieces) == WORDS
    assert "send_message" not in answer.text
    stored = [
        each
        for each in await listed(api, agent)
        if each["message_type"] not in ("system_message", "user_message")
    ]
    assert added_up(messages[1:-2]) == added_up(stored)


async def test_words_that_are_no_text_are_said_whole(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call("send_message", message={"colour": "blue"}))
    answer = await ask(api, agent, streaming=True, stream_tokens=True)
    messages = [json.loads(data) for _, data in events_of(answer.text) if data != "[DONE]"]
    assert [each["content"] for each in messages[1:-2]] == ['{"colour": "blue"}']


async def test_calls_are_shown_as_calls_to_who_wants_them(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call("send_message", message="Hi"))
    body = (await ask(api, agent, use_assistant_message=False)).json()
    assert kinds(body["messages"]) == ["tool_call_message", "tool_return_message"]
    found = await listed(api, agent, use_assistant_message="false")
    assert kinds(found)[-2:] == ["tool_call_message", "tool_return_message"]


async def test_a_tool_of_that_name_is_a_tool_in_the_direct_loop(
    api: httpx.AsyncClient, model: ScriptedModel
) -> None:
    draft = AgentDraft(model=model.handle, tool_names=("send_message",))
    direct = await threads.run(lambda: create_agent(caller=make_caller(), draft=draft))
    model.add(tool_call("send_message", message="Hi"), text("Sent."))
    body = (await ask(api, direct)).json()
    assert kinds(body["messages"]) == ["tool_call_message", "tool_return_message", "assistant_message"]


async def test_a_reply_without_a_call_fails_the_run_and_says_why(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("I forgot to call a tool."))
    body = (await ask(api, agent)).json()
    assert body["stop_reason"]["stop_reason"] == "no_tool_call"
    assert kinds(body["messages"]) == ["reasoning_message"]
    model.add(tool_call("send_message", message="Here."))
    assert (await ask(api, agent)).json()["messages"][-1]["content"] == "Here."
