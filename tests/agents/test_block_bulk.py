"""One change to many blocks, over REST and in the page."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from agents.services import block_bulk
from agents.services.block_bulk import BulkAction, BulkRequest, change_blocks
from letta_ade.core.errors import Unprocessable
from letta_ade.core.ids import new_id
from memory.models import Block
from tests.support.api import Api
from tests.support.factories import (
    attach_block,
    local_workspace,
    make_agent,
    make_block,
    make_caller,
    make_workspace,
)

pytestmark = pytest.mark.django_db


def send(action: str, *blocks: Block | str, **fields: Any) -> Any:
    ids = [block if isinstance(block, str) else block.id for block in blocks]
    return Api().post("/v1/blocks/bulk", {"action": action, "block_ids": ids, **fields})


@pytest.fixture
def browser() -> Client:
    local_workspace()
    return Client(headers={"host": "localhost:8283"})


def test_an_agent_with_a_block_of_that_label_is_reported_and_the_others_get_it() -> None:
    first, second = make_agent(), make_agent()
    make_block(agent=first, label="notes")
    block, other = make_block(label="notes"), make_block(agent=second, label="other")
    answer = send("attach", block, other, agent_ids=[first.id, second.id]).json()
    assert [(each["label"], each["agent_id"] == first.id, each["outcome"]) for each in answer["results"]] == [
        ("notes", True, "refused"),
        ("notes", False, "done"),
        ("other", True, "done"),
        ("other", False, "unchanged"),
    ]
    assert "two blocks with the label 'notes'" in answer["results"][0]["message"]
    assert set(second.blocks.values_list("id", flat=True)) == {block.id, other.id}


def test_blocks_are_detached_where_they_are_held() -> None:
    agent, block = make_agent(), make_block()
    attach_block(agent, block)
    for outcome in ("done", "unchanged"):
        assert send("detach", block, agent_ids=[agent.id]).json()[outcome] == 1
    assert not agent.blocks.exists()


def test_tags_and_read_only() -> None:
    one, two = make_block(tags=("x",)), make_block()
    assert send("add_tag", one, two, tag="x").json()["done"] == 1
    assert send("set_read_only", one, two).json()["done"] == 2
    assert send("set_read_only", one).json()["unchanged"] == 1
    two.refresh_from_db()
    assert (two.tags, two.read_only) == (["x"], True)
    assert send("remove_tag", one, two, tag="x").json()["done"] == 2
    assert send("set_editable", one).json()["done"] == 1


def test_what_is_not_there_or_not_ours_is_refused_alone() -> None:
    mine, foreign = make_block(), make_block(workspace=make_workspace())
    answer = send("delete", foreign, new_id("block"), mine).json()
    assert [each["outcome"] for each in answer["results"]] == ["refused", "refused", "done"]
    assert list(Block.objects.all()) == [foreign]
    agent = make_agent()
    assert send("detach", foreign, agent_ids=[agent.id]).json()["refused"] == 1


@pytest.mark.parametrize(
    ("action", "fields"),
    [
        ("attach", {}),
        ("add_tag", {"tag": " "}),
        ("explode", {}),
    ],
)
def test_requests_that_cannot_be_are_refused(action: str, fields: dict[str, Any]) -> None:
    assert send(action, make_block(), **fields).status_code == 422


@pytest.mark.parametrize("fields", [{"tag": "a\0"}, {"tag": "x", "agent_ids": ("\0",)}])
def test_a_text_that_cannot_be_stored_is_refused(fields: dict[str, Any]) -> None:
    request = BulkRequest(action=BulkAction.ADD_TAG, block_ids=(make_block().id,), **fields)
    with pytest.raises(Unprocessable, match="character"):
        change_blocks(caller=make_caller(), request=request)


def test_too_many_at_once_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert send("delete").status_code == 422
    monkeypatch.setattr(block_bulk, "MOST_BLOCKS", 1)
    assert send("delete", make_block(), make_block()).status_code == 422
    assert Block.objects.count() == 2


def test_the_page_names_what_holds_the_blocks_and_deletes_only_what_it_showed(browser: Client) -> None:
    agent = make_agent(name="Night desk")
    block = make_block(agent=agent, label="held/one")
    html = browser.post("/blocks/selected/change/", {"all": "1", "query": "q=held"}).content.decode()
    assert "held by Night desk" in html
    assert "1 block is held by agents" in html
    assert f'name="block" value="{block.id}"' in html
    later = make_block(label="held/later")
    html = browser.post(
        "/blocks/selected/change/", {"block": [block.id], "action": "delete"}
    ).content.decode()
    assert "Delete: 1 done, 0 unchanged, 0 refused" in html
    assert list(Block.objects.all()) == [later]


def test_the_page_keeps_the_choice_when_an_agent_is_missing(browser: Client) -> None:
    block = make_block()
    answer = browser.post("/blocks/selected/change/", {"block": [block.id], "action": "attach"})
    assert answer.status_code == 422
    assert "attach needs at least one agent." in answer.content.decode()
    for sent in ({"block": ["\0"]}, {}):
        assert browser.post("/blocks/selected/change/", sent).status_code == 302
    answer = browser.post("/blocks/selected/change/", {"block": [block.id], "action": "explode"})
    assert answer.status_code == 422
