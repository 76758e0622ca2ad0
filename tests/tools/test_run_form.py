"""The form of a tool's arguments: which fields a schema gives, and what is read from what was typed."""

from __future__ import annotations

from typing import Any

import pytest

from tools.schemas.python import default_texts
from tools.web.run_form import BadInput, RunForm, environment_of, run_form

PROPERTIES: dict[str, Any] = {
    "text": {"type": "string", "description": "A text."},
    "count": {"type": "integer"},
    "weight": {"type": ["number", "null"]},
    "loud": {"type": "boolean"},
    "size": {"enum": ["small", 2]},
    "tags": {"type": "array", "items": {"type": "string"}},
    "place": {"type": "object"},
    "anything": {},
}


def form(posted: dict[str, str], *, required: tuple[str, ...] = (), **schema: Any) -> RunForm:
    parameters = {"type": "object", "properties": PROPERTIES, "required": list(required)} | schema
    return run_form({"name": "f", "parameters": parameters}, {"count": "1"}, posted)


def read(name: str, text: str, *, required: bool = False) -> RunForm:
    return form({f"run.arg.{name}": text}, required=(name,) if required else ())


def test_each_type_has_its_field() -> None:
    fields = {field.name: (field.kind, field.type) for field in form({}).fields}
    assert fields == {
        "text": ("text", "string"),
        "count": ("integer", "integer"),
        "weight": ("number", "number or null"),
        "loud": ("boolean", "boolean"),
        "size": ("choice", '"small" | 2'),
        "tags": ("json", "list of string"),
        "place": ("json", "object"),
        "anything": ("json", "any"),
    }
    assert form({}).fields[1].default == "1"
    assert form({}).arguments == {}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("text", "two\r\nlines", "two\nlines"),
        ("text", "  ", "  "),
        ("text", "true", "true"),
        ("count", " 12 ", 12),
        ("count", "-3", -3),
        ("weight", "2", 2),
        ("weight", "2.5", 2.5),
        ("weight", "1e3", 1000.0),
        ("loud", "false", False),
        ("size", '"small"', "small"),
        ("size", "2", 2),
        ("tags", '["a"]', ["a"]),
        ("place", '{"street": {"no": 1}}', {"street": {"no": 1}}),
        ("anything", '"x"', "x"),
        ("anything", "null", None),
    ],
)
def test_what_is_typed_is_read_as_the_type_says(name: str, text: str, value: Any) -> None:
    assert read(name, text).arguments == {name: value}


@pytest.mark.parametrize(
    ("name", "text", "error"),
    [
        ("count", "two", "A whole number is wanted."),
        ("count", "1.5", "A whole number is wanted."),
        ("count", "²", "A whole number is wanted."),
        ("count", "9" * 5000, "A whole number is wanted."),
        ("weight", "heavy", "A number is wanted."),
        ("weight", "nan", "A number is wanted."),
        ("weight", "1e999", "A number is wanted."),
        ("loud", "maybe", "Choose one of the list."),
        ("size", '"large"', "Choose one of the list."),
        ("tags", "a, b", "This is not JSON: line 1, column 1: Expecting value."),
        ("tags", '{"a": 1}', "A list is wanted: [ … ]."),
        ("place", "[]", "An object is wanted: { … }."),
        ("place", '{"a": NaN}', "This is not JSON: it has no NaN."),
        ("anything", "[" * 100_000, "This is nested too deeply."),
    ],
)
def test_what_cannot_be_the_argument_is_told_beside_it(name: str, text: str, error: str) -> None:
    found = read(name, text)
    assert found.arguments is None
    assert [(field.name, field.error, field.text) for field in found.fields if field.error] == [
        (name, error, text)
    ]


def test_an_empty_field_is_left_out_and_a_required_one_is_told() -> None:
    assert read("count", " ").arguments == {}
    assert read("count", "", required=True).fields[1].error == "It is required."
    # An empty text is a text.
    assert read("text", "", required=True).arguments == {"text": ""}


def test_fields_become_json_and_json_becomes_fields() -> None:
    typed = {"run.arg.count": "2", "run.arg.tags": '["a"]', "run.arg.size": "2", "run.mode": "json"}
    as_json = form(typed)
    assert (as_json.mode, as_json.arguments) == ("json", {"count": 2, "tags": ["a"], "size": 2})
    back = form({"run.shown": "json", "run.json": as_json.text, "run.mode": "form"})
    assert back.arguments == as_json.arguments
    assert {field.name: field.text for field in back.fields if field.text} == {
        "count": "2",
        "tags": '["a"]',
        "size": "2",
    }


def test_json_begins_with_what_is_required_and_keeps_what_is_wrong() -> None:
    begun = form({"run.mode": "json"}, required=("text", "count", "size", "tags", "loud"))
    assert begun.text == (
        '{\n  "text": "",\n  "count": 0,\n  "loud": false,\n  "size": "small",\n  "tags": []\n}'
        if not begun.fields[0].is_required
        else '{\n  "text": ""\n}'
    )
    wrong = form({"run.mode": "json", "run.arg.count": "two"})
    assert wrong.text == '{\n  "count": "two"\n}'
    assert wrong.arguments is None


def test_json_that_cannot_be_read_stays_as_it_is() -> None:
    found = form({"run.shown": "json", "run.mode": "form", "run.json": '{"a": 1,\n}'})
    assert (found.mode, found.text, found.arguments) == ("json", '{"a": 1,\n}', None)
    assert found.error.startswith("This is not JSON: line ")
    assert form({"run.shown": "json", "run.mode": "json", "run.json": "[1]"}).error.startswith("An object")
    missing = form({"run.shown": "json", "run.mode": "json", "run.json": "{}"}, required=("text",))
    assert (missing.error, missing.arguments) == ("Missing: text.", None)
    assert form({"run.shown": "json", "run.mode": "json", "run.json": " "}).arguments == {}


def test_another_schema_has_another_mark() -> None:
    assert form({}).mark == form({"run.arg.count": "3"}).mark
    assert form({}).mark != form({}, properties={"text": {"type": "string"}}).mark


def test_variables_are_lines_with_names() -> None:
    assert environment_of("A=1\r\n\n# no\nB_2=x=y \n") == {"A": "1", "B_2": "x=y "}
    for text in ("A", "=1", "A B=1", "A=\0", "1A=2"):
        with pytest.raises(BadInput, match="Line 1 is not NAME=value"):
            environment_of(text)


def test_defaults_are_told_as_the_source_writes_them() -> None:
    source = "def helper(x=1):\n    pass\n\ndef f(a, b=2, *, c='x', d, **rest):\n    pass\n"
    assert default_texts(source) == {"b": "2", "c": "'x'"}
