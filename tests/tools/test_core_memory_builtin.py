"""The tools that edit memory blocks, as a model calls them."""

from __future__ import annotations

import pytest

from memory.models import Block, BlockVersion
from memory.rendering import BlockView, render_blocks
from memory.services.block_versions import verify_block
from memory.services.blocks import BlockChanges, update_block
from tests.support.factories import (
    attach_block,
    make_agent,
    make_block,
    make_caller,
    make_tool_context,
    make_workspace,
)
from tools.execution import run_call

pytestmark = pytest.mark.django_db


def call(name, context, **arguments):
    outcome = run_call(name, context, arguments, None)
    return outcome.value_text, outcome.is_error


@pytest.fixture
def agent():
    return make_agent()


def value_of(label="human"):
    return Block.objects.get(label=label).value


@pytest.mark.parametrize(
    ("value", "line", "expected"),
    [
        ("one\ntwo", None, "one\ntwo\nnew"),
        ("one\ntwo", -1, "one\ntwo\nnew"),
        ("one\ntwo", 0, "new\none\ntwo"),
        ("one\ntwo", 1, "one\nnew\ntwo"),
        ("one\ntwo", 2, "one\ntwo\nnew"),
        ("one\ntwo", "1", "one\nnew\ntwo"),
        ("", -1, "new"),
        ("", 0, "new"),
    ],
)
def test_insert_puts_a_line_where_it_is_asked_to(agent, value, line, expected):
    make_block(agent=agent, label="human", value=value)
    arguments = {} if line is None else {"insert_line": line}
    assert call("memory_insert", make_tool_context(agent), label="human", new_string="new", **arguments) == (
        expected,
        False,
    )
    assert value_of() == expected


@pytest.mark.parametrize("line", [3, -2, 99])
def test_insert_out_of_range_names_the_range(agent, line):
    make_block(agent=agent, label="human", value="one\ntwo")
    text, is_error = call(
        "memory_insert", make_tool_context(agent), label="human", new_string="x", insert_line=line
    )
    assert is_error
    assert text.startswith(
        f"Error executing function memory_insert: ToolError: insert_line {line} is out of range"
    )
    assert "has 2 lines. Use 0 for the top, 1 to 2" in text
    assert value_of() == "one\ntwo"


def test_insert_at_no_number_is_an_error(agent):
    make_block(agent=agent, label="human")
    text, is_error = call(
        "memory_insert", make_tool_context(agent), label="human", new_string="x", insert_line="top"
    )
    assert (is_error, "insert_line must be a whole number, not 'top'" in text) == (True, True)


def test_replace_changes_the_one_occurrence_and_reports_it(agent):
    block = make_block(agent=agent, label="human", value="Name: Ada\nLikes tea")
    context = make_tool_context(agent, tool_name="memory_replace", tool_call_id="call_9")
    text, is_error = call(
        "memory_replace", context, label="human", old_string="Likes tea", new_string="Likes coffee"
    )
    assert (text, is_error) == ("Name: Ada\nLikes coffee", False)
    (change,) = context.changes
    assert (change.block.id, change.from_version, change.to_version) == (block.id, 1, 2)
    assert (change.added, change.removed) == (1, 1)
    version = BlockVersion.objects.get(number=2)
    assert (version.actor_kind, version.actor_id, version.actor_name) == ("agent", agent.id, agent.name)
    assert (version.run_id, version.step_id, version.message_id) == (
        context.run_id,
        context.step_id,
        context.message_id,
    )
    assert (version.tool_name, version.tool_call_id) == ("memory_replace", "call_9")


def test_replace_by_nothing_deletes(agent):
    make_block(agent=agent, label="human", value="one, two")
    assert call(
        "memory_replace", make_tool_context(agent), label="human", old_string=", two", new_string=""
    ) == (
        "one",
        False,
    )


@pytest.mark.parametrize("old", ["three", "", "ONE"])
def test_replace_of_what_is_not_there_is_an_error(agent, old):
    make_block(agent=agent, label="human", value="one")
    context = make_tool_context(agent)
    text, is_error = call("memory_replace", context, label="human", old_string=old, new_string="x")
    assert is_error
    assert "old_string was not found in block 'human'. Nothing was changed" in text
    assert (value_of(), context.changes) == ("one", [])


def test_replace_of_what_occurs_twice_names_the_lines(agent):
    make_block(agent=agent, label="human", value="tea\ncake\ntea and tea")
    text, is_error = call(
        "memory_replace", make_tool_context(agent), label="human", old_string="tea", new_string="x"
    )
    assert is_error
    assert "occurs 3 times in block 'human', in lines 1, 3, 3" in text
    assert value_of() == "tea\ncake\ntea and tea"


