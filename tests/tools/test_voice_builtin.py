"""The tools of the agent that keeps the memory of a voice conversation, as a model calls them."""

from __future__ import annotations

import pytest

from memory.models import Passage
from tests.support.factories import (
    attach_block,
    make_agent,
    make_archive,
    make_block,
    make_tool_context,
)
from tools.builtin.voice import transcript_lines
from tools.execution import prepare_call, run_call

pytestmark = pytest.mark.django_db

TRANSCRIPT = """\
These lines leave the conversation:
0. user: My cat is Rosa.
1. assistant: A fine name.
2. user: She likes tuna,
and cream."""


@pytest.fixture
def agent():
    return make_agent()


def store(context, chunks):
    arguments = {"chunks": chunks}
    outcome = run_call(
        "store_memories", context, arguments, prepare_call("store_memories", context, arguments)
    )
    return outcome.value_text, outcome.is_error


def test_chunks_of_the_transcript_become_passages(agent):
    make_archive(agent=agent)
    context = make_tool_context(agent, input_texts=(TRANSCRIPT,))
    text, is_error = store(
        context,
        [
            {"start_index": 0, "end_index": 1, "context": "Ada tells of her cat.", "tags": ["pets", "pets"]},
            {"start_index": 2, "end_index": 9, "context": ""},
        ],
    )
    assert (text, is_error) == ("Stored 2 memories in archival memory.", False)
    first, second = Passage.objects.order_by("id").order_by("-tags")
    assert first.text == "Ada tells of her cat.\n\nuser: My cat is Rosa.\nassistant: A fine name."
    assert (first.tags, first.agent_id, first.run_id) == (["pets"], agent.id, context.run_id)
    assert second.text == "user: She likes tuna,\nand cream."


def test_the_first_memory_makes_the_archive(agent):
    context = make_tool_context(agent, input_texts=("hello",))
    assert store(context, [{"start_index": 0, "end_index": 0, "context": "A greeting."}]) == (
        "Stored 1 memory in archival memory.",
        False,
    )
    assert Passage.objects.get().archive == agent.archives.get()


@pytest.mark.parametrize(
    ("chunks", "words"),
    [
        ([], "chunks must be a list of objects"),
        ("all of it", "chunks must be a list of objects"),
        ([{"start_index": 0, "context": "x"}], "A chunk needs start_index and end_index"),
        (
            [{"start_index": 0, "end_index": "last", "context": "x"}],
            "A chunk needs start_index and end_index",
        ),
        ([{"start_index": 0, "end_index": 1}], "and context, a text"),
        (
            [{"start_index": 7, "end_index": 9, "context": "x"}],
            "has a number from 7 to 9. They go from 0 to 2.",
        ),
        ([{"start_index": 2, "end_index": 0, "context": "x"}], "has a number from 2 to 0."),
        (
            [
                {"start_index": 0, "end_index": 0, "context": "x"},
                {"start_index": 7, "end_index": 9, "context": "x"},
            ],
            "from 7 to 9",
        ),
    ],
)
def test_bad_chunks_are_explained_and_nothing_is_stored(agent, chunks, words):
    text, is_error = store(make_tool_context(agent, input_texts=(TRANSCRIPT,)), chunks)
    assert is_error
    assert words in text
    assert not Passage.objects.exists()


def test_without_a_transcript_there_is_nothing_to_store(agent):
    text, is_error = store(make_tool_context(agent), [{"start_index": 0, "end_index": 0, "context": "x"}])
    assert (is_error, "There are none." in text) == (True, True)


@pytest.mark.parametrize(
    ("texts", "lines"),
    [
        (("0. user: a\n1) assistant: b\n 2: user: c",), {0: "user: a", 1: "assistant: b", 2: "user: c"}),
        (("Intro\n4. user: a\n\nmore",), {4: "user: a\nmore"}),
        (("user: a\n\nassistant: b",), {0: "user: a", 2: "assistant: b"}),
        (("Instructions.", "0. user: a"), {0: "user: a"}),
        (("",), {}),
        ((), {}),
    ],
)
def test_lines_have_the_numbers_that_are_shown_or_count_from_0(texts, lines):
    assert transcript_lines(texts) == lines


def test_rethinking_rewrites_the_block_about_the_person(agent):
    make_block(agent=agent, label="human", value="old")
    context = make_tool_context(agent)
    assert run_call("rethink_user_memory", context, {"new_memory": "new"}, None).value_text == "new"
    assert (agent.blocks.get().value, context.changes[0].to_version) == ("new", 2)


def test_rethinking_makes_the_block_where_there_is_none(agent):
    context = make_tool_context(agent, attach_block=lambda block: attach_block(agent, block))
    assert not run_call("rethink_user_memory", context, {"new_memory": "new"}, None).is_error
    assert agent.blocks.get().label == "human"


@pytest.mark.parametrize(
    ("block", "memory", "words"),
    [
        ({"label": "human", "read_only": True}, "new", "BlockReadOnly"),
        ({"label": "human", "limit": 20}, "x" * 21, "its limit is 20"),
        ({"label": "human"}, "1→ x", "new_memory holds line numbers"),
        ({"label": "persona"}, "x", "You have no memory block 'human'. Your blocks are: 'persona'."),
    ],
)
def test_what_cannot_be_rethought_is_explained(agent, block, memory, words):
    make_block(agent=agent, **block)
    outcome = run_call("rethink_user_memory", make_tool_context(agent), {"new_memory": memory}, None)
    assert outcome.is_error
    assert words in outcome.value_text
    assert agent.blocks.get().value == "First line."


def test_finishing_returns_none(agent):
    assert run_call("finish_rethinking_memory", make_tool_context(agent), {}, None).value_text == "None"
