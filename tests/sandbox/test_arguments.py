"""What a function gets for its arguments: what its signature says, or an error that says what does not fit."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, NotRequired, TypedDict

import pytest
from pydantic import BaseModel, Field, field_validator

from tests.support.sandboxes import asked
from tools.sandbox.inside.arguments import InvalidArguments, typed_arguments


class Colour(enum.Enum):
    RED = "red"
    DARK_BLUE = 2


@dataclass
class Point:
    x: float
    y: float = 0.0
    tags: list[Colour] = field(default_factory=list)


@dataclass
class Line:
    start: Point
    end: Point | None = None

    def __post_init__(self) -> None:
        if self.end == self.start:
            raise ValueError("a line needs two points")


class Pair(NamedTuple):
    left: Colour
    right: int = 7


class Address(TypedDict):
    street: str
    at: NotRequired[Point]


class Zip(BaseModel):
    code: str = Field(min_length=2)
    box: Zip | None = None

    @field_validator("code")
    @classmethod
    def _no_letters(cls, value: str) -> str:
        if not value.isdecimal():
            raise ValueError("digits only")
        return value


FITTING: list[tuple[Any, Any, Any]] = [
    (int, 3, 3),
    (float, 3, 3.0),
    (str, "3", "3"),
    (bool, False, False),
    (Any, {"a": [1]}, {"a": [1]}),
    (Colour, "red", Colour.RED),
    (Colour, 2, Colour.DARK_BLUE),
    (Colour, "2", Colour.DARK_BLUE),
    (Colour, "DARK_BLUE", Colour.DARK_BLUE),
    (Colour | None, None, None),
    (Colour | None, "red", Colour.RED),
    (list[Colour], ["red", 2], [Colour.RED, Colour.DARK_BLUE]),
    (Sequence[Colour], ["red"], [Colour.RED]),
    (set[int], [1, 1], {1}),
    (frozenset[Colour], ["red"], frozenset({Colour.RED})),
    (tuple[int, Colour], [1, "red"], (1, Colour.RED)),
    (tuple[Colour, ...], ["red", "red"], (Colour.RED, Colour.RED)),
    (tuple, [1, 2], (1, 2)),
    (Pair, ["red"], Pair(Colour.RED)),
    (dict[str, Colour], {"a": "red"}, {"a": Colour.RED}),
    (dict[int, str], {"1": "a", "b": "c"}, {1: "a", "b": "c"}),
    (dict[Colour, int], {"red": 1}, {Colour.RED: 1}),
    (Literal["a", "b"], "a", "a"),
    (Literal[1, 2], "2", 2),
    (Literal[True, 1], 1, 1),
    (Literal[Colour.RED], "red", Colour.RED),
    (Point, {"x": 1}, Point(1.0)),
    (Point, {"x": 1, "tags": ["red"], "unknown": 5}, Point(1.0, tags=[Colour.RED])),
    (Line, {"start": {"x": 1}, "end": {"x": 2, "y": 3}}, Line(Point(1.0), Point(2.0, 3.0))),
    (Line, {"start": {"x": 1}, "end": None}, Line(Point(1.0))),
    (list[Point], [{"x": 1}], [Point(1.0)]),
    (dict[str, list[Point]], {"a": [{"x": 1}]}, {"a": [Point(1.0)]}),
    (Address, {"street": "Main"}, {"street": "Main"}),
    (Address, {"street": "Main", "at": {"x": 1}}, {"street": "Main", "at": Point(1.0)}),
    (Zip, {"code": "12", "box": {"code": "34"}}, Zip(code="12", box=Zip(code="34"))),
    (Point | Zip, {"code": "12"}, Zip(code="12")),
    (Point | str, "here", "here"),
    (Point | dict, {"y": 1}, {"y": 1}),
    (int | list[Colour], ["red"], [Colour.RED]),
    # Plain values that do not fit are the function's to judge, as they always were.
    (int, "three", "three"),
    (list[int], "a", "a"),
    ("no type at all", 3, 3),
]


@pytest.mark.parametrize(("annotation", "value", "wanted"), FITTING)
def test_a_value_arrives_as_what_the_signature_says(annotation: Any, value: Any, wanted: Any) -> None:
    made = typed_arguments({"it": value}, {"it": annotation})["it"]
    assert made == wanted
    assert type(made) is type(wanted)


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (Colour, "green", "the argument 'it' is one of 'red', 2, not 'green'."),
        (Colour, ["red"], "the argument 'it' is one of 'red', 2, not ['red']."),
        (Colour | None, "green", "the argument 'it' is one of 'red', 2, not 'green'."),
        (list[Colour], ["red", "x" * 99], "the argument 'it[1]' is one of 'red', 2, not 'x"),
        (Literal["a", 1], "c", "the argument 'it' is one of 'a', 1, not 'c'."),
        (Point, {"y": 1}, "the argument 'it' lacks 'x'."),
        (Point, "here", "the argument 'it' is an object (Point), not 'here'."),
        (Line, {"start": {"x": 1, "tags": ["no"]}}, "the argument 'it.start.tags[0]' is one of 'red', 2"),
        (
            Line,
            {"start": {"x": 1}, "end": {"x": 1}},
            "the argument 'it' does not fit: a line needs two points.",
        ),
        (Address, {}, "the argument 'it' lacks 'street'."),
        (Address, {"street": "a", "at": {}}, "the argument 'it.at' lacks 'x'."),
        (tuple[int, int], [1], "the argument 'it' is a list of 2, not of 1."),
        (tuple[int, Colour], [1, 5], "the argument 'it[1]' is one of 'red', 2, not 5."),
        (Pair, ["red", 1, 2], "the argument 'it' is a list of 2: left, right."),
        (set[int], [[1]], "the argument 'it' holds what cannot be in a set."),
        (dict[str, Point], {"a": {}}, "the argument \"it['a']\" lacks 'x'."),
        (Zip, {}, "the argument 'it' does not fit: code: Field required."),
        (Zip, {"code": "ab"}, "the argument 'it' does not fit: code: Value error, digits only."),
        (list[Zip], [{"code": "12", "box": {"code": "1"}}], "the argument 'it[0]' does not fit: box.code: "),
    ],
)
def test_what_does_not_fit_is_named_with_what_is_wanted(annotation: Any, value: Any, message: str) -> None:
    with pytest.raises(InvalidArguments) as told:
        typed_arguments({"it": value}, {"it": annotation})
    assert str(told.value).startswith(message)


def test_what_is_nested_without_end_is_told() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    endless: Any = list
    for _ in range(900):
        endless = list[endless]
    with pytest.raises(InvalidArguments, match="nested too deeply"):
        typed_arguments({"it": deep}, {"it": endless})


SOURCE = """
import enum
from dataclasses import dataclass
from typing import Literal, TypedDict
from pydantic import BaseModel

