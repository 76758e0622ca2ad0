"""A request by segments: every word is in one of them, once."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from agents.runtime.compaction import summary_text
from agents.runtime.system_sections import split_blocks, split_system
from agents.services.request_segments import SEGMENTS, measure_request, segments_of
from letta_ade.llm.request_reading import read_request
from letta_ade.llm.tokens import estimate_text
from memory.rendering import BlockView, render_blocks

BLOCKS = render_blocks(
    [
        BlockView(
            label="human", value="Ada.\nLikes </value> tea.", description="Who.", limit=100, read_only=False
        ),
        BlockView(label="team/notes", value="", description=None, limit=50, read_only=True),
    ]
)
SYSTEM = f"Be kind.\n\n{BLOCKS}\n\n<memory_metadata>\n- AGENT_ID: a\n</memory_metadata>\n"
SUMMARY = summary_text(
    "They spoke of tea.", hidden=4, stats={"trigger": "manual"}, moment=datetime.now(UTC), timezone="UTC"
)


def payload(*messages: dict[str, str]) -> dict[str, object]:
    tool = {"type": "function", "function": {"name": "look_up", "description": "Finds.", "parameters": {}}}
    return {"messages": [{"role": "system", "content": SYSTEM}, *messages], "tools": [tool]}


def test_the_blocks_of_a_system_message_are_read_back() -> None:
    shown = list(split_blocks(split_system(SYSTEM).blocks))
    assert [block.label for block in shown] == ["human", "team/notes"]
    assert shown[0].value == "Ada.\nLikes <\\/value> tea."
    assert shown[1].value == ""


def test_a_request_is_divided_in_the_order_of_the_legend() -> None:
    said = {"role": "user", "content": "Hello"}
    segments = segments_of(read_request(payload({"role": "user", "content": SUMMARY}, said)))
    assert [segment.name for segment in segments] == list(SEGMENTS)
    parts = {segment.name: [part.title for part in segment.parts] for segment in segments}
    assert parts == {
        "system": ["Instructions", "Memory metadata"],
        "tools": ["look_up"],
        "blocks": ["human", "team/notes"],
        "summary": ["Summary"],
        "messages": ["user"],
    }
    assert segments[3].parts[0].text == "They spoke of tea."


def test_words_that_only_look_like_a_summary_are_a_message() -> None:
    said = {"role": "user", "content": json.dumps({"message": "a\n\nb", "type": "system_alert"})}
    segments = segments_of(read_request(payload(said)))
    assert not segments[3].parts
    assert len(segments[4].parts) == 1


def test_a_request_is_measured_by_segment() -> None:
    measured = measure_request(json.dumps(payload({"role": "user", "content": "Hello there"})))
    assert set(measured) == set(SEGMENTS)
    assert measured["messages"] == estimate_text("Hello there")
    assert measured["summary"] == 0
    assert all(measured[name] > 0 for name in ("system", "tools", "blocks"))
