"""The websocket of a block's page: who else is there, what was saved, also by another process, and that conversations moved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from channels.testing import WebsocketCommunicator
from django.db import connection

from agents.models import Agent
from agents.services.agents import AgentDraft, create_agent, tell
from agents.web import block_consumer
from agents.web.block_consumer import BlockConsumer
from agents.web.block_presence import Presence, presence_topic
from agents.web.consumers import WorkbenchConsumer
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.core.notices import is_listening, listening, notify
from letta_ade.core.nudges import relay
from memory.models import Block, BlockVersion
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, delete_block, edit_block, update_block
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_agent_caller,
    make_block,
    make_caller,
    make_workspace,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def block() -> Block:
    local_workspace()
    return make_block(label="policies", value="Be fair.\nBe quick.")


@asynccontextmanager
async def hearing() -> AsyncIterator[None]:
    """Notices arrive while the block runs, and what the database tells all processes reaches the pages."""
    async with listening():
        relaying = asyncio.create_task(relay())
        async with asyncio.timeout(10):
            while not is_listening():  # noqa: ASYNC110 - it has no event
                await asyncio.sleep(0)
        yield
        relaying.cancel()
        await asyncio.gather(relaying, return_exceptions=True)


def open_socket(
    block_id: str, version: int = 1, *, headers: dict[str, str] | None = None
) -> WebsocketCommunicator:
    wanted = {"host": "localhost", **(headers or {})}
    socket = WebsocketCommunicator(
        BlockConsumer.as_asgi(),
        f"/ws/blocks/{block_id}/?version={version}",
        headers=[(name.encode(), value.encode()) for name, value in wanted.items()],
    )
    scope: Any = socket.scope
    scope |= {"url_route": {"kwargs": {"block_id": block_id}}, "client": ("127.0.0.1", 1)}
    return socket


async def frame(socket: WebsocketCommunicator, kind: str, mark: str = "") -> Any:
    """The next frame of this kind that holds the mark."""
    while True:
        found = json.loads(str(await socket.receive_from(timeout=10)))
        if found["kind"] == kind and mark in json.dumps(found):
            return found


async def ready(socket: WebsocketCommunicator) -> None:
    await socket.connect()
    await frame(socket, "ready")


async def save(block: Block, value: str, **fields: Any) -> None:
    caller = await threads.run(make_caller, **fields)
    await threads.run(update_block, caller=caller, block_id=block.id, changes=BlockChanges(value=value))


def key_of(name: str) -> dict[str, str]:
    secret = create_api_key(name=name, role="editor", workspace=local_workspace()).secret
    return {"authorization": f"Bearer {secret}"}


async def test_two_pages_see_each_other_and_who_types_until_one_goes(block: Block) -> None:
    async with hearing():
        first = open_socket(block.id, headers=await threads.run(key_of, "Ines Moreau"))
        await ready(first)
        second = open_socket(block.id, headers=await threads.run(key_of, "Tomasz Wilk"))
        await ready(second)
        assert "Tomasz Wilk" in (await frame(first, "presence"))["html"]
        seen = (await frame(second, "presence"))["html"]
        assert "Ines Moreau" in seen
        assert "editing" not in seen
        await second.send_to("editing")
        assert ">TW<" in (await frame(first, "presence", "Tomasz Wilk, editing"))["html"]
        await second.send_to("idle")
        assert "editing" not in (await frame(first, "presence"))["html"]
        await second.disconnect()
        assert "Tomasz" not in (await frame(first, "presence"))["html"]
        await first.disconnect()


async def test_the_same_person_in_another_window_is_said_so(block: Block) -> None:
    async with hearing():
        first, second = open_socket(block.id), open_socket(block.id)
        await ready(first)
        await ready(second)
        assert "You, in another window" in (await frame(first, "presence"))["html"]
        await first.disconnect()
        await second.disconnect()


async def test_pages_of_another_block_are_not_here(block: Block) -> None:
    other = await threads.run(make_block, label="other")
    async with hearing():
        first, elsewhere = open_socket(block.id), open_socket(other.id)
        await ready(first)
        await ready(elsewhere)
        await save(block, "New.")
        # The first frame is of the save: nobody else came.
        assert json.loads(str(await first.receive_from(timeout=10)))["kind"] == "moved"
        await first.disconnect()
        await elsewhere.disconnect()


async def test_a_page_that_is_not_heard_any_more_is_forgotten(
    block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_consumer, "BEAT_SECONDS", 0.05)
    async with hearing():
        first = open_socket(block.id)
        await ready(first)
        said = Presence(caller=await threads.run(make_caller, id="user-2", name="Priya")).announcement()
        await threads.run(notify, presence_topic(block.id), said)
        assert "Priya" in (await frame(first, "presence"))["html"]
        # Its browser died without a word.
        monkeypatch.setattr("agents.web.block_presence._FORGOTTEN_AFTER_SECONDS", 0.0)
        assert "Priya" not in (await frame(first, "presence"))["html"]
        await first.disconnect()


def test_who_types_no_more_stops_editing_and_silence_is_forgotten() -> None:
    now = [0.0]
    ines = Presence(caller=make_caller(id="user-1", name="Ines"), clock=lambda: now[0])
    tomasz = Presence(caller=make_caller(id="user-2", name="Tomasz"), clock=lambda: now[0])
    assert ines.edit(is_editing=True)
    assert not ines.edit(is_editing=True)
    assert tomasz.hear(ines.announcement(asks=True))
    assert not tomasz.hear(ines.announcement())
    assert [each.words for each in tomasz.people()] == ["Ines, editing"]
    now[0] = 13.0
    tomasz.hear(ines.announcement())
    assert [each.words for each in tomasz.people()] == ["Ines"]
    now[0] = 37.9
    assert tomasz.people()
    now[0] = 38.1
    assert tomasz.people() == ()


async def test_a_save_is_told_with_its_author_and_its_lines(block: Block) -> None:
    async with hearing():
        socket = open_socket(block.id)
        await ready(socket)
        agent = await threads.run(make_agent, name="returns-desk")
        await threads.run(
            edit_block,
            caller=make_agent_caller(agent),
            block_id=block.id,
            edit=lambda value: value + "\nBe brief.\nBe kind.",
            origin=Origin(tool_name="memory_insert"),
        )
        moved = await frame(socket, "moved")
        assert (moved["version"], moved["by"]) == (2, "returns-desk")
        words = " ".join(moved["html"].split())
        assert "v2 was saved by returns-desk" in words
        assert "memory_insert" in words
        assert "2 lines" in words
        assert f"/agents/of-block/{block.id}/since/1/" in words
        await socket.disconnect()


async def test_a_save_between_the_drawing_of_the_page_and_its_connection_is_told(block: Block) -> None:
    await save(block, "New.")
    socket = open_socket(block.id)
    await socket.connect()
    assert (await frame(socket, "moved"))["version"] == 2
    await socket.disconnect()
    current = open_socket(block.id, 2)
    await ready(current)
    await save(block, "Newer.")
    # Not told of what it shows.
    assert (await frame(current, "moved"))["version"] == 3
    await current.disconnect()


async def test_a_deleted_block_is_told(block: Block) -> None:
    socket = open_socket(block.id)
    await ready(socket)
    await threads.run(delete_block, caller=await threads.run(make_caller), block_id=block.id)
    assert "was deleted" in (await frame(socket, "moved"))["html"]
    await socket.disconnect()


def _write_as_another_process(block: Block) -> None:
    """A version that no nudge of this process tells of."""
    BlockVersion.objects.create(
        block=block, number=2, label=block.label, value="Elsewhere.", limit=block.limit,
        read_only=False, actor_kind="api_key", actor_id="k", actor_name="nightly-sync",
        hash="h", created_at=block.created_at,
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.execute("UPDATE memory_block SET version = 2, value = 'Elsewhere.' WHERE id = %s", [block.id])


async def test_a_save_of_another_process_reaches_the_page_of_the_block_and_the_workbench(
    block: Block,
) -> None:
    agent: Agent = await threads.run(
        create_agent,
        caller=await threads.run(make_caller),
        draft=AgentDraft(model="demo/assistant", block_ids=(block.id,)),
    )
    async with hearing():
        page, bench = open_socket(block.id), _open_bench(agent.id)
        await ready(page)
        await bench.connect()
        seen = ""
        while 'id="part-blocks"' not in seen:
            seen = str(await bench.receive_from(timeout=10))
        await threads.run(_write_as_another_process, block)
        assert "nightly-sync" in (await frame(page, "moved"))["html"]
        while "data-fresh" not in seen:
            seen = str(await bench.receive_from(timeout=10))
        assert "Elsewhere." in seen
        assert "1 behind" in seen
        await page.disconnect()
        await bench.disconnect()


def _open_bench(agent_id: str) -> WebsocketCommunicator:
    socket = WebsocketCommunicator(
        WorkbenchConsumer.as_asgi(), f"/ws/agents/{agent_id}/", headers=[(b"host", b"localhost")]
    )
    scope: Any = socket.scope
    scope |= {"url_route": {"kwargs": {"agent_id": agent_id}}, "client": ("127.0.0.1", 1)}
    return socket


async def test_what_happens_to_a_holder_is_told_and_to_others_not(block: Block) -> None:
    holder = await threads.run(make_agent)
    await threads.run(holder.block_links.create, block=block, position=0)
    other = await threads.run(make_agent)
    socket = open_socket(block.id)
    await ready(socket)
    await threads.run(tell, other)
    await threads.run(tell, holder)
    assert (await frame(socket, "readers"))["kind"] == "readers"
    await save(block, "New.")
    # One frame for the holder, none for the other.
    assert json.loads(str(await socket.receive_from(timeout=10)))["kind"] == "moved"
    await socket.disconnect()


async def test_a_block_that_is_not_there_closes_the_connection() -> None:
    def theirs() -> str:
        return make_block(workspace=make_workspace()).id

    for block_id in (new_id("block"), await threads.run(theirs)):
        socket = open_socket(block_id)
        await socket.connect()
        closed = await socket.receive_output(timeout=10)
        assert (closed["type"], closed["code"]) == ("websocket.close", 4404)


async def test_words_that_the_page_does_not_say_change_nothing(block: Block) -> None:
    async with hearing():
        socket = open_socket(block.id)
        await ready(socket)
        await socket.send_to("nonsense")
        await socket.send_to(bytes_data=b"\x00")
        await save(block, "New.")
        assert (await frame(socket, "moved"))["version"] == 2
        await socket.disconnect()
