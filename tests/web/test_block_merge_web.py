"""The merge screen: what it shows, what its answers make, and that no text is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from letta_ade.core.ids import new_id
from memory.models import Block, BlockVersion
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, BlockDraft, create_block, edit_block, update_block
from tests.support.factories import make_agent, make_agent_caller, make_caller
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

TEXT = "one\ntwo\nthree\nfour\nfive\nsix\nseven"


@pytest.fixture
def block(browser: Client) -> Block:
    """At v2, of which the first and the fifth line are the agent's."""
    block = create_block(caller=make_caller(), draft=BlockDraft(label="policies", value=TEXT, limit=200))
    they_write(block, ("one", "ONE"), ("five", "FIVE"))
    return block


def they_write(block: Block, *swaps: tuple[str, str]) -> None:
    def edit(value: str) -> str:
        for old, new in swaps:
            value = value.replace(old, new)
        return value

    keeper = make_agent_caller(make_agent(name="keeper"))
    edit_block(caller=keeper, block_id=block.id, edit=edit, origin=Origin(tool_name="memory_replace"))


def mine(**fields: Any) -> dict[str, Any]:
    """What I typed while I looked at v1."""
    value = TEXT.replace("one", "1").replace("seven", "7").replace("\n", "\r\n")
    return {"label": "policies", "limit": 200, "value": value, "base_version": 1} | fields


def answer(browser: Client, block: Block, **fields: Any) -> Any:
    return browser.post(f"/blocks/{block.id}/merge/", mine(theirs_version=2) | fields, follow=True)


def value_of(block: Block) -> str:
    return Block.objects.get(id=block.id).value


def test_a_clash_shows_the_three_texts_and_who_wrote_them(browser: Client, block: Block) -> None:
    response = browser.post(f"/blocks/{block.id}/", mine())
    page = Page(response.content.decode())
    words = " ".join(page.by_id("main").text.split())
    assert response.status_code == 409
    assert "Saved by keeper while you edited." in words
    assert "2 changes merged by themselves. 1 change touches what you changed, and needs you." in words
    assert "Line 1, both changed it." in words
    assert "Line 5, only keeper changed it. Merged." in words
    assert "Line 7, only you changed it. Merged." in words
    assert "Save merge, 1 left" in words
    assert "1− removedone1+ added12two Take yours" in words
    assert "1− removedone1+ addedONE2two Take theirs" in words
    assert [
        each.attributes["value"] for each in page.all("input") if each.attributes.get("type") == "radio"
    ] == [
        "mine",
        "theirs",
        "both",
        "text",
    ]
    assert value_of(block).startswith("ONE")


@pytest.mark.parametrize(
    ("answers", "first"),
    [
        ({"hunk_1": "mine"}, "1"),
        ({"hunk_1": "theirs"}, "ONE"),
        ({"hunk_1": "both"}, "1\nONE"),
        ({"hunk_1": "text", "text_1": "Uno\r\nDue"}, "Uno\nDue"),
        ({"text_1": "written without choosing"}, "written without choosing"),
    ],
)
def test_each_answer_makes_its_text(
    browser: Client, block: Block, answers: dict[str, str], first: str
) -> None:
    html = answer(browser, block, **answers).content.decode()
    assert value_of(block) == f"{first}\ntwo\nthree\nfour\nFIVE\nsix\n7"
    assert "Saved policies v3, merged with v2 by keeper" in html
    assert BlockVersion.objects.get(block=block, number=3).base_version == 2


def test_lines_that_are_written_empty_go(browser: Client, block: Block) -> None:
    answer(browser, block, hunk_1="text", text_1="")
    assert value_of(block) == "two\nthree\nfour\nFIVE\nsix\n7"


def test_what_merged_by_itself_can_be_undone(browser: Client, block: Block) -> None:
    answer(browser, block, hunk_1="mine", undo_2="on", undo_3="on")
    assert value_of(block) == TEXT.replace("one", "1")


def test_an_open_clash_is_not_saved_and_keeps_all_answers(browser: Client, block: Block) -> None:
    response = answer(browser, block, undo_2="on")
    page = Page(response.content.decode())
    assert response.status_code == 422
    assert "Save merge, 1 left" in page.by_id("main").text
    checked = [each.attributes["name"] for each in page.all("input") if "checked" in each.attributes]
    assert checked == ["undo_2"]
    kept = next(each for each in page.all("textarea") if each.attributes["name"] == "value")
    assert kept.text.lstrip("\n") == mine()["value"].replace("\r\n", "\n")
    assert value_of(block).startswith("ONE")


