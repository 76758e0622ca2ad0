"""Conversations over REST: made, listed, changed, compiled, deleted."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from letta_client.types.conversation import Conversation as ClientConversation
from letta_client.types.conversation_list_response import ConversationListResponse
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, Conversation, Message
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from memory.models import Block
from memory.services.blocks import BlockChanges, update_block
from tests.support.api import Api
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_lease,
    make_message,
    make_workspace,
)
from tests.support.strict import validate

pytestmark = pytest.mark.django_db

#: Fields that we send and the client's type does not know.
OURS = ["isolated_block_ids", "hidden"]
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent(api: Api) -> Agent:
    body = {"model": "demo/assistant", "memory_blocks": [{"label": "human", "value": "Name: Ada"}]}
    answer = api.post("/v1/agents/", body)
    assert answer.status_code == 200, answer.content
    return Agent.objects.get(id=answer.json()["id"])


def create(api: Api, agent: Agent, **fields: Any) -> Any:
    answer = api.post(f"/v1/conversations/?agent_id={agent.id}", fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def url(conversation: Any, rest: str = "") -> str:
    return f"/v1/conversations/{conversation['id']}{rest}"


def error(answer: Any, status: int) -> str:
    assert answer.status_code == status, answer.content
    return str(answer.json()["detail"])


def system_text(conversation: Any) -> str:
    text: str = Message.objects.get(id=conversation["in_context_message_ids"][0]).content[0]["text"]
    return text


class TestCreate:
    def test_it_begins_with_a_system_message_of_its_own(self, api: Api, agent: Agent) -> None:
        made = create(api, agent, summary="Tea", description="About tea.")
        validate(ClientConversation, made, extra=OURS)
        assert (made["agent_id"], made["summary"], made["description"]) == (agent.id, "Tea", "About tea.")
        assert made["archived"] is False
        assert [made[name] for name in ("model", "model_settings", "context_window_limit")] == [None] * 3
        assert f"CONVERSATION_ID: {made['id']}" in system_text(made)
        default = agent.conversations.get(is_default=True)
        assert made["in_context_message_ids"] != list(default.entries.values_list("message_id", flat=True))
        assert api.get(url(made)).json() == made

    def test_nothing_need_be_said(self, api: Api, agent: Agent) -> None:
        answer = api.post(f"/v1/conversations/?agent_id={agent.id}")
        assert answer.status_code == 200
        assert answer.json()["summary"] is None

    def test_it_may_have_a_model_settings_and_window_of_its_own(self, api: Api, agent: Agent) -> None:
        settings = {"provider_type": "openai", "temperature": 0.3, "max_output_tokens": 500}
        made = create(api, agent, model="demo/assistant", model_settings=settings, context_window_limit=9000)
        assert made["model"] == "demo/assistant"
        # The provider's type is the model's, whatever a client says.
        assert made["model_settings"] == settings | {"provider_type": agent.model_settings["provider_type"]}
        assert made["context_window_limit"] == 9000

    def test_isolated_blocks_are_copies_that_stand_in_the_place_of_the_agents(
        self, api: Api, agent: Agent
    ) -> None:
        make_block(agent=agent, label="notes", value="Last.")
        made = create(api, agent, isolated_block_labels=["human", "human"])
        (block_id,) = made["isolated_block_ids"]
        copy = Block.objects.get(id=block_id)
        shared = agent.blocks.get(label="human")
        assert (copy.label, copy.value) == ("human", shared.value)
        update_block(caller=make_caller(), block_id=copy.id, changes=BlockChanges(value="Name: Grace"))
        api.post(url(made, "/recompile"))
        text = system_text(made)
        assert "Name: Grace" in text
        assert "Name: Ada" not in text
        assert text.index("<human>") < text.index("<notes>")
        other = create(api, agent)
        assert other["isolated_block_ids"] == []
        assert "Name: Ada" in system_text(other)

    @pytest.mark.parametrize(
        ("body", "status", "words"),
        [
            ({"model": "demo/nobody"}, 404, "demo/nobody"),
            ({"model": "nobody"}, 400, "handle"),
            ({"context_window_limit": 10**9}, 400, "context_window_limit must be between"),
            ({"context_window_limit": 0}, 422, "greater than or equal to 1"),
            ({"model_settings": {"temperature": -1}}, 422, "temperature"),
            ({"isolated_block_labels": ["nothing"]}, 400, "no block with the label 'nothing'"),
            ({"summary": "a\ud800"}, 422, "not valid JSON"),
        ],
    )
    def test_bad_input_makes_nothing(
        self, api: Api, agent: Agent, body: dict[str, Any], status: int, words: str
    ) -> None:
        blocks = Block.objects.count()
        assert words in error(api.post(f"/v1/conversations/?agent_id={agent.id}", body), status)
        assert Conversation.objects.filter(is_default=False).count() == 0
        assert Block.objects.count() == blocks

    def test_it_needs_an_agent_of_the_workspace(self, api: Api) -> None:
        foreign = make_agent(workspace=make_workspace())
        for agent_id in (foreign.id, new_id("agent")):
            assert "Agent not found" in error(api.post(f"/v1/conversations/?agent_id={agent_id}", {}), 404)
        assert api.post("/v1/conversations/", {}).status_code == 422


class TestNames:
    """How a conversation is named in a path."""

    def test_the_default_one_has_three_names(self, api: Api, agent: Agent) -> None:
        default = agent.conversations.get(is_default=True)
        found = [
            api.get(f"/v1/conversations/{default.id}").json(),
            api.get("/v1/conversations/default", agent_id=agent.id).json(),
            api.get(f"/v1/conversations/{agent.id}").json(),
        ]
        assert found == [found[0]] * 3
        assert found[0]["id"] == default.id

    def test_default_alone_is_nobodys(self, api: Api, agent: Agent) -> None:
        assert "agent_id" in error(api.get("/v1/conversations/default"), 400)

    def test_unknown_malformed_and_foreign_ones(self, api: Api, agent: Agent) -> None:
        foreign = make_conversation(agent=make_agent(workspace=make_workspace()))
        routes = [
            (api.get, ""),
            (api.delete, ""),
            (api.patch, ""),
            (api.post, "/fork"),
            (api.post, "/recompile"),
            (api.patch, "/reset-messages"),
        ]
        for send, rest in routes:
            arguments: list[Any] = [{}] if send == api.patch and not rest else []
            for name in (foreign.id, foreign.agent_id, new_id("conversation"), new_id("agent")):
                assert send(f"/v1/conversations/{name}{rest}", *arguments).status_code == 404
            assert send(f"/v1/conversations/conv-1{rest}", *arguments).status_code == 422
        mine = create(api, agent)
        stranger = make_conversation().agent
        assert api.get(url(mine), agent_id=stranger.id).status_code == 404

    def test_retrieve_makes_three_queries(
        self, api: Api, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        made = create(api, agent, isolated_block_labels=["human"])
        with django_assert_num_queries(3):
            api.get(url(made))


class TestList:
    def test_the_newest_come_first_without_their_messages_and_without_default_ones(
        self, api: Api, agent: Agent
    ) -> None:
        first, second = create(api, agent), create(api, agent, isolated_block_labels=["human"])
        foreign = make_conversation(agent=make_agent(workspace=make_workspace()), is_default=False)
        listed = api.get("/v1/conversations/").json()
        validate(ConversationListResponse, listed, extra=OURS)
        expected = [each | {"in_context_message_ids": None} for each in (second, first)]
        assert listed == expected
        assert foreign.id not in {each["id"] for each in listed}
        assert api.get("/v1/conversations/", order="asc").json() == expected[::-1]

    def test_it_is_narrowed(self, api: Api, agent: Agent) -> None:
        def found(**query: Any) -> list[str]:
            return [each["summary"] for each in api.get("/v1/conversations/", **query).json()]

        create(api, agent, summary="Green tea")
        old = create(api, agent, summary="Black tea")
        create(api, agent, summary="Secret tea", hidden=True)
        other = make_conversation(agent=make_agent(), is_default=False, summary="Coffee")
        api.patch(url(old), {"archived": True})
        assert found(agent_id=agent.id) == ["Green tea"]
        assert found(agent_id=agent.id, archive_status="archived") == ["Black tea"]
        assert found(agent_id=agent.id, archive_status="all") == ["Black tea", "Green tea"]
        assert found(agent_id=other.agent_id) == ["Coffee"]
        assert found(summary_search="TEA") == ["Green tea"]
        assert found(summary_search="%") == []
        assert found(agent_id=agent.id, show_hidden_conversations=True) == ["Secret tea", "Green tea"]
        assert found(agent_id=new_id("agent")) == []

    @pytest.mark.parametrize("order_by", ["last_message_at", "last_run_completion"])
    @pytest.mark.parametrize("order", ["asc", "desc"])
    def test_pages_by_a_time_that_may_be_missing_hold_each_once(
        self, api: Api, agent: Agent, order_by: str, order: str
    ) -> None:
        times: list[datetime | None] = [None, NOON, NOON + timedelta(hours=1), None, NOON]
        rows = [make_conversation(agent=agent, is_default=False, **{order_by: each}) for each in times]
        key = {row.id: time for row, time in zip(rows, times, strict=True)}
        seen: list[str] = []
        while page := api.get(
            "/v1/conversations/",
            limit=2,
            order=order,
            order_by=order_by,
            **({"after": seen[-1]} if seen else {}),
        ).json():
            seen += [each["id"] for each in page]
        assert sorted(seen) == sorted(key)
        given = [key[each] for each in seen]
        assert given[3:] == [None, None]
        assert given[:3] == sorted(filter(None, given), reverse=order == "desc")

    def test_a_cursor_that_was_deleted_holds_its_place_and_an_unknown_one_is_told(
        self, api: Api, agent: Agent
    ) -> None:
        first, second, third = (create(api, agent) for _ in range(3))
        api.delete(url(second))
        page = api.get("/v1/conversations/", after=second["id"]).json()
        assert [each["id"] for each in page] == [first["id"]]
        page = api.get("/v1/conversations/", before=second["id"]).json()
        assert [each["id"] for each in page] == [third["id"]]
        for unknown in (new_id("conversation"), "conv-1"):
            assert unknown in error(api.get("/v1/conversations/", after=unknown), 404)

    @pytest.mark.parametrize(
        "query", [{"limit": 0}, {"order": "up"}, {"order_by": "name"}, {"archive_status": "gone"}]
    )
    def test_bad_queries_are_refused(self, api: Api, query: dict[str, Any]) -> None:
        assert api.get("/v1/conversations/", **query).status_code == 422

    def test_it_makes_two_queries_however_many_there_are(
        self, api: Api, agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
    ) -> None:
        for _ in range(3):
            create(api, agent, isolated_block_labels=["human"])
        with django_assert_num_queries(2):
            assert len(api.get("/v1/conversations/").json()) == 3


class TestUpdate:
    def test_what_is_sent_changes_and_null_gives_it_back_to_the_agent(self, api: Api, agent: Agent) -> None:
        made = create(api, agent, summary="Tea")
        changed = api.patch(
            url(made),
            {
                "description": "Of tea.",
                "archived": True,
                "model": "demo/assistant",
                "model_settings": {"temperature": 0.1},
                "context_window_limit": 8000,
                "last_message_at": "2026-03-01T12:00:00",
            },
        ).json()
        assert (changed["summary"], changed["description"]) == ("Tea", "Of tea.")
        assert changed["archived"] is True
        assert changed["archived_at"] is not None
        assert changed["model_settings"]["temperature"] == 0.1
        assert datetime.fromisoformat(changed["last_message_at"]) == NOON
        again = api.patch(url(made), {"archived": True, "model_settings": {"max_output_tokens": 100}}).json()
        assert again["archived_at"] == changed["archived_at"]
        assert again["model_settings"] == changed["model_settings"] | {"max_output_tokens": 100}
        names = ("summary", "description", "model", "context_window_limit", "last_message_at")
        emptied = api.patch(url(made), dict.fromkeys(names) | {"archived": False}).json()
        assert [emptied[name] for name in (*names, "model_settings", "archived_at")] == [None] * 7
        assert api.get(url(made)).json() == emptied

    def test_the_default_one_can_have_a_summary_too(self, api: Api, agent: Agent) -> None:
        answer = api.patch(f"/v1/conversations/default?agent_id={agent.id}", {"summary": "Main"})
        assert answer.json()["summary"] == "Main"

    @pytest.mark.parametrize(
        ("body", "status"),
        [
            ({"model": "demo/nobody"}, 404),
            ({"context_window_limit": 10**9}, 400),
            ({"last_message_at": "2999-01-01T00:00:00Z"}, 422),
            ({"last_message_at": "soon"}, 422),
            ({"summary": "\ud800"}, 422),
        ],
    )
    def test_bad_input_changes_nothing(
        self, api: Api, agent: Agent, body: dict[str, Any], status: int
    ) -> None:
        made = create(api, agent)
        assert api.patch(url(made), {"description": "x", **body}).status_code == status
        assert api.get(url(made)).json() == made


class TestRecompile:
    def test_a_dry_run_shows_and_the_real_one_stores(self, api: Api, agent: Agent) -> None:
        made = create(api, agent)
        block = agent.blocks.get()
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="Name: Grace"))
        shown = api.post(
            url(made, "/recompile?dry_run=true"), {"compaction_settings": {"mode": "all"}}
        ).json()
        assert "Name: Grace" in shown
        assert "Name: Ada" in system_text(made)
        assert api.post(url(made, "/recompile")).json() == shown == system_text(made)
        default = agent.conversations.get(is_default=True).entries.get(position=0).message
        assert "Name: Ada" in default.content[0]["text"]
        compiled = api.post("/v1/conversations/default/recompile", {"agent_id": agent.id}).json()
        assert "Name: Grace" in compiled

    def test_a_running_one_is_only_shown(self, api: Api, agent: Agent) -> None:
        made = create(api, agent)
        lease = make_lease(Conversation.objects.get(id=made["id"]))
        answer = api.post(url(made, "/recompile"))
        assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)
        assert api.post(url(made, "/recompile?dry_run=true")).status_code == 200


class TestDelete:
    def test_it_is_gone_and_what_was_said_stays_with_the_agent(self, api: Api, agent: Agent) -> None:
        made = create(api, agent, isolated_block_labels=["human"])
        row = Conversation.objects.get(id=made["id"])
        make_message(conversation=row, text="Remember this.", in_context=True)
        answer = api.delete(url(made))
        assert (answer.status_code, answer.json()) == (200, None)
        assert api.get(url(made)).status_code == 404
        assert api.delete(url(made)).status_code == 404
        assert api.get("/v1/conversations/").json() == []
        assert api.post(url(made, "/fork")).status_code == 404
        assert not Block.objects.filter(id__in=made["isolated_block_ids"]).exists()
        assert Message.objects.filter(agent=agent, text="Remember this.").exists()
        assert agent.blocks.count() == 1

    def test_a_copy_that_somebody_attached_to_an_agent_stays(self, api: Api, agent: Agent) -> None:
        made = create(api, agent, isolated_block_labels=["human"])
        (block_id,) = made["isolated_block_ids"]
        other = make_agent()
        api.patch(f"/v1/agents/{other.id}/core-memory/blocks/attach/{block_id}")
        api.delete(url(made))
        assert other.blocks.get().id == block_id

    def test_the_default_one_goes_with_its_agent(self, api: Api, agent: Agent) -> None:
        for name in ("default", agent.id, agent.conversations.get().id):
            assert "goes with its agent" in error(
                api.delete(f"/v1/conversations/{name}?agent_id={agent.id}"), 400
            )

    def test_not_while_a_run_goes_on(self, api: Api, agent: Agent) -> None:
        made = create(api, agent)
        lease = make_lease(Conversation.objects.get(id=made["id"]))
        answer = api.delete(url(made))
        assert (answer.status_code, answer.json()["run_id"]) == (409, lease.run_id)
        assert answer["x-should-retry"] == "false"
        assert api.get(url(made)).status_code == 200

    def test_the_copies_go_with_the_agent(self, api: Api, agent: Agent) -> None:
        made = create(api, agent, isolated_block_labels=["human"])
        shared = agent.blocks.get()
        assert api.delete(f"/v1/agents/{agent.id}").status_code == 200
        assert list(Block.objects.values_list("id", flat=True)) == [shared.id]
        assert api.get(url(made)).status_code == 404


def test_an_agent_cannot_lose_the_copy_of_a_conversation(api: Api, agent: Agent) -> None:
    made = create(api, agent, isolated_block_labels=["human"])
    (block_id,) = made["isolated_block_ids"]
    answer = api.patch(f"/v1/agents/{agent.id}/core-memory/blocks/detach/{block_id}")
    assert "one conversation" in error(answer, 409)


def test_who_may_only_read_changes_nothing(agent: Agent) -> None:
    made = create(Api(), agent)
    key = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
    viewer = Api(Authorization=f"Bearer {key}")
    assert viewer.get(url(made)).status_code == 200
    assert viewer.get("/v1/conversations/").status_code == 200
    refused = [
        viewer.post(f"/v1/conversations/?agent_id={agent.id}", {}),
        viewer.patch(url(made), {"summary": "x"}),
        viewer.delete(url(made)),
        viewer.post(url(made, "/fork")),
        viewer.post(url(made, "/recompile")),
        viewer.patch(url(made, "/reset-messages")),
    ]
    assert {answer.status_code for answer in refused} == {403}
