"""Versions of blocks over REST, and changes with a base."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.core.ids import new_id
from memory.models import Block, BlockVersion
from tests.support.api import Api
from tests.support.factories import make_agent, make_block, make_workspace

pytestmark = pytest.mark.django_db

AUTHOR = """
version actor_kind actor_id actor_name run_id step_id message_id tool_call_id tool_name created_at
"""


@pytest.fixture
def api() -> Api:
    return Api()


@pytest.fixture
def block(api: Api) -> Block:
    block = make_block(value="one\ntwo\nthree", label="notes/today")
    api.patch(f"/v1/blocks/{block.id}", {"value": "one\ntwo\n3"})
    return block


def test_a_change_to_an_older_version_is_merged_and_says_so(api: Api, block: Block) -> None:
    answer = api.patch(f"/v1/blocks/{block.id}", {"value": "1\ntwo\nthree", "base_version": 1})
    body = answer.json()
    assert (body["value"], body["version"], body["merged_with"]) == ("1\ntwo\n3", 3, 2)
    assert answer["ETag"] == '"3"'


@pytest.mark.parametrize("etag", ['"1"', 'W/"1"', "1"])
def test_if_match_is_a_base_too(api: Api, block: Block, etag: str) -> None:
    body = api.patch(f"/v1/blocks/{block.id}", {"value": "1\ntwo\nthree"}, **{"If-Match": etag}).json()
    assert (body["value"], body["merged_with"]) == ("1\ntwo\n3", 2)


@pytest.mark.parametrize(("etag", "sent"), [('"x"', None), ('"1', 2), ('"²"', None), ('"99"', None)])
def test_a_bad_if_match_is_422(api: Api, block: Block, etag: str, sent: int | None) -> None:
    body = {"value": "x", "base_version": sent}
    answer = api.patch(f"/v1/blocks/{block.id}", body, **{"If-Match": etag.encode().decode("latin-1")})
    assert answer.status_code == 422
    assert api.get(f"/v1/blocks/{block.id}").json()["version"] == 2


def test_any_etag_and_none_let_a_change_win(api: Api, block: Block) -> None:
    assert api.patch(f"/v1/blocks/{block.id}", {"value": "x"}, **{"If-Match": "*"}).json()["value"] == "x"
    assert api.patch(f"/v1/blocks/{block.id}", {"value": "y"}).json()["value"] == "y"


def test_a_conflict_has_base_mine_theirs_and_hunks_and_is_not_tried_again(api: Api, block: Block) -> None:
    answer = api.patch(f"/v1/blocks/{block.id}", {"value": "one\ntwo\nIII", "base_version": 1})
    assert (answer.status_code, answer["x-should-retry"]) == (409, "false")
    body = answer.json()
    assert body.pop("detail").startswith("CONFLICT: Block 'notes/today' is at version 2")
    assert body == {
        "base_version": 1,
        "current_version": 2,
        "base": "one\ntwo\nthree",
        "mine": "one\ntwo\nIII",
        "theirs": "one\ntwo\n3",
        "hunks": [{"base_line": 3, "base": ["three"], "mine": ["III"], "theirs": ["3"]}],
        "fields": {},
    }


def test_the_block_of_an_agent_takes_a_base_too(api: Api) -> None:
    agent = make_agent()
    make_block(agent=agent, label="notes/today", value="one\ntwo")
    url = f"/v1/agents/{agent.id}/core-memory/blocks/notes/today"
    assert api.get(url)["ETag"] == '"1"'
    api.patch(url, {"value": "one\n2"})
    merged = api.patch(url, {"value": "1\ntwo"}, **{"If-Match": '"1"'}).json()
    assert (merged["value"], merged["merged_with"]) == ("1\n2", 2)
    assert api.patch(url, {"value": "eins\ntwo", "base_version": 1}).status_code == 409


def test_versions_are_listed_newest_first_in_pages_and_read_by_number(api: Api, block: Block) -> None:
    for number in range(3):
        api.patch(f"/v1/blocks/{block.id}", {"value": str(number)})
    url = f"/v1/blocks/{block.id}/versions"
    first = api.get(url, limit=2).json()
    assert [version["version"] for version in first] == [5, 4]
    assert [each["version"] for each in api.get(url, after=first[-1]["id"]).json()] == [3, 2, 1]
    assert [each["version"] for each in api.get(url, order="asc", limit=2).json()] == [1, 2]
    assert first[0] == api.get(f"{url}/5").json()
    assert (first[0]["value"], first[0]["actor_kind"], first[0]["is_explained"]) == ("2", "local", True)
    assert (first[0]["base_version"], first[0]["unseen_dropped"], first[0]["is_merged"]) == (None, 0, False)
    assert api.get(f"{url}/6").status_code == 404
    assert api.get(f"{url}/{10**20}").status_code == 404
    assert {api.get(f"{url}/x").status_code, api.post(f"{url}/x/restore").status_code} == {422}


def test_two_versions_are_compared(api: Api, block: Block) -> None:
    url = f"/v1/blocks/{block.id}/versions/diff"
    diff = api.get(url, old=1, new=2).json()
    assert (diff["added"], diff["removed"], diff["fields"]) == (1, 1, {})
    assert [(line["op"], line["text"]) for line in diff["lines"]] == [
        ("same", "one"),
        ("same", "two"),
        ("del", "three"),
        ("add", "3"),
    ]
    assert api.get(url, old=1).status_code == 422
    assert api.get(url, old=1, new=7).status_code == 404


def test_blame_names_the_author_of_each_line(api: Api, block: Block) -> None:
    lines = api.get(f"/v1/blocks/{block.id}/versions/blame").json()
    assert [(line["line"], line["text"], line["author"]["version"]) for line in lines] == [
        (1, "one", 1),
        (2, "two", 1),
        (3, "3", 2),
    ]
    assert set(lines[0]["author"]) == set(AUTHOR.split())
    older = api.get(f"/v1/blocks/{block.id}/versions/blame", version=1).json()
    assert [line["text"] for line in older] == ["one", "two", "three"]
    Block.objects.update(value="one\nforged\n3")
    assert api.get(f"/v1/blocks/{block.id}/versions/blame").json()[1]["author"] is None


def test_verify_tells_what_was_changed_behind_our_back(api: Api, block: Block) -> None:
    url = f"/v1/blocks/{block.id}/versions"
    assert api.get(f"{url}/verify").json() == {"is_valid": True, "versions": 2, "problems": []}
    BlockVersion.objects.filter(number=1).update(value="forged")
    found = api.get(f"{url}/verify").json()
    assert (found["is_valid"], [(each["kind"], each["version"]) for each in found["problems"]]) == (
        False,
        [("altered", 1)],
    )
    assert api.get(f"{url}/1").json()["is_explained"] is False
    Block.objects.update(value="forged too")
    api.patch(f"/v1/blocks/{block.id}", {"value": "mine"})
    assert [(each["version"], each["is_explained"]) for each in api.get(url).json()] == [
        (4, True),
        (3, False),
        (2, True),
        (1, False),
    ]


def test_restore_undo_and_redo_make_versions(api: Api, block: Block) -> None:
    url = f"/v1/blocks/{block.id}/versions"
    assert api.post(f"{url}/1/restore", {"base_version": 2}).json()["value"] == "one\ntwo\nthree"
    assert api.post(f"{url}/undo").json()["value"] == "one\ntwo\n3"
    assert api.post(f"{url}/redo", {}).json()["version"] == 5
    assert api.post(f"{url}/redo").status_code == 409
    assert api.post(f"{url}/undo", {"base_version": 2}).json()["current_version"] == 5
    assert api.post(f"{url}/undo", None, **{"If-Match": '"2"'}).status_code == 409
    assert api.post(f"{url}/9/restore").status_code == 404
    acts = [(each["act"], each["restored_from"]) for each in api.get(url).json()]
    assert acts == [("redo", 3), ("undo", 2), ("restore", 1), ("write", None), ("write", None)]


def test_checkpoints_over_rest(api: Api, block: Block) -> None:
    url = f"/v1/blocks/{block.id}/versions/checkpoints"
    made = api.post(url, {"name": "Before the sale", "version": 1}).json()
    assert (made["name"], made["version"], made["block_id"]) == ("Before the sale", 1, block.id)
    assert api.get(url).json() == [made]
    assert api.post(url, {"name": "Before the sale"}).status_code == 409
    assert api.post(url, {"name": ""}).status_code == 422
    assert api.post(url, {"name": "x", "version": 9}).status_code == 404
    assert api.patch(f"{url}/{made['id']}", {"name": "Then"}).json() == {**made, "name": "Then"}
    assert api.post(f"{url}/{made['id']}/restore").json()["value"] == "one\ntwo\nthree"
    assert api.delete(f"{url}/{made['id']}").json() is None
    assert api.delete(f"{url}/{made['id']}").status_code == 404
    assert api.delete(f"{url}/x").status_code == 422


def test_the_history_of_another_workspaces_block_is_404(api: Api) -> None:
    foreign = make_block(workspace=make_workspace())
    url = f"/v1/blocks/{foreign.id}/versions"
    checkpoint = new_id("block_checkpoint")
    answers: list[Any] = [
        *(
            api.get(f"{url}{path}")
            for path in ("", "/1", "/diff?old=1&new=1", "/blame", "/verify", "/checkpoints")
        ),
        *(
            api.post(f"{url}{path}")
            for path in ("/1/restore", "/undo", "/redo", f"/checkpoints/{checkpoint}/restore")
        ),
        api.post(f"{url}/checkpoints", {"name": "x"}),
        api.patch(f"{url}/checkpoints/{checkpoint}", {"name": "x"}),
        api.delete(f"{url}/checkpoints/{checkpoint}"),
    ]
    assert {answer.status_code for answer in answers} == {404}
    assert Block.objects.get().version == 1
