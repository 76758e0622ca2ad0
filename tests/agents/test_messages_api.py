"""Messages over REST: plain answers, what is refused, and the list."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest

from agents.models import Agent, Conversation, Run
from agents.services.agents import AgentDraft, create_agent
from agents.services.messages import list_messages
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.errors import (
    InvalidReply,
    ModelAuthentication,
    ModelConnection,
    ModelOverloaded,
    ModelRateLimited,
    ModelTimeout,
)
from letta_ade.llm.testing import ScriptedModel, error, gate, installed, reasoning, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.api import asgi_client
from tests.support.factories import make_caller, make_message

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        name="Ada", model=model.handle, blocks=(BlockDraft(label="human", value="Nothing yet."),)
    )
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


def url(agent: Agent, rest: str = "") -> str:
    return f"/agents/{agent.id}/messages{rest}"


def types(messages: Any) -> list[str]:
    return [message["message_type"] for message in messages]


def once_called(called: asyncio.Event, *pieces: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """A reply that says when the model was asked for it."""

    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return list(pieces)

    return reply


async def test_a_plain_answer_holds_what_the_run_made_and_not_the_input(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(
        [
            reasoning("Note it."),
            text("One moment. "),
            tool_call("memory_insert", label="human", new_string="Tea."),
        ],
        text("Done."),
    )
    answer = await api.post(url(agent), json={"messages": [{"role": "user", "content": "I like tea."}]})
    assert answer.status_code == 200
    body = answer.json()
    assert types(body["messages"]) == [
        "reasoning_message",
        "assistant_message",
        "tool_call_message",
        "tool_return_message",
        "assistant_message",
    ]
    assert body["stop_reason"] == {"message_type": "stop_reason", "stop_reason": "end_turn"}
    assert body["usage"]["step_count"] == 2
    assert body["usage"]["message_type"] == "usage_statistics"
    call = body["messages"][2]
    assert call["tool_call"] == call["tool_calls"][0]
    returned = body["messages"][3]
    assert (returned["status"], returned["tool_call_id"]) == ("success", call["tool_call"]["tool_call_id"])
    listed = (await api.get(url(agent))).json()
    assert listed[2:] == body["messages"]


async def test_the_types_of_messages_can_be_chosen(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add([reasoning("Hm."), text("Hello.")])
    body = (
        await api.post(
            url(agent), json={"input": "Hi", "include_return_message_types": ["assistant_message"]}
        )
    ).json()
    assert types(body["messages"]) == ["assistant_message"]
    listed = await api.get(url(agent), params={"include_return_message_types": ["reasoning_message"]})
    assert types(listed.json()) == ["reasoning_message"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"input": "a", "messages": []}, 422),
        ({"messages": []}, 422),
        ({"input": ""}, 400),
        ({"messages": [{"role": "user", "content": ""}]}, 400),
        ({"messages": [{"role": "user"}]}, 422),
        ({"messages": [{"role": "nobody", "content": "x"}]}, 422),
        ({"messages": [{"type": "approval", "approvals": []}]}, 422),
        ({"input": [{"type": "image", "source": {"type": "url", "url": "http://localhost/x.png"}}]}, 400),
        ({"input": [{"type": "nonsense"}]}, 422),
        ({"input": "a", "stream_tokens": True}, 422),
        ({"input": "a", "background": True}, 422),
        ({"input": "a", "include_pings": False}, 422),
        ({"input": "a", "max_steps": 0}, 422),
        ({"input": "a", "override_model": "demo/none"}, 404),
        ({"input": "a", "override_model": "openai/gpt-4o"}, 401),
        ({"input": "a", "client_tools": [{"name": "x"}, {"name": "x"}]}, 422),
        ({"input": "word " * 100_000}, 400),
    ],
)
async def test_a_bad_request_starts_no_run(
    api: httpx.AsyncClient, agent: Agent, body: dict[str, Any], status: int
) -> None:
    answer = await api.post(url(agent), json=body)
    assert answer.status_code == status, answer.text
    assert not await threads.run(Run.objects.exists)


async def test_a_message_over_the_window_is_refused_with_both_sizes(
    api: httpx.AsyncClient, agent: Agent
) -> None:
    answer = await api.post(url(agent), json={"input": "x" * 10_000_000})
    assert answer.status_code == 400
    assert "2,500,0" in answer.json()["detail"]
    assert "32,000" in answer.json()["detail"]


async def test_an_unknown_or_malformed_agent(api: httpx.AsyncClient, agent: Agent) -> None:
    assert (await api.post(f"/agents/{new_id('agent')}/messages", json={"input": "x"})).status_code == 404
    assert (await api.post("/agents/agent-1/messages", json={"input": "x"})).status_code == 422
    assert (await api.get(f"/agents/{new_id('agent')}/messages")).status_code == 404


@pytest.mark.parametrize(
    ("failure", "status", "kind"),
    [
        (ModelAuthentication("The key was refused.", detail="invalid_api_key"), 401, "llm_authentication"),
        (ModelRateLimited("Too fast.", detail="slow down"), 429, "llm_rate_limit"),
        (ModelTimeout("Too slow.", detail="60 s"), 504, "llm_timeout"),
        (ModelOverloaded("Overloaded.", detail="529"), 503, "llm_error"),
        (ModelConnection("The connection broke.", detail="reset"), 500, "llm_error"),
        (InvalidReply("Not understood.", detail="nothing"), 500, "llm_empty_response"),
    ],
)
async def test_a_providers_error_is_passed_on_with_its_own_text(
    api: httpx.AsyncClient,
    agent: Agent,
    model: ScriptedModel,
    failure: Exception,
    status: int,
    kind: str,
    settings: Any,
) -> None:
    settings.LLM_RETRIES = 0
    model.add(error(failure))
    answer = await api.post(url(agent), json={"input": "Hi"})
    assert answer.status_code == status
    told = answer.json()["error"]
    assert told["type"] == kind
    assert told["message"] == str(failure)
    assert told["detail"]
    assert answer.headers["x-should-retry"] == "false"
    run = await threads.run(Run.objects.get)
    assert (run.status, answer.json()["run_id"]) == ("failed", run.id)
    # The failed input is kept, out of sight unless asked for.
    assert types((await api.get(url(agent))).json()) == ["system_message"]
    with_errors = (await api.get(url(agent), params={"include_err": True})).json()
    assert [(each["content"], each["is_err"]) for each in with_errors[1:]] == [("Hi", True)]


async def test_a_second_message_while_one_runs_is_409_with_the_run(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()
    model.add(once_called(called, text("Wait"), gate(go_on)), text("Now."))
    first = asyncio.create_task(api.post(url(agent), json={"input": "One"}))
    await called.wait()
    second = await api.post(url(agent), json={"input": "Two"})
    run = await threads.run(Run.objects.get)
    assert second.status_code == 409
    assert second.json()["run_id"] == run.id
    assert second.headers["x-should-retry"] == "false"
    waiting = asyncio.create_task(
        api.post(url(agent), json={"input": "Three"}, headers={"Prefer": "respond-async, wait=30"})
    )
    go_on.set()
    assert (await first).status_code == 200
    assert (await waiting).json()["messages"][0]["content"] == "Now."


async def test_the_same_request_sent_again_is_answered_by_the_first_run(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Once."))
    body = {"messages": [{"role": "user", "content": "Hi", "otid": "o1"}]}
    first = (await api.post(url(agent), json=body)).json()
    again = (await api.post(url(agent), json=body)).json()
    assert again == first
    assert await threads.run(Run.objects.count) == 1


async def test_a_repeat_by_the_sdk_follows_the_run_that_it_lost(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    called, go_on = asyncio.Event(), asyncio.Event()
    model.add(once_called(called, text("At last."), gate(go_on)), text("Anew."))
    first = asyncio.create_task(api.post(url(agent), json={"input": "Slowly"}))
    await called.wait()
    again = {"X-Stainless-Retry-Count": "1"}
    second = asyncio.create_task(api.post(url(agent), json={"input": "Slowly"}, headers=again))
    other = await api.post(url(agent), json={"input": "Something else"}, headers=again)
    assert other.status_code == 409
    go_on.set()
    assert (await first).json() == (await second).json()
    late = await api.post(url(agent), json={"input": "Slowly"}, headers=again)
    assert late.json() == (await first).json()
    anew = await api.post(url(agent), json={"input": "Slowly"}, headers={"X-Stainless-Retry-Count": "0"})
    assert anew.json()["messages"][0]["content"] == "Anew."


async def test_null_characters_are_removed_from_a_message(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Fine."))
    await api.post(url(agent), json={"input": "a\0b"})
    assert (await api.get(url(agent))).json()[1]["content"] == "ab"


async def test_a_run_is_cancelled_and_nothing_more_can_be(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, text("Let me "), gate(asyncio.Event())))
    plain = asyncio.create_task(api.post(url(agent), json={"input": "Go"}))
    await called.wait()
    cancelled = await api.post(url(agent, "/cancel"))
    run = await threads.run(Run.objects.get)
    assert cancelled.json() == {run.id: "cancelled"}
    body = (await plain).json()
    assert body["stop_reason"]["stop_reason"] == "cancelled"
    nothing = await api.post(url(agent, "/cancel"), json={})
    assert (nothing.status_code, nothing.headers["x-should-retry"]) == (409, "false")
    assert (await api.post(url(agent, "/cancel"), json={"run_ids": [run.id]})).json() == {run.id: "cancelled"}


class TestLists:
    """Cursors of message lists are chronological; an explicit `desc` is newest first (spec/sdk-and-server.md §5.3)."""

    @pytest.fixture
    def ids(self, agent: Agent) -> list[str]:
        conversation = Conversation.objects.get(agent=agent)
        return [
            agent.messages.get().id,
            *(make_message(conversation=conversation, text=str(n)).id for n in range(5)),
        ]

    async def listed(self, api: httpx.AsyncClient, agent: Agent, **query: Any) -> list[str]:
        answer = await api.get(url(agent), params=query)
        assert answer.status_code == 200, answer.text
        return [message["id"] for message in answer.json()]

    async def test_without_an_order_the_newest_come_oldest_first(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        assert await self.listed(api, agent) == ids
        assert await self.listed(api, agent, limit=2) == ids[4:]
        assert await self.listed(api, agent, after=ids[2]) == ids[3:]
        assert await self.listed(api, agent, after=ids[2], limit=2) == ids[3:5]
        assert await self.listed(api, agent, before=ids[4], limit=2) == ids[2:4]
        assert await self.listed(api, agent, after=ids[5]) == []

    async def test_ascending_is_from_the_first(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        assert await self.listed(api, agent, order="asc", limit=2) == ids[:2]
        assert await self.listed(api, agent, order="asc", after=ids[1], limit=2) == ids[2:4]

    async def test_an_explicit_desc_is_newest_first_and_goes_on_downwards(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        assert await self.listed(api, agent, order="desc", limit=2) == [ids[5], ids[4]]
        assert await self.listed(api, agent, order="desc", after=ids[4], limit=2) == [ids[3], ids[2]]

    async def test_an_unknown_cursor_is_404_and_a_bad_limit_422(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        assert (await api.get(url(agent), params={"after": new_id("message")})).status_code == 404
        assert (await api.get(url(agent), params={"limit": 0})).status_code == 422

    async def test_a_conversation_can_be_named(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        assert await self.listed(api, agent, conversation_id="default") == ids
        unknown = await api.get(url(agent), params={"conversation_id": new_id("conversation")})
        assert unknown.status_code == 404

    async def test_a_history_is_read_with_two_queries(
        self, agent: Agent, ids: list[str], django_assert_num_queries: Any
    ) -> None:
        caller = await threads.run(make_caller)

        def read() -> None:
            with django_assert_num_queries(2):
                assert len(list_messages(caller=caller, agent_id=agent.id)) == len(ids)

        await threads.run(read)
