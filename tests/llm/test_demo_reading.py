"""What the demonstration understands, and what it must not."""

from __future__ import annotations

import pytest

from letta_ade.llm.providers.demo_memory import Block, Change, change_for
from letta_ade.llm.providers.demo_reading import (
    Fact,
    asks_about_speaker,
    facts_in,
    thing_said,
    thing_to_recall,
    things_to_remember,
)


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("my name's ada lovelace", ["Name: Ada Lovelace"]),
        ("Hi there, I'm Grace Hopper from Yale", ["Name: Grace Hopper"]),
        ("My name is J. R. Smith", ["Name: J. R. Smith"]),
        ("Hello! I’m Zoë; I work as a nurse", ["Name: Zoë", "Works as a nurse"]),
        ("i'm vincent by the way", ["Name: Vincent"]),
        ("I'm from Berlin", ["From Berlin"]),
        ("I'm a nurse", ["Is a nurse"]),
        ("I’m allergic to nuts", ["Is allergic to nuts"]),
        ("I don't like cats", ["Does not like cats"]),
        ("my favorite color is blue. I live in Paris", ["Favorite color: blue", "Lives in Paris"]),
        ("I really love ramen, my dog is called Rex", ["Loves ramen", "Dog: Rex"]),
        ("Remember that my name is Al", ["Name: Al"]),
        ("I like tea. I like tea.", ["Likes tea"]),
    ],
)
def test_these_say_something_of_the_speaker(text: str, lines: list[str]) -> None:
    assert [fact.line for fact in facts_in(text)] == lines


@pytest.mark.parametrize(
    "text",
    [
        "I'm tired",
        "i am going home",
        "I'm quite sure of that",
        "I'd like to know the time",
        "I like it",
        "What do I like?",
        "Is my name Ada?",
        "Call me later",
        "my name is not Bob",
        "/call memory_insert {}",
        "",
    ],
)
def test_these_say_nothing_that_lasts(text: str) -> None:
    assert facts_in(text) == []


@pytest.mark.parametrize(
    ("text", "things"),
    [
        ("Remember that v1.5 ships in May. Thanks!", ["V1.5 ships in May"]),
        ("please remember: door code 1234", ["Door code 1234"]),
        ("Hi! Remember the milk", ["The milk"]),
        ("Do you remember the pump?", []),
        ("remember me", []),
    ],
)
def test_what_is_to_be_remembered(text: str, things: list[str]) -> None:
    assert things_to_remember(text) == things


def test_questions_about_the_conversation_and_about_the_archive_differ() -> None:
    assert thing_said("what did we talk about tea?") is None
    assert thing_said("When did I mention the pump?") == "the pump"
    assert thing_to_recall("Do you remember the pump?") == "the pump"
    assert thing_to_recall("The pump is old.") is None
    assert asks_about_speaker("What do you know about me?")
    assert not asks_about_speaker("What do you know about rain?")


@pytest.mark.parametrize(
    ("value", "change"),
    [
        ("", Change(new="Name: Ada")),
        ("Name: Ada", None),
        ("name: ada", None),
        ("Their name is Bob. Likes tea", Change(new="Name: Ada", old="name is Bob")),
        ("Name: Bob\nName: Bob", Change(new="Name: Ada")),
    ],
)
def test_a_name_changes_the_block_only_where_it_contradicts_it(value: str, change: Change | None) -> None:
    assert change_for(Fact(key="Name", line="Name: Ada"), Block(label="human", value=value)) == change


def test_a_keyed_fact_replaces_its_line_and_a_plain_one_is_added() -> None:
    block = Block(label="human", value="Lives in Rome\nLikes tea")
    living = change_for(Fact(key="Lives in", line="Lives in Paris"), block)
    assert living == Change(new="Lives in Paris", old="Lives in Rome")
    assert change_for(Fact(line="Likes rain"), block) == Change(new="Likes rain")
