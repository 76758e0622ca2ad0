"""Messages of conversations over REST: answers, streams, settings of their own, lists, what is added, and what is cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from agents.models import Agent, Conversation, Message, Run
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from agents.services.runs import find_run_of_stream
from letta_ade.core import notices, threads
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, gate, installed, text, tool_call
from memory.models import Block
from memory.services.blocks import BlockDraft
from tests.support.api import asgi_client, events_of
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_workspace,
)
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(model=model.handle, blocks=(BlockDraft(label="human", value="Name: Ada"),))
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


async def create(api: httpx.AsyncClient, agent: Agent, **fields: Any) -> str:
    answer = await api.post("/conversations/", params={"agent_id": agent.id}, json=fields)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["id"])


async def say(api: httpx.AsyncClient, conversation: str, words: str = "Hi", **fields: Any) -> httpx.Response:
    body = {"input": words, "streaming": False, **fields}
    return await api.post(f"/conversations/{conversation}/messages", json=body)


def contents(messages: Any) -> list[str]:
    return [message["content"] for message in messages]


def sent(payload: dict[str, Any]) -> list[str]:
    """What the model was told behind the system message."""
    return [message["parts"][0]["text"] for message in payload["messages"][1:]]


def system_of(payload: dict[str, Any]) -> str:
    words: str = payload["messages"][0]["parts"][0]["text"]
    return words


def once_called(called: asyncio.Event, *pieces: Any) -> Callable[[dict[str, Any]], list[Any]]:
    """A reply that says when the model was asked for it."""

    def reply(payload: dict[str, Any]) -> list[Any]:
        called.set()
        return list(pieces)

    return reply


class TestSending:
    async def test_each_conversation_has_a_context_of_its_own(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("One."), text("Two."), text("Three."))
        first, second = await create(api, agent), await create(api, agent)
        assert contents((await say(api, first, "Tea?")).json()["messages"]) == ["One."]
        await say(api, second, "Coffee?")
        await say(api, first, "More?")
        assert [sent(payload) for payload in model.payloads] == [
            ["Tea?"],
            ["Coffee?"],
            ["Tea?", "One.", "More?"],
        ]
        assert f"CONVERSATION_ID: {first}" in system_of(model.payloads[0])
        run = await threads.run(lambda: Run.objects.filter(conversation_id=second).get())
        assert run.metadata["run_type"] == "send_conversation_message"
        told = (await api.get(f"/conversations/{second}")).json()
        assert datetime.fromisoformat(told["last_message_at"]) > NOON
        row = await threads.run(Conversation.objects.get, id=second)
        assert row.last_run_completion == run.completed_at

    async def test_it_streams_unless_it_is_told_not_to(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("Hello."))
        conversation = await create(api, agent)
        answer = await api.post(f"/conversations/{conversation}/messages", json={"input": "Hi"})
        assert answer.headers["content-type"].startswith("text/event-stream")
        events = events_of(answer.text)
        kinds = [json.loads(data)["message_type"] for _, data in events[:-1]]
        assert kinds == ["ping", "assistant_message", "stop_reason", "usage_statistics"]

    async def test_the_default_one_is_the_agents_own(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("One."), text("Two."), text("Three."))
        await say(api, "default", "1", agent_id=agent.id)
        await say(api, agent.id, "2")
        await api.post(f"/agents/{agent.id}/messages", json={"input": "3"})
        assert sent(model.payloads[-1]) == ["1", "One.", "2", "Two.", "3"]

    async def test_two_conversations_of_an_agent_run_at_once_and_one_does_not(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        called, go_on = asyncio.Event(), asyncio.Event()
        model.add(once_called(called, text("Slow."), gate(go_on)), text("Quick."))
        slow, quick = await create(api, agent), await create(api, agent)
        waiting = asyncio.create_task(say(api, slow))
        await called.wait()
        assert contents((await say(api, quick)).json()["messages"]) == ["Quick."]
        busy = await say(api, slow)
        run = await threads.run(lambda: Run.objects.get(conversation_id=slow))
        assert (busy.status_code, busy.json()["run_id"]) == (409, run.id)
        deleted = await api.delete(f"/conversations/{slow}")
        assert (deleted.status_code, deleted.json()["run_id"]) == (409, run.id)
        go_on.set()
        assert (await waiting).status_code == 200
        assert (await api.delete(f"/conversations/{slow}")).status_code == 200
        assert (await say(api, slow)).status_code == 404

    async def test_the_same_words_in_another_conversation_are_no_repeat(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("One."), text("Two."))
        first, second = await create(api, agent), await create(api, agent)
        retried = {"X-Stainless-Retry-Count": "1"}
        body = {"input": "Hi", "streaming": False}
        for conversation, words in ((first, "One."), (first, "One."), (second, "Two.")):
            url = f"/conversations/{conversation}/messages"
            assert contents((await api.post(url, json=body, headers=retried)).json()["messages"]) == [words]

    async def test_bad_requests_start_no_run(self, api: httpx.AsyncClient, agent: Agent) -> None:
        def make_foreign() -> str:
            return make_conversation(agent=make_agent(workspace=make_workspace())).id

        conversation, foreign = await create(api, agent), await threads.run(make_foreign)
        bad: list[tuple[str, dict[str, Any], int]] = [
            (foreign, {}, 404),
            (new_id("conversation"), {}, 404),
            ("conv-1", {}, 422),
            ("default", {}, 400),
            ("default", {"agent_id": new_id("agent")}, 404),
            (conversation, {"agent_id": new_id("agent")}, 404),
            (conversation, {"background": True}, 422),
            (conversation, {"messages": []}, 422),
        ]
        for name, fields, status in bad:
            assert (await say(api, name, **fields)).status_code == status, (name, fields)
        assert await threads.run(Run.objects.count) == 0


class TestSettings:
    async def test_a_run_uses_the_model_settings_and_window_of_its_conversation(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        other = ScriptedModel([text("Other."), text("Again.")], handle="test/other", context_window=16_000)
        model.add(text("Own."), text("Named."))
        with installed(model, other):
            settings = {"temperature": 0.25, "max_output_tokens": 77}
            conversation = await create(
                api, agent, model="test/other", model_settings=settings, context_window_limit=9000
            )
            assert contents((await say(api, conversation)).json()["messages"]) == ["Other."]
            # What a request names goes before it, with its own defaults.
            named = await say(api, conversation, override_model=model.handle)
            assert contents(named.json()["messages"]) == ["Own."]
            await api.patch(f"/conversations/{conversation}", json={"model_settings": {"temperature": 0.5}})
            await say(api, conversation)
            await api.patch(f"/conversations/{conversation}", json={"model": None})
            assert contents((await say(api, conversation)).json()["messages"]) == ["Named."]
        first, second = other.requests
        assert (first.temperature, first.max_output_tokens) == (0.25, 77)
        assert (second.temperature, second.max_output_tokens) == (0.5, 77)
        assert [request.temperature for request in model.requests] == [1.0, 1.0]
        steps = await threads.run(
            lambda: list(
                Run.objects.order_by("created_at").values_list(
                    "steps__model_handle", "steps__context_window_limit"
                )
            )
        )
        assert steps == [
            ("test/other", 9000),
            (model.handle, 9000),
            ("test/other", 9000),
            (model.handle, 9000),
        ]

    async def test_settings_alone_are_laid_over_the_agents(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("One."), text("Two."))
        await api.patch(f"/agents/{agent.id}", json={"model_settings": {"max_output_tokens": 99}})
        conversation = await create(api, agent, model_settings={"temperature": 0.25})
        await say(api, conversation)
        await api.patch(f"/agents/{agent.id}", json={"model_settings": {"max_output_tokens": 50}})
        await say(api, conversation)
        assert [(each.temperature, each.max_output_tokens) for each in model.requests] == [
            (0.25, 99),
            (0.25, 50),
        ]

    async def test_a_message_over_the_window_of_the_conversation_is_refused(
        self, api: httpx.AsyncClient, agent: Agent
    ) -> None:
        conversation = await create(api, agent, context_window_limit=100)
        refused = await say(api, conversation, "word " * 500)
        assert refused.status_code == 400
        assert "has 100" in refused.json()["detail"]

    async def test_a_background_run_uses_them_too(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("Done."))
        conversation = await create(api, agent, model_settings={"temperature": 0.25})
        async with run_queue_worker():
            await say(api, conversation, streaming=True, background=True)
        assert model.requests[0].temperature == 0.25


class TestIsolatedBlocks:
    async def test_an_edit_stays_in_its_conversation(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(
            tool_call("memory_insert", label="human", new_string="Likes tea."),
            text("Noted."),
            text("Again."),
            text("Elsewhere."),
        )
        isolated = await create(api, agent, isolated_block_labels=["human"])
        other = await create(api, agent)
        await say(api, isolated)
        await say(api, isolated)
        await say(api, other)
        assert "Likes tea." in system_of(model.payloads[2])
        assert "Likes tea." not in system_of(model.payloads[3])
        values = await threads.run(lambda: set(Block.objects.values_list("value", flat=True)))
        assert values == {"Name: Ada", "Name: Ada\nLikes tea."}
        assert (await threads.run(agent.blocks.get)).value == "Name: Ada"

    async def test_the_agent_cannot_delete_its_copy(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        await api.patch(f"/agents/{agent.id}", json={"tool_ids": [await self.memory_tool(api)]})
        model.add(tool_call("memory", command="delete", path="/memories/human"), text("Oh."))
        isolated = await create(api, agent, isolated_block_labels=["human"])
        returned = (await say(api, isolated)).json()["messages"][1]
        assert returned["status"] == "error"
        assert "one conversation" in returned["tool_return"]

    async def memory_tool(self, api: httpx.AsyncClient) -> str:
        (tool,) = (await api.get("/tools/", params={"name": "memory"})).json()
        return str(tool["id"])


class TestStreams:
    async def test_a_reader_finds_the_run_by_its_id_and_by_an_otid(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("Hello."))
        conversation = await create(api, agent)
        url = f"/conversations/{conversation}"
        messages = [{"role": "user", "content": "Hi", "otid": "o1"}]
        async with run_queue_worker():
            answer = await api.post(f"{url}/messages", json={"messages": messages, "background": True})
        whole = [data for _, data in events_of(answer.text)]
        run_id = json.loads(whole[0])["run_id"]
        for asked in ({"otid": "o1"}, {"run_id": run_id}):
            again = await api.post(f"{url}/stream", json=asked)
            assert [data for _, data in events_of(again.text)][1:] == whole[1:]
        last = json.loads(whole[1])["seq_id"]
        rest = await api.post(f"{url}/stream", json={"run_id": run_id, "starting_after": last})
        kinds = [json.loads(data)["message_type"] for _, data in events_of(rest.text)[:-1]]
        assert kinds == ["ping", "stop_reason", "usage_statistics"]
        direct = await api.post("/conversations/default/stream", json={"agent_id": agent.id, "otid": "o1"})
        assert direct.status_code == 404

    def test_without_a_name_it_is_the_newest_that_goes_on(self, agent: Agent) -> None:
        conversation, other = make_conversation(agent=agent), make_conversation(agent=agent)
        make_run(conversation=conversation, status="running", created_at=NOON)
        newest = make_run(conversation=conversation, status="created", created_at=NOON + timedelta(hours=1))
        make_run(conversation=conversation, created_at=NOON + timedelta(hours=2))
        make_run(conversation=other, status="running", created_at=NOON + timedelta(hours=3))
        found = find_run_of_stream(caller=make_caller(), conversation=conversation)
        assert found == newest

    async def test_what_has_no_stream(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        model.add(text("Hello."), text("Hello."))
        conversation, other = await create(api, agent), await create(api, agent)
        for each in (conversation, other):
            await say(api, each)
        runs = await threads.run(lambda: dict(Run.objects.values_list("conversation_id", "id")))
        bad = [
            ({}, 400, "No run of this conversation is going on"),
            ({"run_id": runs[conversation]}, 400, "background: true"),
            ({"run_id": runs[other]}, 404, runs[other]),
            ({"run_id": new_id("run")}, 404, "has no run"),
            ({"otid": "nothing"}, 404, "has no run"),
        ]
        for body, status, words in bad:
            answer = await api.post(f"/conversations/{conversation}/stream", json=body)
            assert answer.status_code == status
            assert words in answer.json()["detail"]
        assert (await api.post(f"/conversations/{new_id('conversation')}/stream")).status_code == 404


class TestCancel:
    async def test_only_the_run_of_the_conversation_is_cancelled(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        events = [asyncio.Event(), asyncio.Event()]
        go_on = asyncio.Event()
        model.add(once_called(events[0], gate(go_on)), once_called(events[1], text("Yes."), gate(go_on)))
        first, second = await create(api, agent), await create(api, agent)
        one = asyncio.create_task(say(api, first))
        await events[0].wait()
        two = asyncio.create_task(say(api, second))
        await events[1].wait()
        cancelled = await api.post(f"/conversations/{first}/cancel")
        run = await threads.run(lambda: Run.objects.get(conversation_id=first))
        assert cancelled.json() == {run.id: "cancelled"}
        assert (await one).json()["stop_reason"]["stop_reason"] == "cancelled"
        go_on.set()
        assert (await two).json()["stop_reason"]["stop_reason"] == "end_turn"

    async def test_where_nothing_goes_on_there_is_nothing_to_cancel(
        self, api: httpx.AsyncClient, agent: Agent
    ) -> None:
        conversation = await create(api, agent)
        for url in (
            f"/conversations/{conversation}/cancel",
            f"/conversations/default/cancel?agent_id={agent.id}",
        ):
            assert (await api.post(url)).status_code == 409
        assert (await api.post("/conversations/default/cancel")).status_code == 400
        assert (await api.post(f"/conversations/{new_id('conversation')}/cancel")).status_code == 404


class TestList:
    @pytest.fixture
    def conversation(self, agent: Agent) -> Conversation:
        return make_conversation(agent=agent)

    @pytest.fixture
    def ids(self, conversation: Conversation) -> list[str]:
        """Five messages, the oldest first."""
        return [
            make_message(conversation=conversation, text=f"{n}", created_at=NOON + timedelta(minutes=n)).id
            for n in range(5)
        ]

    async def listed(self, api: httpx.AsyncClient, name: str, **query: Any) -> list[str]:
        answer = await api.get(f"/conversations/{name}/messages", params=query)
        assert answer.status_code == 200, answer.text
        return [message["id"] for message in answer.json()]

    async def test_the_newest_come_first_and_a_paging_client_sees_each_once(
        self, api: httpx.AsyncClient, conversation: Conversation, ids: list[str]
    ) -> None:
        name = conversation.id
        assert await self.listed(api, name) == ids[::-1]
        assert await self.listed(api, name, limit=2) == [ids[4], ids[3]]
        for order in ({}, {"order": "desc"}):
            assert await self.listed(api, name, limit=2, after=ids[3], **order) == [ids[2], ids[1]]
        assert await self.listed(api, name, after=ids[0]) == []
        assert await self.listed(api, name, before=ids[2], limit=1) == [ids[1]]
        assert await self.listed(api, name, order="desc", before=ids[2], limit=1) == [ids[3]]
        assert await self.listed(api, name, order="asc") == ids
        assert await self.listed(api, name, order="asc", after=ids[3]) == [ids[4]]
        assert await self.listed(api, name, after=ids[4], before=ids[1]) == [ids[3], ids[2]]

    async def test_under_the_agents_name_it_has_the_order_of_the_agents_list(
        self, api: httpx.AsyncClient, agent: Agent, ids: list[str]
    ) -> None:
        def say_by_default() -> list[str]:
            default = get_default_conversation(agent)
            made = [make_message(conversation=default, text=f"{n}").id for n in range(3)]
            return [default.entries.get().message_id, *made]

        own = await threads.run(say_by_default)
        for name, query in (("default", {"agent_id": agent.id}), (agent.id, {})):
            assert await self.listed(api, name, **query) == own
            assert await self.listed(api, name, limit=2, **query) == own[2:]
            assert await self.listed(api, name, after=own[2], **query) == own[3:]

    async def test_failed_ones_and_types_are_chosen(
        self, api: httpx.AsyncClient, conversation: Conversation, ids: list[str]
    ) -> None:
        def fail() -> str:
            return make_message(conversation=conversation, is_err=True, group_id="group-1").id

        failed = await threads.run(fail)
        assert failed not in await self.listed(api, conversation.id)
        assert (await self.listed(api, conversation.id, include_err=True))[0] == failed
        assert await self.listed(api, conversation.id, include_err=True, group_id="group-1") == [failed]
        types = ["assistant_message"]
        assert await self.listed(api, conversation.id, include_return_message_types=types) == []
        # A cursor need not be in the list that it is of.
        assert await self.listed(api, conversation.id, after=failed, limit=1) == [ids[4]]

    async def test_a_cursor_of_elsewhere_or_one_that_vanished_is_404(
        self, api: httpx.AsyncClient, agent: Agent, conversation: Conversation, ids: list[str]
    ) -> None:
        def vanish() -> str:
            message = make_message(conversation=conversation)
            message_id = message.id
            message.delete()
            return message_id

        def make_other() -> str:
            return make_message(conversation=make_conversation(agent=agent)).id

        for cursor in (await threads.run(vanish), await threads.run(make_other), "message-1"):
            for name in ("after", "before"):
                url = f"/conversations/{conversation.id}/messages"
                assert (await api.get(url, params={name: cursor})).status_code == 404
        for query in ({"limit": 0}, {"order": "up"}):
            assert (
                await api.get(f"/conversations/{conversation.id}/messages", params=query)
            ).status_code == 422


class TestAppend:
    async def append(self, api: httpx.AsyncClient, conversation: str, *messages: Any, **body: Any) -> Any:
        url = f"/conversations/{conversation}/messages/append"
        return await api.post(url, json={"messages": list(messages), **body})

    async def test_the_agent_finds_them_at_its_next_run_and_none_is_started(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        conversation = await create(api, agent)
        answer = await self.append(
            api,
            conversation,
            {"role": "user", "content": "I moved to Oslo.", "otid": "o1", "name": "ada"},
            {"role": "assistant", "content": [{"type": "text", "text": "Noted."}]},
            {"role": "system", "content": "It is late."},
        )
        assert answer.status_code == 200, answer.text
        kinds = [message["message_type"] for message in answer.json()]
        assert kinds == ["user_message", "assistant_message", "system_message"]
        assert (answer.json()[0]["otid"], answer.json()[0]["name"]) == ("o1", "ada")
        assert await threads.run(Run.objects.count) == 0
        assert model.payloads == []
        listed = (await api.get(f"/conversations/{conversation}/messages", params={"order": "asc"})).json()
        assert listed[1:] == answer.json()
        model.add(text("Hello."))
        await say(api, conversation)
        assert sent(model.payloads[0]) == ["I moved to Oslo.", "Noted.", "It is late.", "Hi"]
        found = await api.post("/messages/search", json={"query": "Oslo", "agent_id": agent.id})
        assert contents(found.json()) == ["I moved to Oslo."]

    async def test_they_come_after_what_was_said_whatever_the_clock_says(
        self, api: httpx.AsyncClient, agent: Agent
    ) -> None:
        conversation = await create(api, agent)
        future = datetime.now(UTC) + timedelta(days=1)
        await threads.run(lambda: Conversation.objects.filter(id=conversation).update(last_message_at=future))
        await self.append(api, conversation, {"content": "1"}, {"content": "2"})
        times = await threads.run(
            lambda: list(
                Message.objects.filter(role="user").order_by("text").values_list("created_at", flat=True)
            )
        )
        assert future < times[0] < times[1]

    async def test_the_same_messages_again_are_not_added_twice(
        self, api: httpx.AsyncClient, agent: Agent
    ) -> None:
        message = {"role": "user", "content": "Once.", "otid": "o1"}
        first = await self.append(api, "default", message, agent_id=agent.id)
        again = await self.append(api, "default", message, agent_id=agent.id)
        assert again.json() == first.json()
        assert await threads.run(lambda: Message.objects.filter(role="user").count()) == 1

    async def test_the_words_of_an_agent_that_speaks_by_a_tool_are_a_call(
        self, api: httpx.AsyncClient, model: ScriptedModel
    ) -> None:
        draft = AgentDraft(model=model.handle, agent_type="memgpt_v2_agent", initial_messages=())
        caller = await threads.run(make_caller)
        speaker = await threads.run(create_agent, caller=caller, draft=draft)
        answer = await self.append(api, speaker.id, {"role": "assistant", "content": "Hello."})
        assert [(each["message_type"], each["content"]) for each in answer.json()] == [
            ("assistant_message", "Hello.")
        ]
        rows = await threads.run(lambda: list(speaker.messages.order_by("created_at")))
        assert [row.role for row in rows] == ["system", "assistant", "tool"]

    async def test_images_are_kept_as_in_any_message(self, api: httpx.AsyncClient, agent: Agent) -> None:
        pixel = (
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        )
        source = {"type": "base64", "media_type": "image/png", "data": pixel}
        part = {"type": "image", "source": source}
        answer = await self.append(api, agent.id, {"role": "user", "content": [part]})
        assert answer.json()[0]["content"][0]["source"]["data"] == pixel
        broken = {"type": "image", "source": source | {"data": "no image"}}
        assert (await self.append(api, agent.id, {"content": [broken]})).status_code == 400

    @pytest.mark.parametrize(
        ("message", "status"),
        [
            ({"role": "user", "content": " "}, 400),
            ({"role": "tool", "content": "x"}, 422),
            ({"role": "user"}, 422),
            ({"role": "user", "content": "word " * 40_000}, 400),
            (
                {
                    "type": "approval",
                    "approvals": [{"type": "approval", "tool_call_id": "a", "approve": True}],
                },
                422,
            ),
            ({"role": "system", "content": [{"type": "tool_call", "id": "a"}]}, 422),
        ],
    )
    async def test_bad_ones_add_nothing(
        self, api: httpx.AsyncClient, agent: Agent, message: dict[str, Any], status: int
    ) -> None:
        answer = await self.append(api, agent.id, {"content": "Good."}, message)
        assert answer.status_code == status, answer.text
        assert await threads.run(lambda: agent.messages.count()) == 1

    async def test_not_to_a_conversation_that_runs_or_waits(
        self, api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
    ) -> None:
        called, go_on = asyncio.Event(), asyncio.Event()
        model.add(once_called(called, text("Slow."), gate(go_on)), tool_call("buy"))
        conversation = await create(api, agent)
        running = asyncio.create_task(say(api, conversation))
        await called.wait()
        assert (await self.append(api, conversation, {"content": "x"})).status_code == 409
        go_on.set()
        await running
        await say(api, conversation, client_tools=[{"name": "buy"}])
        waits = await self.append(api, conversation, {"content": "x"})
        assert waits.status_code == 409
        assert waits.json()["detail"]["code"] == "PENDING_APPROVAL"
        assert (await self.append(api, conversation)).status_code == 422


async def test_a_poisonous_message_is_hidden_and_the_conversation_goes_on(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    def answer(payload: dict[str, Any]) -> Any:
        assert "poison" not in json.dumps(payload)
        return text("Fine.")

    model.add(text("One."), answer)
    conversation = await create(api, agent)
    await say(api, conversation, "poison")
    told = (await api.get(f"/conversations/{conversation}/messages", params={"order": "asc"})).json()
    url = f"/conversations/{conversation}/messages/{told[1]['id']}"
    assert (await api.post(f"{url}/hide")).status_code == 200
    assert contents((await say(api, conversation)).json()["messages"]) == ["Fine."]


async def test_an_agent_is_deleted_while_its_conversation_runs(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    called = asyncio.Event()
    model.add(once_called(called, text("On and on "), gate(asyncio.Event())))
    conversation = await create(api, agent)
    async with notices.listening():
        watch = asyncio.create_task(execution.watch_stops())
        reading = asyncio.create_task(
            api.post(f"/conversations/{conversation}/messages", json={"input": "Hi", "stream_tokens": True})
        )
        await called.wait()
        assert (await api.delete(f"/agents/{agent.id}")).status_code == 200
        events = events_of((await asyncio.wait_for(reading, 20)).text)
        watch.cancel()
    assert events[-1] == ("", "[DONE]")
    assert json.loads(events[-3][1])["stop_reason"] in ("error", "cancelled")
    assert model.broken_off == 1
    assert await threads.run(Run.objects.count) == 0
    assert (await say(api, conversation)).status_code == 404
