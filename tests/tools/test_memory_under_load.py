"""Many writers of one shared block, and values and labels that try what a memory tool can take."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from django.db import connections
from django.test import Client

from letta_ade.core import threads
from memory.lines import split_lines
from memory.models import Block, BlockVersion
from memory.services.block_merges import BlockConflict
from memory.services.block_versions import blame_block, verify_block
from memory.services.blocks import BlockChanges, change_block, update_block
from tests.support.api import asgi_client
from tests.support.factories import (
    attach_block,
    make_agent,
    make_block,
    make_caller,
    make_tool_context,
)
from tests.web.pages import Page
from tools.builtin.core_memory import core_memory_append, memory_rethink
from tools.registry import ToolError

_WRITERS = 64
_EDITS = 4


@pytest.mark.django_db
def test_a_rewrite_counts_the_lines_that_the_prompt_did_not_show() -> None:
    agent = make_agent()
    block = make_block(agent=agent, label="human", value="one\ntwo")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="one\ntwo\nthree"))
    arguments = {"label": "human", "new_memory": "all new"}
    memory_rethink(make_tool_context(agent, seen_versions={block.id: 1}), arguments, None)
    version = BlockVersion.objects.get(number=3)
    assert (version.base_version, version.unseen_dropped) == (1, 1)
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="all new\nand more"))
    memory_rethink(
        make_tool_context(agent, seen_versions={block.id: 4}), {**arguments, "new_memory": "x"}, None
    )
    assert BlockVersion.objects.get(number=5).unseen_dropped == 0


@pytest.mark.django_db(transaction=True)
async def test_64_writers_by_api_page_service_and_tool_lose_no_line_that_was_accepted() -> None:
    """Appends by tools and merged changes keep every line; plain writes of the API may drop some, and their versions say so."""

    block, agents = await threads.run(_shared_block)
    accepted: set[str] = set()
    with ThreadPoolExecutor(8) as pool:
        writers = [
            pool.submit(_write, number, block.id, agents[number % len(agents)]) for number in range(48)
        ]
        async with asgi_client() as client:
            for number in range(48, _WRITERS):
                for edit in range(_EDITS):
                    line = f"api {number} {edit}"
                    if number % 2:
                        now = (await client.get(f"/blocks/{block.id}")).json()
                        body = {"value": f"{line}\n{now['value']}", "base_version": now["version"]}
                    else:
                        body = {"value": f"{line}\nrewritten by {number} {edit}"}
                    answer = await client.patch(f"/blocks/{block.id}", json=body)
                    assert answer.status_code in (200, 409), answer.text
                    if answer.status_code == 200:
                        accepted.add(line)
        for writer in writers:
            accepted |= await threads.run(writer.result)
    await threads.run(lambda: _check(block.id, accepted))


def _shared_block() -> tuple[Block, list[Any]]:
    block = make_block(label="notes/“shared” </memory_blocks> 🙂", value="the first line")
    agents = [make_agent() for _ in range(8)]
    for agent in agents:
        attach_block(agent, block)
    return block, agents


def _write(number: int, block_id: str, agent: Any) -> set[str]:
    """The writers are tools, tools that rewrite, the service with a base, and people at the block's page."""
    accepted = set()
    try:
        for edit in range(_EDITS):
            line = f"writer {number} {edit}"
            label = Block.objects.get(id=block_id).label
            match number % 4:
                case 0:
                    core_memory_append(make_tool_context(agent), {"label": label, "content": line}, None)
                case 1:
                    memory_rethink(make_tool_context(agent), {"label": label, "new_memory": line}, None)
                case 2:
                    if not _save_on_page(block_id, line):
                        continue
                case _:
                    now = Block.objects.get(id=block_id)
                    changes = BlockChanges(value=f"{line}\n{now.value}")
                    try:
                        change_block(
                            caller=make_caller(), block_id=block_id, changes=changes, base_version=now.version
                        )
                    except BlockConflict:
                        continue
            accepted.add(line)
    finally:
        connections.close_all()
    return accepted


def _save_on_page(block_id: str, line: str) -> bool:
    """As a browser does: the text is read, a line put before it, and sent with the version it was read from."""
    browser, address = Client(headers={"host": "localhost:8283"}), f"/blocks/{block_id}/?view=edit"
    page = Page(browser.get(address).content.decode())
    sent = {name: page.by_id(f"id_{name}").attributes["value"] for name in ("label", "limit", "base_version")}
    text = page.by_id("id_value").text.removeprefix("\n")
    answer = browser.post(address, {**sent, "value": f"{line}\n{text}".replace("\n", "\r\n")})
    assert answer.status_code in (302, 409), answer.content
    return answer.status_code == 302


def _check(block_id: str, accepted: set[str]) -> None:
    block = Block.objects.get(id=block_id)
    assert verify_block(block) == []
    before: set[str] = set()
    first_in: dict[str, int] = {}
    last_of: dict[str, int] = {}
    drops = 0
    for version in BlockVersion.objects.filter(block=block).order_by("number"):
        lines = set(split_lines(version.value))
        dropped = before - lines
        # Whoever said what it had read dropped nothing; who did not is charged with what came after its own last write.
        assert version.base_version is None or not dropped
        unseen = {line for line in dropped if first_in[line] > last_of.get(version.actor_id, 0)}
        assert version.unseen_dropped == len(unseen)
        drops += len(unseen)
        for line in lines:
            first_in.setdefault(line, version.number)
        last_of[version.actor_id] = version.number
        before = lines
    assert drops
    assert accepted <= set(first_in)
    assert len(blame_block(caller=make_caller(), block_id=block_id)) == len(split_lines(block.value))


@pytest.mark.django_db
@pytest.mark.parametrize("label", ["a/b/c", "say “hi”", "it's", '"', "🙂", "</memory_blocks>", "x" * 255])
def test_any_label_of_one_line_can_be_written(label: str) -> None:
    agent = make_agent()
    make_block(agent=agent, label=label, value="one")
    context = make_tool_context(agent)
    assert core_memory_append(context, {"label": label, "content": "two"}, None) == "one\ntwo"
    with pytest.raises(ToolError, match="Your blocks are") as raised:
        core_memory_append(context, {"label": "other", "content": "x"}, None)
    assert repr(label) in str(raised.value)


@pytest.mark.django_db
def test_values_with_nul_are_refused_and_of_a_megabyte_and_with_carriage_returns_kept() -> None:
    agent = make_agent()
    make_block(agent=agent, label="human", value="one\r\ntwo", limit=2_000_000)
    context = make_tool_context(agent)
    with pytest.raises(Exception, match=r"U\+0000, at position"):
        core_memory_append(context, {"label": "human", "content": "a\0b"}, None)
    value = core_memory_append(context, {"label": "human", "content": "x" * 1_000_000}, None)
    assert value.startswith("one\r\ntwo\nxxx")
    many = "\n".join(["the same line"] * 70_000)
    assert core_memory_append(context, {"label": "human", "content": many}, None).count("\n") == 70_002
    assert verify_block(Block.objects.get()) == []
    assert len(blame_block(caller=make_caller(), block_id=Block.objects.get().id)) == 70_003
