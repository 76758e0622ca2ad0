"""The blocks of an agent over REST."""

from __future__ import annotations

from typing import Any

import pytest

from agents.models import Agent
from letta_ade.core.ids import new_id
from memory.models import BlockVersion
from tests.support.api import Api
from tests.support.factories import make_agent, make_block, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def agent() -> Agent:
    return make_agent()


def url(agent: Agent, rest: str = "") -> str:
    return f"/v1/agents/{agent.id}/core-memory/blocks{rest}"


def labels(answer: Any) -> list[str]:
    return [block["label"] for block in answer.json()]


def test_blocks_are_listed_newest_first_and_paged(api: Api, agent: Agent) -> None:
    for label in ("a", "b", "c"):
        make_block(agent=agent, label=label)
    assert labels(api.get(url(agent))) == ["c", "b", "a"]
    first = api.get(url(agent), limit=2).json()
    assert labels(api.get(url(agent), after=first[-1]["id"])) == ["a"]
    assert labels(api.get(url(agent), order="asc")) == ["a", "b", "c"]


def test_a_block_is_reached_by_its_label_also_with_a_slash(api: Api, agent: Agent) -> None:
    make_block(agent=agent, label="projects/ade", value="Soon.")
    assert api.get(url(agent, "/projects/ade")).json()["value"] == "Soon."
    assert api.get(url(agent, "/projects%2Fade")).json()["value"] == "Soon."
    assert api.patch(url(agent, "/projects/ade"), {"value": "Now."}).json()["value"] == "Now."


def test_an_unknown_label_is_404_and_names_those_there_are(api: Api, agent: Agent) -> None:
    make_block(agent=agent, label="human")
    answer = api.get(url(agent, "/humn"))
    assert answer.status_code == 404
    assert "'human'" in answer.json()["detail"]


def test_an_update_by_label_makes_a_version(api: Api, agent: Agent) -> None:
    block = api.post("/v1/blocks/", {"label": "human", "value": "a"}).json()
    api.patch(url(agent, f"/attach/{block['id']}"))
    api.patch(url(agent, "/human"), {"value": "b"})
    api.patch(url(agent, "/human"), {"value": "b"})
    assert list(BlockVersion.objects.order_by("number").values_list("value", flat=True)) == ["a", "b"]


def test_a_value_over_the_limit_is_422_and_changes_nothing(api: Api, agent: Agent) -> None:
    make_block(agent=agent, label="human", value="abc", limit=5)
    answer = api.patch(url(agent, "/human"), {"value": "abcdef"})
    assert answer.status_code == 422
    assert "6" in answer.json()["detail"]
    assert "5" in answer.json()["detail"]
    assert api.get(url(agent, "/human")).json()["value"] == "abc"
    assert api.patch(url(agent, "/human"), {"limit": 2}).status_code == 422


def test_a_read_only_block_can_be_edited_by_people(api: Api, agent: Agent) -> None:
    make_block(agent=agent, label="rules", value="a", read_only=True)
    assert api.patch(url(agent, "/rules"), {"value": "b"}).json()["value"] == "b"


def test_attaching_answers_the_agent_and_twice_is_once(api: Api, agent: Agent) -> None:
    block = make_block(label="shared")
    for _ in range(2):
        state = api.patch(url(agent, f"/attach/{block.id}")).json()
        assert [held["id"] for held in state["blocks"]] == [block.id]


def test_a_second_block_of_a_label_is_409(api: Api, agent: Agent) -> None:
    make_block(agent=agent, label="human")
    answer = api.patch(url(agent, f"/attach/{make_block(label='human').id}"))
    assert answer.status_code == 409
    assert answer["x-should-retry"] == "false"


def test_detaching_keeps_the_block(api: Api, agent: Agent) -> None:
    block = make_block(agent=agent, label="human")
    assert api.patch(url(agent, f"/detach/{block.id}")).json()["blocks"] == []
    assert api.get(f"/v1/blocks/{block.id}").status_code == 200
    assert api.patch(url(agent, f"/detach/{block.id}")).status_code == 404


def test_what_is_unknown_or_elsewhere_is_404(api: Api, agent: Agent) -> None:
    foreign = make_block(workspace=make_workspace())
    assert api.patch(url(agent, f"/attach/{foreign.id}")).status_code == 404
    assert api.patch(url(agent, f"/attach/{new_id('block')}")).status_code == 404
    assert api.patch(url(agent, "/attach/block-1")).status_code == 422


def test_agents_of_a_block_are_listed(api: Api, agent: Agent) -> None:
    block = make_block(agent=agent)
    make_agent()
    found = api.get(f"/v1/blocks/{block.id}/agents", include="agent.blocks").json()
    assert [each["id"] for each in found] == [agent.id]
    assert [held["id"] for held in found[0]["blocks"]] == [block.id]
