"""Arguments brought to the types of the schema."""

from __future__ import annotations

import pytest

from tools.coercion import MissingArguments, coerce_arguments


def coerce(value, schema):
    return coerce_arguments({"properties": {"x": schema}}, {"x": value})["x"]


@pytest.mark.parametrize(
    ("value", "expected_type", "result"),
    [
        ("123", "string", "123"),
        ("true", "string", "true"),
        (5, "string", "5"),
        (True, "string", "true"),
        ({"a": "ä"}, "string", '{"a": "ä"}'),
        ("5", "integer", 5),
        (5.0, "integer", 5),
        (5.5, "integer", 5.5),
        ("five", "integer", "five"),
        (float("inf"), "integer", float("inf")),
        ("1.5", "number", 1.5),
        ("false", "boolean", False),
        ("False", "boolean", False),
        ("no", "boolean", False),
        ("true", "boolean", True),
        (0, "boolean", False),
        ("maybe", "boolean", "maybe"),
        ('["a", "b"]', "array", ["a", "b"]),
        ("('a', 'b')", "array", ["a", "b"]),
        ("a", "array", "a"),
        ('{"a": 1}', "object", {"a": 1}),
        ("__import__('os').getcwd()", "array", "__import__('os').getcwd()"),
    ],
)
def test_a_value_becomes_its_type_or_stays_as_it_came(value, expected_type, result):
    assert coerce(value, {"type": expected_type}) == result
    assert coerce(value, {"type": [expected_type, "null"]}) == result


def test_what_is_inside_is_coerced_too():
    assert coerce('["1", 2]', {"type": "array", "items": {"type": "integer"}}) == [1, 2]
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}}
    assert coerce({"n": "1", "other": "1"}, schema) == {"n": 1, "other": "1"}


def test_unknown_arguments_are_dropped_and_null_means_left_out():
    parameters = {"properties": {"a": {"type": "string"}, "b": {"type": ["string", "null"]}}}
    assert coerce_arguments(parameters, {"a": None, "b": None, "c": 1}) == {"b": None}


def test_missing_arguments_are_named_with_all_that_the_tool_takes():
    parameters = {"properties": {"a": {"type": "string"}, "b": {"type": "string"}}, "required": ["a", "b"]}
    with pytest.raises(
        MissingArguments, match=r"missing required arguments 'a', 'b'\. The tool takes: a, b\."
    ):
        coerce_arguments(parameters, {"a": None})


def test_a_parameter_whose_schema_is_true_takes_anything():
    parameters = {"type": "object", "properties": {"any": True}, "required": ["any"]}
    assert coerce_arguments(parameters, {"any": None}) == {"any": None}
    assert coerce_arguments(parameters, {"any": "3"}) == {"any": "3"}
    with pytest.raises(MissingArguments):
        coerce_arguments(parameters, {})
