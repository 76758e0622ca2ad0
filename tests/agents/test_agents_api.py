"""Agents over REST: every field, every relationship, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, Conversation, Message
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import local_workspace, make_agent, make_block, make_tool, make_workspace

pytestmark = pytest.mark.django_db

FIELDS = """
id name agent_type system description metadata blocks memory tools sources tags tool_rules message_ids model embedding
model_settings llm_config embedding_config compaction_settings response_format secrets tool_exec_environment_variables
identities identity_ids managed_group multi_agent_group pending_approval message_buffer_autoclear enable_sleeptime timezone
max_files_open per_file_view_window_char_limit hidden last_run_completion last_run_duration_ms last_stop_reason project_id
template_id base_template_id deployment_id entity_id created_at updated_at created_by_id last_updated_by_id
"""


@pytest.fixture
def api() -> Api:
    return Api()


def create(api: Api, **fields: Any) -> Any:
    answer = api.post("/v1/agents/", {"model": "demo/assistant", **fields})
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_an_agent_has_every_field(api: Api) -> None:
    agent = create(api, name="Ada Lovelace", memory_blocks=[{"label": "human", "value": "x"}])
    assert set(agent) == set(FIELDS.split())
    assert agent == {**api.get(f"/v1/agents/{agent['id']}").json()}
    assert agent["agent_type"] == "letta_v1_agent"
    assert agent["llm_config"]["handle"] == "demo/assistant"
    assert agent["llm_config"]["context_window"] == 32_000
    assert agent["memory"]["blocks"] == agent["blocks"]
    assert agent["blocks"][0]["description"]
    assert agent["max_files_open"] == 5


def test_a_new_agent_begins_with_its_compiled_system_message(api: Api) -> None:
    agent = create(api, memory_blocks=[{"label": "human", "value": "Name: Ada"}])
    assert len(agent["message_ids"]) == 1
    system = Message.objects.get(id=agent["message_ids"][0])
    assert system.role == "system"
    assert "Name: Ada" in system.content[0]["text"]
    assert Conversation.objects.get(agent_id=agent["id"]).is_default


def test_an_agent_without_a_name_gets_one(api: Api) -> None:
    assert create(api)["name"]


def test_initial_messages_stand_after_the_system_message(api: Api) -> None:
    agent = create(
        api,
        initial_message_sequence=[
            {"role": "user", "content": "Hi."},
            {"role": "assistant", "content": [{"type": "text", "text": "Hello."}]},
        ],
    )
    messages = Message.objects.in_bulk(agent["message_ids"])
    assert [messages[each].role for each in agent["message_ids"]] == ["system", "user", "assistant"]


@pytest.mark.parametrize(
    ("body", "status", "word"),
    [
        ({"model": "demo/nothing"}, 404, "demo/assistant"),
        ({"model": "openai/gpt-4o"}, 404, "OPENAI_API_KEY"),
        ({"model": "nobody/knows"}, 404, "demo/assistant"),
        ({"model": "gpt-4o"}, 400, "provider/model"),
        ({}, 400, "LETTA_DEFAULT_LLM_HANDLE"),
        ({"model": "demo/assistant", "embedding": "no/such"}, 400, "no/such"),
        ({"model": "demo/assistant", "tools": ["no_such_tool"]}, 400, "no_such_tool"),
        ({"model": "demo/assistant", "name": "a/b"}, 400, "a/b"),
        ({"model": "demo/assistant", "timezone": "Mars/Base"}, 400, "Mars/Base"),
        ({"model": "demo/assistant", "context_window_limit": 9_999_999}, 400, "9999999"),
        ({"model": "demo/assistant", "agent_type": "nonsense"}, 400, "nonsense"),
        ({"model": "demo/assistant", "tool_rules": [{"type": "no", "tool_name": "x"}]}, 422, "exit_loop"),
        ({"model": "demo/assistant", "max_reasoning_tokens": 500}, 400, "max_tokens"),
        ({"model": "demo/assistant", "folder_ids": ["source-1"]}, 400, "source-1"),
        ({"model": "demo/assistant", "max_files_open": -1}, 422, "max_files_open"),
        ({"model": "demo/assistant", "tags": ["x" * 300]}, 422, "255"),
        (
            {"model": "demo/assistant", "memory_blocks": [{"label": "a", "value": "xxx", "limit": 2}]},
            422,
            "limit is 2",
        ),
        (
            {
                "model": "demo/assistant",
                "memory_blocks": [{"label": "a", "value": "1"}, {"label": "a", "value": "2"}],
            },
            409,
            "'a'",
        ),
    ],
)
def test_a_bad_draft_is_refused_and_leaves_nothing(
    api: Api, body: dict[str, Any], status: int, word: str
) -> None:
    answer = api.post("/v1/agents/", body)
    assert answer.status_code == status, answer.content
    assert word in answer.json()["detail"]
    assert not Agent.objects.exists()


def test_a_409_tells_the_client_not_to_repeat(api: Api) -> None:
    blocks = [{"label": "a", "value": "1"}, {"label": "a", "value": "2"}]
    answer = api.post("/v1/agents/", {"model": "demo/assistant", "memory_blocks": blocks})
    assert answer["x-should-retry"] == "false"


def test_the_default_model_is_taken_when_none_is_named(api: Api) -> None:
    with override_settings(DEFAULT_LLM_HANDLE="demo/assistant"):
        assert api.post("/v1/agents/", {}).json()["model"] == "demo/assistant"


def test_model_settings_are_laid_over_the_defaults(api: Api) -> None:
    agent = create(api, model_settings={"temperature": 0.2}, max_tokens=1000, parallel_tool_calls=False)
    assert agent["model_settings"]["temperature"] == 0.2
    assert agent["model_settings"]["max_output_tokens"] == 1000
    assert agent["model_settings"]["parallel_tool_calls"] is False
    assert agent["llm_config"]["temperature"] == 0.2


def test_the_project_header_is_kept(api: Api) -> None:
    answer = api.post("/v1/agents/", {"model": "demo/assistant"}, **{"X-Project-Id": "p1"})
    assert answer.json()["project_id"] == "p1"


def test_an_update_changes_only_what_is_sent(api: Api) -> None:
    agent = create(api, name="Ada", description="First.", tags=["a"], metadata={"k": 1})
    url = f"/v1/agents/{agent['id']}"
    updated = api.patch(url, {"name": "Grace"}).json()
    assert {**agent, "name": "Grace", "updated_at": updated["updated_at"]} == updated
    cleared = api.patch(url, {"description": None, "name": None, "tags": ["b"]}).json()
    assert (cleared["description"], cleared["name"], cleared["tags"]) == (None, "Grace", ["b"])


def test_sets_are_replaced(api: Api) -> None:
    agent = create(api, memory_blocks=[{"label": "human", "value": "x"}], secrets={"A": "1"})
    block, tool = make_block(label="other"), make_tool(default_requires_approval=True)
    updated = api.patch(
        f"/v1/agents/{agent['id']}",
        {"block_ids": [block.id], "tool_ids": [tool.id], "secrets": {"B": "2"}},
    ).json()
    assert [each["id"] for each in updated["blocks"]] == [block.id]
    assert [each["id"] for each in updated["tools"]] == [tool.id]
    assert [(each["key"], each["value"]) for each in updated["secrets"]] == [("B", "2")]
    assert [(rule["type"], rule["tool_name"]) for rule in updated["tool_rules"]] == [
        ("requires_approval", tool.name)
    ]


def test_the_context_can_be_set(api: Api) -> None:
    agent = create(api, initial_message_sequence=[{"role": "user", "content": "Hi."}])
    first = agent["message_ids"][0]
    url = f"/v1/agents/{agent['id']}"
    assert api.patch(url, {"message_ids": [first]}).json()["message_ids"] == [first]
    assert api.patch(url, {"message_ids": [new_id("message")]}).status_code == 400
    assert api.patch(url, {"message_ids": []}).status_code == 400


def test_a_window_or_model_can_be_changed(api: Api) -> None:
    agent = create(api)
    updated = api.patch(f"/v1/agents/{agent['id']}", {"context_window_limit": 8000}).json()
    assert updated["llm_config"]["context_window"] == 8000
    assert api.patch(f"/v1/agents/{agent['id']}", {"model": "demo/no"}).status_code == 404
    assert api.get(f"/v1/agents/{agent['id']}").json()["model"] == "demo/assistant"


def test_secrets_are_shown_on_request_to_who_may_edit_only(api: Api) -> None:
    agent = create(api, secrets={"API_KEY": "hush"})
    url = f"/v1/agents/{agent['id']}"
    assert [each["value"] for each in agent["secrets"]] == ["hush"]
    assert api.get(url).json()["secrets"] == []
    assert api.get(url, include="agent.secrets").json()["secrets"][0]["value"] == "hush"
    assert b"hush" not in Agent.objects.get().secrets.get().value_encrypted.encode()
    viewer = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
    assert Api(Authorization=f"Bearer {viewer}").get(url, include="agent.secrets").status_code == 403


def test_a_list_holds_relationships_only_when_asked_for(api: Api) -> None:
    create(api, memory_blocks=[{"label": "human", "value": "x"}], tags=["t"])
    (plain,) = api.get("/v1/agents/").json()
    assert (plain["blocks"], plain["tools"], plain["tags"]) == ([], [], [])
    (full,) = api.get("/v1/agents/", include=["agent.blocks", "agent.tools", "agent.tags"]).json()
    assert [block["label"] for block in full["blocks"]] == ["human"]
    assert len(full["tools"]) == 3
    assert full["tags"] == ["t"]


def test_an_old_sdk_gets_all_relationships(api: Api) -> None:
    create(api, memory_blocks=[{"label": "human", "value": "x"}])
    old = Api(**{"User-Agent": "letta-client/0.1.324"})
    (agent,) = old.get("/v1/agents/").json()
    assert agent["blocks"]
    assert agent["tools"]
    new = Api(**{"User-Agent": "Letta/Python 1.12.1", "X-Stainless-Package-Version": "1.12.1"})
    assert new.get("/v1/agents/").json()[0]["blocks"] == []


def test_filters_and_counts_agree(api: Api) -> None:
    make_agent(name="Ada", tags=["a", "b"])
    make_agent(name="Grace", tags=["b"], last_stop_reason="end_turn")
    make_agent(name="Hidden", hidden=True)
    make_agent(name="Elsewhere", workspace=make_workspace())

    def names(**query: Any) -> list[str]:
        found = [agent["name"] for agent in api.get("/v1/agents/", order="asc", **query).json()]
        assert api.get("/v1/agents/count", **query).json() == len(found)
        return found

    assert names() == ["Ada", "Grace"]
    assert names(show_hidden_agents="true") == ["Ada", "Grace", "Hidden"]
    assert names(tags=["a", "b"]) == ["Ada", "Grace"]
    assert names(tags=["a", "b"], match_all_tags="true") == ["Ada"]
    assert names(query_text="rac") == ["Grace"]
    assert names(name="Ada") == ["Ada"]
    assert names(last_stop_reason="end_turn") == ["Grace"]
    assert names(identity_id="identity-1") == []


def test_lists_can_be_sorted_by_the_last_run(api: Api) -> None:
    agents = [make_agent(name=name) for name in ("first", "second", "never")]
    for agent, time in zip(agents[:2], ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z"), strict=True):
        api.patch(f"/v1/agents/{agent.id}", {"last_run_completion": time})
    found = api.get("/v1/agents/", order_by="last_run_completion").json()
    assert [agent["name"] for agent in found] == ["first", "second", "never"]


def test_a_deleted_agent_is_gone_and_its_blocks_stay(api: Api) -> None:
    agent = create(api, memory_blocks=[{"label": "human", "value": "x"}])
    answer = api.delete(f"/v1/agents/{agent['id']}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert api.get(f"/v1/agents/{agent['id']}").status_code == 404
    assert api.get(f"/v1/blocks/{agent['blocks'][0]['id']}").status_code == 200
    assert api.delete(f"/v1/agents/{agent['id']}").status_code == 404


def test_retrieve_makes_four_queries(api: Api, django_assert_num_queries: DjangoAssertNumQueries) -> None:
    agent = create(api, memory_blocks=[{"label": "human", "value": "x"}])
    with django_assert_num_queries(4):
        api.get(f"/v1/agents/{agent['id']}")


def test_a_list_makes_the_same_queries_however_many_agents_there_are(
    api: Api, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for _ in range(3):
        create(api)
    with django_assert_num_queries(2):
        assert len(api.get("/v1/agents/").json()) == 3
    with django_assert_num_queries(4) as captured:
        api.get("/v1/agents/", include=["agent.blocks", "agent.tools"])
    assert isinstance(captured, CaptureQueriesContext)
