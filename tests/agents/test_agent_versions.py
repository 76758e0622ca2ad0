"""Versions of an agent's configuration: every change is one, all can be compared and brought back."""

from __future__ import annotations

from itertools import pairwise

import pytest

from agents.models import Agent, AgentVersion
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_restores import restore_version
from agents.services.agent_tools import attach_tool, detach_tool, set_approval
from agents.services.agent_versions import compare
from agents.services.agents import AgentChanges, AgentDraft, create_agent, read_secrets, update_agent
from letta_ade.core.errors import Conflict, Forbidden, NotFound
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, delete_block, update_block
from tests.support.api import Api
from tests.support.factories import make_block, make_caller, make_workspace
from tools.models import Tool

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


def make(**fields: object) -> Agent:
    draft = AgentDraft(model="demo/assistant", name="Ada", **fields)  # type: ignore[arg-type]  # fields of any draft
    return create_agent(caller=make_caller(), draft=draft)


def change(agent: Agent, **fields: object) -> None:
    changes = AgentChanges(**fields)  # type: ignore[arg-type]  # fields of any change
    update_agent(caller=make_caller(), agent_id=agent.id, changes=changes)


def versions_of(agent: Agent) -> list[AgentVersion]:
    return list(agent.versions.order_by("number"))


def fields_changed(agent: Agent) -> list[list[str]]:
    rows = versions_of(agent)
    return [[each.field for each in compare(old, new)] for old, new in pairwise(rows)]


def test_every_change_of_settings_tools_and_blocks_is_a_version_and_nothing_else_is() -> None:
    caller, agent = make_caller(), make()
    change(agent, system="Be brief.", tags=("a", "b"))
    change(agent, system="Be brief.")
    block = make_block(label="notes")
    attach_block(caller=caller, agent_id=agent.id, block_id=block.id)
    update_block(caller=caller, block_id=block.id, changes=BlockChanges(value="other"))
    detach_block(caller=caller, agent_id=agent.id, block_id=block.id)
    tool = Tool.objects.get(name="conversation_search")
    set_approval(caller=caller, agent_id=agent.id, tool_name=tool.name, requires_approval=True)
    detach_tool(caller=caller, agent_id=agent.id, tool_id=tool.id)
    attach_tool(caller=caller, agent_id=agent.id, tool_id=tool.id)
    attach_tool(caller=caller, agent_id=agent.id, tool_id=tool.id)
    assert fields_changed(agent) == [
        ["system", "tags"],
        ["blocks"],
        ["blocks"],
        ["tool_rules"],
        ["tools"],
        ["tools"],
    ]
    first = versions_of(agent)[0]
    assert (first.number, first.actor_id, first.data["name"]) == (1, caller.id, "Ada")


def test_a_restore_brings_settings_tools_and_blocks_back_as_a_new_version() -> None:
    agent = make(
        description="A calm one.",
        blocks=(BlockDraft(label="human", value="Ada"),),
        tags=("calm",),
        context_window_limit=16_000,
        secrets={"KEY": "old"},
    )
    tools = list(agent.tool_links.values_list("tool_id", flat=True))
    change(
        agent,
        name="Bob",
        system="Shout.",
        tags=(),
        model_settings={"temperature": 0.1},
        context_window_limit=8_000,
        tool_ids=(),
        block_ids=(),
        secrets={"KEY": "new"},
        cleared=frozenset({"description"}),
    )
    restored = restore_version(caller=make_caller(), agent_id=agent.id, number=1)
    assert (restored.version.number, restored.version.restored_from, restored.gone) == (3, 1, ())
    first, _, third = versions_of(agent)
    assert first.data == third.data
    agent.refresh_from_db()
    assert list(agent.tool_links.values_list("tool_id", flat=True)) == tools
    assert agent.description == "A calm one."
    assert read_secrets(caller=make_caller(), agent=agent) == {"KEY": "new"}
    assert restore_version(caller=make_caller(), agent_id=agent.id, number=1).version.number == 3


def test_what_is_deleted_since_is_named_and_the_rest_comes_back() -> None:
    caller = make_caller()
    agent = make(blocks=(BlockDraft(label="human"), BlockDraft(label="notes")))
    change(agent, block_ids=())
    delete_block(caller=caller, block_id=Block.objects.get(label="human").id)
    restored = restore_version(caller=caller, agent_id=agent.id, number=1)
    assert restored.gone == ("human",)
    assert [block.label for block in agent.blocks.all()] == ["notes"]


def test_a_restore_that_is_refused_changes_nothing() -> None:
    agent = make(blocks=(BlockDraft(label="human"),))
    change(agent, block_ids=())
    block = Block.objects.get(label="human")
    other = make_block(label="other")
    change(agent, block_ids=(block.id, other.id))
    change(agent, name="Bob")
    update_block(caller=make_caller(), block_id=other.id, changes=BlockChanges(label="moved"))
    AgentVersion.objects.filter(number=1).update(data={**versions_of(agent)[0].data, "model": "demo/gone"})
    with pytest.raises(NotFound):
        restore_version(caller=make_caller(), agent_id=agent.id, number=1)
    Block.objects.filter(id=other.id).update(label="human")
    with pytest.raises(Conflict):
        restore_version(caller=make_caller(), agent_id=agent.id, number=3)
    agent.refresh_from_db()
    assert (agent.name, agent.versions.count()) == ("Bob", 4)


def test_the_routes_list_compare_and_restore(api: Api) -> None:
    agent = make()
    change(agent, system="one\ntwo")
    url = f"/v1/agents/{agent.id}/versions"
    assert [row["version"] for row in api.get(url).json()] == [2, 1]
    assert [row["version"] for row in api.get(f"{url}?order=asc&limit=1").json()] == [1]
    (difference,) = api.get(f"{url}/diff?old=1&new=2").json()
    assert (difference["field"], difference["new"]) == ("system", "one\ntwo")
    assert api.get(f"{url}/1").json()["config"]["name"] == "Ada"
    body = api.post(f"{url}/1/restore").json()
    assert (body["version"]["version"], body["version"]["restored_from"], body["gone"]) == (3, 1, [])


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/9", 404),
        ("/x", 422),
        ("/diff?old=1", 422),
        ("/diff?old=1&new=9", 404),
        ("/0", 404),
        ("/-1", 404),
        ("/99999999999999", 404),
    ],
)
def test_versions_that_are_not_there_are_said_not_to_be(api: Api, path: str, status: int) -> None:
    agent = make()
    answer = api.get(f"/v1/agents/{agent.id}/versions{path}")
    assert answer.status_code == status, answer.content


def test_versions_of_others_are_not_seen_and_only_editors_restore(api: Api) -> None:
    agent = make()
    other = make_caller(workspace=make_workspace())
    with pytest.raises(NotFound):
        restore_version(caller=other, agent_id=agent.id, number=1)
    with pytest.raises(Forbidden):
        restore_version(caller=make_caller(role="reviewer"), agent_id=agent.id, number=1)
