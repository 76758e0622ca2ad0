"""What a model reads of a tool's return."""

from __future__ import annotations

from typing import Any

import pytest

from tools.returned import image_parts, returned_text


def image(**source: Any) -> dict[str, Any]:
    return {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGVsbG8="} | source,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"),
        (None, "None"),
        (True, "true"),
        ({"ü": [1]}, '{"ü": [1]}'),
        ([], "[]"),
        ([{"type": "text", "text": "a"}], '[{"type": "text", "text": "a"}]'),
    ],
)
def test_a_value_becomes_text(value: Any, text: str) -> None:
    assert returned_text(value) == text


def test_of_an_image_a_model_reads_what_it_is_and_not_its_data() -> None:
    value = [{"type": "text", "text": "The plot:"}, image()]
    assert returned_text(value) == "The plot:\n[image/png, 1 KB: images of tools are not shown to models]"
    assert image_parts(value) == value


@pytest.mark.parametrize(
    "part",
    [
        image(media_type="image/svg+xml"),
        image(media_type=["image/png"]),
        image(data="no base64!"),
        image(data=5),
        image(type="url"),
        {"type": "image"},
        {"type": "video"},
        "image",
    ],
)
def test_what_is_no_image_stays_json(part: Any) -> None:
    assert image_parts([image(), part]) == ()
    assert returned_text([part]).startswith("[")
