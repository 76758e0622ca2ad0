"""The tools `memory` and `memory_apply_patch`, as a model calls them."""

from __future__ import annotations

import json

import pytest

from memory.models import Block, BlockVersion
from memory.services.block_versions import verify_block
from tests.support.factories import attach_block, make_agent, make_block, make_tool_context, make_workspace
from tools.execution import run_call

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent():
    return make_agent()


def context_of(agent, **fields):
    return make_tool_context(
        agent,
        attach_block=lambda block: attach_block(agent, block),
        detach_block=lambda block_id: agent.block_links.filter(block_id=block_id).delete(),
        **fields,
    )


def memory(context, command, **arguments):
    outcome = run_call("memory", context, {"command": command, **arguments}, None)
    return outcome.value_text, outcome.is_error


def labels(agent):
    return [link.block.label for link in agent.block_links.select_related("block")]


def state(agent):
    """All that a call may change: which blocks there are, which are attached, and every version."""
    return labels(agent), sorted(Block.objects.values_list("label", "value")), BlockVersion.objects.count()


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("/memories/notes", "notes"),
        ("notes", "notes"),
        ("/notes", "notes"),
        ("/memories/notes/today", "notes/today"),
        ("notes/today/", "notes/today"),
        (" /memories/what_is_it ", "what_is_it"),
    ],
)
def test_create_makes_and_attaches_a_block(agent, path, label):
    context = context_of(agent)
    assert memory(context, "create", path=path, description="For notes.", file_text="one\ntwo") == (
        f"Created the memory block {label!r}.",
        False,
    )
    block = agent.blocks.get()
    assert (block.label, block.value, block.description) == (label, "one\ntwo", "For notes.")
    (change,) = context.changes
    assert (change.from_version, change.to_version, change.added) == (0, 1, 2)
    assert context.block_ids == {label: block.id}
    assert verify_block(block) == []
    assert BlockVersion.objects.get().tool_call_id == context.tool_call_id


def test_create_without_text_makes_an_empty_block(agent):
    assert not memory(context_of(agent), "create", path="notes", description="For notes.")[1]
    assert agent.blocks.get().value == ""


@pytest.mark.parametrize("path", ["human", "/memories/human", "/memories/notes/today"])
def test_edits_reach_the_block_by_both_forms_of_its_path(agent, path):
    label = path.removeprefix("/memories/")
    make_block(agent=agent, label=label, value="one\ntwo")
    context = context_of(agent)
    assert memory(context, "str_replace", path=path, old_string="two", new_string="2") == ("one\n2", False)
    assert memory(context, "insert", path=path, insert_line=0, insert_text="zero") == ("zero\none\n2", False)
    assert memory(context, "insert", path=path, insert_line=None, insert_text="end") == (
        "zero\none\n2\nend",
        False,
    )
    assert memory(context, "insert", path=path, insert_text="more")[0].endswith("end\nmore")
    assert [change.to_version for change in context.changes] == [2, 3, 4, 5]


def test_str_replace_by_nothing_deletes(agent):
    make_block(agent=agent, label="human", value="one, two")
    assert memory(context_of(agent), "str_replace", path="human", old_string=", two", new_string="") == (
        "one",
        False,
    )


def test_delete_detaches_and_keeps_the_row(agent):
    block = make_block(agent=agent, label="notes/today")
    context = context_of(agent)
    text, is_error = memory(context, "delete", path="/memories/notes/today")
    assert (text, is_error) == ("Deleted the memory block 'notes/today' from your memory.", False)
    assert (labels(agent), Block.objects.get().id, context.block_ids) == ([], block.id, {})
    # Later calls of the same run know it too.
    text, is_error = memory(context, "insert", path="notes/today", insert_text="x")
    assert (is_error, "You have no memory blocks at all." in text) == (True, True)


def test_a_deleted_label_can_be_made_again(agent):
    make_block(agent=agent, label="notes", value="old")
    context = context_of(agent)
    memory(context, "delete", path="notes")
    assert not memory(context, "create", path="notes", description="New.", file_text="new")[1]
    assert agent.blocks.get().value == "new"


def test_rename_changes_the_label(agent):
    block = make_block(agent=agent, label="human")
    context = context_of(agent)
    text, is_error = memory(
        context, "rename", old_path="/memories/human", new_path="/memories/people/ada", description="Ada."
    )
    assert not is_error
    assert text == (
        "Renamed the memory block 'human' to 'people/ada'. "
        "Changed the description of the memory block 'people/ada'."
    )
    block.refresh_from_db()
    assert (block.label, block.description, block.version) == ("people/ada", "Ada.", 2)
    assert context.block_ids == {"people/ada": block.id}
    (change,) = context.changes
    assert (change.from_version, change.to_version) == (1, 2)
    assert verify_block(block) == []
    assert not memory(context, "insert", path="people/ada", insert_text="x")[1]


