"""Blocks: limits, versions, the chain of hashes, and writers that meet."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import connections

from letta_ade.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from memory.models import Block, BlockVersion
from memory.services.block_checks import BlockReadOnly, BlockTooLong
from memory.services.block_versions import list_versions, verify_block
from memory.services.block_writes import Origin
from memory.services.blocks import (
    BlockChanges,
    BlockDraft,
    BlockFilters,
    create_block,
    delete_block,
    edit_block,
    get_block_for,
    list_blocks,
    update_block,
)
from tests.support.factories import (
    attach_block,
    make_agent,
    make_agent_caller,
    make_block,
    make_caller,
    make_workspace,
)

pytestmark = pytest.mark.django_db


def test_a_new_block_has_a_first_version():
    caller = make_caller()
    block = create_block(caller=caller, draft=BlockDraft(label="human", value="Ada", tags=("a", "b", "a")))
    version = list_versions(caller=caller, block_id=block.id).get()
    assert (block.version, block.tags, block.limit) == (1, ["a", "b"], 100_000)
    assert (version.number, version.value, version.prev_hash) == (1, "Ada", "")
    assert (version.actor_kind, version.actor_name, version.tool_name) == ("local", "You", None)


@pytest.mark.parametrize(
    ("draft", "words"),
    [
        (BlockDraft(label=" "), "needs a label"),
        (BlockDraft(label="x" * 256), "at most 255 characters, not 256"),
        (BlockDraft(label="a\nb"), "one line"),
        (BlockDraft(label="human", value="12345", limit=4), "would have 5 characters; its limit is 4"),
        (BlockDraft(label="human", limit=0), "between 1 and"),
        (BlockDraft(label="human", limit=2**31), "between 1 and"),
        (BlockDraft(label="human", value="a\0b"), r"U\+0000, at position 2"),
        (BlockDraft(label="human", value="a\ud800"), r"U\+D800, at position 2"),
        (BlockDraft(label="human", metadata={"key": "a\0"}), r"metadata .*U\+0000"),
        (BlockDraft(label="human", tags=("x" * 256,)), "A tag has between 1 and 255 characters, not 256"),
    ],
)
def test_a_bad_draft_is_refused_with_the_reason(draft, words):
    with pytest.raises(Unprocessable, match=words):
        create_block(caller=make_caller(), draft=draft)
    assert not Block.objects.exists()


def test_a_value_may_be_exactly_as_long_as_the_limit():
    assert create_block(caller=make_caller(), draft=BlockDraft(label="x", value="äöü", limit=3)).version == 1


def test_an_update_writes_a_version_that_names_its_writer():
    block = make_block(value="old")
    caller = make_caller(kind="api_key", id="key-1", name="CI")
    block = update_block(
        caller=caller, block_id=block.id, changes=BlockChanges(value="new", description="Why"), base_version=1
    )
    version = list_versions(caller=caller, block_id=block.id)[0]
    assert (block.version, version.number, version.value, version.description) == (2, 2, "new", "Why")
    assert (version.actor_kind, version.actor_id, version.actor_name) == ("api_key", "key-1", "CI")
    assert version.base_version == 1
    assert block.last_updated_by_id == "key-1"


def test_an_update_that_changes_nothing_writes_nothing():
    block = make_block(value="same")
    before = Block.objects.get().updated_at
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="same", limit=100_000))
    assert Block.objects.get().updated_at == before
    assert BlockVersion.objects.count() == 1


def test_a_change_of_tags_alone_makes_no_version():
    block = make_block()
    changes = BlockChanges(tags=("x", "x"), metadata={"a": 1})
    assert update_block(caller=make_caller(), block_id=block.id, changes=changes).version == 1
    assert Block.objects.get().tags == ["x"]
    assert Block.objects.get().metadata == {"a": 1}


def test_a_value_over_the_limit_is_refused_and_nothing_changes():
    block = make_block(value="1234", limit=5)
    with pytest.raises(BlockTooLong, match="would have 6 characters; its limit is 5"):
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="123456"))
    with pytest.raises(BlockTooLong, match="would have 4 characters; its limit is 3"):
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(limit=3))
    assert (Block.objects.get().value, Block.objects.get().limit, Block.objects.get().version) == (
        "1234",
        5,
        1,
    )


def test_a_value_may_grow_together_with_its_limit():
    block = make_block(value="1234", limit=4)
    changes = BlockChanges(value="123456", limit=6)
    assert update_block(caller=make_caller(), block_id=block.id, changes=changes).value == "123456"


def test_an_update_of_a_version_that_has_passed_is_a_conflict():
    block = make_block(value="one")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="two"), base_version=1)
    with pytest.raises(Conflict, match="is at version 2, this change was made to version 1") as raised:
        update_block(
            caller=make_caller(), block_id=block.id, changes=BlockChanges(value="three"), base_version=1
        )
    assert raised.value.data["current_version"] == 2
    assert Block.objects.get().value == "two"


def test_a_label_may_not_become_that_of_another_block_of_the_same_agent():
    agent = make_agent()
    make_block(agent=agent, label="human")
    persona = make_block(agent=agent, label="persona")
    with pytest.raises(Conflict, match="another block with the label 'human'"):
        update_block(caller=make_caller(), block_id=persona.id, changes=BlockChanges(label="human"))
    other = update_block(caller=make_caller(), block_id=persona.id, changes=BlockChanges(label="notes/me"))
    assert other.label == "notes/me"


def test_people_may_edit_a_read_only_block_and_agents_may_not():
    block = make_block(label="law", value="old law", read_only=True)
    with pytest.raises(BlockReadOnly, match="'law' is read-only"):
        edit_block(
            caller=make_caller(kind="agent"), block_id=block.id, edit=lambda _: "mine", origin=Origin()
        )
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="new law"))
    assert Block.objects.get().value == "new law"


def test_an_edit_is_made_to_the_value_as_it_is_now():
    agent = make_agent()
    block = make_block(agent=agent, value="one\ntwo")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="one\n2\nthree"))
    origin = Origin(run_id="run-1", step_id="step-1", message_id="message-1", tool_call_id="c", tool_name="t")
    edit = edit_block(
        caller=make_agent_caller(agent), block_id=block.id, edit=lambda value: value + "\nfour", origin=origin
    )
    assert (edit.from_version, edit.to_version, edit.added, edit.removed) == (2, 3, 1, 0)
    version = BlockVersion.objects.get(number=3)
    assert version.value == "one\n2\nthree\nfour"
    assert (version.actor_kind, version.actor_id, version.base_version) == ("agent", agent.id, 2)
    assert (version.run_id, version.step_id, version.message_id) == ("run-1", "step-1", "message-1")
    assert (version.tool_call_id, version.tool_name) == ("c", "t")
    assert verify_block(Block.objects.get()) == []


def test_an_edit_that_changes_nothing_makes_no_version():
    block = make_block(value="same")
    edit = edit_block(caller=make_caller(), block_id=block.id, edit=lambda value: value, origin=Origin())
    assert not edit.has_changed
    assert BlockVersion.objects.count() == 1


def test_an_edit_over_the_limit_names_both_numbers():
    block = make_block(value="1234", limit=5)
    with pytest.raises(BlockTooLong, match="would have 8 characters; its limit is 5"):
        edit_block(caller=make_caller(), block_id=block.id, edit=lambda value: value * 2, origin=Origin())
    assert BlockVersion.objects.count() == 1


def test_an_edit_takes_three_queries(django_assert_num_queries):
    block, caller = make_block(), make_caller()
    with django_assert_num_queries(3):
        edit_block(caller=caller, block_id=block.id, edit=lambda value: value + "!", origin=Origin())


@pytest.mark.parametrize(
    ("field", "value"),
    [("value", "forged"), ("actor_name", "Somebody"), ("tool_name", "other"), ("description", "x")],
)
def test_a_version_changed_behind_our_back_is_found(field, value):
    block = make_block(value="one")
    for text in ("two", "three"):
        block = update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=text))
    assert verify_block(block) == []
    BlockVersion.objects.filter(number=2).update(**{field: value})
    assert verify_block(block) == ["Version 2 was changed after it was written."]


def test_a_removed_version_and_a_changed_block_are_found():
    block = make_block(value="one")
    for text in ("two", "three"):
        block = update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=text))
    Block.objects.update(value="forged")
    block.refresh_from_db()
    assert verify_block(block) == ["Changed without a version: value."]
    BlockVersion.objects.filter(number=2).delete()
    assert "Version 2 is missing: 3 comes next." in verify_block(block)
    BlockVersion.objects.filter(number=3).delete()
    assert any("its history ends with 1" in problem for problem in verify_block(block))


def test_a_version_rewritten_with_a_new_hash_breaks_the_chain():
    block = make_block(value="one")
    block = update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="two"))
    BlockVersion.objects.filter(number=1).update(hash="0" * 64)
    assert "Version 2 does not follow from the version before it." in verify_block(block)


def test_a_deleted_block_is_gone_with_its_history_and_its_places():
    agent = make_agent()
    block = make_block(agent=agent)
    delete_block(caller=make_caller(), block_id=block.id)
    assert not BlockVersion.objects.exists()
    assert not agent.block_links.exists()
    with pytest.raises(NotFound):
        delete_block(caller=make_caller(), block_id=block.id)


def test_the_block_of_another_workspace_is_not_found():
    block = make_block(workspace=make_workspace())
    caller = make_caller()
    with pytest.raises(NotFound, match=block.id):
        get_block_for(caller=caller, block_id=block.id)
    with pytest.raises(NotFound):
        update_block(caller=caller, block_id=block.id, changes=BlockChanges(value="mine"))
    with pytest.raises(NotFound):
        edit_block(caller=caller, block_id=block.id, edit=lambda _: "mine", origin=Origin())
    with pytest.raises(NotFound):
        delete_block(caller=caller, block_id=block.id)
    with pytest.raises(NotFound):
        list_versions(caller=caller, block_id=block.id)
    assert not list_blocks(caller=caller).exists()
    assert Block.objects.get().value == "First line."


def test_a_viewer_reads_and_changes_nothing():
    block = make_block()
    viewer = make_caller(role="viewer")
    assert get_block_for(caller=viewer, block_id=block.id) == block
    for write in (
        lambda: create_block(caller=viewer, draft=BlockDraft(label="x")),
        lambda: update_block(caller=viewer, block_id=block.id, changes=BlockChanges(value="x")),
        lambda: edit_block(caller=viewer, block_id=block.id, edit=str, origin=Origin()),
        lambda: delete_block(caller=viewer, block_id=block.id),
    ):
        with pytest.raises(Forbidden):
            write()


def test_lists_are_filtered(django_assert_num_queries):
    make_block(label="human", value="Likes TEA", tags=("a", "b"), description="About the person")
    make_block(label="persona", value="Kind", tags=("a",), is_template=True, template_name="starter")
    make_block(label="secret", hidden=True, project_id="p1")

    caller = make_caller()

    def labels(**filters):
        return [block.label for block in list_blocks(caller=caller, filters=BlockFilters(**filters))]

    with django_assert_num_queries(1):
        assert labels() == ["human", "persona"]
    assert labels(show_hidden=True) == ["human", "persona", "secret"]
    assert labels(label="human") == ["human"]
    assert labels(labels=("human", "persona")) == ["human", "persona"]
    assert labels(tags=("a", "b")) == ["human", "persona"]
    assert labels(tags=("a", "b"), match_all_tags=True) == ["human"]
    assert labels(templates_only=True) == ["persona"]
    assert labels(template_name="starter") == ["persona"]
    assert labels(label_search="ERSO") == ["persona"]
    assert labels(description_search="person") == ["human"]
    assert labels(value_search="tea\0") == ["human"]
    assert labels(project_id="p1", show_hidden=True) == ["secret"]


@pytest.mark.django_db(transaction=True)
def test_ten_agents_lose_no_line_of_a_shared_block():
    block = make_block(value="")
    agents = [make_agent() for _ in range(10)]
    for agent in agents:
        attach_block(agent, block)

    def append(value, *, line):
        return f"{value}\n{line}" if value else line

    def write(agent):
        try:
            for number in range(100):
                line = f"{agent.name} {number}"
                edit_block(
                    caller=make_agent_caller(agent),
                    block_id=block.id,
                    edit=partial(append, line=line),
                    origin=Origin(),
                )
        finally:
            connections.close_all()

    with ThreadPoolExecutor(10) as pool:
        list(pool.map(write, agents))
    block.refresh_from_db()
    expected = {f"{agent.name} {number}" for agent in agents for number in range(100)}
    assert set(block.value.split("\n")) == expected
    assert len(block.value.split("\n")) == 1000
    assert block.version == 1001
    assert verify_block(block) == []
