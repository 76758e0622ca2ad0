"""Agent files: what is written can be read in again without loss, and nothing of a bad one stays."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.api.schemas.message import MessageQuery
from agents.api.wire import wire_list
from agents.models import Agent, ContextEntry, Conversation, Group, Message
from agents.services import conversations
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from agents.services.isolated_blocks import isolate
from memory.models import Block
from memory.services.blocks import BlockDraft
from tests.support.api import Api
from tests.support.factories import make_agent, make_caller, make_conversation, make_message, make_workspace
from tools.models import Tool
from tools.services.tool_writes import ToolDraft, upsert_tool

pytestmark = pytest.mark.django_db

SOURCE = '''def add(a: int, b: int) -> int:
    """Add two numbers.

    Args:
        a: The one.
        b: The other.
    """
    return a + b
'''
CALL = {"id": "call_1", "name": "add", "arguments": '{"a": 1, "b": 2}'}
RETURNED = {
    "tool_call_id": "call_1",
    "name": "add",
    "status": "success",
    "text": "3",
    "stdout": ["x"],
    "stderr": [],
}


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    caller = make_caller()
    upsert_tool(caller=caller, draft=ToolDraft(source_code=SOURCE))
    agent = create_agent(
        caller=caller,
        draft=AgentDraft(
            name="Ada",
            model="demo/assistant",
            system="Be kind.",
            description="An agent.",
            metadata={"team": 7},
            tags=("eu", "support"),
            tool_names=("add",),
            tool_rules=({"type": "max_count_per_step", "tool_name": "add", "max_count_limit": 2},),
            secrets={"API_KEY": "sk-secret"},
            blocks=(
                BlockDraft(
                    label="human", value="Ünïcode 😀\nTwo lines.", limit=500, description="Whom I serve."
                ),
                BlockDraft(label="rules", value="None.", read_only=True, policy={"agents": "propose"}),
            ),
            timezone="Europe/Vienna",
            message_buffer_autoclear=False,
            context_window_limit=16_000,
            response_format={"type": "json_object"},
            enable_sleeptime=True,
        ),
    )
    conversation = get_default_conversation(agent)
    say(conversation, 1, role="user", content=[{"type": "text", "text": "1 + 2?", "signature": None}])
    say(conversation, 2, role="assistant", tool_calls=[CALL], content=[], model="demo/assistant")
    say(conversation, 3, role="tool", tool_returns=[RETURNED], content=[])
    say(conversation, 4, role="assistant", content=[{"type": "text", "text": "3.", "signature": None}])
    say(conversation, None, role="user", content=[{"type": "text", "text": "Long ago.", "signature": None}])
    other = make_conversation(agent=agent, summary="Second thoughts", context_window_limit=9_000)
    isolate(caller=caller, agent=agent, conversation=other, labels=["human"])
    conversations.begin(agent=agent, conversation=other)
    say(other, 1, role="user", content=[{"type": "text", "text": "Elsewhere.", "signature": None}])
    return agent


def say(conversation: Conversation, position: int | None, **fields: Any) -> Message:
    message = make_message(conversation=conversation, **fields)
    if position is not None:
        ContextEntry.objects.create(conversation=conversation, message=message, position=position)
    return message


def exported(api: Api, agent_id: str, **asked: Any) -> dict[str, Any]:
    response = api.get(f"/v1/agents/{agent_id}/export", **asked)
    assert response.status_code == 200, response.content
    return json.loads(response.content)


def upload(api: Api, data: bytes, **form: Any) -> Any:
    return api.upload("/v1/agents/import", file=ContentFile(data, "ada.af"), **form)


def imported(api: Api, file: Any, *, status: int = 200, **form: Any) -> Any:
    data = file if isinstance(file, bytes) else json.dumps(file).encode()
    response = upload(api, data, **form)
    assert response.status_code == status, response.content
    return response.json()


def comparable(file: dict[str, Any]) -> dict[str, Any]:
    """Without what differs on purpose: moments, and the compiled system messages."""
    plain = json.loads(json.dumps(file))
    plain.pop("created_at")
    for agent in plain["agents"]:
        for history in (agent, *agent["conversations"]):
            for message in history["messages"]:
                message.pop("created_at")
                if message["role"] == "system":
                    message["content"] = "compiled"
    return plain


def differences(one: Any, other: Any, place: str = "") -> list[str]:
    """The places where two values differ, with both."""
    if isinstance(one, dict) and isinstance(other, dict):
        return [
            told
            for key in one.keys() | other.keys()
            for told in differences(one.get(key), other.get(key), f"{place}.{key}")
        ]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            told
            for at, pair in enumerate(zip(one, other, strict=True))
            for told in differences(*pair, f"{place}.{at}")
        ]
    return [] if one == other else [f"{place}: {one!r:.200} != {other!r:.200}"]


class TestRoundTrip:
    def test_a_file_read_in_and_written_again_is_the_same(self, api: Api, agent: Agent) -> None:
        first = exported(api, agent.id)
        told = imported(api, first, append_copy_suffix="false")
        new_id = told["agent_ids"][0]
        assert new_id != agent.id
        assert differences(comparable(first), comparable(exported(api, new_id))) == []
        assert told["counts"] == {
            "agents": 2, "blocks": 4, "tools": len(first["tools"]), "messages": 6, "conversations": 3, "groups": 1,
        }  # fmt: skip
        assert told["empty_secrets"] == ["API_KEY"]

    def test_it_holds_what_the_agent_is_made_of(self, api: Api, agent: Agent) -> None:
        file = exported(api, agent.id)
        told = file["agents"][0]
        assert (told["id"], told["name"], told["secrets"]) == ("agent-0", "Ada", {"API_KEY": ""})
        assert [each["role"] for each in told["messages"]] == [
            "system",
            "user",
            "assistant",
            "tool",
            "assistant",
            "user",
        ]
        assert len(told["in_context_message_ids"]) == 5
        assert [each["summary"] for each in told["conversations"]] == ["Second thoughts"]
        assert {each["label"] for each in file["blocks"]} >= {"human", "rules"}
        assert next(each for each in file["tools"] if each["name"] == "add")["source_code"] == SOURCE
        assert file["groups"][0]["manager_config"]["manager_agent_id"] == "agent-0"
        assert "sk-secret" not in json.dumps(file)

    def test_the_copy_is_its_own(self, api: Api, agent: Agent) -> None:
        told = imported(api, exported(api, agent.id))
        copy = Agent.objects.get(id=told["agent_ids"][0])
        assert copy.name == "Ada_copy"
        assert not set(copy.blocks.values_list("id", flat=True)) & set(
            agent.blocks.values_list("id", flat=True)
        )
        assert copy.blocks.get(label="rules").policy == {"agents": "propose"}
        assert copy.tools.get(name="add") == agent.tools.get(name="add")
        group = Group.objects.get(manager_agent=copy)
        assert [each.name for each in group.agents.all()] == [told_name(agent) + "_copy"]
        human = copy.blocks.get(label="human")
        assert set(human.agents.all()) == {copy, group.agents.get()}

    def test_the_copy_answers_in_its_context(self, api: Api, agent: Agent) -> None:
        copy_id = imported(api, exported(api, agent.id))["agent_ids"][0]
        conversation = get_default_conversation(Agent.objects.get(id=copy_id))
        texts = list(conversation.entries.order_by("position").values_list("message__role", "message__text"))
        assert [role for role, _ in texts] == ["system", "user", "assistant", "tool", "assistant"]
        assert "Ünïcode" in conversation.entries.get(position=0).message.content[0]["text"]
        moments = list(
            Message.objects.filter(conversation=conversation)
            .order_by("created_at")
            .values_list("created_at", flat=True)
        )
        assert len(set(moments)) == len(moments)

    def test_one_conversation_can_be_had_alone(self, api: Api, agent: Agent) -> None:
        other = Conversation.objects.get(agent=agent, is_default=False)
        told = exported(api, agent.id, conversation_id=other.id)["agents"][0]
        assert [each["content"][0]["text"] for each in told["messages"] if each["role"] == "user"] == [
            "Elsewhere."
        ]
        assert told["conversations"] == []

    def test_messages_can_be_left_out(self, api: Api, agent: Agent) -> None:
        assert exported(api, agent.id, scrub_messages=True)["agents"][0]["messages"] == []
        copy_id = imported(api, exported(api, agent.id), strip_messages="true")["agent_ids"][0]
        assert list(Message.objects.filter(agent_id=copy_id).values_list("role", flat=True)) == ["system"]

    def test_skills_go_along(self, api: Api, agent: Agent) -> None:
        response = api.post(f"/v1/agents/{agent.id}/export", {"skills": [{"name": "Tea"}]})
        assert json.loads(response.content)["skills"] == [{"name": "Tea"}]

    def test_the_cost_does_not_grow_with_the_messages(
        self, api: Api, agent: Agent, django_assert_max_num_queries: DjangoAssertNumQueries
    ) -> None:
        conversation = get_default_conversation(agent)
        for position in range(5, 45):
            say(
                conversation,
                position,
                role="user",
                content=[{"type": "text", "text": "More.", "signature": None}],
            )
        with django_assert_max_num_queries(40):
            file = exported(api, agent.id)
        assert len(file["agents"][0]["messages"]) == 46


def told_name(agent: Agent) -> str:
    return Group.objects.get(manager_agent=agent).agents.get().name


class TestOptions:
    def test_secrets_are_given(self, api: Api, agent: Agent) -> None:
        told = imported(api, exported(api, agent.id), secrets=json.dumps({"API_KEY": "new", "MORE": "yes"}))
        assert told["empty_secrets"] == []
        body = api.get(f"/v1/agents/{told['agent_ids'][0]}", include="agent.secrets").json()
        assert {each["key"]: each["value"] for each in body["secrets"]} == {"API_KEY": "new", "MORE": "yes"}

    @pytest.mark.parametrize("field", ["name", "override_name"])
    def test_the_first_agent_is_named(self, api: Api, agent: Agent, field: str) -> None:
        given: dict[str, Any] = {field: "Grace"}
        told = imported(api, exported(api, agent.id), **given)
        names = list(Agent.objects.filter(id__in=told["agent_ids"]).values_list("name", flat=True))
        assert sorted(names) == sorted(["Grace", told_name(agent) + "_copy"])

    def test_a_tool_of_the_name_is_overwritten_or_kept(self, api: Api, agent: Agent) -> None:
        file = exported(api, agent.id)
        entry = next(each for each in file["tools"] if each["name"] == "add")
        entry["source_code"] = SOURCE.replace("a + b", "b + a")
        told = imported(api, file, override_existing_tools="false")
        assert "was kept" in told["notes"][0]
        assert Tool.objects.get(name="add").source_code == SOURCE
        told = imported(api, file)
        assert "was overwritten" in told["notes"][0]
        assert "b + a" in str(Tool.objects.get(name="add").source_code)

    def test_a_built_in_tool_is_never_overwritten(self, api: Api, agent: Agent) -> None:
        file = exported(api, agent.id)
        entry = next(each for each in file["tools"] if each["name"] == "conversation_search")
        entry |= {
            "tool_type": "custom",
            "source_code": "def conversation_search():\n    return 1",
            "json_schema": None,
        }
        copy_id = imported(api, file)["agent_ids"][0]
        tool = Agent.objects.get(id=copy_id).tools.get(name="conversation_search")
        assert tool.is_builtin

    def test_what_cannot_be_had_is_told(self, api: Api, agent: Agent) -> None:
        file = exported(api, agent.id)
        file["tools"].append({"id": "tool-99", "name": "from_afar", "tool_type": "external_mcp"})
        file["agents"][0]["tool_ids"].append("tool-99")
        file["sources"] = [{"id": "source-0", "name": "papers"}]
        file["groups"].append(
            {"id": "group-7", "agent_ids": [], "manager_config": {"manager_type": "round_robin"}}
        )
        notes = " ".join(imported(api, file)["notes"])
        assert "from_afar" in notes
        assert "folder" in notes
        assert "round_robin" in notes

    def test_another_model_is_chosen(self, api: Api, agent: Agent) -> None:
        file = exported(api, agent.id)
        for each in file["agents"]:
            each["model"] = "nobody/knows-this"
        detail = imported(api, file, status=400)["detail"]
        assert "choose another one with `model`" in detail
        told = imported(api, file, model="demo/assistant")
        assert Agent.objects.get(id=told["agent_ids"][0]).model == "demo/assistant"

    def test_a_dry_run_says_the_same_and_does_nothing(self, api: Api, agent: Agent) -> None:
        before = counts()
        told = imported(api, exported(api, agent.id), dry_run="true")
        assert (told["agent_ids"], told["dry_run"], told["counts"]["agents"]) == ([], True, 2)
        assert counts() == before


def counts() -> tuple[int, ...]:
    return tuple(model.objects.count() for model in (Agent, Block, Message, Conversation, Group, Tool))


def minimal(**agent: Any) -> dict[str, Any]:
    return {"agents": [{"id": "agent-0", "name": "A", "model": "demo/assistant", **agent}]}


def message(at: int = 0, **fields: Any) -> dict[str, Any]:
    return {"id": f"message-{at}", "role": "user", "content": "Hi", **fields}


BAD: dict[str, tuple[Any, str]] = {
    "no JSON": (b"{", "not JSON"),
    "a list": ([], "JSON object"),
    "no agents": ({"agents": []}, "agents"),
    "something else": ({"openapi": "3.1"}, "no list of agents"),
    "nested without end": (b'{"agents":[' + b"[" * 100_000 + b"]" * 100_000 + b"]}", "not JSON"),
    "nested too deep": ({"agents": [{"metadata": json.loads("[" * 80 + "]" * 80)}]}, "nested deeper"),
    "a half surrogate": (b'{"agents":[{"id":"agent-0","name":"\\ud800"}]}', "not JSON"),
    "an id of this server": ({"agents": [{"id": "agent-5a0c51ab-c8cf-447c-abbe-6659b4027ff8"}]}, "no id of a file"),
    "a type of nobody": (minimal(agent_type="butler"), "butler"),
    "an id twice": ({"agents": [*minimal()["agents"], *minimal()["agents"]]}, "twice"),
    "a block that is not there": (minimal(block_ids=["block-0"]), "'block-0'"),
    "a tool that is not there": (minimal(tool_ids=["tool-0"]), "'tool-0'"),
    "a message that is not there": (minimal(in_context_message_ids=["message-3"]), "'message-3'"),
    "a message twice in context": (
        minimal(messages=[message()], in_context_message_ids=["message-0", "message-0"]), "twice"
    ),
    "a role of nobody": (minimal(messages=[message(role="king")]), "'king' is no role"),
    "a part of no type": (minimal(messages=[message(content=[{"type": "smell"}])]), "message-0"),
    "a call without a name": (
        minimal(messages=[message(role="assistant", tool_calls=[{"id": "c", "function": {}}])]), "message-0"
    ),
    "a number for a text": (minimal(system=7), "agents.0.system"),
    "a block without end": (
        {**minimal(block_ids=["block-0"]), "blocks": [{"id": "block-0", "label": "x", "value": "y" * 30, "limit": 3}]},
        "3",
    ),
    "a tool that does not parse": (
        {**minimal(), "tools": [{"id": "tool-0", "name": "broken", "source_code": "def broken(:"}]}, "line 1"
    ),
    "a frequency of no number": (
        {
            **minimal(),
            "groups": [
                {
                    "id": "group-0",
                    "manager_config": {
                        "manager_type": "sleeptime",
                        "manager_agent_id": "agent-0",
                        "sleeptime_agent_frequency": "often",
                    },
                }
            ],
        },
        "frequency",
    ),
}  # fmt: skip


class TestBadFiles:
    @pytest.mark.parametrize("name", BAD)
    def test_it_is_refused_whole(self, api: Api, name: str) -> None:
        file, said = BAD[name]
        before = counts()
        response = upload(api, file if isinstance(file, bytes) else json.dumps(file).encode())
        assert response.status_code in {400, 422}
        assert said in response.json()["detail"]
        assert counts() == before

    def test_a_failure_at_the_end_leaves_nothing_of_the_beginning(self, api: Api) -> None:
        file = minimal(messages=[message()], in_context_message_ids=["message-0"])
        file["blocks"] = [{"id": "block-0", "label": "fine", "value": "fine"}]
        file["agents"].append({"id": "agent-1", "name": "x" * 5000, "model": "demo/assistant"})
        before = counts()
        imported(api, file, status=400)
        assert counts() == before

    def test_too_many_messages_are_refused_before_anything_is_made(self, api: Api) -> None:
        file = minimal(messages=[message(at) for at in range(100_001)])
        assert "100000" in imported(api, file, status=400)["detail"].replace(",", "")

    def test_a_file_must_be_sent(self, api: Api) -> None:
        response = api.upload("/v1/agents/import", name="x")
        assert response.status_code == 400

    @pytest.mark.parametrize("secrets", ["{", "[]", '{"a": 1}'])
    def test_secrets_must_be_texts_by_name(self, api: Api, secrets: str) -> None:
        assert "secrets" in imported(api, minimal(), status=400, secrets=secrets)["detail"]

    def test_a_call_that_waited_stays_behind(self, api: Api) -> None:
        call = {"id": "c", "type": "function", "function": {"name": "add", "arguments": "{}"}}
        file = minimal(
            messages=[message(0), message(1, role="approval", content=None, tool_calls=[call])],
            in_context_message_ids=["message-0", "message-1"],
        )
        copy_id = imported(api, file)["agent_ids"][0]
        assert list(Message.objects.filter(agent_id=copy_id).values_list("role", flat=True)) == [
            "system",
            "user",
        ]

    def test_moments_are_put_in_order_and_never_lie_in_the_future(self, api: Api) -> None:
        file = minimal(
            messages=[
                message(0, created_at="9999-01-01T00:00:00Z"),
                message(1, created_at="2020-01-01T00:00:00"),
                message(2, created_at=None),
            ],
            in_context_message_ids=["message-0", "message-1", "message-2"],
        )
        copy = Agent.objects.get(id=imported(api, file)["agent_ids"][0])
        entries = get_default_conversation(copy).entries.order_by("position")
        moments = list(entries.values_list("message__created_at", flat=True))
        assert moments == sorted(set(moments))
        assert moments[-1] <= timezone.now()

    def test_an_image_that_the_file_does_not_hold_becomes_a_sentence(self, api: Api) -> None:
        part = {"type": "image", "source": {"type": "url", "url": "http://169.254.169.254/"}}
        copy_id = imported(api, minimal(messages=[message(content=[part])]))["agent_ids"][0]
        stored = Message.objects.get(agent_id=copy_id, role="user")
        assert stored.content[0]["type"] == "text"

    def test_another_workspaces_agent_is_not_found(self, api: Api) -> None:
        foreign = make_agent(workspace=make_workspace())
        assert api.get(f"/v1/agents/{foreign.id}/export").status_code == 404

    def test_the_older_format_is_not_written(self, api: Api, agent: Agent) -> None:
        assert api.get(f"/v1/agents/{agent.id}/export", use_legacy_format=True).status_code == 400


OLDER = {
    "agent_type": "memgpt_agent",
    "core_memory": [
        {"label": "human", "value": "Ada", "limit": 5000, "metadata_": {}, "is_template": False},
        {"label": "persona", "value": "Kind", "limit": 5000, "metadata_": {}, "is_template": False},
    ],
    "created_at": "2025-04-01T10:00:00",
    "description": None,
    "embedding_config": {"embedding_model": "letta-free", "embedding_endpoint_type": "hugging-face", "embedding_dim": 1536},
    "groups": [],
    "identities": [],
    "in_context_message_indices": [0, 1, 2, 3],
    "llm_config": {"model": "assistant", "model_endpoint_type": "demo", "context_window": 16000, "handle": "demo/assistant"},
    "message_buffer_autoclear": False,
    "messages": [
        {"role": "system", "content": [{"type": "text", "text": "old prompt"}], "created_at": "2025-04-01T10:00:00"},
        {"role": "user", "content": [{"type": "text", "text": "Hello"}], "created_at": "2025-04-01T10:00:01"},
        {
            "role": "assistant",
            "content": [{"type": "text", "text": "I greet."}],
            "tool_calls": [
                {"id": "c1", "type": "function", "function": {"name": "send_message", "arguments": '{"message": "Hi!"}'}}
            ],
            "created_at": "2025-04-01T10:00:02",
        },
        {
            "role": "tool",
            "name": "send_message",
            "tool_call_id": "c1",
            "content": [{"type": "text", "text": '{"status": "OK", "message": "None", "time": "…"}'}],
            "created_at": "2025-04-01T10:00:02",
        },
    ],
    "metadata_": {"from": "before"},
    "multi_agent_group": None,
    "name": "Old",
    "system": "Be old.",
    "tags": [{"tag": "aged"}],
    "tool_exec_environment_variables": [{"key": "K", "value": ""}],
    "tool_rules": [{"tool_name": "send_message", "type": "exit_loop"}],
    "tools": [
        {"name": "send_message", "tool_type": "letta_core", "json_schema": {}},
        {"name": "add", "tool_type": "custom", "source_type": "python", "source_code": SOURCE, "json_schema": None},
    ],
    "updated_at": "2025-04-01T10:00:00",
    "version": "0.6.47",
}  # fmt: skip


class TestOlderFiles:
    def test_one_is_read(self, api: Api) -> None:
        told = imported(api, {**OLDER, "embedding_config": None}, append_copy_suffix="false")
        agent = Agent.objects.get(id=told["agent_ids"][0])
        assert (agent.name, agent.agent_type, agent.tags, agent.metadata) == (
            "Old",
            "memgpt_agent",
            ["aged"],
            {"from": "before"},
        )
        assert {each.label: each.value for each in agent.blocks.all()} == {"human": "Ada", "persona": "Kind"}
        assert set(agent.tools.values_list("name", flat=True)) == {"send_message", "add"}
        entries = get_default_conversation(agent).entries.order_by("position")
        stored = [entry.message for entry in entries.select_related("message__agent")]
        told = wire_list(stored, MessageQuery().answer_tool())
        assert [each["message_type"] for each in told] == [
            "system_message",
            "user_message",
            "reasoning_message",
            "assistant_message",
        ]
        assert told[-1]["content"] == "Hi!"
        assert "old prompt" not in told[0]["content"]

    @pytest.mark.parametrize(
        "broken",
        [
            {"core_memory": 7},
            {"core_memory": [], "in_context_message_indices": [5], "messages": []},
            {"core_memory": [], "messages": [3]},
        ],
    )
    def test_a_broken_one_is_refused(self, api: Api, broken: dict[str, Any]) -> None:
        before = counts()
        imported(api, broken, status=400)
        assert counts() == before
