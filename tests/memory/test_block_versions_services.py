"""Versions: merged, explained line by line, checked, put back and named."""

from __future__ import annotations

import random
from functools import partial

import pytest

from letta_ade.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from memory.models import Block, BlockVersion
from memory.services.block_checkpoints import (
    create_checkpoint,
    delete_checkpoint,
    list_checkpoints,
    rename_checkpoint,
    restore_checkpoint,
)
from memory.services.block_merges import BlockConflict
from memory.services.block_restores import redo, restore_version, undo
from memory.services.block_versions import (
    blame_block,
    compare_versions,
    find_problems,
    list_versions,
    verify_block,
)
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, change_block, edit_block, update_block
from tests.support.factories import (
    make_agent,
    make_agent_caller,
    make_block,
    make_caller,
    make_workspace,
)

pytestmark = pytest.mark.django_db


def write(block, value, *, base_version=None, caller=None, **changes):
    return update_block(
        caller=caller or make_caller(),
        block_id=block.id,
        changes=BlockChanges(value=value, **changes),
        base_version=base_version,
    )


def replaced(value, _):
    return value


def newest(block):
    return BlockVersion.objects.filter(block=block).order_by("-number")[0]


# Changes with a base


def test_a_change_to_an_older_version_is_merged_with_what_came_since():
    block = make_block(value="one\ntwo\nthree")
    write(block, "one\ntwo\n3", base_version=1)
    changes = BlockChanges(value="1\ntwo\nthree", description="New")
    change = change_block(caller=make_caller(), block_id=block.id, changes=changes, base_version=1)
    assert (change.block.value, change.block.description, change.merged_with) == ("1\ntwo\n3", "New", 2)
    version = newest(block)
    assert (version.number, version.base_version, version.is_merged) == (3, 1, True)
    assert not BlockVersion.objects.get(number=2).is_merged


def test_a_change_of_the_newest_version_is_not_merged():
    block = make_block(value="one")
    changes = BlockChanges(value="two")
    change = change_block(caller=make_caller(), block_id=block.id, changes=changes, base_version=1)
    assert (change.block.version, change.merged_with) == (2, None)


def test_a_form_that_sends_everything_leaves_the_fields_that_it_did_not_change():
    block = make_block(value="one\ntwo", description="Old", limit=100)
    write(block, None, description="Theirs", limit=50)
    merged = write(block, "one\ntwo\nthree", base_version=1, description="Old", limit=100, label=block.label)
    assert (merged.description, merged.limit, merged.value) == ("Theirs", 50, "one\ntwo\nthree")


def test_a_change_of_the_same_lines_is_a_conflict_with_all_that_is_needed_to_settle_it():
    block = make_block(value="one\ntwo\nthree")
    write(block, "one\nTWO\nthree", description="theirs")
    with pytest.raises(BlockConflict, match="both changed the same lines, the description") as raised:
        write(block, "one\nzwei\nthree", base_version=1, description="mine")
    assert raised.value.data == {
        "base_version": 1,
        "current_version": 2,
        "base": "one\ntwo\nthree",
        "mine": "one\nzwei\nthree",
        "theirs": "one\nTWO\nthree",
        "hunks": [{"base_line": 2, "base": ["two"], "mine": ["zwei"], "theirs": ["TWO"]}],
        "fields": {"description": {"base": None, "mine": "mine", "theirs": "theirs"}},
    }
    assert BlockVersion.objects.count() == 2


def test_the_same_change_of_two_people_is_made_once():
    block = make_block(value="one")
    write(block, "two", base_version=1)
    assert write(block, "two", base_version=1).version == 2


def test_a_merge_over_the_limit_is_refused():
    block = make_block(value="aaaa\nbbbb", limit=12)
    write(block, "aaaa!\nbbbb", base_version=1)
    with pytest.raises(Unprocessable, match="would have 13 characters; its limit is 12"):
        write(block, "aaaa\nbbbb!!!", base_version=1)


@pytest.mark.parametrize("number", [0, 2, 99, -1])
def test_a_base_that_never_was_is_refused(number):
    block = make_block(value="one")
    with pytest.raises(Unprocessable, match=f"has no version {number} .* it is at version 1"):
        write(block, "two", base_version=number)


