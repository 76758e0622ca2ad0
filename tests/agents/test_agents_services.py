"""Agents as the services make and change them: what REST cannot show."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from agents.models import Agent, AgentArchive, Run, RunEvent, RunLease
from agents.services import agents
from agents.services.agent_archives import archives_of, ensure_archive
from agents.services.agent_blocks import attach_block, get_block_by_label
from agents.services.agent_tool_rules import clean_rules
from agents.services.agents import (
    AgentChanges,
    AgentDraft,
    create_agent,
    delete_agent,
    read_secrets,
    update_agent,
)
from agents.services.conversations import get_conversation_for, get_conversation_of, get_default_conversation
from letta_ade.accounts.models import Role
from letta_ade.core.errors import Conflict, Forbidden, Invalid, NotFound, Unprocessable
from letta_ade.core.ids import new_id
from memory.models import Archive, Block, BlockVersion
from memory.services.blocks import BlockDraft
from tests.support.factories import make_block, make_caller, make_lease, make_run, make_workspace
from tests.support.locks import somebody_waits

pytestmark = pytest.mark.django_db


def make(**fields: object) -> Agent:
    draft = AgentDraft(model="demo/assistant", **fields)  # type: ignore[arg-type]  # fields of any draft
    return create_agent(caller=make_caller(), draft=draft)


def test_a_failed_create_leaves_no_block_behind() -> None:
    draft = AgentDraft(
        model="demo/assistant", blocks=(BlockDraft(label="human"),), tool_names=("no_such_tool",)
    )
    with pytest.raises(Invalid, match="no_such_tool"):
        create_agent(caller=make_caller(), draft=draft)
    assert not Agent.objects.exists()
    assert not Block.objects.exists()


def test_blocks_that_an_agent_is_born_with_have_a_first_version() -> None:
    make(blocks=(BlockDraft(label="human", value="Ada"),))
    assert [(version.number, version.value) for version in BlockVersion.objects.all()] == [(1, "Ada")]


def test_who_may_not_edit_may_not_make_or_change() -> None:
    agent = make()
    viewer = make_caller(role=Role.VIEWER)
    with pytest.raises(Forbidden):
        create_agent(caller=viewer, draft=AgentDraft(model="demo/assistant"))
    with pytest.raises(Forbidden):
        update_agent(caller=viewer, agent_id=agent.id, changes=AgentChanges(name="x"))
    with pytest.raises(Forbidden):
        read_secrets(caller=viewer, agent=agent)


def test_another_workspace_sees_nothing() -> None:
    agent = make(blocks=(BlockDraft(label="human"),))
    workspace = make_workspace()
    other, foreign = make_caller(workspace=workspace), make_block(workspace=workspace)
    with pytest.raises(NotFound):
        agents.get_agent_for(caller=other, agent_id=agent.id)
    with pytest.raises(NotFound):
        get_block_by_label(caller=other, agent_id=agent.id, label="human")
    with pytest.raises(NotFound):
        attach_block(caller=make_caller(), agent_id=agent.id, block_id=foreign.id)
    with pytest.raises(NotFound):
        get_conversation_for(caller=other, conversation_id=get_default_conversation(agent).id)


def test_the_default_conversation_has_two_names() -> None:
    agent = make()
    default = get_default_conversation(agent)
    assert get_conversation_of(agent=agent, conversation_id="default") == default
    assert get_conversation_of(agent=agent, conversation_id=None) == default
    assert get_conversation_of(agent=agent, conversation_id=default.id) == default
    with pytest.raises(NotFound):
        get_conversation_of(agent=agent, conversation_id=new_id("conversation"))


def test_the_context_of_a_running_conversation_is_left_alone() -> None:
    agent = make()
    conversation = get_default_conversation(agent)
    lease = make_lease(conversation)
    changes = AgentChanges(message_ids=(conversation.entries.get().message_id,))
    with pytest.raises(Conflict) as conflict:
        update_agent(caller=make_caller(), agent_id=agent.id, changes=changes)
    assert conflict.value.data["run_id"] == lease.run_id
    # A run whose process has died holds nothing up.
    RunLease.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    update_agent(caller=make_caller(), agent_id=agent.id, changes=changes)
    assert Run.objects.get().status == "failed"
    assert not RunLease.objects.exists()


def test_an_assistant_of_an_agent_stays_out_of_lists() -> None:
    make(tags=(agents.SUBAGENT_TAG,))
    assert agents.list_agents(caller=make_caller()) == []


def test_the_settings_of_another_model_begin_anew() -> None:
    agent = make(model_settings={"temperature": 0.1})
    changed = update_agent(
        caller=make_caller(), agent_id=agent.id, changes=AgentChanges(model_settings={"max_output_tokens": 5})
    )
    assert (changed.model_settings["temperature"], changed.model_settings["max_output_tokens"]) == (0.1, 5)


class TestRules:
    def test_repeats_collapse_and_fields_are_filled(self) -> None:
        rule = {"tool_name": "a", "type": "exit_loop"}
        assert clean_rules([rule, dict(rule)], model="x/y") == [{**rule, "prompt_template": None}]

    def test_the_type_is_inferred_from_the_fields(self) -> None:
        rules: list[dict[str, Any]] = [
            {"tool_name": "a", "child_output_mapping": {"x": "b"}},
            {"tool_name": "a", "max_count_limit": 2},
            {"tool_name": "a", "args": {"x": 1}},
            {"tool_name": "a", "children": ["b"]},
            {"tool_name": "a"},
        ]
        assert [rule["type"] for rule in clean_rules(rules, model="x/y")] == [
            "conditional",
            "max_count_per_step",
            "run_first",
            "constrain_child_tools",
            "exit_loop",
        ]

    @pytest.mark.parametrize(
        ("rule", "error"),
        [
            ({"type": "exit_loop"}, Unprocessable),
            ({"type": "max_count_per_step", "tool_name": "a", "max_count_limit": 0}, Unprocessable),
            ({"type": "conditional", "tool_name": "a", "child_output_mapping": {}}, Unprocessable),
            ({"type": "parent_last_tool", "tool_name": "a", "children": "b"}, Unprocessable),
            (
                {
                    "type": "constrain_child_tools",
                    "tool_name": "a",
                    "children": ["b"],
                    "child_arg_nodes": [{"name": "c"}],
                },
                Invalid,
            ),
        ],
    )
    def test_a_bad_rule_is_refused(self, rule: dict[str, Any], error: type[Exception]) -> None:
        with pytest.raises(error):
            clean_rules([rule], model="x/y")

    def test_only_one_tool_runs_first(self) -> None:
        rules = [{"type": "run_first", "tool_name": name} for name in "ab"]
        with pytest.raises(Invalid):
            clean_rules(rules, model="x/y")
        assert len(clean_rules(rules, model="openai/gpt-4o")) == 2


@pytest.mark.django_db(transaction=True)
def test_two_first_inserts_at_once_make_one_archive() -> None:
    agent = make()
    start = threading.Barrier(2)

    def insert() -> None:
        start.wait()
        try:
            ensure_archive(agent=agent)
        finally:
            connection.close()

    both = [threading.Thread(target=insert) for _ in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert Archive.objects.count() == AgentArchive.objects.count() == 1
    assert archives_of(agent)[0].name.endswith("'s Archive")


@pytest.mark.django_db(transaction=True)
def test_an_agent_whose_run_still_tells_something_can_be_deleted() -> None:
    agent = create_agent(caller=make_caller(), draft=AgentDraft(model="demo/assistant"))
    run = make_run(conversation=get_default_conversation(agent))
    is_written, may_commit = threading.Event(), threading.Event()
    refused: list[IntegrityError] = []

    def tell() -> None:
        try:
            with transaction.atomic():
                RunEvent.objects.create(run=run, seq=1, type="RunEnded", data={})
                is_written.set()
                may_commit.wait(30)
        except IntegrityError as error:
            refused.append(error)
        finally:
            connection.close()

    def commit_before_the_run_goes(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith('DELETE FROM "agents_run"'):
            may_commit.set()
            while telling.is_alive() and not somebody_waits():
                telling.join(0.01)
        return execute(sql, *rest)

    telling = threading.Thread(target=tell)
    telling.start()
    is_written.wait(30)
    with connection.execute_wrapper(commit_before_the_run_goes):
        delete_agent(caller=make_caller(), agent_id=agent.id)
    telling.join(30)
    assert not Agent.objects.exists()
    assert refused