def test_a_third_save_in_between_that_clashes_brings_the_screen_again(browser: Client, block: Block) -> None:
    they_write(block, ("ONE", "Eins"), ("three", "THREE"))
    response = answer(browser, block, hunk_1="text", text_1="Uno")
    page = Page(response.content.decode())
    words = " ".join(page.by_id("main").text.split())
    assert response.status_code == 409
    assert "Uno" in words
    assert "Eins" in words
    hidden = {each.attributes.get("name"): each.attributes.get("value") for each in page.all("input")}
    assert (hidden["base_version"], hidden["theirs_version"]) == ("2", "3")
    kept = next(each for each in page.all("textarea") if each.attributes["name"] == "value").text.lstrip("\n")
    assert kept == "Uno\ntwo\nthree\nfour\nFIVE\nsix\n7"
    again = {"base_version": 2, "theirs_version": 3, "value": kept, "hunk_1": "both"}
    answer(browser, block, **again)
    assert value_of(block) == "Uno\nEins\ntwo\nTHREE\nfour\nFIVE\nsix\n7"


def test_a_third_save_of_other_lines_is_merged_too(browser: Client, block: Block) -> None:
    they_write(block, ("three", "THREE"))
    answer(browser, block, hunk_1="mine")
    assert value_of(block) == "1\ntwo\nTHREE\nfour\nFIVE\nsix\n7"


def test_other_fields_that_clash_are_asked_for(browser: Client, block: Block) -> None:
    changes = BlockChanges(description="Theirs", limit=300)
    update_block(caller=make_caller(), block_id=block.id, changes=changes)
    fields = mine(description="Mine", limit=400, value=TEXT.replace("seven", "7"))
    words = " ".join(browser.post(f"/blocks/{block.id}/", fields).content.decode().split())
    assert "Description, both changed it." in words
    assert "Limit, both changed it." in words
    assert "Save merge, 2 left" in words
    merge = fields | {"theirs_version": 3, "field_description": "mine", "field_limit": "theirs"}
    browser.post(f"/blocks/{block.id}/merge/", merge)
    saved = Block.objects.get(id=block.id)
    assert (saved.description, saved.limit, saved.label) == ("Mine", 300, "policies")
    assert saved.value == TEXT.replace("one", "ONE").replace("five", "FIVE").replace("seven", "7")


def test_a_merge_over_the_limit_is_said_and_kept(browser: Client, block: Block) -> None:
    response = answer(browser, block, hunk_1="text", text_1="x" * 300)
    assert response.status_code == 422
    assert "its limit is 200" in response.content.decode()
    assert "x" * 300 in response.content.decode()


def test_what_was_written_without_a_version_is_a_side_too(browser: Client, block: Block) -> None:
    Block.objects.filter(id=block.id).update(value=TEXT.replace("one", "forged"))
    response = browser.post(f"/blocks/{block.id}/", mine(base_version=2))
    words = " ".join(response.content.decode().split())
    assert response.status_code == 409
    assert "Saved by Unknown while you edited." in words
    assert "forged" in words


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"theirs_version": ""}, 409),
        ({"theirs_version": "9"}, 404),
        ({"base_version": "9"}, 422),
        ({"base_version": ""}, 422),
        ({"limit": "many"}, 422),
    ],
)
def test_a_bad_answer_is_refused(browser: Client, block: Block, fields: dict[str, Any], status: int) -> None:
    assert answer(browser, block, hunk_1="mine", **fields).status_code == status
    assert value_of(block).startswith("ONE")


def test_its_address_alone_leads_to_the_block(browser: Client, block: Block) -> None:
    response = browser.get(f"/blocks/{block.id}/merge/")
    assert response.headers["Location"] == f"/blocks/{block.id}/"
    assert browser.get(f"/blocks/{new_id('block')}/merge/").status_code == 404


def test_who_may_only_read_merges_nothing(sign_in: SignIn, block: Block) -> None:
    response = sign_in("viewer").post(f"/blocks/{block.id}/merge/", mine(theirs_version=2, hunk_1="mine"))
    assert response.status_code == 403
    assert value_of(block).startswith("ONE")
