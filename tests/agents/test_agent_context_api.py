"""Recompiling the system message, resetting the messages, and asking a person before a tool runs."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.models import Agent, ContextEntry, Conversation, Message, Run, RunLease
from agents.services.conversations import get_default_conversation
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from memory.services.blocks import BlockChanges, update_block
from tests.support.api import Api
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_caller,
    make_conversation,
    make_lease,
    make_message,
    make_tool,
    make_workspace,
)

pytestmark = pytest.mark.django_db

OLD = {"User-Agent": "letta-client/0.1.324"}


@pytest.fixture
def api() -> Api:
    return Api()


def create(api: Api, **fields: Any) -> Any:
    body = {
        "model": "demo/assistant",
        "memory_blocks": [{"label": "human", "value": "Name: Ada"}],
        **fields,
    }
    answer = api.post("/v1/agents/", body)
    assert answer.status_code == 200, answer.content
    return answer.json()


def conversation_of(agent: Any) -> Conversation:
    return get_default_conversation(Agent.objects.get(id=agent["id"]))


def system_text(agent: Any) -> str:
    text: str = Message.objects.get(id=agent["message_ids"][0]).content[0]["text"]
    return text


def recompile(api: Api, agent: Any, query: str = "", path: str = "recompile") -> Any:
    return api.post(f"/v1/agents/{agent['id']}/{path}{query}")


def compiled_line(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("- Memory last compiled"))


class TestRecompile:
    @pytest.mark.parametrize("path", ["recompile", "system-prompt/recompile"])
    def test_it_brings_the_new_memory_and_answers_the_text(self, api: Api, path: str) -> None:
        agent = create(api)
        block = agent["blocks"][0]["id"]
        update_block(caller=make_caller(), block_id=block, changes=BlockChanges(value="Name: Grace"))
        assert "Name: Ada" in system_text(agent)
        answer = recompile(api, agent, path=path)
        assert answer.status_code == 200
        text = json.loads(answer.content)
        assert "Name: Grace" in text
        assert system_text(agent) == text
        assert api.get(f"/v1/agents/{agent['id']}").json()["message_ids"] == agent["message_ids"]
        assert conversation_of(agent).compiled_versions == {block: 2}

    def test_it_counts_what_has_left_the_context(self, api: Api) -> None:
        agent = create(api)
        make_message(conversation=conversation_of(agent), text="Long ago.")
        assert "- 0 earlier messages" in system_text(agent)
        assert "- 1 earlier messages" in recompile(api, agent).json()

    def test_its_time_moves_only_when_that_is_asked_for(self, api: Api) -> None:
        agent = create(api)
        before = timezone.now() - timedelta(days=1)
        Conversation.objects.update(compiled_at=before)
        kept = compiled_line(recompile(api, agent).json())
        assert f"{before:%Y-%m-%d}" in kept
        moved = compiled_line(recompile(api, agent, "?update_timestamp=true").json())
        assert f"{timezone.now():%Y-%m-%d}" in moved
        assert compiled_line(recompile(api, agent).json()) == moved

    def test_a_dry_run_stores_nothing(self, api: Api) -> None:
        agent = create(api)
        update_block(
            caller=make_caller(), block_id=agent["blocks"][0]["id"], changes=BlockChanges(value="Name: Grace")
        )
        before = Conversation.objects.values().get()
        text = recompile(api, agent, "?dry_run=true&update_timestamp=true").json()
        assert "Name: Grace" in text
        assert "Name: Ada" in system_text(agent)
        assert Conversation.objects.values().get() == before

    def test_while_a_run_goes_on_only_a_dry_run_may(self, api: Api) -> None:
        agent = create(api)
        lease = make_lease(conversation_of(agent))
        answer = recompile(api, agent)
        assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)
        assert answer["x-should-retry"] == "false"
        assert recompile(api, agent, "?dry_run=true").status_code == 200

    def test_without_a_system_message_there_is_nothing_to_compile(self, api: Api) -> None:
        agent = create(api)
        ContextEntry.objects.all().delete()
        for query in ("", "?dry_run=true"):
            assert recompile(api, agent, query).status_code == 404

    def test_of_another_workspace_it_is_not_found(self, api: Api) -> None:
        theirs = make_agent(workspace=make_workspace())
        assert recompile(api, {"id": theirs.id}).status_code == 404
        assert recompile(api, {"id": new_id("agent")}).status_code == 404
        assert recompile(api, {"id": "agent-1"}).status_code == 422

    def test_who_may_only_read_may_look(self, api: Api) -> None:
        agent = create(api)
        key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
        viewer = Api(Authorization=f"Bearer {key}")
        assert recompile(viewer, agent).status_code == 403
        assert recompile(viewer, agent, "?dry_run=true").status_code == 200


def reset(api: Api, agent: Any, body: Any = None) -> Any:
    return api.patch(f"/v1/agents/{agent['id']}/reset-messages", body)


class TestReset:
    def test_only_the_system_message_is_left_and_it_is_compiled_anew(self, api: Api) -> None:
        agent = create(api, initial_message_sequence=[{"role": "user", "content": "Hi."}])
        conversation = conversation_of(agent)
        make_message(conversation=conversation, text="Out of context.")
        update_block(
            caller=make_caller(), block_id=agent["blocks"][0]["id"], changes=BlockChanges(value="Name: Grace")
        )
        answer = reset(api, agent)
        assert (answer.status_code, answer.json()) == (200, None)
        assert Message.objects.get().id == agent["message_ids"][0]
        assert api.get(f"/v1/agents/{agent['id']}").json()["message_ids"] == agent["message_ids"][:1]
        assert "Name: Grace" in system_text(agent)
        assert "- 0 earlier messages" in system_text(agent)
        conversation.refresh_from_db()
        assert conversation.last_message_at is None

    @pytest.mark.parametrize(
        ("agent_type", "roles"),
        [
            ("letta_v1_agent", ["system"]),
            ("memgpt_agent", ["system", "assistant", "tool", "user"]),
            ("react_agent", ["system", "assistant", "tool", "user"]),
        ],
    )
    def test_the_first_messages_of_the_type_can_be_added(
        self, api: Api, agent_type: str, roles: list[str]
    ) -> None:
        agent = create(
            api, agent_type=agent_type, initial_message_sequence=[{"role": "user", "content": "Hi."}]
        )
        for body in ({"add_default_initial_messages": True}, {"add_default_initial_messages": True}):
            reset(api, agent, body)
            ids = api.get(f"/v1/agents/{agent['id']}").json()["message_ids"]
            messages = Message.objects.in_bulk(ids)
            assert [messages[each].role for each in ids] == roles
            assert Message.objects.count() == len(roles)
            times = [messages[each].created_at for each in ids]
            assert times == sorted(times)
        reset(api, agent, {"add_default_initial_messages": False})
        assert Message.objects.count() == 1

    def test_an_old_sdk_gets_the_agent(self, api: Api) -> None:
        agent = create(api)
        assert reset(Api(**OLD), agent).json()["id"] == agent["id"]
        new = Api(**{"User-Agent": "Letta/Python 1.12.1", "X-Stainless-Package-Version": "1.12.1"})
        assert reset(new, agent).json() is None

    def test_a_running_conversation_is_left_alone(self, api: Api) -> None:
        agent = create(api, initial_message_sequence=[{"role": "user", "content": "Hi."}])
        lease = make_lease(conversation_of(agent))
        answer = reset(api, agent)
        assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)
        assert Message.objects.count() == 2

    def test_a_run_whose_process_is_dead_holds_nothing_up(self, api: Api) -> None:
        agent = create(api)
        make_lease(conversation_of(agent), expires_at=timezone.now() - timedelta(seconds=1))
        assert reset(api, agent).status_code == 200
        assert Run.objects.get().status == "failed"
        assert not RunLease.objects.exists()

    def test_other_conversations_keep_what_they_see(self, api: Api) -> None:
        agent = create(api, initial_message_sequence=[{"role": "user", "content": "Hi."}])
        other = make_conversation(agent=Agent.objects.get(id=agent["id"]))
        own = make_message(conversation=other, text="Elsewhere.", in_context=True)
        shared = agent["message_ids"][1]
        ContextEntry.objects.create(conversation=other, message_id=shared, position=1)
        reset(api, agent)
        seen = list(other.entries.order_by("position").values_list("message_id", flat=True))
        assert seen == [own.id, shared]
        assert api.get(f"/v1/agents/{agent['id']}").json()["message_ids"] == agent["message_ids"][:1]

    def test_an_agent_that_lost_its_system_message_gets_one(self, api: Api) -> None:
        agent = create(api)
        Message.objects.all().delete()
        assert reset(api, agent).status_code == 200
        (message_id,) = api.get(f"/v1/agents/{agent['id']}").json()["message_ids"]
        assert Message.objects.get(id=message_id).role == "system"

    def test_another_workspace_or_a_viewer_may_not(self, api: Api) -> None:
        theirs = make_agent(workspace=make_workspace())
        assert reset(api, {"id": theirs.id}).status_code == 404
        agent = create(api)
        key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
        assert reset(Api(Authorization=f"Bearer {key}"), agent).status_code == 403
        assert reset(api, agent, {"add_default_initial_messages": "perhaps"}).status_code == 422


def approve(api: Api, agent: Any, name: str, body: Any = None, query: str = "") -> Any:
    return api.patch(f"/v1/agents/{agent['id']}/tools/approval/{name}{query}", body)


def approvals(api: Api, agent: Any) -> list[str]:
    rules = api.get(f"/v1/agents/{agent['id']}").json()["tool_rules"]
    return [rule["tool_name"] for rule in rules if rule["type"] == "requires_approval"]


class TestApproval:
    def test_the_rule_comes_and_goes(self, api: Api) -> None:
        rule = {"type": "max_count_per_step", "tool_name": "memory_insert", "max_count_limit": 2}
        agent = create(api, tool_rules=[rule])
        for _ in range(2):
            answer = approve(api, agent, "memory_insert", {"requires_approval": True})
            assert (answer.status_code, answer.json()) == (200, None)
            assert approvals(api, agent) == ["memory_insert"]
        for _ in range(2):
            approve(api, agent, "memory_insert", {"requires_approval": False})
            assert approvals(api, agent) == []
        (kept,) = api.get(f"/v1/agents/{agent['id']}").json()["tool_rules"]
        assert kept["type"] == "max_count_per_step"

    @pytest.mark.parametrize(
        ("body", "query", "expected"),
        [
            (None, "?requires_approval=true", True),
            (None, "?requires_approval=false", False),
            ({"requires_approval": True}, "?requires_approval=false", True),
            ({}, "?requires_approval=true", True),
            ({"requires_approval": None}, "?requires_approval=true", True),
        ],
    )
    def test_body_and_query_say_it_and_the_body_wins(
        self, api: Api, body: Any, query: str, expected: bool
    ) -> None:
        agent = create(api)
        assert approve(api, agent, "memory_insert", body, query).status_code == 200
        assert (approvals(api, agent) == ["memory_insert"]) == expected

    @pytest.mark.parametrize("body", [None, {}, {"requires_approval": "perhaps"}])
    def test_one_of_them_must(self, api: Api, body: Any) -> None:
        answer = approve(api, create(api), "memory_insert", body)
        assert (answer.status_code, "requires_approval" in answer.json()["detail"]) == (422, True)

    @pytest.mark.parametrize("name", ["no_such_tool", "memory_rethink"])
    def test_a_tool_that_is_not_attached_is_not_found(self, api: Api, name: str) -> None:
        agent = create(api)
        answer = approve(api, agent, name, {"requires_approval": True})
        assert (answer.status_code, name in answer.json()["detail"]) == (404, True)
        assert approvals(api, agent) == []

    def test_an_old_sdk_gets_the_agent(self, api: Api) -> None:
        agent = create(api)
        old = approve(Api(**OLD), agent, "memory_insert", {"requires_approval": True}).json()
        assert old["tool_rules"][0]["type"] == "requires_approval"

    def test_a_tool_that_wants_approval_brings_its_rule_however_it_comes(self, api: Api) -> None:
        tool = make_tool(name="danger", default_requires_approval=True)
        assert approvals(api, create(api, tools=["danger"])) == ["danger"]
        assert approvals(api, create(api, tool_ids=[tool.id], include_base_tools=False)) == ["danger"]
        agent = create(api)
        api.patch(f"/v1/agents/{agent['id']}/tools/attach/{tool.id}")
        assert approvals(api, agent) == ["danger"]
        replaced = create(api)
        api.patch(f"/v1/agents/{replaced['id']}", {"tool_ids": [tool.id]})
        assert approvals(api, replaced) == ["danger"]

    def test_what_was_decided_stays_when_the_same_tools_are_set_again(self, api: Api) -> None:
        tool = make_tool(name="danger", default_requires_approval=True)
        agent = create(api, tool_ids=[tool.id], include_base_tools=False)
        approve(api, agent, "danger", {"requires_approval": False})
        api.patch(f"/v1/agents/{agent['id']}", {"tool_ids": [tool.id]})
        assert approvals(api, agent) == []

    def test_another_workspace_or_a_viewer_may_not(self, api: Api) -> None:
        theirs = make_agent(workspace=make_workspace())
        assert approve(api, {"id": theirs.id}, "x", {"requires_approval": True}).status_code == 404
        key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
        viewer = Api(Authorization=f"Bearer {key}")
        assert approve(viewer, create(api), "memory_insert", {"requires_approval": True}).status_code == 403