# Blind writes


def test_a_plain_write_wins_and_its_version_counts_the_lines_it_had_not_seen():
    block, key = make_block(value="one"), make_caller(kind="api_key", id="key-1", name="CI")
    write(block, "one\ntwo", caller=key)
    edit = Origin(tool_name="memory_insert")
    agent = make_agent_caller(make_agent())
    edit_block(caller=agent, block_id=block.id, edit=lambda value: f"{value}\nnew 1\nnew 2", origin=edit)
    write(block, "one\ntwo and more\nnew 2", caller=key)
    assert (newest(block).unseen_dropped, newest(block).base_version) == (1, None)
    assert Block.objects.get().value == "one\ntwo and more\nnew 2"
    assert verify_block(Block.objects.get()) == []


@pytest.mark.parametrize("value", ["two", "one\ntwo\nthree", "three\ntwo\none"])
def test_a_plain_write_that_drops_only_what_it_wrote_itself_or_nothing_is_not_blind(value):
    block = make_block(value="one\ntwo")
    write(block, value)
    assert newest(block).unseen_dropped == 0


def test_a_line_that_only_moved_is_not_dropped():
    block = make_block(value="one\ntwo")
    write(block, "two\none", caller=make_caller(kind="api_key", id="key-1"))
    assert newest(block).unseen_dropped == 0


def test_a_write_with_a_base_is_never_blind():
    block = make_block(value="one\ntwo")
    write(block, "one", caller=make_caller(kind="api_key", id="key-1"), base_version=1)
    assert newest(block).unseen_dropped == 0


# Behind our back


def test_what_was_written_behind_our_back_becomes_a_version_of_nobody_before_the_next_one():
    block = make_block(value="one\ntwo")
    Block.objects.update(value="one\nforged")
    assert [line.version and line.version.number for line in blame(block)] == [1, None]
    assert [(each.kind, each.version) for each in find_problems(Block.objects.get())] == [("unexplained", 2)]
    edit = edit_block(
        caller=make_caller(), block_id=block.id, edit=lambda value: value + "\nmine", origin=Origin()
    )
    assert (edit.from_version, edit.to_version, edit.added) == (2, 3, 1)
    forged = BlockVersion.objects.get(number=2)
    assert (forged.actor_kind, forged.value, forged.is_explained) == ("unknown", "one\nforged", False)
    assert [line.version.number for line in blame(block)] == [1, 2, 3]
    assert verify_block(Block.objects.get()) == [
        "Version 2 is unexplained: somebody wrote to the block without making a version."
    ]


@pytest.mark.parametrize("damage", [{"version": 0}, {"version": 7}, {"head_hash": "x"}, {"description": "x"}])
def test_a_block_whose_row_was_changed_can_still_be_written(damage):
    block = make_block(value="one")
    write(block, "two")
    Block.objects.update(**damage)
    write(block, "three")
    assert Block.objects.get().value == "three"
    assert any(problem.kind != "head" for problem in find_problems(Block.objects.get()))


def test_a_block_whose_versions_are_gone_can_still_be_written():
    block = make_block(value="one")
    BlockVersion.objects.all().delete()
    write(block, "two")
    assert [version.value for version in list_versions(caller=make_caller(), block_id=block.id)] == [
        "two",
        "one",
    ]


# Blame and differences


def blame(block, **options):
    return blame_block(caller=make_caller(), block_id=block.id, **options)


