"""Types of agents, approvals, resets and recompiles by the SDK."""

from __future__ import annotations

import json
from typing import Any, get_args

import pytest
from letta_client import BadRequestError, Letta, NotFoundError, UnprocessableEntityError
from letta_client.types import AgentType

pytestmark = pytest.mark.django_db(transaction=True)

MODEL = "openai/gpt-4o-mini"


@pytest.mark.parametrize("agent_type", get_args(AgentType))
def test_every_type_of_the_sdk_can_be_made(client: Letta, agent_type: Any) -> None:
    agent = client.agents.create(model=MODEL, agent_type=agent_type, enable_sleeptime=True)
    assert client.agents.retrieve(agent.id).agent_type == agent_type
    assert agent.system


def test_older_fields_reach_the_settings(client: Letta) -> None:
    agent = client.agents.create(
        model=MODEL,
        max_tokens=500,
        parallel_tool_calls=False,
        reasoning=False,
        response_format={"type": "json_object"},
    )
    settings = agent.api_model_settings
    assert settings is not None
    assert settings.provider_type == "openai"
    assert (settings.max_output_tokens, settings.parallel_tool_calls) == (500, False)
    assert agent.response_format is not None
    assert agent.response_format.type == "json_object"
    changed = client.agents.update(
        agent.id, max_tokens=600, model_settings={"provider_type": "openai", "temperature": 0.1}
    )
    assert changed.api_model_settings is not None
    assert (changed.api_model_settings.max_output_tokens, changed.llm_config.temperature) == (600, 0.1)
    with pytest.raises(BadRequestError):
        client.agents.create(model=MODEL, max_reasoning_tokens=500)


def test_a_voice_agent_without_background_memory_is_refused(client: Letta) -> None:
    with pytest.raises(UnprocessableEntityError):
        client.agents.create(model=MODEL, agent_type="voice_convo_agent")


def test_the_messages_of_an_agent_can_be_reset(client: Letta) -> None:
    agent = client.agents.create(model=MODEL, agent_type="memgpt_agent")
    before = client.agents.retrieve(agent.id).message_ids or []
    assert len(before) == 4
    assert client.agents.messages.reset(agent.id) is None
    assert client.agents.retrieve(agent.id).message_ids == before[:1]
    client.agents.messages.reset(agent.id, add_default_initial_messages=True)
    assert len(client.agents.retrieve(agent.id).message_ids or []) == 4


def test_a_prompt_can_be_recompiled(client: Letta, agent: Any) -> None:
    client.agents.blocks.update("human", agent_id=agent.id, value="Name: Grace")
    # The SDK hands out the body as it came, which is a JSON string.
    looked_at = json.loads(client.agents.recompile(agent.id, dry_run=True))
    assert "Name: Grace" in looked_at
    assert "Name: Grace" not in str(client.agents.messages.list(agent.id, limit=1).items[0])
    stored = json.loads(client.agents.recompile(agent.id, update_timestamp=True))
    assert "Name: Grace" in stored
    assert "Name: Grace" in str(client.agents.messages.list(agent.id, limit=1).items[0])


def test_a_tool_can_be_made_to_need_approval(client: Letta, agent: Any) -> None:
    def rules() -> list[Any]:
        return [
            rule
            for rule in client.agents.retrieve(agent.id).tool_rules or []
            if rule.type == "requires_approval"
        ]

    answer = client.agents.tools.update_approval(
        "memory_insert", agent_id=agent.id, body_requires_approval=True
    )
    assert answer is None
    assert [rule.tool_name for rule in rules()] == ["memory_insert"]
    client.agents.tools.update_approval("memory_insert", agent_id=agent.id, body_requires_approval=False)
    assert rules() == []
    with pytest.raises(NotFoundError):
        client.agents.tools.update_approval("no_such", agent_id=agent.id, body_requires_approval=True)
