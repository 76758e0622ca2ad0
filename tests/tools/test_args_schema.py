"""The schema of a tool whose arguments come as a JSON schema of their own."""

from __future__ import annotations

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from tools.schemas.errors import SchemaError
from tools.schemas.python import derive_schema_from_args

SOURCE = 'def act(data):\n    """Act.\n\n    Returns:\n        Nothing.\n    """\n'


class Colour(Enum):
    RED = "red"


class Item(BaseModel):
    name: str = Field(description="Its name.")
    colour: Colour = Colour.RED


class Arguments(BaseModel):
    item: Item
    items: list[Item] = Field([], description="More of them.")
    maybe: int | None = None
    either: int | str = 1
    mode: Literal["a", "b"] = "a"
    pair: tuple[int, str] = (1, "")
    notes: dict[str, int] = Field(default_factory=dict)
    one: Literal["x"] = "x"


ITEM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "description": "Its name."},
        "colour": {"type": "string", "enum": ["red"], "description": ""},
    },
    "required": ["name"],
}


def test_a_model_becomes_plain_properties():
    assert derive_schema_from_args(SOURCE, Arguments.model_json_schema()) == {
        "name": "act",
        "description": "Act.\n\nReturns:\n    Nothing.",
        "parameters": {
            "type": "object",
            "properties": {
                "item": {**ITEM, "description": ""},
                "items": {"type": "array", "items": ITEM, "description": "More of them."},
                "maybe": {"type": "integer", "description": ""},
                "either": {"anyOf": [{"type": "integer"}, {"type": "string"}], "description": ""},
                "mode": {"type": "string", "enum": ["a", "b"], "description": ""},
                "pair": {
                    "type": "array",
                    "prefixItems": [{"type": "integer"}, {"type": "string"}],
                    "minItems": 2,
                    "maxItems": 2,
                    "description": "",
                },
                "notes": {"type": "object", "description": ""},
                "one": {"type": "string", "enum": ["x"], "description": ""},
            },
            "required": ["item"],
        },
    }


def test_a_function_without_docstring_is_described_by_its_name():
    schema = derive_schema_from_args("def act(x): pass\n", {"type": "object", "properties": {}})
    assert schema["description"] == "Call the tool act."
    assert schema["parameters"] == {"type": "object", "properties": {}, "required": []}


def test_a_name_that_is_given_stays():
    assert derive_schema_from_args(SOURCE, {"properties": {}}, name="kept")["name"] == "kept"
    assert derive_schema_from_args(None, {"properties": {}}, name="kept")["name"] == "kept"


class Node(BaseModel):
    other: Node | None = None


class Closed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    x: int


class Outer(BaseModel):
    closed: Closed


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"properties": []}, "`properties` must be an object"),
        ({"properties": {}, "required": "x"}, "`required` must be a list of names"),
        ({"properties": {}, "required": ["x"]}, "'x' is required, but it is not among the properties"),
        ({"properties": {"x": {}}}, "'x' has no type"),
        ({"properties": {"x": True}}, "'x' must be an object with a type"),
        ({"properties": {"x": {"type": "date"}}}, "'x' has the type 'date'"),
        ({"properties": {"x": {"type": "array", "items": {"type": "date"}}}}, r"'x\[\]' has the type 'date'"),
        ({"properties": {"x": {"$ref": "#/$defs/Gone"}}}, "'x' refers to '#/[$]defs/Gone'"),
        ({"properties": {"x": {"$ref": 3}}}, "'x' refers to 3"),
        ({"properties": {"x": {"type": "integer"}}, "$defs": []}, "`[$]defs` must be an object"),
        (Node.model_json_schema(), "nested too deeply, or contains itself"),
        (Outer.model_json_schema(), "'closed' says additionalProperties: false"),
        ({"properties": {"x": {"type": "object", "additionalProperties": False}}}, "forbids any"),
    ],
)
def test_what_is_no_schema_of_arguments_is_told(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(SchemaError, match=message):
        derive_schema_from_args(SOURCE, schema)


def test_references_that_double_are_refused():
    doubled = {
        f"T{n}": {"type": "object", "properties": {key: {"$ref": f"#/$defs/T{n + 1}"} for key in "abc"}}
        for n in range(9)
    }
    schema = {
        "properties": {"x": {"$ref": "#/$defs/T0"}},
        "$defs": {**doubled, "T9": {"type": "integer"}},
    }
    with pytest.raises(SchemaError, match="more than 1,000 types"):
        derive_schema_from_args(SOURCE, schema)
