"""Blocks over REST."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import attach_block, make_agent, make_block, make_workspace

pytestmark = pytest.mark.django_db

FIELDS = """
id label value limit description read_only metadata tags hidden is_template template_name preserve_on_migration project_id
template_id base_template_id deployment_id entity_id created_by_id last_updated_by_id
"""


@pytest.fixture
def api() -> Api:
    return Api()


def test_a_block_has_every_field(api: Api) -> None:
    block = api.post("/v1/blocks/", {"label": "human", "value": "Ada"}).json()
    assert set(block) == set(FIELDS.split())
    assert (block["limit"], block["read_only"], block["metadata"], block["tags"]) == (100_000, False, {}, [])
    assert block["description"]


def test_a_block_by_itself_says_its_version(api: Api) -> None:
    block = api.post("/v1/blocks/", {"label": "human", "value": "Ada"}).json()
    answer = api.get(f"/v1/blocks/{block['id']}")
    assert answer.json() == {**block, "version": 1, "merged_with": None, "proposal_id": None}
    assert answer["ETag"] == '"1"'


def test_a_null_value_is_an_empty_one(api: Api) -> None:
    assert api.post("/v1/blocks/", {"label": "x", "value": None}).json()["value"] == ""


@pytest.mark.parametrize(
    "body",
    [
        {"value": "x"},
        {"label": "x"},
        {"label": "", "value": "x"},
        {"label": "x", "value": "abc", "limit": 2},
        {"label": "x", "value": "", "limit": 0},
        {"label": "x", "value": 7},
    ],
)
def test_a_bad_block_is_422(api: Api, body: dict[str, Any]) -> None:
    assert api.post("/v1/blocks/", body).status_code == 422
    assert api.get("/v1/blocks/count").json() == 0


def test_a_patch_changes_only_what_is_sent_and_not_null(api: Api) -> None:
    block = api.post("/v1/blocks/", {"label": "x", "value": "a", "description": "d", "tags": ["t"]}).json()
    url = f"/v1/blocks/{block['id']}"
    changed = api.patch(url, {"value": "b", "description": None}).json()
    assert changed == {**block, "value": "b", "version": 2, "merged_with": None, "proposal_id": None}
    assert api.patch(url, {"tags": ["u", "u"]}).json()["tags"] == ["u"]


def test_a_deleted_block_leaves_its_agents(api: Api) -> None:
    agent = make_agent()
    block = make_block(agent=agent)
    answer = api.delete(f"/v1/blocks/{block.id}")
    assert (answer.status_code, answer.json()) == (200, None)
    assert api.get(f"/v1/blocks/{block.id}").status_code == 404
    assert api.get(f"/v1/agents/{agent.id}").json()["blocks"] == []


def test_another_workspaces_block_is_404(api: Api) -> None:
    foreign = make_block(workspace=make_workspace())
    url = f"/v1/blocks/{foreign.id}"
    assert {api.get(url).status_code, api.patch(url, {"value": "x"}).status_code} == {404}
    assert {api.delete(url).status_code, api.get(f"{url}/agents").status_code} == {404}
    assert api.get(f"/v1/blocks/{new_id('block')}").status_code == 404


def test_filters_and_counts_agree(api: Api) -> None:
    agent, other = make_agent(), make_agent()
    shared = make_block(agent=agent, label="shared", value="Tea at five")
    attach_block(other, shared)
    make_block(agent=agent, label="human", tags=["a", "b"])
    make_block(label="free", description="For nobody", is_template=True, template_name="blank", tags=["b"])
    make_block(label="secret", hidden=True)
    make_block(workspace=make_workspace())

    def labels(**query: Any) -> list[str]:
        found = [block["label"] for block in api.get("/v1/blocks/", **query).json()]
        assert api.get("/v1/blocks/count", **query).json() == len(found)
        return found

    assert labels() == ["shared", "human", "free"]
    assert labels(show_hidden_blocks="true") == ["shared", "human", "free", "secret"]
    assert labels(label="human") == ["human"]
    assert labels(label_search="re") == ["shared", "free"]
    assert labels(value_search="tea") == ["shared"]
    assert labels(description_search="nobody") == ["free"]
    assert labels(templates_only="true") == ["free"]
    assert labels(name="blank") == ["free"]
    assert labels(tags=["a", "b"], match_all_tags="true") == ["human"]
    assert labels(tags=["a", "b"]) == ["human", "free"]
    assert labels(connected_to_agents_count_gt=1) == ["shared"]
    assert labels(connected_to_agents_count_lt=1) == ["free"]
    assert labels(connected_to_agents_count_eq=[0, 1]) == ["human", "free"]
    assert labels(identity_id="identity-1") == []


def test_the_list_is_oldest_first_and_paged(api: Api) -> None:
    for label in "abc":
        make_block(label=label)
    first = api.get("/v1/blocks/", limit=2).json()
    assert [block["label"] for block in first] == ["a", "b"]
    assert [block["label"] for block in api.get("/v1/blocks/", after=first[-1]["id"]).json()] == ["c"]
    assert [block["label"] for block in api.get("/v1/blocks/", order="desc").json()] == ["c", "b", "a"]
