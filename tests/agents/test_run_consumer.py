"""The websocket of a run's page: several people watch a run that somebody else started, and whoever comes late misses nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator

from agents.models import Agent, Run
from agents.services.agents import AgentDraft, create_agent
from agents.services.execution import cancel_runs, start_run
from agents.services.run_requests import InputMessage, RunRequest
from agents.streams import follow
from agents.web.run_consumer import RunConsumer
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, gate, hang, installed, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.clients import LocalClient
from tests.support.factories import make_agent, make_caller, make_conversation, make_run, make_workspace

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    blocks = (BlockDraft(label="human", value="Nothing yet."),)
    return create_agent(
        caller=make_caller(), draft=AgentDraft(name="desk", model=model.handle, blocks=blocks)
    )


def open_socket(run_id: str, **headers: str) -> WebsocketCommunicator:
    wanted = {"host": "localhost", **headers}
    socket = WebsocketCommunicator(
        RunConsumer.as_asgi(),
        f"/ws/runs/{run_id}/",
        headers=[(name.encode(), value.encode()) for name, value in wanted.items()],
    )
    scope: Any = socket.scope
    scope |= {"url_route": {"kwargs": {"run_id": run_id}}, "client": ("127.0.0.1", 1)}
    return socket


async def until(socket: WebsocketCommunicator, mark: str) -> str:
    """Frames up to one that holds the mark; that one."""
    while mark not in (frame := str(await socket.receive_from(timeout=10))):
        pass
    return frame


async def ask(agent: Agent, words: str = "Hello") -> str:
    caller = await threads.run(make_caller)
    message = InputMessage(role="user", content=(TextPart(text=words),))
    started = await start_run(caller=caller, request=RunRequest(agent_id=agent.id, messages=(message,)))
    return started.run_id


async def ended(run_id: str) -> None:
    async for _ in follow(run_id):
        pass


async def test_two_people_watch_a_run_of_somebody_else_to_its_end(agent: Agent, model: ScriptedModel) -> None:
    opened = asyncio.Event()
    model.add([tool_call("memory_insert", label="human", new_string="Likes tea.")])
    model.add([gate(opened), text("Done.")])
    run_id = await ask(agent)
    first, second = open_socket(run_id), open_socket(run_id)
    for socket in (first, second):
        await socket.connect()
        rows = await until(socket, "memory_insert → human v2")
        assert 'id="trace-rows"' in rows
    opened.set()
    for socket in (first, second):
        stored = await until(socket, "link-state")
        assert 'data-phase="completed"' in stored
        assert "Done." in stored
        assert 'id="trace-rows"' in stored
        await socket.disconnect()


async def test_who_comes_after_the_end_gets_it_whole(agent: Agent, model: ScriptedModel) -> None:
    model.add([text("All of it.")])
    run_id = await ask(agent)
    await ended(run_id)
    socket = open_socket(run_id)
    await socket.connect()
    frame = await until(socket, "link-state")
    assert "All of it." in frame
    assert 'hx-swap-oob="morph"' in frame
    await socket.disconnect()


async def test_a_cancelled_run_is_shown_as_it_ended(agent: Agent, model: ScriptedModel) -> None:
    model.add([hang()])
    run_id = await ask(agent)
    socket = open_socket(run_id)
    await socket.connect()
    await until(socket, "thinks")
    await cancel_runs(caller=await threads.run(make_caller), agent_id=agent.id, run_ids=[run_id])
    last = await until(socket, 'data-phase="cancelled"')
    assert await threads.run(lambda: Run.objects.get(id=run_id).status) == "cancelled"
    while "Cancel run" in last or 'id="run-cancel"' not in last:
        last = await until(socket, 'id="run-cancel"')
    await socket.disconnect()


async def test_a_foreign_and_an_unknown_run_close_with_not_found() -> None:
    def foreign() -> str:
        return make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace()))).id

    await threads.run(make_caller)
    for run_id in (await threads.run(foreign), new_id("run")):
        socket = open_socket(run_id)
        await socket.connect()
        assert (await socket.receive_output(timeout=10))["code"] == 4404


async def test_a_page_of_another_site_gets_no_socket() -> None:
    run = await threads.run(make_run)
    socket = open_socket(run.id, origin="http://elsewhere.example")
    await socket.connect()
    closed = await socket.receive_output(timeout=10)
    assert closed["type"] == "websocket.close"
    assert closed["code"] == 4403


async def test_a_run_is_cancelled_from_its_page(agent: Agent, model: ScriptedModel) -> None:
    model.add([hang()])
    run_id = await ask(agent)
    client = LocalClient()
    answer = await client.post(f"/runs/{run_id}/cancel/", headers={"HX-Request": "true"})
    assert answer.status_code == 204
    assert await threads.run(lambda: Run.objects.get(id=run_id).status) == "cancelled"
    # Once more: it has ended, and the page says so.
    again = await client.post(f"/runs/{run_id}/cancel/")
    assert (again.status_code, again["Location"]) == (302, f"/runs/{run_id}/")


async def test_nobody_cancels_a_foreign_run() -> None:
    def foreign() -> str:
        make_caller()
        return make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace()))).id

    answer = await LocalClient().post(f"/runs/{await threads.run(foreign)}/cancel/")
    assert answer.status_code == 404
