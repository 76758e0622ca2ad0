"""Tools as a user of the SDK makes, changes, finds, attaches and deletes them."""

from __future__ import annotations

import inspect
from typing import Any

import letta_client
import pytest
from letta_client import Letta

from letta_ade.core.ids import new_id

pytestmark = pytest.mark.slow


def get_weather(city: str, unit: str = "C") -> str:
    """Get the current weather.

    Args:
        city: The city.
        unit: C or F.
    """
    return f"{city}: 20 {unit}"


SOURCE = inspect.getsource(get_weather)


def test_a_tool_is_made_from_a_function_of_ones_own(client: Letta) -> None:
    tool = client.tools.create(source_code=SOURCE, tags=["weather"], pip_requirements=[{"name": "httpx"}])
    assert (tool.name, tool.description, tool.tool_type) == (
        "get_weather",
        "Get the current weather.",
        "custom",
    )
    schema: Any = tool.json_schema
    assert schema["parameters"] == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": "The city."},
            "unit": {"type": "string", "description": "C or F."},
        },
        "required": ["city"],
    }
    assert tool.pip_requirements is not None
    assert tool.pip_requirements[0].name == "httpx"
    assert client.tools.retrieve(tool.id) == tool
    again = client.tools.upsert(source_code=SOURCE.replace("Get", "Tell"), enable_parallel_execution=True)
    assert (again.id, again.tags, again.enable_parallel_execution) == (tool.id, ["weather"], True)
    changed = client.tools.update(tool.id, return_char_limit=100, metadata={"owner": "ops"})
    assert (changed.return_char_limit, changed.metadata) == (100, {"owner": "ops"})
    assert client.tools.delete(tool.id) is None
    with pytest.raises(letta_client.NotFoundError):
        client.tools.retrieve(tool.id)


def test_tools_are_listed_and_found(client: Letta) -> None:
    tool = client.tools.create(source_code=SOURCE)
    for filters in (
        {"name": "get_weather"},
        {"names": ["get_weather", "nothing"]},
        {"tool_ids": [tool.id]},
        {"search": "WEATHER"},
        {"tool_types": ["custom"]},
    ):
        assert [each.id for each in client.tools.list(**filters)] == [tool.id], filters
    every = {each.name for each in client.tools.list(limit=5)}
    assert {"get_weather", "memory_insert"} <= every
    assert "get_weather" not in {each.name for each in client.tools.list(return_only_letta_tools=True)}
    (found,) = client.tools.search(query="weather")
    assert found.tool.id == tool.id
    assert found.combined_score > 0


def test_a_tool_is_attached_asked_for_and_detached(client: Letta) -> None:
    tool = client.tools.create(source_code=SOURCE, default_requires_approval=True)
    assert tool.name is not None
    agent = client.agents.create(model="openai/gpt-4o-mini", tools=[tool.name], secrets={"API_KEY": "k"})
    assert tool.name in {each.name for each in client.agents.tools.list(agent.id)}

    def asks() -> bool:
        rules: Any = client.agents.retrieve(agent.id).tool_rules or []
        return any(rule.type == "requires_approval" and rule.tool_name == tool.name for rule in rules)

    assert asks()
    client.agents.tools.update_approval(tool.name, agent_id=agent.id, body_requires_approval=False)
    assert not asks()
    client.agents.tools.detach(tool.id, agent_id=agent.id)
    assert tool.name not in {each.name for each in client.agents.tools.list(agent.id)}
    client.agents.tools.attach(tool.id, agent_id=agent.id)
    assert tool.name in {each.name for each in client.agents.tools.list(agent.id)}
    client.tools.delete(tool.id)
    assert tool.name not in {each.name for each in client.agents.tools.list(agent.id)}
    assert not asks()


def test_what_is_wrong_is_told_with_the_line(client: Letta) -> None:
    with pytest.raises(letta_client.BadRequestError, match="line 2: The function 'act' has no docstring"):
        client.tools.create(source_code="\ndef act(): pass")
    with pytest.raises(letta_client.ConflictError, match="'memory_insert' is a tool of the server"):
        client.tools.upsert(source_code=SOURCE.replace("get_weather", "memory_insert"))
    with pytest.raises(letta_client.UnprocessableEntityError, match="is not the name of a package"):
        client.tools.create(source_code=SOURCE, pip_requirements=[{"name": "a b"}])
    with pytest.raises(letta_client.NotFoundError):
        client.tools.update(new_id("tool"), tags=["x"])
    builtin = next(iter(client.tools.list(name="memory_insert")))
    with pytest.raises(letta_client.APIStatusError) as refused:
        client.tools.delete(builtin.id)
    assert refused.value.status_code == 405