@pytest.mark.parametrize("seed", range(5))
def test_blame_equals_a_replay_of_the_versions(seed):
    """Three writers, thirty edits; every line that is written is unlike all others, so that its writer is known."""
    chance = random.Random(seed)
    writers = [make_agent_caller(make_agent()), make_caller(), make_caller(kind="api_key", id="key-1")]
    block = make_block(value="start 1\nstart 2\n\nstart 3")
    expected: list[tuple[str, int]] = [(line, 1) for line in block.value.split("\n")]
    states = {1: list(expected)}
    for number in range(2, 32):
        writer = chance.choice(writers)
        start = chance.randrange(len(expected) + 1)
        end = min(len(expected), start + chance.randrange(3)) if len(expected) > 3 else start
        fresh = [f"{writer.name} {number} {step}" for step in range(chance.randint(1, 3))]
        expected[start:end] = [(line, number) for line in fresh]
        value = "\n".join(line for line, _ in expected)
        if writer.kind == "agent":
            edit_block(
                caller=writer,
                block_id=block.id,
                edit=partial(replaced, value),
                origin=Origin(run_id=f"run-{number}"),
            )
        else:
            write(block, value, caller=writer, base_version=number - 1)
        states[number] = list(expected)
    for number, state in states.items():
        assert [(line.text, line.version.number) for line in blame(block, number=number)] == state
    for forgotten in (BlockVersion.objects.none(), BlockVersion.objects.filter(number=7)):
        # Versions of before changes were kept are compared by their values.
        forgotten.update(line_changes=None)
        assert [(line.text, line.version.number) for line in blame(block)] == expected
    lines = blame(block)
    assert [(line.text, line.version.number) for line in lines] == expected
    for line in lines:
        assert line.version.number == 1 or line.text.startswith(line.version.actor_name)
        assert line.version.run_id == (
            f"run-{line.version.number}" if line.version.actor_kind == "agent" else None
        )


def test_blame_takes_four_queries_and_reads_one_value(django_assert_num_queries):
    block = make_block(value="one")
    for number in range(4):
        write(block, f"one\n{number}")
    caller = make_caller()
    with django_assert_num_queries(4):
        blame_block(caller=caller, block_id=block.id)


def test_an_empty_block_has_no_line_to_explain():
    assert blame(make_block(value="")) == []


def test_any_two_versions_are_compared_in_either_direction():
    block = make_block(value="one\ntwo", description="Old")
    write(block, "one\n2", description="New")
    write(block, "one\n2\nthree")
    diff = compare_versions(caller=make_caller(), block_id=block.id, old=1, new=3)
    assert (diff.lines.added, diff.lines.removed, diff.fields) == (2, 1, {"description": ("Old", "New")})
    back = compare_versions(caller=make_caller(), block_id=block.id, old=3, new=1)
    assert (back.lines.added, back.lines.removed, back.fields) == (1, 2, {"description": ("New", "Old")})
    with pytest.raises(NotFound, match="has no version 9; the newest is 3"):
        compare_versions(caller=make_caller(), block_id=block.id, old=1, new=9)


# Put back


def test_a_restore_is_a_new_version_with_all_that_the_old_one_had():
    block = make_block(value="one", description="Old", limit=10, label="a")
    write(block, "two, longer than ten", description="New", limit=100, read_only=True, label="b")
    restored = restore_version(caller=make_caller(), block_id=block.id, number=1, base_version=2)
    assert (restored.version, restored.value, restored.description, restored.limit) == (3, "one", "Old", 10)
    assert (restored.read_only, restored.label) == (False, "a")
    assert (newest(block).act, newest(block).restored_from) == ("restore", 1)
    assert restore_version(caller=make_caller(), block_id=block.id, number=1).version == 3
    assert verify_block(Block.objects.get()) == []


def test_a_restore_of_a_block_that_moved_on_or_of_no_version_is_refused():
    block = make_block(value="one")
    write(block, "two")
    with pytest.raises(Conflict, match="is at version 2, not 1") as raised:
        restore_version(caller=make_caller(), block_id=block.id, number=1, base_version=1)
    assert raised.value.data == {"current_version": 2}
    with pytest.raises(NotFound, match="has no version 3"):
        restore_version(caller=make_caller(), block_id=block.id, number=3)


def test_a_restore_does_not_bring_back_a_label_that_is_taken():
    agent = make_agent()
    block = make_block(agent=agent, label="human")
    write(block, None, label="person")
    make_block(agent=agent, label="human")
    with pytest.raises(Conflict, match="another block with the label 'human'"):
        restore_version(caller=make_caller(), block_id=block.id, number=1)
    with pytest.raises(Conflict, match="another block with the label 'human'"):
        undo(caller=make_caller(), block_id=block.id)


