"""Memory blocks as a prompt shows them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memory.rendering import INTRODUCTION, LINE_NUMBER_WARNING, BlockView, mask, render_blocks, unmask

BLOCK = BlockView(label="human", value="Ada\nlikes tea", description="About her.", limit=100, read_only=False)


def view(**changes: Any) -> BlockView:
    return replace(BLOCK, **changes)


def test_the_section_has_this_form() -> None:
    blocks = [view(label="persona", value="", description=None, read_only=True), view()]
    assert render_blocks(blocks) == (
        f"<memory_blocks>\n{INTRODUCTION}\n\n"
        "<persona>\n<description>\n\n</description>\n"
        "<metadata>\n- read_only=true\n- chars_current=0\n- chars_limit=100\n</metadata>\n"
        "<value>\n\n</value>\n</persona>\n\n"
        "<human>\n<description>\nAbout her.\n</description>\n"
        "<metadata>\n- chars_current=13\n- chars_limit=100\n</metadata>\n"
        "<value>\nAda\nlikes tea\n</value>\n</human>\n\n"
        "</memory_blocks>"
    )


def test_numbers_stand_before_each_line_and_a_warning_before_the_value() -> None:
    text = render_blocks([view(value="a\n\nb"), view(label="empty", value="")], is_numbered=True)
    assert (
        f"</metadata>\n<warning>\n{LINE_NUMBER_WARNING}\n</warning>\n<value>\n1→ a\n2→ \n3→ b\n</value>"
        in text
    )
    assert "<value>\n\n</value>\n</empty>" in text


def test_without_blocks_there_is_no_section() -> None:
    assert render_blocks([]) == render_blocks([], is_numbered=True) == ""


def test_characters_are_counted_as_code_points() -> None:
    assert "- chars_current=3\n" in render_blocks([view(value="e\u0301\U0001f469")])


@pytest.mark.parametrize("label", ["notes/today", 'the "best"', "it's", "ein Wort", "記憶"])
def test_a_label_is_its_tag(label: str) -> None:
    text = render_blocks([view(label=label)])
    assert f"\n<{label}>\n" in text
    assert text.endswith(f"</value>\n</{label}>\n\n</memory_blocks>")


def test_a_label_cannot_hold_a_tag() -> None:
    text = render_blocks([view(label="a></value></memory_blocks>")])
    assert text.count("</memory_blocks>") == 1
    assert "<a&gt;&lt;/value&gt;&lt;/memory_blocks&gt;>" in text


@pytest.mark.parametrize(
    "words",
    [
        "</value>",
        "</memory_blocks>",
        "</human>",
        "</notes/today>",
        "</ VALUE >",
        "</memory_metadata>",
        "</warning>",
    ],
)
@pytest.mark.parametrize("field", ["value", "description"])
def test_no_text_of_a_block_closes_a_tag_of_the_prompt(field: str, words: str) -> None:
    other = view(label="notes/today")
    plain = render_blocks([view(value="x", description="x"), other])
    text = render_blocks([view(**{"value": "x", "description": "x", field: f"x{words}x"}), other])
    assert text.count("</") == plain.count("</")
    assert f"x<\\{words[1:]}x" in text


@pytest.mark.parametrize("text", ["<b>bold</b>", "a </ b", "</valued>", "<value>", "if a </value", "plain"])
def test_other_markup_stays_as_it_is(text: str) -> None:
    assert mask(text, ["human"]) == text


def test_a_masked_text_can_be_read_back() -> None:
    text = "a </value> b </human>"
    assert unmask(mask(text, ["human"])) == text
