"""The tools of the SDK's guide, written as they stand there, made over the SDK and called by an agent."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any

import pytest
from letta_client import Letta

from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tools.sandbox import current

pytestmark = pytest.mark.slow


# fmt: off
def get_weather(location: str) -> str:
    """Get the current weather for a location.

    Args:
        location: City name or zip code

    Returns:
        Current weather conditions
    """
    # Implementation here
    return f"Weather in {location}: 72°F, sunny"


def my_api_tool() -> str:
    """Call a service."""
    import os
    return str(len(os.getenv("API_KEY") or "")) + " characters of " + str(os.getenv("API_KEY"))


def update_memory(label: str, content: str) -> str:
    """Update a memory block."""
    import os
    # `client` is pre-injected, no initialization needed
    client.agents.blocks.update(  # type: ignore[name-defined]  # noqa: F821
        agent_id=os.getenv("LETTA_AGENT_ID"),
        block_label=label,
        value=content
    )
    return "Memory updated"
# fmt: on


@pytest.fixture(scope="module", autouse=True)
def sandbox() -> None:
    found = current.isolation_now()
    # The server has its own.
    current.shut_down_sandbox()
    if found.state not in {"full", "partial"}:
        pytest.skip("no sandbox on this machine")


def made(client: Letta, function: Callable[..., Any]) -> Any:
    return client.tools.create(source_code=inspect.getsource(function))


def returned(client: Letta, provider: FakeOpenAI, agent: Any, tool: str, **arguments: Any) -> str:
    """What the agent reads of the tool when its model calls it."""
    call = FakeCall(name=tool, arguments=json.dumps(arguments))
    provider.replies += [FakeReply(calls=(call,)), FakeReply(text="Done.")]
    answer: list[Any] = list(client.agents.messages.create(agent.id, input="Go on.").messages)
    (told,) = [each for each in answer if each.message_type == "tool_return_message"]
    return str(told.tool_return)


def test_row_15_the_weather_is_told(client: Letta, provider: FakeOpenAI) -> None:
    tool = made(client, get_weather)
    assert (tool.name, tool.description) == ("get_weather", "Get the current weather for a location.")
    assert tool.json_schema["parameters"]["properties"]["location"]["description"] == "City name or zip code"
    agent = client.agents.create(model="openai/gpt-4o-mini", tools=[tool.name])
    assert returned(client, provider, agent, "get_weather", location="Oslo") == "Weather in Oslo: 72°F, sunny"


def test_row_17_a_tool_has_the_secrets_of_its_agent_and_tells_them_to_nobody(
    client: Letta, provider: FakeOpenAI
) -> None:
    made(client, my_api_tool)
    agent = client.agents.create(
        model="openai/gpt-4o-mini", tools=["my_api_tool"], secrets={"API_KEY": "sk-12345"}
    )
    text = "8 characters of [secret API_KEY]"
    assert returned(client, provider, agent, "my_api_tool") == text
    run = client.agents.tools.run("my_api_tool", agent_id=agent.id, args={})
    assert (run.status, run.func_return) == ("success", text)
    assert "sk-12345" not in json.dumps([each.body for each in provider.received])


def test_row_18_a_tool_updates_the_memory_of_its_agent(client: Letta, provider: FakeOpenAI) -> None:
    tool = made(client, update_memory)
    agent = client.agents.create(
        model="openai/gpt-4o-mini",
        tools=[tool.name],
        memory_blocks=[{"label": "human", "value": "Name: Ada"}],
    )
    told = returned(client, provider, agent, "update_memory", label="human", content="Name: Grace")
    assert told == "Memory updated"
    assert client.agents.blocks.retrieve("human", agent_id=agent.id).value == "Name: Grace"