def test_undo_goes_back_step_by_step_and_redo_forward_until_something_is_written():
    block, caller = make_block(value="one"), make_caller()
    for value in ("two", "three"):
        write(block, value)

    def value_after(act):
        return act(caller=caller, block_id=block.id).value

    assert [value_after(act) for act in (undo, undo, redo, redo, undo)] == [
        "two",
        "one",
        "two",
        "three",
        "two",
    ]
    write(block, "four")
    with pytest.raises(Conflict, match="nothing to redo"):
        redo(caller=caller, block_id=block.id)
    assert [value_after(undo), value_after(undo)] == ["two", "one"]
    with pytest.raises(Conflict, match="nothing to undo"):
        undo(caller=caller, block_id=block.id)
    assert verify_block(Block.objects.get()) == []
    assert newest(block).number == 11


def test_a_restore_is_undone_like_any_change():
    block, caller = make_block(value="one"), make_caller()
    write(block, "two")
    restore_version(caller=caller, block_id=block.id, number=1)
    assert undo(caller=caller, block_id=block.id).value == "two"
    assert undo(caller=caller, block_id=block.id).value == "one"


# Checkpoints


def test_checkpoints_are_made_renamed_restored_and_forgotten():
    block, caller = make_block(value="one"), make_caller()
    first = create_checkpoint(caller=caller, block_id=block.id, name=" before ")
    write(block, "two")
    older = create_checkpoint(caller=caller, block_id=block.id, name="also", version=1)
    assert [(each.name, each.version) for each in list_checkpoints(caller=caller, block_id=block.id)] == [
        ("before", 1),
        ("also", 1),
    ]
    assert rename_checkpoint(caller=caller, block_id=block.id, checkpoint_id=older.id, name="x").name == "x"
    restored = restore_checkpoint(caller=caller, block_id=block.id, checkpoint_id=first.id, base_version=2)
    assert (restored.value, restored.version) == ("one", 3)
    delete_checkpoint(caller=caller, block_id=block.id, checkpoint_id=first.id)
    with pytest.raises(NotFound, match="no checkpoint"):
        restore_checkpoint(caller=caller, block_id=block.id, checkpoint_id=first.id)
    assert BlockVersion.objects.count() == 3


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("", Unprocessable),
        (" \n", Unprocessable),
        ("x" * 256, Unprocessable),
        ("a\0", Unprocessable),
        ("taken", Conflict),
    ],
)
def test_a_bad_name_of_a_checkpoint_is_refused(name, error):
    block, caller = make_block(), make_caller()
    create_checkpoint(caller=caller, block_id=block.id, name="taken")
    other = create_checkpoint(caller=caller, block_id=block.id, name="other")
    with pytest.raises(error):
        create_checkpoint(caller=caller, block_id=block.id, name=name)
    with pytest.raises(error):
        rename_checkpoint(caller=caller, block_id=block.id, checkpoint_id=other.id, name=name)


def test_viewers_and_other_workspaces_change_nothing():
    block = make_block()
    checkpoint = create_checkpoint(caller=make_caller(), block_id=block.id, name="x")
    foreign = make_caller(workspace=make_workspace())
    for caller, error in ((make_caller(role="viewer"), Forbidden), (foreign, NotFound)):
        for act in (
            lambda caller: undo(caller=caller, block_id=block.id),
            lambda caller: restore_version(caller=caller, block_id=block.id, number=1),
            lambda caller: create_checkpoint(caller=caller, block_id=block.id, name="y"),
            lambda caller: rename_checkpoint(
                caller=caller, block_id=block.id, checkpoint_id=checkpoint.id, name="y"
            ),
            lambda caller: restore_checkpoint(caller=caller, block_id=block.id, checkpoint_id=checkpoint.id),
            lambda caller: delete_checkpoint(caller=caller, block_id=block.id, checkpoint_id=checkpoint.id),
        ):
            with pytest.raises(error):
                act(caller)
    with pytest.raises(NotFound):
        blame_block(caller=foreign, block_id=block.id)
    assert list_checkpoints(caller=make_caller(), block_id=block.id).get().name == "x"
