"""A block and the conversations that show it: impact of a value, staleness, recompiling, pins."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, Conversation, Message
from agents.services.agent_conversations import ConversationDraft, create_conversation
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from agents.services.forks import fork_conversation
from agents.services.system_message import write_system_message
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from memory.models import Block, BlockVersion
from memory.services.blocks import BlockChanges, BlockDraft, create_block, update_block
from tests.support.api import Api
from tests.support.factories import (
    attach_block,
    local_workspace,
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_lease,
    make_run,
    make_step,
    make_workspace,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def block() -> Block:
    return create_block(caller=make_caller(), draft=BlockDraft(label="policies", value="Be fair."))


def make_holder(block: Block, name: str = "desk", **fields: Any) -> Agent:
    """An agent whose default conversation shows the block as it is now."""
    draft = AgentDraft(name=name, model="demo/assistant", block_ids=(block.id,), **fields)
    return create_agent(caller=make_caller(), draft=draft)


def rewrite(block: Block, value: str) -> Block:
    return update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=value))


def count_context(conversation: Conversation, tokens: int) -> None:
    """Have a provider count the context of the conversation."""
    make_step(run=make_run(conversation=conversation), prompt_tokens=tokens - 10, completion_tokens=10)


def system_text(conversation: Conversation) -> str:
    entry = conversation.entries.get(position=0)
    return str(Message.objects.get(id=entry.message_id).content[0]["text"])


def shown(api: Api, block: Block, **query: Any) -> list[tuple[Any, ...]]:
    answer = api.get(f"/v1/blocks/{block.id}/conversations", **query)
    assert answer.status_code == 200, answer.content
    return [
        (each["agent_name"], each["compiled_version"], each["versions_behind"], each["pinned_version"])
        for each in answer.json()
    ]


def pin_path(block: Block, conversation_id: str) -> str:
    return f"/v1/blocks/{block.id}/conversations/{conversation_id}/pin"


class TestImpact:
    def test_a_longer_value_is_counted_for_each_conversation(self, api: Api, block: Block) -> None:
        first, second = make_holder(block, "a-desk"), make_holder(block, "b-desk")
        create_conversation(caller=make_caller(), agent_id=first.id, draft=ConversationDraft())
        count_context(get_default_conversation(first), 20_000)
        answer = api.post(f"/v1/blocks/{block.id}/impact", {"value": "x" * 4_008})
        assert answer.status_code == 200, answer.content
        found = answer.json()
        assert (found["agents_total"], found["conversations_total"]) == (2, 3)
        assert (found["tokens_before"], found["tokens_after"]) == (2, 1_002)
        assert found["passing"] == []
        sizes = {each["agent_id"]: each for each in found["agents"]}
        assert sizes[first.id]["used"] == 20_000
        assert sizes[first.id]["used_after"] == 21_000
        assert sizes[first.id]["window"] == first.context_window_limit
        # Nobody has counted the other one: an estimate of what it would send.
        assert 0 < sizes[second.id]["used"] < 2_000

    def test_who_would_pass_the_window_is_named(self, api: Api, block: Block) -> None:
        tight, roomy = make_holder(block, "tight"), make_holder(block, "roomy")
        for agent in (tight, roomy):
            count_context(get_default_conversation(agent), 15_900)
        Agent.objects.filter(id=tight.id).update(context_window_limit=16_000)
        Agent.objects.filter(id=roomy.id).update(context_window_limit=64_000)
        found = api.post(f"/v1/blocks/{block.id}/impact", {"value": "x" * 404}).json()
        assert found["passing_total"] == 0
        found = api.post(f"/v1/blocks/{block.id}/impact", {"value": "x" * 412}).json()
        assert found["passing_total"] == 1
        assert [(each["agent_name"], each["used_after"], each["window"]) for each in found["passing"]] == [
            ("tight", 16_001, 16_000)
        ]
        assert [each["agent_name"] for each in found["agents"]] == ["tight", "roomy"]

    def test_a_conversation_with_a_window_of_its_own_is_measured_by_that(
        self, api: Api, block: Block
    ) -> None:
        conversation = get_default_conversation(make_holder(block))
        count_context(conversation, 9_000)
        Conversation.objects.filter(id=conversation.id).update(context_window_limit=8_000)
        assert api.get(f"/v1/blocks/{block.id}/impact").json()["passing"][0]["window"] == 8_000

    def test_an_old_version_in_a_conversation_is_counted_off(self, api: Api, block: Block) -> None:
        conversation = get_default_conversation(make_holder(block))
        count_context(conversation, 5_000)
        rewrite(block, "x" * 400)
        assert api.get(f"/v1/blocks/{block.id}/impact").json()["agents"][0]["used_after"] == 5_098

    def test_a_pinned_conversation_takes_no_more(self, api: Api, block: Block) -> None:
        conversation = get_default_conversation(make_holder(block))
        count_context(conversation, 5_000)
        api.put(pin_path(block, conversation.id))
        found = api.post(f"/v1/blocks/{block.id}/impact", {"value": "x" * 40_000}).json()
        assert found["agents"][0]["used_after"] == 5_000

    def test_runs_in_flight_say_which_version_they_read(self, api: Api, block: Block) -> None:
        conversation = get_default_conversation(make_holder(block))
        lease = make_lease(conversation)
        rewrite(block, "Be fair and quick.")
        runs = api.get(f"/v1/blocks/{block.id}/impact").json()["runs"]
        assert [(each["run_id"], each["version"]) for each in runs] == [(lease.run_id, 1)]

    def test_the_lists_are_cut_and_the_totals_are_not(self, api: Api, block: Block) -> None:
        for _ in range(3):
            make_holder(block)
        found = api.get(f"/v1/blocks/{block.id}/impact", limit=2).json()
        assert len(found["agents"]) == 2
        assert found["agents_total"] == 3
        assert api.get(f"/v1/blocks/{block.id}/impact", limit=-1).status_code == 422

    def test_a_thousand_agents_take_four_queries(self, api: Api, block: Block) -> None:
        make_holder(block)
        rewrite(block, "Be fair and quick.")
        with CaptureQueriesContext(
            connection,
        ) as few:
            api.post(f"/v1/blocks/{block.id}/impact", {"value": "New."})
        workspace_id, template = block.workspace_id, make_agent()
        agents = [
            Agent(workspace_id=workspace_id, name=f"agent {n}", model=template.model, context_window_limit=9)
            for n in range(1_000)
        ]
        Agent.objects.bulk_create(agents)
        for agent in agents[:5]:
            make_conversation(agent=agent)
        for agent in agents:
            attach_block(agent, block)
        Conversation.objects.bulk_create(
            Conversation(workspace_id=workspace_id, agent=agent, compiled_versions={block.id: 1})
            for agent in agents
        )
        with CaptureQueriesContext(connection) as many:
            found = api.post(f"/v1/blocks/{block.id}/impact", {"value": "New."}).json()
        assert found["conversations_total"] == 1_006
        assert len(many) == len(few)
        # Block, conversations, older versions, agents; the rest is who calls.
        assert len([each for each in many if "block" in each["sql"]]) == 4

    def test_bad_input_has_the_exact_error(self, api: Api, block: Block) -> None:
        assert api.get(f"/v1/blocks/{new_id('block')}/impact").status_code == 404
        assert api.get("/v1/blocks/block-1/impact").status_code == 422
        theirs = make_block(workspace=make_workspace())
        assert api.post(f"/v1/blocks/{theirs.id}/impact", {"value": "x"}).status_code == 404
        assert api.post(f"/v1/blocks/{block.id}/impact", {"value": 7}).status_code == 422


class TestStaleness:
    def test_a_conversation_is_behind_until_its_next_turn(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        assert shown(api, block) == [("desk", 1, 0, None)]
        rewrite(block, "Be fair and quick.")
        rewrite(block, "Be quick.")
        assert shown(api, block, stale="true") == [("desk", 1, 2, None)]
        write_system_message(agent=agent, conversation=get_default_conversation(agent))
        assert shown(api, block, stale="true") == []
        assert shown(api, block) == [("desk", 3, 0, None)]

    def test_only_conversations_that_show_the_block_are_listed(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        caller = make_caller()
        isolating = create_conversation(
            caller=caller, agent_id=agent.id, draft=ConversationDraft(isolated_block_labels=("policies",))
        )
        deleted = create_conversation(caller=caller, agent_id=agent.id, draft=ConversationDraft())
        Conversation.objects.filter(id=deleted.id).update(deleted_at=timezone.now())
        archived = create_conversation(caller=caller, agent_id=agent.id, draft=ConversationDraft())
        Conversation.objects.filter(id=archived.id).update(archived_at=timezone.now())
        make_holder(make_block(label="other"), "other-desk")
        create_agent(
            caller=caller,
            draft=AgentDraft(
                name="blind", model="demo/assistant", agent_type="workflow_agent", block_ids=(block.id,)
            ),
        )
        assert shown(api, block) == [("desk", 1, 0, None)]
        own = Block.objects.get(conversation_link__conversation=isolating)
        found = api.get(f"/v1/blocks/{own.id}/conversations").json()
        assert [each["conversation_id"] for each in found] == [isolating.id]

    def test_a_block_that_came_after_the_compilation_is_not_shown_yet(self, api: Api, block: Block) -> None:
        agent = make_holder(make_block(label="other"))
        attach_block(agent, block)
        assert shown(api, block, stale="true") == [("desk", None, 1, None)]
        found = api.get(f"/v1/blocks/{block.id}/conversations/{agent.id}").json()
        assert found["diff"] is None

    def test_the_difference_is_from_what_is_shown_to_what_is_now(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        rewrite(block, "Be fair.\nBe quick.")
        for path in (agent.id, f"default?agent_id={agent.id}"):
            diff = api.get(f"/v1/blocks/{block.id}/conversations/{path}").json()["diff"]
            assert (diff["old"]["version"], diff["new"]["version"]) == (1, 2)
            assert [line["text"] for line in diff["lines"] if line["op"] == "add"] == ["Be quick."]

    def test_all_are_recompiled_but_the_busy_and_the_pinned(self, api: Api, block: Block) -> None:
        stale, busy, pinned = (
            get_default_conversation(make_holder(block, name)) for name in ("a", "busy", "pinned")
        )
        make_lease(busy)
        api.put(pin_path(block, pinned.id))
        rewrite(block, "Be quick.")
        answer = api.post(f"/v1/blocks/{block.id}/conversations/recompile").json()
        assert answer == {"recompiled": [stale.id], "busy": [busy.id], "left": []}
        assert "Be quick." in system_text(stale)
        assert "Be fair." in system_text(busy)
        assert shown(api, block) == [("a", 2, 0, None), ("busy", 1, 1, None), ("pinned", 1, 1, 1)]
        assert api.post(f"/v1/blocks/{block.id}/conversations/recompile").json()["recompiled"] == []

    def test_lists_have_pages(self, api: Api, block: Block) -> None:
        for name in "abc":
            make_holder(block, name)
        assert [name for name, *_ in shown(api, block, limit=2, offset=1)] == ["b", "c"]
        assert api.get(f"/v1/blocks/{block.id}/conversations", limit=0).status_code == 422

    def test_bad_input_has_the_exact_error(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        theirs = make_block(workspace=make_workspace())
        for path in (new_id("block"), theirs.id):
            assert api.get(f"/v1/blocks/{path}/conversations").status_code == 404
            assert api.post(f"/v1/blocks/{path}/conversations/recompile").status_code == 404
            assert api.get(f"/v1/blocks/{path}/conversations/{agent.id}").status_code == 404
        other = make_holder(make_block(label="other"))
        answer = api.get(f"/v1/blocks/{block.id}/conversations/{other.id}")
        assert answer.status_code == 404
        assert "does not show the block" in answer.json()["detail"]
        assert api.get(f"/v1/blocks/{block.id}/conversations/nonsense").status_code == 422


class TestPins:
    def test_a_pinned_conversation_keeps_its_version_through_turns(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        conversation = get_default_conversation(agent)
        answer = api.put(pin_path(block, agent.id))
        assert answer.status_code == 200, answer.content
        assert answer.json()["pinned_version"] == 1
        rewrite(block, "Be quick.")
        conversation.refresh_from_db()
        assert write_system_message(agent=agent, conversation=conversation).new_text is None
        assert shown(api, block) == [("desk", 1, 1, 1)]
        # Compiled anew for another reason, it keeps it too.
        api.post(f"/v1/agents/{agent.id}/recompile")
        assert "Be fair." in system_text(conversation)
        assert "Be fair." in api.post(f"/v1/conversations/{conversation.id}/recompile?dry_run=true").json()
        overview = api.get(f"/v1/agents/{agent.id}/context").json()
        assert "Be fair." in overview["core_memory"]

    def test_pinning_again_changes_nothing_and_unpinning_lets_it_follow(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        api.put(pin_path(block, agent.id))
        rewrite(block, "Be quick.")
        assert api.put(pin_path(block, agent.id)).json()["pinned_version"] == 1
        answer = api.delete(pin_path(block, agent.id)).json()
        assert (answer["pinned_version"], answer["is_stale"]) == (None, True)
        assert api.delete(pin_path(block, agent.id)).status_code == 200
        conversation = get_default_conversation(agent)
        write_system_message(agent=agent, conversation=conversation)
        assert "Be quick." in system_text(conversation)

    def test_label_limit_and_read_only_mark_are_those_of_now(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        api.put(pin_path(block, agent.id))
        changes = BlockChanges(label="rules", value="Be quick.", limit=77, description="New", read_only=True)
        update_block(caller=make_caller(), block_id=block.id, changes=changes)
        text = api.post(f"/v1/agents/{agent.id}/recompile").json()
        assert "<rules>" in text
        assert "chars_limit=77" in text
        assert "read_only=true" in text
        assert "Be fair." in text
        assert "New" not in text
        assert Block.objects.get(id=block.id).value == "Be quick."

    def test_a_fork_keeps_the_pins(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        api.put(pin_path(block, agent.id))
        rewrite(block, "Be quick.")
        fork = fork_conversation(caller=make_caller(), conversation_id=agent.id)
        assert "Be fair." in system_text(fork)

    def test_a_detached_block_and_one_that_is_gone_end_their_pins(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        api.put(pin_path(block, agent.id))
        api.patch(f"/v1/agents/{agent.id}/core-memory/blocks/detach/{block.id}")
        assert api.put(pin_path(block, agent.id)).status_code == 404
        assert "Be fair." not in api.post(f"/v1/agents/{agent.id}/recompile").json()
        api.delete(f"/v1/blocks/{block.id}")
        assert api.post(f"/v1/agents/{agent.id}/recompile").status_code == 200

    def test_a_run_reads_its_pins_with_one_query_more_and_without_pins_with_none(
        self, api: Api, block: Block
    ) -> None:
        agent = make_holder(block)
        counts = []
        for method in (None, api.put):
            if method is not None:
                method(pin_path(block, agent.id))
            conversation = get_default_conversation(agent)
            with CaptureQueriesContext(connection) as queries:
                write_system_message(agent=agent, conversation=conversation)
            counts.append(len(queries))
        assert counts[1] == counts[0] + 1

    def test_bad_input_has_the_exact_error(self, api: Api, block: Block) -> None:
        agent = make_holder(block)
        unheld = make_block(label="unheld")
        answer = api.put(pin_path(unheld, agent.id))
        assert answer.status_code == 404
        assert "does not show the block" in answer.json()["detail"]
        attach_block(agent, unheld)
        answer = api.put(pin_path(unheld, agent.id))
        assert answer.status_code == 409
        assert "Recompile it first" in answer.json()["detail"]
        deleted = create_conversation(caller=make_caller(), agent_id=agent.id, draft=ConversationDraft())
        api.delete(f"/v1/conversations/{deleted.id}")
        theirs = make_conversation(agent=make_agent(workspace=make_workspace()))
        for conversation_id in (deleted.id, theirs.id, new_id("conversation"), new_id("agent")):
            assert api.put(pin_path(block, conversation_id)).status_code == 404
            assert api.delete(pin_path(block, conversation_id)).status_code == 404
        assert api.put(pin_path(block, "default")).status_code == 400
        assert api.put(f"/v1/blocks/{new_id('block')}/conversations/{agent.id}/pin").status_code == 404

    def test_a_viewer_may_look_and_not_pin(self, block: Block) -> None:
        agent = make_holder(block)
        key = create_api_key(name="viewer", role="viewer", workspace=local_workspace()).secret
        viewer = Api(Authorization=f"Bearer {key}")
        assert viewer.get(f"/v1/blocks/{block.id}/conversations").status_code == 200
        assert viewer.get(f"/v1/blocks/{block.id}/impact").status_code == 200
        assert viewer.put(pin_path(block, agent.id)).status_code == 403
        assert viewer.post(f"/v1/blocks/{block.id}/conversations/recompile").status_code == 403
        assert BlockVersion.objects.filter(block=block).count() == 1
