"""The workbench's websocket: who may open it, and that what it sends adds up to what is stored."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from channels.layers import get_channel_layer
from channels.testing import WebsocketCommunicator

from agents.models import Agent, Group, Message
from agents.services.agents import AgentDraft, create_agent
from agents.services.execution import start_run
from agents.services.run_requests import InputMessage, RunRequest
from agents.web.consumers import WorkbenchConsumer
from agents.web.list_consumer import ListConsumer
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.core.nudges import agent_group, send_nudge, workspace_group
from letta_ade.llm.errors import ModelConnection
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, error, gate, installed, reasoning, text, tool_call
from memory.services.blocks import BlockChanges, BlockDraft, update_block
from tests.support.approvals import cancel, insert, make_careful_agent
from tests.support.factories import make_caller, make_workspace
from tests.support.sending import start
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        name="tea-notes", model=model.handle, blocks=(BlockDraft(label="human", value="Nothing yet."),)
    )
    return create_agent(caller=make_caller(), draft=draft)


def open_socket(
    agent_id: str, query: str = "", *, conversation_id: str | None = None, **headers: str
) -> WebsocketCommunicator:
    wanted = {"host": "localhost", **headers}
    socket = WebsocketCommunicator(
        WorkbenchConsumer.as_asgi(),
        f"/ws/agents/{agent_id}/{query}",
        headers=[(name.encode(), value.encode()) for name, value in wanted.items()],
    )
    scope: Any = socket.scope
    named = {} if conversation_id is None else {"conversation_id": conversation_id}
    scope |= {"url_route": {"kwargs": {"agent_id": agent_id, **named}}, "client": ("127.0.0.1", 1)}
    return socket


async def ready(socket: WebsocketCommunicator) -> str:
    """Everything up to the mark that says that nothing is missing."""
    await socket.connect()
    return await until(socket, "link-state")


async def until(socket: WebsocketCommunicator, mark: str, frames: str = "") -> str:
    """Those frames and further ones, up to one that holds the mark."""
    while mark not in frames:
        frames += str(await socket.receive_from(timeout=10))
    return frames


async def ask(agent: Agent, words: str = "Hello") -> str:
    caller = await threads.run(make_caller)
    message = InputMessage(role="user", content=(TextPart(text=words),))
    started = await start_run(caller=caller, request=RunRequest(agent_id=agent.id, messages=(message,)))
    return started.run_id


async def close_code(socket: WebsocketCommunicator) -> Any:
    await socket.connect()
    return (await socket.receive_output(timeout=10))["code"]


async def test_a_page_of_another_site_gets_no_socket(agent: Agent) -> None:
    assert await close_code(open_socket(agent.id, origin="http://elsewhere.example")) == 4403


async def test_an_agent_of_another_workspace_is_not_found(agent: Agent) -> None:
    other = await threads.run(_foreign_agent, agent.model)
    assert await close_code(open_socket(other.id)) == 4404
    assert await close_code(open_socket(new_id("agent"))) == 4404


async def test_somebody_without_a_login_gets_no_socket(agent: Agent, settings: Any) -> None:
    settings.REQUIRE_LOGIN = True
    assert await close_code(open_socket(agent.id)) == 4401


async def test_a_run_is_told_from_its_start_to_its_stored_end(agent: Agent, model: ScriptedModel) -> None:
    model.add([reasoning("Hm. "), text("Hello <b>Ada</b>.")])
    socket = open_socket(agent.id)
    await ready(socket)
    run_id = await ask(agent)
    frames = await until(socket, 'data-phase="completed" hx-swap-oob="morph"')
    frames = await until(socket, f'<section id="{run_id}"', frames)
    assert "Hello &lt;b&gt;Ada&lt;/b&gt;." in frames
    assert "<b>Ada" not in frames
    assert f'data-run="{run_id}"' in frames
    await socket.disconnect()


async def test_a_late_page_gets_what_was_said_so_far_and_then_the_rest_once(
    agent: Agent, model: ScriptedModel
) -> None:
    first, second = asyncio.Event(), asyncio.Event()
    model.add([text("One two "), gate(first), text("three "), gate(second), text("four.")])
    early = open_socket(agent.id)
    await ready(early)
    run_id = await ask(agent)
    await until(early, "One")
    first.set()
    await until(early, "three")
    late = open_socket(agent.id, f"?since={run_id}")
    frames = await ready(late)
    frames = await until(late, "three", frames)
    assert re.search(r'hx-swap-oob="morph"', frames)
    assert frames.count("One two three") == 1
    second.set()
    rest = await until(late, "four.")
    assert "One two three four." in rest or rest.count("four.") == 1
    for socket in (early, late):
        await until(socket, 'data-phase="completed"')
        await socket.disconnect()


async def test_a_page_that_was_away_gets_the_runs_it_missed(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("First answer."), text("Second answer."))
    watcher = open_socket(agent.id)
    await ready(watcher)
    first = await ask(agent)
    await until(watcher, 'data-phase="completed"')
    second = await ask(agent, "Again")
    await until(watcher, f'{second}" data-phase="completed"')
    await watcher.disconnect()
    back = open_socket(agent.id, f"?since={first}")
    frames = await ready(back)
    frames = await until(back, f'<section id="{second}"', frames)
    assert re.search(rf'<section id="{second}"[^>]* hx-swap-oob="beforeend:#runs"', frames)
    await back.disconnect()


async def test_a_write_to_memory_reaches_the_card_with_its_lines_marked(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(tool_call("memory_insert", label="human", new_string="Likes tea."), text("Noted."))
    socket = open_socket(agent.id)
    await ready(socket)
    await ask(agent)
    frames = await until(socket, 'data-change="add" data-fresh')
    assert "Likes tea." in frames
    frames = await until(socket, 'data-phase="completed"', frames)
    assert "v1 → v2" in frames
    await socket.disconnect()


async def test_an_edit_on_another_page_reaches_this_one(agent: Agent) -> None:
    socket = open_socket(agent.id)
    await ready(socket)
    block = await threads.run(agent.blocks.get)
    caller = await threads.run(make_caller)
    changes = BlockChanges(value="Nothing yet.\nLikes rain.")
    await threads.run(update_block, caller=caller, block_id=block.id, changes=changes)
    frames = await until(socket, "Likes rain.")
    assert f'<article id="block-{block.id}"' in frames
    assert frames.count("data-fresh") == 1
    await socket.disconnect()


async def test_a_failed_run_is_told_with_the_providers_words(agent: Agent, model: ScriptedModel) -> None:
    failure = ModelConnection("The provider hung up.", detail="<i>socket closed</i>")
    model.add(*[[error(failure)]] * 3)
    socket = open_socket(agent.id)
    await ready(socket)
    await ask(agent)
    frames = await until(socket, "socket closed")
    frames = await until(socket, 'data-phase="failed"', frames)
    assert "The provider hung up." in frames
    assert "<i>socket" not in frames
    await socket.disconnect()


async def test_a_closed_page_leaves_the_run_alone(agent: Agent, model: ScriptedModel) -> None:
    going_on = asyncio.Event()
    model.add([text("One "), gate(going_on), text("two.")])
    socket = open_socket(agent.id)
    await ready(socket)
    run_id = await ask(agent)
    await until(socket, "One")
    await socket.disconnect()
    going_on.set()
    back = open_socket(agent.id, f"?since={run_id}")
    await ready(back)
    await until(back, 'data-phase="completed"')
    said = await threads.run(lambda: Message.objects.get(run_id=run_id, role="assistant").content)
    assert "".join(part["text"] for part in said) == "One two."
    await back.disconnect()


class StalledBrowser:
    """A websocket that was opened and is not read any more, as the server sees it."""

    def __init__(self, socket: WebsocketCommunicator, *, reads: int) -> None:
        self._scope = socket.scope
        self._reads = reads
        self._inbox: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._inbox.put_nowait({"type": "websocket.connect"})
        self.frames: list[str] = []

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "websocket.send":
            if len(self.frames) == self._reads:
                await asyncio.Event().wait()
            self.frames.append(message["text"])

    def open(self, consumer: Any) -> asyncio.Task[None]:
        return asyncio.create_task(consumer(self._scope, self._inbox.get, self._send))


async def test_a_page_that_stops_reading_is_let_go_and_leaves_nothing(
    agent: Agent, model: ScriptedModel, settings: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SOCKET_PATIENCE_SECONDS = 0.05
    model.add(*(text(f"Answer {number}.") for number in range(3)))
    watcher = open_socket(agent.id)
    await ready(watcher)
    groups = (agent_group(agent.id), workspace_group(agent.workspace_id))
    joined = [members(group) for group in groups]
    tasks = asyncio.all_tasks()
    browser = StalledBrowser(open_socket(agent.id), reads=1)
    page = browser.open(WorkbenchConsumer.as_asgi())
    for _ in range(3):
        run_id = await ask(agent)
        await until(watcher, f'{run_id}" data-phase="completed"')
    async with asyncio.timeout(10):
        await page
    assert len(browser.frames) == 1
    assert [members(group) for group in groups] == joined
    await watcher.disconnect()
    left = {task for task in asyncio.all_tasks() - tasks if "Consumer" in repr(task.get_coro())}
    assert not left
    assert not caplog.records


async def test_a_list_that_stops_reading_is_let_go(agent: Agent, settings: Any) -> None:
    settings.SOCKET_PATIENCE_SECONDS = 0.05
    browser = StalledBrowser(open_socket(agent.id), reads=0)
    listing = browser.open(ListConsumer.as_asgi())
    group = workspace_group(agent.workspace_id)
    before = members(group)
    async with asyncio.timeout(10):
        while members(group) == before:
            await threads.run(int)
        await send_nudge(group, "agent_changed")
        await listing
    assert members(group) == before


def members(group: str) -> set[str]:
    layer: Any = get_channel_layer()
    return set(layer.groups.get(group, ()))


def _foreign_agent(handle: str) -> Agent:
    return create_agent(
        caller=make_caller(workspace=make_workspace()), draft=AgentDraft(name="theirs", model=handle)
    )


async def test_a_run_that_waits_for_a_worker_is_shown_and_then_followed(
    agent: Agent, model: ScriptedModel
) -> None:
    socket = open_socket(agent.id)
    await ready(socket)
    run_id = await start(agent, "In the background.", background=True)
    frames = await until(socket, "waits for a worker")
    assert "In the background." in frames
    model.add(text("Done with it."))
    async with run_queue_worker():
        frames = await until(socket, f'{run_id}" data-phase="completed"')
    assert "Done with it." in frames
    await socket.disconnect()


async def test_a_request_appears_with_its_end_and_leaves_when_it_is_cancelled(model: ScriptedModel) -> None:
    careful = await threads.run(make_careful_agent, model)
    socket = open_socket(careful.id)
    await ready(socket)
    model.add(insert(call_id="c1"))
    run_id = await start(careful, "I like tea.")
    frames = await until(socket, "Approve memory_insert?")
    assert f'{run_id}" data-phase="waiting"' in await until(socket, 'data-phase="waiting"', frames)
    await cancel(careful)
    frames = await until(socket, f'{run_id}" data-phase="cancelled"')
    frames = await until(socket, '<div id="waiting" class="waiting" hx-swap-oob="morph">', frames)
    assert 'data-state="denied"' in frames
    await socket.disconnect()


async def test_what_the_background_does_is_seen_and_its_edit_flashes(model: ScriptedModel) -> None:
    def make() -> tuple[Agent, Group]:
        draft = AgentDraft(
            name="tea-notes",
            model=model.handle,
            blocks=(BlockDraft(label="human", value="Nothing yet."),),
            enable_sleeptime=True,
        )
        made = create_agent(caller=make_caller(), draft=draft)
        Group.objects.update(sleeptime_agent_frequency=1)
        return made, Group.objects.get(manager_agent=made)

    agent, _ = await threads.run(make)
    going_on = asyncio.Event()
    insert = tool_call("memory_insert", label="human", new_string="Likes tea.")
    model.add(text("Good."), [gate(going_on), insert], tool_call("memory_finish_edits"))
    socket = open_socket(agent.id)
    await ready(socket)
    await ask(agent, "I like tea.")
    await until(socket, ">Queued</span>")
    async with run_queue_worker():
        frames = await until(socket, ">Running</span>")
        going_on.set()
        frames = await until(socket, "Likes tea.", frames)
        frames = await until(socket, ">Done</span>", frames)
    assert re.search(r"data-fresh[^>]*>.*?Likes tea\.", frames, re.S)
    assert "1 turn counted" in frames
    await socket.disconnect()
