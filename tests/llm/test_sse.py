"""Server-sent events, however they are cut."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from letta_ade.llm.providers.sse import SseCutter, read_event


def cut(*pieces: bytes) -> list[bytes]:
    cutter = SseCutter()
    return [event for piece in pieces for event in cutter.feed(piece)] + cutter.rest()


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_an_event_is_its_data(end: bytes) -> None:
    lines = [b": a comment", b"event: x", b"id: 7", b'data: {"a": 1}', b"", b"data:2", b"", b"retry: 5", b""]
    assert cut(end.join(lines) + end) == [b'{"a": 1}', b"2"]


def test_data_of_several_lines_is_one_event() -> None:
    assert cut(b'data: {"a":\ndata: 1}\n\n') == [b'{"a":\n1}']


def test_an_event_without_the_blank_line_after_it_counts_when_the_body_ends() -> None:
    assert cut(b"data: [DONE]") == [b"[DONE]"]
    assert cut(b"data: 1\n\ndata: 2\n") == [b"1", b"2"]
    assert cut(b"") == cut(b"\n\n") == cut(b"event: x\n\n") == []


@given(st.lists(st.text(), min_size=1), st.data())
def test_however_the_bytes_are_cut_the_events_are_the_same(texts: list[str], data: st.DataObject) -> None:
    body = b"".join(f"data: {json.dumps(text, ensure_ascii=False)}\n\n".encode() for text in texts)
    places = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=6)))
    pieces = [body[start:end] for start, end in zip([0, *places], [*places, len(body)], strict=True)]
    assert [read_event(event) for event in cut(*pieces)] == texts


def test_half_a_character_is_replaced_because_it_cannot_be_stored() -> None:
    assert read_event(b'{"a": "\\ud83d", "b": "\\ude00x"}') == {"a": "\ufffd", "b": "\ufffdx"}
    assert read_event(b'{"a": "\\ud83d\\ude00"}') == {"a": "\U0001f600"}


@pytest.mark.parametrize("data", [b"{no json", b'{"a": "\\ud83d"', b"\xff"])
def test_what_is_no_json_is_a_value_error(data: bytes) -> None:
    with pytest.raises(ValueError):
        read_event(data)