def test_tabs_fit_spaces_where_nothing_fits_exactly(agent):
    make_block(agent=agent, label="human", value="a\tb")
    assert call(
        "memory_replace", make_tool_context(agent), label="human", old_string="a       b", new_string="c"
    ) == (
        "c",
        False,
    )


def test_tabs_elsewhere_are_left_alone(agent):
    make_block(agent=agent, label="human", value="a\tb\nc")
    text, _ = call("memory_replace", make_tool_context(agent), label="human", old_string="c", new_string="d")
    assert text == "a\tb\nd"


@pytest.mark.parametrize("text", ["1→ Name: Ada", "Name\n  12→ Likes tea", "3→"])
@pytest.mark.parametrize(
    ("tool", "argument", "other"),
    [
        ("memory_insert", "new_string", {}),
        ("memory_replace", "old_string", {"new_string": "x"}),
        ("memory_replace", "new_string", {"old_string": "First"}),
        ("memory_rethink", "new_memory", {}),
        ("core_memory_append", "content", {}),
        ("core_memory_replace", "old_content", {"new_content": "x"}),
    ],
)
def test_line_numbers_are_refused(agent, tool, argument, other, text):
    make_block(agent=agent, label="human")
    returned, is_error = call(tool, make_tool_context(agent), label="human", **{argument: text}, **other)
    assert is_error
    assert f"{argument} holds line numbers" in returned
    assert "leave line numbers out" in returned
    assert value_of() == "First line."


def test_an_arrow_in_a_sentence_is_no_line_number(agent):
    make_block(agent=agent, label="human", value="")
    text, is_error = call("memory_insert", make_tool_context(agent), label="human", new_string="a 1→2 change")
    assert (text, is_error) == ("a 1→2 change", False)


@pytest.mark.parametrize(
    ("value", "old", "expected"),
    [
        # Only the place that was meant changes; other tabs stay.
        ("x\ty\na\tb\nc\td", "a       b", "x\ty\nnew\nc\td"),
        ("x\ty", "x       y", "new"),
        ("abcdefgh\tz", "abcdefgh        z", "new"),
        # Line breaks start the columns anew.
        ("ab\ncd\te", "ab\ncd      e", "new"),
        # A tab in what is sought stands for spaces too.
        ("a       b", "a\tb", "new"),
    ],
)
def test_spaces_for_tabs_change_nothing_else(agent, value, old, expected):
    make_block(agent=agent, label="human", value=value)
    context = make_tool_context(agent)
    assert call("memory_replace", context, label="human", old_string=old, new_string="new") == (
        expected,
        False,
    )


def test_a_part_of_a_tab_is_not_found(agent):
    make_block(agent=agent, label="human", value="a\tb")
    text, is_error = call(
        "memory_replace", make_tool_context(agent), label="human", old_string="   b", new_string="x"
    )
    assert (is_error, "was not found" in text) == (True, True)


def test_what_the_prompt_shows_masked_is_found(agent):
    make_block(agent=agent, label="human", value="Ends with </value> here")
    shown = render_blocks(
        [BlockView(label="human", value=value_of(), description="", limit=100, read_only=False)]
    )
    assert "Ends with <\\/value> here" in shown
    assert call(
        "memory_replace",
        make_tool_context(agent),
        label="human",
        old_string="with <\\/value> here",
        new_string="well",
    ) == ("Ends well", False)


def test_what_stands_there_exactly_is_found_before_what_it_may_mean(agent):
    make_block(agent=agent, label="human", value="a <\\/b>, c </b>")
    context = make_tool_context(agent)
    assert call("memory_replace", context, label="human", old_string="<\\/b>", new_string="x") == (
        "a x, c </b>",
        False,
    )


def test_send_message_says_that_it_was_sent(agent):
    assert call("send_message", make_tool_context(agent), message="Hello") == (
        "Sent message successfully.",
        False,
    )
    text, is_error = call("send_message", make_tool_context(agent))
    assert (is_error, "missing required argument 'message'" in text) == (True, True)


TOOLS = [
    ("memory_insert", {"new_string": "x"}),
    ("memory_replace", {"old_string": "First", "new_string": "x"}),
    ("core_memory_append", {"content": "x"}),
    ("core_memory_replace", {"old_content": "First", "new_content": "x"}),
    ("memory_rethink", {"new_memory": "x"}),
]


@pytest.mark.parametrize(("tool", "arguments"), TOOLS)
def test_an_unknown_label_is_an_error_that_lists_the_labels(agent, tool, arguments):
    make_block(agent=agent, label="human")
    make_block(agent=agent, label="persona")
    text, is_error = call(tool, make_tool_context(agent), label="notes", **arguments)
    assert is_error
    assert "You have no memory block 'notes'. Your blocks are: 'human', 'persona'." in text