def test_rename_with_path_alone_changes_the_description(agent):
    make_block(agent=agent, label="human", description="Old.")
    context = context_of(agent)
    assert memory(context, "rename", path="human", description="New.") == (
        "Changed the description of the memory block 'human'.",
        False,
    )
    assert agent.blocks.get().description == "New."
    assert memory(context, "rename", path="human", description="New.")[0].startswith("Nothing was changed")
    assert len(context.changes) == 1


COMMANDS = [
    ("str_replace", {"path": "{}", "old_string": "First", "new_string": "x"}),
    ("insert", {"path": "{}", "insert_text": "x"}),
    ("delete", {"path": "{}"}),
    ("rename", {"old_path": "{}", "new_path": "other"}),
    ("rename", {"path": "{}", "description": "x"}),
]


def filled(arguments, label):
    return {name: value.format(label) for name, value in arguments.items()}


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_an_unknown_block_is_an_error_that_lists_the_labels(agent, command, arguments):
    make_block(agent=agent, label="human")
    make_block(agent=agent, label="persona")
    before = state(agent)
    text, is_error = memory(context_of(agent), command, **filled(arguments, "/memories/notes"))
    assert is_error
    assert "You have no memory block 'notes'. Your blocks are: 'human', 'persona'." in text
    assert state(agent) == before


@pytest.mark.parametrize(("command", "arguments"), COMMANDS)
def test_a_read_only_block_is_left_alone(agent, command, arguments):
    make_block(agent=agent, label="human", read_only=True)
    before, context = state(agent), context_of(agent)
    text, is_error = memory(context, command, **filled(arguments, "human"))
    assert is_error
    assert "BlockReadOnly: The block 'human' is read-only" in text
    assert (state(agent), context.changes, list(context.block_ids)) == (before, [], ["human"])


@pytest.mark.parametrize(
    ("command", "arguments", "words"),
    [
        ("create", {"path": "x"}, "create needs path, description; missing: description."),
        ("create", {"description": "x"}, "missing: path."),
        ("str_replace", {"path": "human", "old_string": "x"}, "missing: new_string."),
        ("str_replace", {}, "missing: path, old_string, new_string."),
        ("insert", {"path": "human", "insert_line": 0}, "missing: insert_text."),
        ("delete", {}, "missing: path."),
        ("rename", {"old_path": "human"}, "rename needs old_path and new_path, or path and description."),
        ("rename", {"new_path": "x"}, "rename needs old_path and new_path"),
        ("view", {"path": "human"}, "The commands are: create, str_replace, insert, delete, rename."),
        ("insert", {"path": "human", "insert_text": "x", "insert_line": 9}, "insert_line 9 is out of range"),
        ("insert", {"path": "human", "insert_text": "x", "insert_line": "top"}, "must be a whole number"),
        ("insert", {"path": "human", "insert_text": "1→ x"}, "insert_text holds line numbers"),
        ("create", {"path": "x", "description": "x", "file_text": "a\n2→ b"}, "file_text holds line numbers"),
        (
            "str_replace",
            {"path": "human", "old_string": "1→ First", "new_string": "x"},
            "old_string holds line",
        ),
        ("str_replace", {"path": "human", "old_string": "gone", "new_string": "x"}, "old_string was not found"),
        ("str_replace", {"path": "human", "old_string": "i", "new_string": "x"}, "occurs 2 times in block 'human'"),
        ("create", {"path": "human", "description": "x"}, "You have a memory block 'human' already."),
        ("create", {"path": "/memories/", "description": "x"}, "names no memory block"),
        ("create", {"path": " / ", "description": "x"}, "names no memory block"),
        ("create", {"path": "x" * 300, "description": "x"}, "A label has at most 255 characters"),
        ("create", {"path": "a\nb", "description": "x"}, "A label is one line"),
        ("rename", {"old_path": "human", "new_path": "persona"}, "another block with the label 'persona'"),
        ("insert", {"path": "human", "insert_text": "y" * 40}, "its limit is 40. Nothing was changed"),
    ],
)  # fmt: skip
def test_a_bad_call_is_explained_and_changes_nothing(agent, command, arguments, words):
    make_block(agent=agent, label="human", value="First line.", limit=40)
    make_block(agent=agent, label="persona")
    before, context = state(agent), context_of(agent)
    text, is_error = memory(context, command, **arguments)
    assert is_error, text
    assert words in text
    assert (state(agent), context.changes) == (before, [])
    assert list(context.block_ids) == ["human", "persona"]