class Speed(enum.Enum):
    SLOW = "slow"
    FAST = "fast"

@dataclass
class Parcel:
    weight: float
    speed: Speed = Speed.SLOW

class To(TypedDict):
    town: str

class Order(BaseModel):
    parcels: list[Parcel]

def f(order: Order, to: To, speed: Speed, size: tuple[int, int], kind: Literal["a", "b"] = "a"):
    return [type(order).__name__, order.parcels[0].weight, order.parcels[0].speed.name, to["town"], speed.name, size[1], kind]
"""


async def test_classes_of_the_source_are_made_inside_the_sandbox(sandbox):
    arguments = {
        "order": {"parcels": [{"weight": 2, "speed": "fast"}]},
        "to": {"town": "Lund"},
        "speed": "slow",
        "size": [3, 4],
    }
    result = await sandbox.run(asked(SOURCE, arguments=arguments))
    assert result.error is None
    assert result.value == ["Order", 2.0, "FAST", "Lund", "SLOW", 4, "a"]


async def test_what_does_not_fit_is_told_without_a_traceback(sandbox):
    arguments = {"order": {"parcels": [{}]}, "to": {"town": "a"}, "speed": "slow", "size": [3, 4]}
    result = await sandbox.run(asked(SOURCE, arguments=arguments))
    assert result.error is not None
    assert (result.error.kind, result.error.name) == ("exception", "InvalidArguments")
    assert result.error.message == "the argument 'order' does not fit: parcels.0.weight: Field required."
    assert result.stderr == ""


async def test_arguments_that_break_the_schema_of_the_tool_are_told(sandbox):
    schema = {
        "title": "Args",
        "type": "object",
        "properties": {"item": {"$ref": "#/$defs/Item"}},
        "required": ["item"],
        "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
    source = "def f(item: Item):\n    return item.n"
    result = await sandbox.run(asked(source, arguments={"item": {"n": "many"}}, args_json_schema=schema))
    assert result.error is not None
    assert result.error.name == "InvalidArguments"
    assert "item.n: Input should be a valid integer" in result.error.message


async def test_a_class_of_the_source_wins_over_the_schemas_of_its_name(sandbox):
    schema = {
        "title": "Args",
        "type": "object",
        "properties": {"item": {"$ref": "#/$defs/Item"}},
        "required": ["item"],
        "$defs": {"Item": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}},
    }
    source = """
    from dataclasses import dataclass

    @dataclass
    class Item:
        n: int
        own: str = "yes"

    def f(item: Item):
        return [item.n, item.own]
    """
    result = await sandbox.run(asked(source, arguments={"item": {"n": 3}}, args_json_schema=schema))
    assert result.value == [3, "yes"]
