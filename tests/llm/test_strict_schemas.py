"""Schemas in the strict form."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.messages import ToolSpec
from letta_ade.llm.providers.anthropic import AnthropicChat
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.strict_schemas import closed_schema, optional_count, strict_schema
from tests.llm.support import provider, user


def schema(properties: dict[str, Any], *required: str) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


SEARCH = schema(
    {
        "query": {"type": "string", "description": "Words"},
        "limit": {"type": "integer", "default": 5},
        "mode": {"type": "string", "enum": ["any", "all"]},
        "place": {"anyOf": [{"type": "string"}, schema({"lat": {"type": "number"}}, "lat")]},
        "tags": {"type": "array", "items": schema({"name": {"type": "string"}, "weight": {"type": "number"}}, "name")},
        "kind": {"$ref": "#/$defs/kind"},
    },
    "query",
) | {"$defs": {"kind": {"type": "string", "enum": ["a"]}}}  # fmt: skip


def test_every_property_is_required_and_optional_ones_may_be_null() -> None:
    assert strict_schema(SEARCH) == {
        "type": "object",
        "additionalProperties": False,
        "required": ["query", "limit", "mode", "place", "tags", "kind"],
        "properties": {
            "query": {"type": "string", "description": "Words"},
            "limit": {"type": ["integer", "null"]},
            "mode": {"type": ["string", "null"], "enum": ["any", "all", None]},
            "place": {
                "anyOf": [
                    {"type": "string"},
                    {**schema({"lat": {"type": "number"}}, "lat"), "additionalProperties": False},
                    {"type": "null"},
                ]
            },
            "tags": {
                "type": ["array", "null"],
                "items": {
                    "type": "object",
                    "properties": {"name": {"type": "string"}, "weight": {"type": ["number", "null"]}},
                    "required": ["name", "weight"],
                    "additionalProperties": False,
                },
            },
            "kind": {"anyOf": [{"$ref": "#/$defs/kind"}, {"type": "null"}]},
        },
        "$defs": {"kind": {"type": "string", "enum": ["a"]}},
    }


def test_the_schema_itself_is_not_changed() -> None:
    before = repr(SEARCH)
    strict_schema(SEARCH)
    closed_schema(SEARCH)
    assert repr(SEARCH) == before


def test_a_closed_schema_keeps_optional_properties_optional() -> None:
    closed = closed_schema(SEARCH)
    assert closed is not None
    assert closed["required"] == ["query"]
    assert closed["additionalProperties"] is False
    assert closed["properties"]["limit"] == {"type": "integer", "default": 5}
    assert closed["properties"]["tags"]["items"]["additionalProperties"] is False


@pytest.mark.parametrize(
    "value",
    [
        {"type": "object"},
        {"type": "object", "properties": {}, "additionalProperties": {"type": "string"}},
        {"type": "array"},
        {"description": "anything"},
        {"oneOf": [{"type": "string"}]},
        {"type": "array", "items": {"type": "object"}},
        {"anyOf": [{"type": "string"}, {"type": "object"}]},
    ],
)
def test_what_no_strict_form_can_say_stays_as_it_is(value: dict[str, Any]) -> None:
    assert strict_schema(schema({"data": value})) is None
    assert closed_schema(schema({"data": value})) is None


def test_bounds_are_for_openai_only() -> None:
    bounded = schema({"n": {"type": "integer", "minimum": 1}}, "n")
    assert strict_schema(bounded) is not None
    assert closed_schema(bounded) is None


def test_loose_properties_are_counted_at_every_depth() -> None:
    assert optional_count(SEARCH) == 7


def tool(name: str, parameters: dict[str, Any], **fields: Any) -> ToolSpec:
    return ToolSpec(name=name, description="", parameters=parameters, **fields)


LOOSE = {"type": "object"}


def test_openai_gets_strict_tools_only_when_asked() -> None:
    chat = OpenAIChat(config=provider("openai", OPENAI_API_KEY="k"), model="gpt-4o")
    tools = (tool("search", SEARCH), tool("loose", LOOSE), tool("mcp", SEARCH, may_be_strict=False))
    request = ChatRequest(messages=(user("Hi"),), tools=tools, strict=True)
    search, loose, mcp = (each["function"] for each in chat.payload(request)["tools"])
    assert (search["strict"], search["parameters"]) == (True, strict_schema(SEARCH))
    assert loose == {"name": "loose", "description": "", "parameters": LOOSE}
    assert mcp == {"name": "mcp", "description": "", "parameters": SEARCH}
    plain = chat.payload(ChatRequest(messages=(user("Hi"),), tools=tools))["tools"]
    assert not any("strict" in each["function"] for each in plain)


def test_anthropic_gets_strict_tools_where_its_models_know_them() -> None:
    tools = (tool("search", SEARCH), tool("loose", LOOSE), tool("mcp", SEARCH, may_be_strict=False))
    request = ChatRequest(messages=(user("Hi"),), tools=tools, strict=True)
    config = provider("anthropic", ANTHROPIC_API_KEY="k")
    newer = AnthropicChat(config=config, model="claude-sonnet-4-5").payload(request)["tools"]
    assert [each.get("strict", False) for each in newer] == [True, False, False]
    assert newer[0]["input_schema"] == closed_schema(SEARCH)
    older = AnthropicChat(config=config, model="claude-3-5-haiku").payload(request)["tools"]
    assert not any("strict" in each for each in older)


def test_anthropics_limits_are_kept() -> None:
    one = schema({"a": {"type": "string"}}, "a")
    many = schema({f"p{n}": {"type": "string"} for n in range(10)})
    config = provider("anthropic", ANTHROPIC_API_KEY="k")
    chat = AnthropicChat(config=config, model="claude-sonnet-4-5")

    def strict_of(*parameters: dict[str, Any]) -> list[bool]:
        tools = tuple(tool(f"t{n}", each) for n, each in enumerate(parameters))
        sent = chat.payload(ChatRequest(messages=(user("Hi"),), tools=tools, strict=True))["tools"]
        return [each.get("strict", False) for each in sent]

    assert strict_of(*[one] * 22) == [True] * 20 + [False] * 2
    assert strict_of(many, many, one) == [True, False, True]
