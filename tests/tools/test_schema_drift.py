"""A stored schema against its source."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from tools.schemas.drift import differences
from tools.schemas.python import derive_schema

SOURCE = '''
def act(x: int, point: Point, y: str = ""):
    """Act.

    Args:
        x: Which.
        point: Where.
        y: Why.
    """
'''
POINT = 'class Point(BaseModel):\n    x: int = Field(description="Across.")\n'
DERIVED = derive_schema(POINT + SOURCE)


def changed(**properties: Any) -> dict[str, Any]:
    schema = deepcopy(DERIVED)
    schema["parameters"]["properties"].update(properties)
    return schema


def test_what_no_source_says_is_no_difference():
    schema = changed(request_heartbeat={"type": "boolean"})
    schema["parameters"]["properties"]["x"] |= {"title": "X", "default": 3}
    schema["parameters"]["properties"]["y"]["description"] = " Why.\n"
    assert differences(schema, DERIVED) == []


def test_each_difference_is_a_sentence():
    point = deepcopy(DERIVED["parameters"]["properties"]["point"])
    point["properties"]["x"]["description"] = "Along."
    schema = changed(x={"type": "string", "description": "Which."}, point=point, z={"type": "string"})
    schema |= {"name": "acted", "description": "Acts."}
    del schema["parameters"]["properties"]["y"]
    schema["parameters"]["required"] = ["x"]
    assert differences(schema, DERIVED) == [
        "The schema is named 'acted', the function 'act'.",
        "The description is not the docstring's.",
        "The argument 'y' is not in the schema.",
        "The source has no argument 'z'.",
        "The argument 'x' has another type in the source.",
        "The argument 'point' has another type in the source.",
        "The argument 'point' is required in the source only.",
    ]
    required = changed(x={"type": "integer", "description": "Who."})
    required["parameters"]["required"].append("y")
    assert differences(required, DERIVED) == [
        "The argument 'x' is described differently.",
        "The argument 'y' is required in the schema only.",
    ]


def test_a_schema_of_nothing_differs_and_breaks_nothing():
    for stored in ({}, {"parameters": None}, {"parameters": {"properties": [], "required": 3}}):
        assert "The argument 'x' is not in the schema." in differences(stored, DERIVED)
