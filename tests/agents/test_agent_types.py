"""Every type of agent: its tools, its rules, its first messages, and what its prompt shows (spec/agent-loop.md §1)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.models import Agent, Message
from agents.models.agent import AgentType
from agents.services.agent_types import FACTS, MULTI_AGENT_TOOLS, base_tool_names
from agents.services.system_message import write_system_message
from letta_ade.llm.testing import ScriptedModel, installed
from tests.support.api import Api
from tests.support.factories import make_agent, make_block, make_conversation

pytestmark = pytest.mark.django_db

MODEL = "demo/assistant"
TYPES = [str(value) for value in AgentType.values]
DIRECT = ("letta_v1_agent", "sleeptime_agent")
BACKGROUND = ("sleeptime_agent", "voice_sleeptime_agent")
LEGACY_TOOLS = [
    "send_message",
    "conversation_search",
    "core_memory_append",
    "core_memory_replace",
    "memory",
    "memory_apply_patch",
]
SLEEPTIME_TOOLS = ["memory_replace", "memory_insert", "memory_rethink", "memory_finish_edits"]
VOICE_SLEEPTIME_TOOLS = ["store_memories", "rethink_user_memory", "finish_rethinking_memory"]
WITH_SLEEPTIME = ["send_message", "conversation_search", "archival_memory_search"]

#: (type, enable_sleeptime) -> the tools of a new agent.
TOOLS: dict[tuple[str, bool | None], list[str]] = {
    ("letta_v1_agent", None): ["conversation_search", "memory_replace", "memory_insert"],
    ("letta_v1_agent", False): ["conversation_search", "memory_replace", "memory_insert"],
    ("letta_v1_agent", True): ["conversation_search", "archival_memory_search"],
    ("sleeptime_agent", None): SLEEPTIME_TOOLS,
    ("sleeptime_agent", True): SLEEPTIME_TOOLS,
    ("memgpt_agent", None): LEGACY_TOOLS,
    ("memgpt_agent", True): WITH_SLEEPTIME,
    ("memgpt_v2_agent", None): ["send_message", "conversation_search", "memory_replace", "memory_insert"],
    ("memgpt_v2_agent", True): WITH_SLEEPTIME,
    ("split_thread_agent", None): LEGACY_TOOLS,
    ("split_thread_agent", True): WITH_SLEEPTIME,
    ("react_agent", None): [],
    ("react_agent", True): WITH_SLEEPTIME,
    ("workflow_agent", None): [],
    ("workflow_agent", True): WITH_SLEEPTIME,
    ("voice_convo_agent", True): ["send_message", "search_memory"],
    ("voice_sleeptime_agent", None): VOICE_SLEEPTIME_TOOLS,
    ("voice_sleeptime_agent", True): VOICE_SLEEPTIME_TOOLS,
}
ENDING = {"send_message", "memory_finish_edits", "finish_rethinking_memory"}


@pytest.fixture
def api() -> Api:
    return Api()


def body(agent_type: str, **fields: Any) -> dict[str, Any]:
    needs = {"enable_sleeptime": True} if agent_type == "voice_convo_agent" else {}
    return {"model": MODEL, "agent_type": agent_type, **needs, **fields}


def create(api: Api, agent_type: str, **fields: Any) -> Any:
    answer = api.post("/v1/agents/", body(agent_type, **fields))
    assert answer.status_code == 200, answer.content
    return answer.json()


def rules_of(agent: Any) -> set[tuple[str, str]]:
    return {(rule["type"], rule["tool_name"]) for rule in agent["tool_rules"]}


def default_rules(names: list[str]) -> set[tuple[str, str]]:
    return {("exit_loop" if name in ENDING else "continue_loop", name) for name in names}


def messages_of(agent: Any) -> list[Message]:
    found = Message.objects.in_bulk(agent["message_ids"])
    return [found[message_id] for message_id in agent["message_ids"]]


def test_the_table_knows_every_type() -> None:
    assert {agent_type for agent_type, _ in TOOLS} == set(TYPES) == {str(each) for each in FACTS}


@pytest.mark.parametrize("agent_type", TYPES)
def test_the_reference_tells_the_tools_of_each_type(agent_type: str) -> None:
    reference = Path(__file__).parents[2] / "docs" / "reference" / "agents.md"
    (row,) = [
        line
        for line in reference.read_text().splitlines()
        if line.startswith("|") and f"`{agent_type}`" in line
    ]
    facts = FACTS[AgentType(agent_type)]
    _, _, _, told, begins, _ = row.split("|")
    assert told.strip() == (", ".join(f"`{name}`" for name in facts.tools) or "none")
    assert begins.strip() == ("a greeting" if facts.has_first_messages else "nothing")


@pytest.mark.parametrize(("case", "names"), TOOLS.items())
def test_a_new_agent_has_the_tools_of_its_type(
    api: Api, case: tuple[str, bool | None], names: list[str]
) -> None:
    agent_type, enable_sleeptime = case
    agent = create(api, agent_type, enable_sleeptime=enable_sleeptime)
    assert [tool["name"] for tool in agent["tools"]] == names
    assert base_tool_names(agent_type, enable_sleeptime=enable_sleeptime) == tuple(names)
    expected = set() if agent_type == "letta_v1_agent" else default_rules(names)
    assert rules_of(agent) == expected


@pytest.mark.parametrize("agent_type", TYPES)
def test_default_tools_can_be_refused_and_others_given(api: Api, agent_type: str) -> None:
    agent = create(
        api, agent_type, include_base_tools=False, tools=["send_message", "memory_insert", "send_message"]
    )
    assert [tool["name"] for tool in agent["tools"]] == ["send_message", "memory_insert"]


def test_a_tool_that_is_named_beside_the_default_ones_comes_once(api: Api) -> None:
    agent = create(api, "memgpt_agent", tools=["memory", "archival_memory_insert"])
    assert [tool["name"] for tool in agent["tools"]] == [*LEGACY_TOOLS, "archival_memory_insert"]
    assert ("continue_loop", "archival_memory_insert") in rules_of(agent)


@pytest.mark.parametrize("agent_type", TYPES)
@pytest.mark.parametrize("model", ["gpt-4o", "claude-4-sonnet-x", "gpt-5", "gpt-5-mini", "gemini-2.5-pro"])
@pytest.mark.parametrize("flag", [None, True, False])
def test_default_rules_follow_flag_type_and_model(
    api: Api, agent_type: str, model: str, flag: bool | None
) -> None:
    scripted = ScriptedModel(handle=f"test/{model}")
    with installed(scripted):
        agent = create(api, agent_type, model=scripted.handle, include_base_tool_rules=flag)
    steers = model in ("claude-4-sonnet-x", "gpt-5", "gemini-2.5-pro")
    by_itself = agent_type == "sleeptime_agent" or (agent_type != "letta_v1_agent" and not steers)
    is_on = by_itself if flag is None else flag
    names = [tool["name"] for tool in agent["tools"]]
    assert rules_of(agent) == (default_rules(names) if is_on else set())


def test_rules_that_are_given_stand_beside_the_default_ones_once(api: Api) -> None:
    agent = create(
        api,
        "memgpt_v2_agent",
        tool_rules=[
            {"type": "exit_loop", "tool_name": "send_message"},
            {"type": "max_count_per_step", "tool_name": "conversation_search", "max_count_limit": 2},
        ],
    )
    kinds = [(rule["type"], rule["tool_name"]) for rule in agent["tool_rules"]]
    assert kinds[:2] == [("exit_loop", "send_message"), ("max_count_per_step", "conversation_search")]
    assert len(kinds) == len(set(kinds)) == 5


@pytest.mark.parametrize("agent_type", TYPES)
def test_the_first_messages_are_those_of_the_type(api: Api, agent_type: str) -> None:
    agent = create(api, agent_type, timezone="Europe/Oslo")
    messages = messages_of(agent)
    if agent_type in (*DIRECT, "voice_sleeptime_agent"):
        assert [message.role for message in messages] == ["system"]
        return
    assert [message.role for message in messages] == ["system", "assistant", "tool", "user"]
    _, said, returned, login = messages
    (call,) = said.tool_calls
    assert call["name"] == "send_message"
    assert list(json.loads(call["arguments"])) == ["message"]
    assert len(call["id"]) == 29
    assert said.id.endswith(("00", "80"))
    assert returned.tool_returns == [
        {
            "tool_call_id": call["id"],
            "name": "send_message",
            "status": "success",
            "text": "Sent message successfully.",
            "stdout": [],
            "stderr": [],
        }
    ]
    note = json.loads(login.content[0]["text"])
    assert (note["type"], note["last_login"]) == ("login", "never")
    assert note["time"].endswith(("CET+0100", "CEST+0200"))
    times = [message.created_at for message in messages]
    assert times == sorted(set(times))


@pytest.mark.parametrize("agent_type", TYPES)
def test_no_first_messages_are_made_where_none_are_wanted(api: Api, agent_type: str) -> None:
    assert len(create(api, agent_type, initial_message_sequence=[])["message_ids"]) == 1


@pytest.mark.parametrize("agent_type", TYPES)
def test_first_messages_that_are_given_stand_in_their_order(api: Api, agent_type: str) -> None:
    agent = create(
        api,
        agent_type,
        initial_message_sequence=[
            {"role": "user", "content": "Hi.", "otid": "o1", "name": "ada", "sender_id": "s1"},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
            {"role": "system", "content": "Be brief."},
        ],
    )
    messages = messages_of(agent)
    roles = [message.role for message in messages]
    user = messages[1]
    assert (user.text, user.otid, user.name, user.sender_id) == ("Hi.", "o1", "ada", "s1")
    if FACTS[AgentType(agent_type)].is_heartbeat:
        assert roles == ["system", "user", "assistant", "tool", "system"]
        assert json.loads(messages[2].tool_calls[0]["arguments"]) == {"message": "Hello."}
        assert messages[2].content == []
        assert messages[2].text == "Hello."
    else:
        assert roles == ["system", "user", "assistant", "system"]
        assert messages[2].content[0]["text"] == "Hello."


@pytest.mark.parametrize("text", ["", "  ", "\0"])
def test_a_first_message_without_text_is_refused(api: Api, text: str) -> None:
    answer = api.post(
        "/v1/agents/", body("letta_v1_agent", initial_message_sequence=[{"role": "user", "content": text}])
    )
    assert (answer.status_code, "needs a text" in answer.json()["detail"]) == (400, True)
    assert not Agent.objects.exists()


@pytest.mark.parametrize("agent_type", TYPES)
def test_each_type_has_instructions_of_its_kind(api: Api, agent_type: str) -> None:
    agent = create(api, agent_type)
    system = agent["system"]
    assert system.count("{CORE_MEMORY}") == 1
    assert len(system) < 2500
    speaks_by_tool = agent_type not in (*DIRECT, "voice_sleeptime_agent")
    assert ("send_message" in system) == speaks_by_tool
    assert ("request_heartbeat" in system) == (agent_type not in DIRECT)


@pytest.mark.parametrize("agent_type", TYPES)
def test_instructions_can_be_given(api: Api, agent_type: str) -> None:
    assert create(api, agent_type, system="Be kind.")["system"] == "Be kind."


@pytest.mark.parametrize("agent_type", TYPES)
def test_a_prompt_shows_blocks_unless_the_type_has_none(api: Api, agent_type: str) -> None:
    agent = create(api, agent_type, memory_blocks=[{"label": "human", "value": "Name: Ada"}])
    shows = agent_type not in ("react_agent", "workflow_agent")
    assert ("<memory_blocks>" in messages_of(agent)[0].content[0]["text"]) == shows
    assert [block["label"] for block in agent["blocks"]] == ["human"]


@pytest.mark.parametrize("agent_type", TYPES)
@pytest.mark.parametrize("provider_type", ["anthropic", "openai"])
def test_lines_are_numbered_for_some_types_with_a_model_of_anthropic(
    agent_type: str, provider_type: str
) -> None:
    # The provider may have any name in the handle.
    agent = make_agent(
        agent_type=agent_type, model="my-proxy/some-model", model_settings={"provider_type": provider_type}
    )
    make_block(agent=agent, label="human", value="Name: Ada")
    write_system_message(agent=agent, conversation=make_conversation(agent=agent))
    is_numbered = "1→ Name: Ada" in agent.messages.get().content[0]["text"]
    types = ("letta_v1_agent", "sleeptime_agent", "memgpt_v2_agent")
    assert is_numbered == (provider_type == "anthropic" and agent_type in types)


@pytest.mark.parametrize("agent_type", TYPES)
def test_only_a_workflow_agent_always_begins_anew(api: Api, agent_type: str) -> None:
    agent = create(api, agent_type, message_buffer_autoclear=False)
    assert agent["message_buffer_autoclear"] == (agent_type == "workflow_agent")
    url = f"/v1/agents/{agent['id']}"
    changed = api.patch(url, {"message_buffer_autoclear": False}).json()
    assert changed["message_buffer_autoclear"] == (agent_type == "workflow_agent")
    assert api.patch(url, {"message_buffer_autoclear": True}).json()["message_buffer_autoclear"] is True


@pytest.mark.parametrize("fields", [{"enable_sleeptime": None}, {"enable_sleeptime": False}])
def test_a_voice_agent_needs_background_memory(api: Api, fields: dict[str, Any]) -> None:
    answer = api.post("/v1/agents/", body("voice_convo_agent", **fields))
    assert (answer.status_code, "enable_sleeptime" in answer.json()["detail"]) == (422, True)
    assert not Agent.objects.exists()
    agent = create(api, "voice_convo_agent")
    url = f"/v1/agents/{agent['id']}"
    assert api.patch(url, {**fields, "name": "Changed"}).status_code == 422
    kept = api.get(url).json()
    assert (kept["enable_sleeptime"], kept["name"]) == (True, agent["name"])
    assert api.patch(url, {"name": "Changed"}).json()["name"] == "Changed"


def test_the_type_of_an_agent_cannot_change(api: Api) -> None:
    agent = create(api, "memgpt_agent")
    url = f"/v1/agents/{agent['id']}"
    answer = api.patch(url, {"agent_type": "letta_v1_agent", "name": "Changed"})
    assert (answer.status_code, "cannot change" in answer.json()["detail"]) == (422, True)
    assert api.get(url).json()["name"] == agent["name"]
    # Who sends the whole agent back changes nothing by it.
    assert api.patch(url, {"agent_type": "memgpt_agent"}).json()["agent_type"] == "memgpt_agent"


def test_tools_between_agents_are_attached_when_they_are_wanted(api: Api) -> None:
    agent = api.post("/v1/agents/", body("letta_v1_agent", include_multi_agent_tools=True)).json()
    names = {tool["name"] for tool in agent["tools"]}
    assert names == {*FACTS[AgentType.LETTA_V1].tools, *MULTI_AGENT_TOOLS}


@pytest.mark.parametrize("facts", FACTS.values(), ids=str)
def test_people_are_told_what_a_type_does_and_when_to_use_it(facts: Any) -> None:
    assert facts.title
    assert facts.does.endswith(".")
    assert facts.fits.endswith(".")
