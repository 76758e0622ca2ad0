"""Rules of who may write to a block, and what they come to."""

from __future__ import annotations

import pytest

from letta_ade.accounts.auth import Caller
from letta_ade.accounts.models import Role
from letta_ade.core.errors import Forbidden, NotFound, Unprocessable
from letta_ade.core.ids import new_id
from memory.models import Block, BlockPolicyChange, BlockProposal
from memory.policies import Actor, check_rules, policy_for
from memory.services.block_checks import BlockReadOnly
from memory.services.block_policies import change_policy, policy_of, set_policy
from memory.services.block_restores import undo
from memory.services.blocks import BlockChanges, change_block, delete_block
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller, make_workspace

AGENT = new_id("agent")
pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("rules", "kind", "policy"),
    [
        ({}, "agents", "free"),
        ({"default": "propose"}, "members", "propose"),
        ({"agents": "propose"}, "members", "free"),
        ({"agents": "propose"}, "background_agents", "propose"),
        ({"agents": "propose", "background_agents": "free"}, "background_agents", "free"),
        ({"agents": "propose", AGENT: "read_only"}, "agents", "read_only"),
        ({"agents": "read_only", AGENT: "free"}, "background_agents", "free"),
        ({"default": "read_only", "api_keys": "free"}, "api_keys", "free"),
    ],
)
def test_the_most_exact_rule_counts(rules: dict[str, str], kind: str, policy: str) -> None:
    assert policy_for(check_rules(rules), Actor(kind=kind, id=AGENT), is_read_only=False) == policy


def test_the_switch_of_the_block_stops_every_agent_and_nobody_else() -> None:
    rules = check_rules({"default": "free", AGENT: "free"})
    assert policy_for(rules, Actor(kind="agents", id=AGENT), is_read_only=True) == "read_only"
    assert policy_for(rules, Actor(kind="members", id="user-1"), is_read_only=True) == "free"
    assert policy_for(rules, Actor(kind="api_keys", id="key-1"), is_read_only=True) == "free"


@pytest.mark.parametrize(
    "rules",
    [
        {"agents": "maybe"},
        {"everybody": "free"},
        {"agent-1": "free"},
        {"agents": None},
        {"": "free"},
        {"agents": 1},
    ],
)
def test_a_rule_that_cannot_be_is_refused(rules: dict[str, object]) -> None:
    with pytest.raises(Unprocessable):
        set_policy(caller=make_caller(), block_id=make_block().id, rules=rules)


def test_too_many_rules_are_refused() -> None:
    with pytest.raises(Unprocessable, match="200"):
        check_rules({new_id("agent"): "free" for _ in range(201)})


def test_who_set_the_rules_is_kept_and_the_same_ones_again_are_no_change() -> None:
    block, caller = make_block(), make_caller()
    set_policy(caller=caller, block_id=block.id, rules={"agents": "propose"})
    set_policy(caller=caller, block_id=block.id, rules={"agents": "propose"})
    changed = change_policy(caller=caller, block_id=block.id, rules={"agents": None, "api_keys": "read_only"})
    assert changed.policy == {"api_keys": "read_only"}
    assert changed.version == 1, "rules are no version of the text"
    kept = BlockPolicyChange.objects.filter(block=block).values_list("rules", "actor_id")
    assert list(kept) == [({"agents": "propose"}, caller.id), ({"api_keys": "read_only"}, caller.id)]


def test_agents_reviewers_and_keys_that_are_not_free_cannot_set_the_rules() -> None:
    agent = make_agent()
    block = make_block(agent=agent)
    set_policy(caller=make_caller(), block_id=block.id, rules={"api_keys": "propose"})
    key = make_caller(kind="api_key", id=new_id("api_key"), role=Role.EDITOR)
    reviewer = make_caller(kind="user", id=new_id("user"), role=Role.REVIEWER)
    for caller in (make_agent_caller(agent), key, reviewer):
        with pytest.raises(Forbidden):
            set_policy(caller=caller, block_id=block.id, rules={})


def test_a_person_may_set_rules_that_bind_people_and_lift_them_again() -> None:
    block = make_block(value="a")
    set_policy(caller=make_caller(), block_id=block.id, rules={"members": "read_only"})
    with pytest.raises(BlockReadOnly):
        change_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"))
    set_policy(caller=make_caller(), block_id=block.id, rules={})
    change_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"))
    assert Block.objects.get(id=block.id).value == "b"


def test_the_block_of_another_workspace_is_not_there() -> None:
    block = make_block(workspace=make_workspace())
    with pytest.raises(NotFound):
        set_policy(caller=make_caller(), block_id=block.id, rules={})


@pytest.mark.parametrize("policy", ["propose", "read_only"])
def test_what_cannot_wait_is_refused_to_whoever_is_not_free(policy: str) -> None:
    block = make_block(value="a")
    change_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"))
    key = make_caller(kind="api_key", id=new_id("api_key"))
    set_policy(caller=make_caller(), block_id=block.id, rules={"api_keys": policy})
    with pytest.raises(Forbidden):
        undo(caller=key, block_id=block.id)
    with pytest.raises(Forbidden):
        delete_block(caller=key, block_id=block.id)
    assert Block.objects.get(id=block.id).value == "b"
    assert not BlockProposal.objects.exists()


def test_the_server_itself_is_free() -> None:
    block = make_block()
    set_policy(caller=make_caller(), block_id=block.id, rules={"default": "read_only"})
    block.refresh_from_db()
    server = Caller(workspace_id=block.workspace_id, id="system", name="Server", role="owner", kind="system")
    assert policy_of(block, server) == "free"
