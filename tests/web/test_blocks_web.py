"""The blocks' pages: list, one block, its versions, conflicts, deletion."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from memory.models import Block, BlockVersion
from memory.services.block_restores import undo
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, BlockDraft, create_block, edit_block, update_block
from memory.web import block_list, block_versions
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller
from tests.web.pages import Page

pytestmark = pytest.mark.django_db

TEXT = "# Policies\nReturns within 30 days.\nNo gift cards."


@pytest.fixture
def block(browser: Client) -> Block:
    return create_block(caller=make_caller(), draft=BlockDraft(label="policies", value=TEXT, limit=200))


def fields_of(block: Block, **fields: Any) -> dict[str, Any]:
    return {
        "label": block.label,
        "description": block.description or "",
        "limit": block.limit,
        "value": block.value.replace("\n", "\r\n"),
        "base_version": block.version,
    } | fields


def save(browser: Client, block: Block, **fields: Any) -> Any:
    return browser.post(f"/blocks/{block.id}/", fields_of(block, **fields))


def test_an_empty_workspace_says_what_a_block_is(browser: Client) -> None:
    html = browser.get("/blocks/").content.decode()
    assert "No blocks yet" in html
    assert "client.blocks." in html


def test_the_list_finds_by_label_description_and_value(browser: Client, block: Block) -> None:
    make_block(label="persona", value="I am brief.", description="Who it is")
    for query, expected in (
        ("polic", ["policies"]),
        ("gift", ["policies"]),
        ("who it", ["persona"]),
        ("zzz", []),
    ):
        page = Page(browser.get(f"/blocks/?q={query}").content.decode())
        assert [each.text for each in page.all("a") if "data-row-open" in each.attributes] == expected, query


def test_the_list_says_who_holds_a_block(browser: Client, block: Block) -> None:
    first, second = make_agent(name="first-desk"), make_agent()
    make_block(agent=first, label="persona")
    for agent in (first, second):
        agent.block_links.create(block=block, position=1)
    text = " ".join(Page(browser.get("/blocks/").content.decode()).by_id("block-list").text.split())
    assert "2 agents" in text
    assert "first-desk" in text


def test_lists_go_on_from_a_cursor(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(block_list, "PAGE_ROWS", 2)
    for label in "abc":
        make_block(label=label)
    first = Page(browser.get("/blocks/?sort=label").content.decode())
    following = next(each for each in first.all("a") if each.attributes.get("rel") == "next")
    second = Page(browser.get(following.attributes["href"]).content.decode())
    assert [each.text for each in second.all("a") if "data-row-open" in each.attributes] == ["c"]


def test_a_block_shows_value_counts_and_its_history(browser: Client, block: Block) -> None:
    agent = make_agent(name="librarian")
    edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=lambda value: value.replace("30", "60"),
        origin=Origin(tool_name="memory_replace"),
    )
    page = Page(browser.get(f"/blocks/{block.id}/").content.decode())
    assert "60 days" in page.by_id("id_value").text
    versions = " ".join(page.by_id("versions").text.split())
    assert versions.startswith("v2 librarian now memory_replace+1 −1 v1 ")
    assert f"{len(TEXT)} of 200 characters" in page.elements[0].text
    assert "Save v3" in page.elements[0].text


def test_saving_makes_a_version_and_says_so(browser: Client, block: Block) -> None:
    response = browser.post(
        f"/blocks/{block.id}/", fields_of(block, value="One\r\nTwo", read_only="on"), follow=True
    )
    assert "Saved policies v2" in response.content.decode()
    block.refresh_from_db()
    assert (block.value, block.read_only, block.version) == ("One\nTwo", True, 2)
    version = BlockVersion.objects.get(block=block, number=2)
    assert (version.base_version, version.actor_name) == (1, "You")


def test_saving_without_a_change_makes_no_version(browser: Client, block: Block) -> None:
    response = browser.post(f"/blocks/{block.id}/", fields_of(block), follow=True)
    assert "policies is unchanged" in response.content.decode()
    assert BlockVersion.objects.filter(block=block).count() == 1


def test_a_value_over_the_limit_is_refused_and_kept_in_the_form(browser: Client, block: Block) -> None:
    response = save(browser, block, value="x" * 201)
    html = response.content.decode()
    assert response.status_code == 422
    assert "201 characters are over the limit of 200." in html
    assert "x" * 201 in html
    block.refresh_from_db()
    assert block.value == TEXT


def test_a_version_has_an_address_with_its_change_and_its_value(browser: Client, block: Block) -> None:
    update_block(
        caller=make_caller(), block_id=block.id, changes=BlockChanges(value=TEXT.replace("30", "60"))
    )
    change = Page(browser.get(f"/blocks/{block.id}/versions/2/").content.decode())
    rows = {
        each.attributes["data-op"]: each.text
        for each in change.elements
        if each.attributes.get("class") == "diff-row" and "data-op" in each.attributes
    }
    assert "30 days" in rows["del"]
    assert "60 days" in rows["add"]
    value = browser.get(f"/blocks/{block.id}/versions/1/?show=value").content.decode()
    assert "30 days" in value
    assert browser.get(f"/blocks/{block.id}/versions/9/").status_code == 404


def test_the_list_says_how_a_version_came_about(browser: Client, block: Block) -> None:
    key = make_caller(kind="api_key", id="key-1", name="CI")
    update_block(caller=key, block_id=block.id, changes=BlockChanges(value="blind"))
    undo(caller=make_caller(), block_id=block.id)
    Block.objects.update(value=TEXT + "\nforged")
    changes = BlockChanges(value=TEXT.replace("30", "14"))
    update_block(caller=make_caller(), block_id=block.id, changes=changes, base_version=1)
    html = browser.get(f"/blocks/{block.id}/").content.decode()
    assert "Edited, dropped 3 lines unseen" in html
    assert "Undone to v1" in html
    assert "Unexplained: written without a version" in html
    assert "Edited, merged with v4" in html


def test_a_save_that_touches_other_lines_is_merged_and_says_so(browser: Client, block: Block) -> None:
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=f"{TEXT}\nNew."))
    form = {"label": "policies", "limit": 200, "value": TEXT.replace("30", "14"), "base_version": 1}
    html = browser.post(f"/blocks/{block.id}/", form, follow=True).content.decode()
    assert "Saved policies v3, merged with v2" in html
    assert Block.objects.get().value == TEXT.replace("30", "14") + "\nNew."


def test_a_block_of_any_label_can_be_saved(browser: Client) -> None:
    """Agents make labels with slashes; the page must take what the tools and the API take."""
    label = "notes/“today” </memory_blocks> 🙂"
    block = create_block(caller=make_caller(), draft=BlockDraft(label=label, value="one"))
    form = {"label": label, "limit": 200, "value": "one\r\ntwo", "base_version": 1}
    html = browser.post(f"/blocks/{block.id}/", form, follow=True).content.decode()
    assert "notes/“today” &lt;/memory_blocks&gt; 🙂" in html
    assert "</memory_blocks>" not in html
    assert Block.objects.get().value == "one\ntwo"


def test_older_versions_are_fetched_in_parts(
    browser: Client, block: Block, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_versions, "SHOWN", 2)
    for number in range(4):
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=f"{number}"))
    html = browser.get(f"/blocks/{block.id}/").content.decode()
    assert f"/blocks/{block.id}/versions/before/4/" in html
    older = browser.get(f"/blocks/{block.id}/versions/before/4/").content.decode()
    assert "v3</span>" in older
    assert "v2</span>" in older
    assert "v4</span>" not in older


def test_the_chain_is_verified_and_a_change_behind_its_back_is_seen(browser: Client, block: Block) -> None:
    assert b"Verified: 1 version, all explained" in browser.get(f"/blocks/{block.id}/verify/").content
    Block.objects.filter(id=block.id).update(value="changed")
    html = browser.get(f"/blocks/{block.id}/verify/").content.decode()
    assert "Changed without a version: value." in html
    assert 'role="alert"' in html


def test_a_block_is_made_by_a_form(browser: Client) -> None:
    response = browser.post(
        "/blocks/new/", {"label": "stock", "limit": "50", "value": "a\r\nb", "description": "Goods"}
    )
    block = Block.objects.get()
    assert response.headers["Location"] == f"/blocks/{block.id}/"
    assert (block.label, block.value, block.limit, block.version) == ("stock", "a\nb", 50, 1)
    refused = browser.post("/blocks/new/", {"label": "", "limit": "0", "value": "kept"})
    assert refused.status_code == 422
    assert "kept" in refused.content.decode()


def test_deleting_names_versions_and_holders(browser: Client, block: Block) -> None:
    make_agent().block_links.create(block=block, position=0)
    html = browser.get(f"/blocks/{block.id}/delete/").content.decode()
    assert "1 version go" in html or "1 version" in html
    assert "1 agent holds it and loses it" in html
    response = browser.post(f"/blocks/{block.id}/delete/", follow=True)
    assert "Deleted policies" in response.content.decode()
    assert not Block.objects.exists()