def test_a_call_without_a_command_names_what_the_tool_takes(agent):
    outcome = run_call("memory", context_of(agent), {"path": "human"}, None)
    assert outcome.is_error
    assert "missing required argument 'command'" in outcome.value_text


def test_an_agent_that_gets_no_blocks_is_told(agent):
    make_block(agent=agent, label="human")
    bare = make_tool_context(agent)
    assert "You cannot make new memory blocks." in memory(bare, "create", path="x", description="x")[0]
    assert "You cannot remove memory blocks." in memory(bare, "delete", path="human")[0]
    assert labels(agent) == ["human"]


def test_the_block_of_another_workspace_cannot_be_taken_away_or_renamed(agent):
    theirs = make_block(workspace=make_workspace(), label="human")
    context = context_of(agent, block_ids={"human": theirs.id})
    for command, arguments in COMMANDS:
        text, is_error = memory(context, command, **filled(arguments, "human"))
        assert (is_error, "NotFound" in text) == (True, True)
    assert Block.objects.get().label == "human"


def apply_patch(context, patch, **arguments):
    outcome = run_call("memory_apply_patch", context, {"patch": patch, **arguments}, None)
    return outcome.value_text, outcome.is_error


def test_hunks_change_the_block_that_is_named(agent):
    make_block(agent=agent, label="human", value="Name: Ada\nLikes tea")
    context = context_of(agent)
    text, is_error = apply_patch(context, " Name: Ada\n-Likes tea\n+Likes coffee", label="human")
    assert not is_error
    assert json.loads(text) == [{"done": "updated", "label": "human", "value": "Name: Ada\nLikes coffee"}]
    assert [change.to_version for change in context.changes] == [2]


def test_a_patch_with_headers_changes_several_blocks(agent):
    for label in ("human", "scratch"):
        make_block(agent=agent, label=label, value=f"{label} one")
    context = context_of(agent)
    text, is_error = apply_patch(
        context,
        "*** Add Block: notes/today\nDescription: Notes.\n+first\n"
        "*** Update Block: human\n*** Move to: person\n-human one\n+human two\n"
        "*** Delete Block: scratch",
    )
    assert not is_error, text
    assert json.loads(text) == [
        {"done": "added", "label": "notes/today", "value": "first"},
        {"done": "renamed", "label": "human", "new_label": "person"},
        {"done": "updated", "label": "person", "value": "human two"},
        {"done": "deleted", "label": "scratch"},
    ]
    assert sorted(labels(agent)) == ["notes/today", "person"]
    assert sorted(context.block_ids) == ["notes/today", "person"]
    # The run learns of new labels from these; the old one must not come back by them.
    assert {change.block.label for change in context.changes} == {"notes/today", "person"}
    assert Block.objects.filter(label="scratch").exists()


@pytest.mark.parametrize(
    ("patch", "arguments", "words"),
    [
        ("-gone", {"label": "human"}, "Hunk 1 does not fit"),
        ("-one", {}, "A patch without headers needs the label of the block."),
        ("-one", {"label": "notes"}, "You have no memory block 'notes'. Your blocks are: 'human', 'fixed'."),
        ("-one\n+two", {"label": "fixed"}, "BlockReadOnly"),
        ("+" + "x" * 50, {"label": "human"}, "its limit is 40"),
        ("1→ one\n-two", {"label": "human"}, "holds line numbers"),
        ("-1→ one\n+x", {"label": "human"}, "holds line numbers"),
        ("*** Delete Block: fixed", {}, "BlockReadOnly"),
        ("*** Add Block: human\n+x", {}, "You have a memory block 'human' already."),
        ("*** Update Block: human\n*** Move to: fixed", {}, "another block with the label 'fixed'"),
        ("*** Nonsense", {}, "is no header"),
        # What was done before the error is undone.
        ("*** Add Block: new\n+x\n*** Update Block: human\n-gone", {}, "does not fit"),
        ("*** Update Block: human\n*** Move to: person\n*** Delete Block: fixed", {}, "BlockReadOnly"),
    ],
)
def test_a_patch_that_fails_changes_nothing(agent, patch, arguments, words):
    make_block(agent=agent, label="human", value="one\ntwo", limit=40)
    make_block(agent=agent, label="fixed", value="one", read_only=True)
    before, context = state(agent), context_of(agent)
    known = dict(context.block_ids)
    text, is_error = apply_patch(context, patch, **arguments)
    assert is_error, text
    assert words in text
    assert (state(agent), context.changes, context.block_ids) == (before, [], known)
