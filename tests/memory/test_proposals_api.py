"""Rules of who may write to a block, and proposals, over REST."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client.types import BlockResponse

from letta_ade.core.ids import new_id
from memory.models import Block
from tests.support.api import Api
from tests.support.factories import make_block, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def block(api: Api) -> Block:
    block = make_block(value="one\ntwo", label="human", limit=100)
    answer = api.put(f"/v1/blocks/{block.id}/policy", {"rules": {"members": "propose"}})
    assert answer.status_code == 200
    return block


def propose(api: Api, block: Block, value: str = "one\n2", **more: Any) -> str:
    answer = api.patch(f"/v1/blocks/{block.id}", {"value": value, **more})
    assert answer.status_code == 202
    proposal_id: str = answer.json()["proposal_id"]
    return proposal_id


def test_the_policy_says_the_rules_what_they_come_to_and_who_set_them(api: Api) -> None:
    block = make_block(read_only=True)
    path = f"/v1/blocks/{block.id}/policy"
    assert api.get(path).json() == {
        "block_id": block.id,
        "read_only": True,
        "rules": {},
        "effective": {
            "default": "free",
            "agents": "read_only",
            "background_agents": "read_only",
            "api_keys": "free",
            "members": "free",
        },
        "set_by": None,
        "history": [],
    }
    agent = new_id("agent")
    api.put(path, {"rules": {agent: "propose", "default": "propose"}})
    body = api.patch(path, {"rules": {agent: None, "api_keys": "read_only"}}).json()
    assert body["rules"] == {"default": "propose", "api_keys": "read_only"}
    assert body["effective"]["members"] == "propose"
    assert [each["rules"] for each in body["history"]] == [
        body["rules"],
        {"default": "propose", agent: "propose"},
    ]
    assert (body["set_by"]["actor_kind"], body["set_by"]["rules"]) == ("local", body["rules"])


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rules": {"agents": "sometimes"}},
        {"rules": {"everyone": "free"}},
        {"rules": {"agents": 3}},
        {"rules": ["free"]},
        {"rules": {"agent-x\0": "free"}},
        {"rules": None},
    ],
)
@pytest.mark.parametrize("method", ["put", "patch"])
def test_a_bad_policy_is_422(api: Api, block: Block, method: str, body: dict[str, Any]) -> None:
    answer = getattr(api, method)(f"/v1/blocks/{block.id}/policy", body)
    assert answer.status_code == 422
    assert api.get(f"/v1/blocks/{block.id}/policy").json()["rules"] == {"members": "propose"}


def test_a_write_that_waits_is_202_with_the_block_unchanged_which_the_sdk_reads(
    api: Api, block: Block
) -> None:
    answer = api.patch(f"/v1/blocks/{block.id}", {"value": "one\n2"})
    assert answer.status_code == 202
    body = answer.json()
    assert (body["value"], body["version"], answer["ETag"]) == ("one\ntwo", 1, '"1"')
    assert BlockResponse.model_validate(body).value == "one\ntwo"
    listed = api.get(f"/v1/blocks/{block.id}/proposals").json()
    assert [each["id"] for each in listed] == [body["proposal_id"]]


def test_a_write_that_changes_nothing_is_200_and_no_proposal(api: Api, block: Block) -> None:
    answer = api.patch(f"/v1/blocks/{block.id}", {"value": "one\ntwo"})
    assert (answer.status_code, answer.json()["proposal_id"]) == (200, None)
    assert api.get("/v1/proposals/").json() == []


def test_a_write_of_a_reader_only_is_403(api: Api, block: Block) -> None:
    api.put(f"/v1/blocks/{block.id}/policy", {"rules": {"members": "read_only"}})
    assert api.patch(f"/v1/blocks/{block.id}", {"value": "x"}).status_code == 403
    assert api.patch(f"/v1/blocks/{block.id}", {"tags": ["x"]}).status_code == 403
    assert api.delete(f"/v1/blocks/{block.id}").status_code == 403


def test_one_proposal_shows_its_difference(api: Api, block: Block) -> None:
    body = api.get(f"/v1/proposals/{propose(api, block)}").json()
    assert (body["state"], body["base_version"], body["value"], body["block_id"]) == (
        "pending",
        1,
        "one\n2",
        block.id,
    )
    assert (body["added"], body["removed"]) == (1, 1)
    assert [(line["op"], line["text"]) for line in body["lines"]] == [
        ("same", "one"),
        ("del", "two"),
        ("add", "2"),
    ]


def test_an_approval_writes_and_the_version_names_both(api: Api, block: Block) -> None:
    proposal_id = propose(api, block)
    body = api.post(f"/v1/proposals/{proposal_id}/approve").json()
    assert (body["state"], body["written_version"], body["decided_by_kind"]) == ("approved", 2, "local")
    [version, _] = api.get(f"/v1/blocks/{block.id}/versions").json()
    assert (version["value"], version["act"], version["proposal_id"]) == ("one\n2", "approval", proposal_id)
    assert version["approved_by_id"] == body["decided_by_id"]
    assert api.post(f"/v1/proposals/{proposal_id}/approve").status_code == 200
    refused = api.post(f"/v1/proposals/{proposal_id}/reject", {"reason": "No."})
    assert (refused.status_code, refused.json()["state"]) == (409, "approved")


def test_another_text_is_approved(api: Api, block: Block) -> None:
    body = api.post(f"/v1/proposals/{propose(api, block)}/approve", {"value": "one\nII"}).json()
    assert (body["state"], body["edited_value"]) == ("edited", "one\nII")
    assert api.get(f"/v1/blocks/{block.id}").json()["value"] == "one\nII"


def test_a_conflict_is_409_with_hunks_and_a_text_settles_it(api: Api, block: Block) -> None:
    proposal_id = propose(api, block)
    api.put(f"/v1/blocks/{block.id}/policy", {"rules": {}})
    api.patch(f"/v1/blocks/{block.id}", {"value": "one\nII"})
    refused = api.post(f"/v1/proposals/{proposal_id}/approve")
    body = refused.json()
    assert (refused.status_code, body["current_version"]) == (409, 2)
    assert body["hunks"] == [{"base_line": 2, "base": ["two"], "mine": ["2"], "theirs": ["II"]}]
    settled = {"value": "one\n2", "base_version": 2}
    assert api.post(f"/v1/proposals/{proposal_id}/approve", settled).json()["state"] == "approved"
    assert api.get(f"/v1/blocks/{block.id}").json()["value"] == "one\n2"


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"value": "x" * 101}, 422),
        ({"value": "x", "base_version": 99}, 422),
        ({"value": "x", "base_version": 10**30}, 422),
        ({"value": "x", "base_version": -1}, 422),
        ({"value": 3}, 422),
        ({"base_version": 1}, 400),
    ],
)
def test_a_bad_approval_decides_nothing(api: Api, block: Block, body: dict[str, Any], status: int) -> None:
    proposal_id = propose(api, block)
    assert api.post(f"/v1/proposals/{proposal_id}/approve", body).status_code == status
    assert api.get(f"/v1/proposals/{proposal_id}").json()["state"] == "pending"


@pytest.mark.parametrize("reason", ["x" * 1_100_000, 3, "\ud800"])
def test_a_bad_reason_decides_nothing(api: Api, block: Block, reason: Any) -> None:
    proposal_id = propose(api, block)
    assert api.post(f"/v1/proposals/{proposal_id}/reject", {"reason": reason}).status_code in (400, 422)
    assert api.get(f"/v1/proposals/{proposal_id}").json()["state"] == "pending"


def test_a_rejection_needs_no_body(api: Api, block: Block) -> None:
    assert api.post(f"/v1/proposals/{propose(api, block)}/reject").json()["state"] == "rejected"


def test_a_proposal_of_a_deleted_block_is_closed(api: Api, block: Block) -> None:
    proposal_id = propose(api, block)
    api.put(f"/v1/blocks/{block.id}/policy", {"rules": {}})
    api.delete(f"/v1/blocks/{block.id}")
    assert api.post(f"/v1/proposals/{proposal_id}/approve").status_code == 409
    assert api.get(f"/v1/proposals/{proposal_id}").json()["state"] == "withdrawn"
    assert api.get(f"/v1/blocks/{block.id}/proposals").status_code == 404


def test_lists_are_filtered_newest_first_and_paged(api: Api, block: Block) -> None:
    first = propose(api, block)
    api.post(f"/v1/proposals/{first}/reject")
    second = propose(api, block)
    assert [each["id"] for each in api.get("/v1/proposals/").json()] == [second, first]
    for query, found in (
        ({"state": "pending"}, [second]),
        ({"state": "decided"}, [first]),
        ({"state": "rejected", "block_id": block.id}, [first]),
        ({"agent_id": new_id("agent")}, []),
        ({"limit": 1}, [second]),
        ({"limit": 1, "after": second}, [first]),
        ({"state": "pending", "order": "asc", "after": first}, [second]),
    ):
        assert [each["id"] for each in api.get("/v1/proposals/", **query).json()] == found, query
    assert api.get("/v1/proposals/", state="maybe").status_code == 422


def test_what_belongs_to_another_workspace_is_not_there(api: Api, block: Block) -> None:
    other = make_block(workspace=make_workspace())
    proposal_id = propose(api, block)
    assert api.get(f"/v1/blocks/{other.id}/policy").status_code == 404
    assert api.put(f"/v1/blocks/{other.id}/policy", {"rules": {}}).status_code == 404
    Block.objects.filter(id=block.id).update(workspace=other.workspace_id)
    block.proposals.update(workspace=other.workspace_id)
    for method, path in (("get", ""), ("post", "/approve"), ("post", "/reject")):
        assert getattr(api, method)(f"/v1/proposals/{proposal_id}{path}").status_code == 404
    assert api.get("/v1/proposals/").json() == []


@pytest.mark.parametrize("proposal_id", ["x", "proposal-1", "block-" + "0" * 36])
def test_a_malformed_id_is_422(api: Api, proposal_id: str) -> None:
    assert api.get(f"/v1/proposals/{proposal_id}").status_code == 422
