"""The words of a call whose JSON comes in pieces."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agents.api.spoken import answer_tool_asked
from agents.runtime.spoken import AnswerTool, Spoken

CUTS = st.lists(st.integers(min_value=0, max_value=400), max_size=30)


def fed(text: str, cuts: list[int]) -> list[str]:
    spoken = Spoken("message")
    places = [0, *sorted(cut for cut in cuts if cut <= len(text)), len(text)]
    return [spoken.feed(text[start:end]) for start, end in pairwise(places)]


@given(words=st.text(max_size=60), before=st.text(max_size=10), cuts=CUTS, ascii=st.booleans())
def test_the_pieces_add_up_to_the_words_however_the_json_is_cut(
    words: str, before: str, cuts: list[int], ascii: bool
) -> None:
    arguments = {"request_heartbeat": True, "note": before, "message": words, "after": "x"}
    assert "".join(fed(json.dumps(arguments, ensure_ascii=ascii), cuts)) == words


def test_words_come_as_soon_as_they_are_there() -> None:
    assert fed('{"message": "Hello there"}', [17, 23]) == ["Hell", "o ther", "e"]


@pytest.mark.parametrize("text", ['{"other": "x"}', '{"message": {"a": 1}}', "[1]", "nonsense", ""])
def test_what_is_no_text_gives_no_words(text: str) -> None:
    assert "".join(fed(text, [3])) == ""


def test_an_answer_that_is_an_object_is_said_as_json() -> None:
    call = {"name": "send_message", "arguments": '{"message": {"colour": "blü"}}'}
    assert AnswerTool().words_of([call]) == '{"colour": "blü"}'


@pytest.mark.parametrize(
    "calls",
    [
        [],
        [{"name": "other", "arguments": '{"message": "x"}'}],
        [{"name": "send_message", "arguments": "{"}],
        [{"name": "send_message", "arguments": "[]"}],
        [{"name": "send_message", "arguments": "{}"}],
        [{"name": "send_message", "arguments": '{"message": "x"}'}] * 2,
    ],
)
def test_other_calls_say_nothing(calls: list[dict[str, str]]) -> None:
    assert AnswerTool().words_of(calls) is None


def test_clients_may_name_another_tool_or_none() -> None:
    asked = {"assistant_message_tool_name": "speak", "assistant_message_tool_kwarg": "text"}
    assert answer_tool_asked(asked) == AnswerTool(name="speak", argument="text")
    assert answer_tool_asked({}) == AnswerTool()
    assert answer_tool_asked({**asked, "use_assistant_message": False}) is None
