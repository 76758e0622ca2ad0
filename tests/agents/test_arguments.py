"""What a tool rule may set, and whether a call asks to go on."""

from __future__ import annotations

from typing import Any

import pytest

from agents.runtime.arguments import check_prefilled, wants_heartbeat

PARAMETERS = {
    "type": "object",
    "properties": {
        "text": {"type": "string"},
        "count": {"type": "integer"},
        "share": {"type": "number"},
        "is_loud": {"type": "boolean"},
        "names": {"type": "array"},
        "about": {"type": "object"},
        "nothing": {"type": "null"},
        "maybe": {"type": ["string", "null"]},
        "either": {"anyOf": [{"type": "integer"}, {"type": "string", "enum": ["all"]}]},
        "one": {"oneOf": [{"type": "integer"}, {"type": "null"}]},
        "colour": {"type": "string", "enum": ["red", "green"]},
        "level": {"enum": [1, 2]},
        "version": {"const": 1},
        "anything": {},
        "whatever": True,
        "strange": {"type": "no_such_type"},
    },
}

FITTING: list[tuple[str, Any]] = [
    ("text", ""),
    ("count", 0),
    ("share", 0.5),
    ("share", 1),
    ("is_loud", False),
    ("names", []),
    ("about", {}),
    ("nothing", None),
    ("maybe", None),
    ("maybe", "x"),
    ("either", 3),
    ("either", "all"),
    ("one", None),
    ("colour", "red"),
    ("level", 2),
    ("version", 1),
    ("anything", object),
    ("whatever", None),
    ("strange", 1),
]
WRONG: list[tuple[str, Any, str]] = [
    ("no_such", 1, "is not a parameter of the tool"),
    ("text", 1, "is not of type string"),
    ("text", None, "is not of type string"),
    ("count", "3", "is not of type integer"),
    ("count", 3.5, "is not of type integer"),
    ("count", True, "is not of type integer"),
    ("share", "0.5", "is not of type number"),
    ("share", False, "is not of type number"),
    ("is_loud", 1, "is not of type boolean"),
    ("names", "a", "is not of type array"),
    ("about", [], "is not of type object"),
    ("nothing", 0, "is not of type null"),
    ("maybe", 1, "is not of type string or null"),
    ("either", "some", "fits none of"),
    ("either", True, "fits none of"),
    ("one", "x", "fits none of"),
    ("colour", "blue", "is not one of ['red', 'green']"),
    ("level", True, "is not one of [1, 2]"),
    ("version", 2, "must be 1"),
    ("version", True, "must be 1"),
]


@pytest.mark.parametrize(("name", "value"), FITTING)
def test_a_rule_may_set_what_the_tool_takes(name: str, value: Any) -> None:
    assert check_prefilled({name: value}, PARAMETERS) is None


@pytest.mark.parametrize(("name", "value", "problem"), WRONG)
def test_a_rule_that_sets_something_else_is_named_with_its_value(name: str, value: Any, problem: str) -> None:
    found = check_prefilled({"anything": 1, name: value}, PARAMETERS)
    assert found is not None
    assert problem in found
    assert repr(name) in found


def test_a_tool_without_parameters_takes_nothing() -> None:
    assert check_prefilled({}, {}) is None
    assert check_prefilled({"a": 1}, {}) is not None


@pytest.mark.parametrize(
    ("arguments", "wants"),
    [
        ('{"request_heartbeat": true}', True),
        ('{"request_heartbeat": "true"}', True),
        ('{"request_heartbeat": " True "}', True),
        ('{"a": 1, "request_heartbeat": true}{"request_heartbeat": false}', True),
        ('"{\\"request_heartbeat\\": true}"', True),
        ('{"request_heartbeat": false}', False),
        ('{"request_heartbeat": "false"}', False),
        ('{"request_heartbeat": "yes"}', False),
        ('{"request_heartbeat": 1}', False),
        ('{"request_heartbeat": null}', False),
        ("{}", False),
        ("", False),
        ("[true]", False),
        ("null", False),
        ('{"request_heartbeat": true', False),
    ],
)
def test_a_call_asks_to_go_on_with_true_or_the_word(arguments: str, wants: bool) -> None:
    assert wants_heartbeat(arguments) is wants