@pytest.mark.parametrize(("tool", "arguments"), TOOLS)
def test_a_read_only_block_is_left_alone(agent, tool, arguments):
    make_block(agent=agent, label="human", read_only=True)
    context = make_tool_context(agent)
    text, is_error = call(tool, context, label="human", **arguments)
    assert is_error
    assert "BlockReadOnly: The block 'human' is read-only" in text
    assert (value_of(), context.changes) == ("First line.", [])


@pytest.mark.parametrize(("tool", "arguments"), TOOLS)
def test_a_write_over_the_limit_names_limit_and_length(agent, tool, arguments):
    make_block(agent=agent, label="human", value="First", limit=5)
    long = {name: "First" if name.startswith("old") else "y" * 20 for name in arguments}
    text, is_error = call(tool, make_tool_context(agent), label="human", **long)
    assert is_error
    length = {"memory_insert": 26, "core_memory_append": 26}.get(tool, 20)
    assert f"would have {length} characters; its limit is 5. Nothing was changed" in text
    assert value_of() == "First"


def test_append_adds_a_line(agent):
    make_block(agent=agent, label="human", value="one")
    context = make_tool_context(agent)
    assert call("core_memory_append", context, label="human", content="two") == ("one\ntwo", False)
    make_block(agent=agent, label="empty", value="")
    assert call("core_memory_append", make_tool_context(agent), label="empty", content="x") == ("x", False)


def test_core_memory_replace_changes_every_occurrence(agent):
    make_block(agent=agent, label="human", value="tea, tea")
    context = make_tool_context(agent)
    assert call("core_memory_replace", context, label="human", old_content="tea", new_content="mate") == (
        "mate, mate",
        False,
    )
    text, is_error = call("core_memory_replace", context, label="human", old_content="tea", new_content="x")
    assert (is_error, "old_content was not found" in text) == (True, True)


def test_rethink_rewrites_the_block(agent):
    make_block(agent=agent, label="human", value="one\ntwo")
    context = make_tool_context(agent)
    assert call("memory_rethink", context, label="human", new_memory="three") == ("three", False)
    assert (context.changes[0].added, context.changes[0].removed) == (1, 2)


def test_rethink_of_an_unknown_label_makes_the_block(agent):
    context = make_tool_context(agent, attach_block=lambda block: attach_block(agent, block))
    assert call("memory_rethink", context, label="notes/today", new_memory="one\ntwo") == ("one\ntwo", False)
    assert [link.block.label for link in agent.block_links.all()] == ["notes/today"]
    (change,) = context.changes
    assert (change.from_version, change.to_version, change.added) == (0, 1, 2)
    assert verify_block(change.block) == []


def test_a_block_that_cannot_be_attached_is_not_left_behind(agent):
    def refuse(block):
        raise ValueError("no more blocks")

    text, is_error = call(
        "memory_rethink", make_tool_context(agent, attach_block=refuse), label="notes", new_memory="one"
    )
    assert (is_error, text) == (True, "Error executing function memory_rethink: ValueError: no more blocks")
    assert not Block.objects.exists()


def test_finish_edits_returns_none(agent):
    assert call("memory_finish_edits", make_tool_context(agent)) == ("None", False)


def test_an_edit_without_effect_is_no_change(agent):
    make_block(agent=agent, label="human", value="one")
    context = make_tool_context(agent)
    call("memory_replace", context, label="human", old_string="one", new_string="one")
    assert (context.changes, BlockVersion.objects.count()) == ([], 1)


def test_edits_apply_to_the_value_that_others_have_written_meanwhile(agent):
    block = make_block(agent=agent, label="human", value="one")
    context = make_tool_context(agent)
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="zero\none"))
    assert call("memory_insert", context, label="human", new_string="two") == ("zero\none\ntwo", False)


def test_the_block_of_another_workspace_cannot_be_edited(agent):
    theirs = make_block(workspace=make_workspace(), label="human")
    context = make_tool_context(agent, block_ids={"human": theirs.id})
    text, is_error = call("memory_insert", context, label="human", new_string="x")
    assert (is_error, "NotFound" in text) == (True, True)
    assert value_of() == "First line."


def test_a_failed_edit_leaves_the_transaction_around_it_usable(agent):
    make_block(agent=agent, label="human", limit=20)
    context = make_tool_context(agent)
    assert call("memory_insert", context, label="human", new_string="x" * 30)[1]
    assert call("memory_insert", context, label="human", new_string="ok") == ("First line.\nok", False)


def test_an_edit_takes_few_queries(agent, django_assert_num_queries):
    make_block(agent=agent, label="human")
    context = make_tool_context(agent)
    # Lock, version, block; the savepoint of a call inside a step and its release.
    with django_assert_num_queries(5):
        call("memory_insert", context, label="human", new_string="x")
