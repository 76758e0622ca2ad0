"""Rows of the list of blocks."""

from __future__ import annotations

import pytest

from letta_ade.core.pagination import PageRequest
from memory.models import Block, BlockVersion
from memory.services.block_rows import page_of_rows
from memory.services.block_writes import Origin
from memory.services.blocks import BlockFilters, edit_block, list_blocks
from tests.support.factories import (
    attach_block,
    make_agent,
    make_agent_caller,
    make_block,
    make_caller,
    make_workspace,
)

pytestmark = pytest.mark.django_db


def found(**filters: object) -> list[str]:
    rows = list_blocks(caller=make_caller(), filters=BlockFilters(**filters))  # type: ignore[arg-type]  # names and values of the test
    return sorted(rows.values_list("label", flat=True))


def test_a_text_is_found_in_label_description_value_tags_and_id() -> None:
    one = make_block(label="alpha/50%", description="Said_of it", value="A Gift\tcard", tags=("Étage",))
    make_block(label="other")
    for text in ("ALPHA/50%", "said_of", "gift\tcard", "étage", one.id):
        assert found(text=text) == ["alpha/50%"], text
    assert found(text="50_") == []
    assert found(text="a\\") == []


def test_another_workspace_is_not_searched() -> None:
    make_block(label="secret", workspace=make_workspace())
    assert found(text="secret") == []


def test_filters_of_the_page() -> None:
    first, second = make_agent(), make_agent()
    shared = make_block(agent=first, label="shared", read_only=True)
    attach_block(second, shared)
    one = make_block(agent=first, label="one")
    make_block(label="free", is_template=True)
    caller = make_agent_caller(first)
    edit_block(caller=caller, block_id=one.id, edit=str.upper, origin=Origin(tool_name="memory_rethink"))
    assert found(holders_from=2) == ["shared"]
    assert found(holders_to=0) == ["free"]
    assert found(read_only=True) == ["shared"]
    assert found(templates_only=True) == ["free"]
    assert found(writer_kind="agent") == ["one"]
    assert found(writer_kind="local") == ["free", "shared"]


def test_a_row_says_size_holders_writer_and_where_it_matches() -> None:
    agent = make_agent(name="desk")
    block = make_block(agent=agent, label="notes", value="x" * 3000 + "\nthe NEEDLE here\n" + "y" * 3000)
    caller = make_agent_caller(agent)
    edit_block(
        caller=caller,
        block_id=block.id,
        edit=lambda value: value + "z",
        origin=Origin(tool_name="memory_insert"),
    )
    rows = list_blocks(caller=make_caller(), filters=BlockFilters(text="needle"))
    (row,) = page_of_rows(caller=make_caller(), blocks=rows, page=PageRequest(), text="needle")
    assert (row.size, row.holder_count, row.holder_name) == (6018, 1, "desk")
    assert row.written is not None
    assert (row.written.actor_kind, row.written.tool_name) == ("agent", "memory_insert")
    assert "the NEEDLE here" in row.excerpt
    assert len(row.excerpt) <= 240


def test_a_page_makes_four_queries_however_many_rows(django_assert_num_queries: object) -> None:
    for number in range(12):
        make_block(label=f"block {number}")
    caller = make_caller()
    with django_assert_num_queries(4):  # type: ignore[operator]  # a fixture of pytest-django
        blocks = list_blocks(caller=caller, filters=BlockFilters(text="block"))
        assert len(page_of_rows(caller=caller, blocks=blocks, page=PageRequest(), text="block")) == 12


def test_a_block_without_its_versions_is_still_listed() -> None:
    block = make_block(label="robbed")
    BlockVersion.objects.filter(block=block).delete()
    (row,) = page_of_rows(caller=make_caller(), blocks=Block.objects.all(), page=PageRequest())
    assert row.written is None
