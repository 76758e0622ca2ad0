"""The merge screen without its script: what it shows, what it keeps, what it saves."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from memory.models import Block, BlockVersion
from memory.services.block_versions import verify_block
from memory.services.blocks import BlockChanges, update_block
from tests.support.factories import make_agent, make_agent_caller, make_block, make_workspace
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

BASE = "one\ntwo\nthree\nfour\nfive\nsix\nseven"
THEIRS = "ONE\ntwo\nthree\nFOUR (theirs)\nfive\nsix\nseven"
MINE = "one\ntwo\nthree\nfour (mine)\nfive\nsix\nseven\neight"
CHANGED = "ONE\ntwo\nthree\n{}\nfive\nsix\nseven\neight"


@pytest.fixture
def block() -> Block:
    """At version 2, which an agent saved while the person typed."""
    agent = make_agent(name="librarian")
    block = make_block(agent=agent, label="policies", value=BASE, limit=500)
    write(block, THEIRS)
    return block


def write(block: Block, value: str, **fields: object) -> None:
    caller = make_agent_caller(block.agents.get())
    changes = BlockChanges(value=value, **fields)  # type: ignore[arg-type]  # fields of any change
    update_block(caller=caller, block_id=block.id, changes=changes)
    block.refresh_from_db()


def save(browser: Client, block: Block, **fields: object) -> Any:
    form = {
        "label": "policies",
        "limit": 500,
        "value": MINE.replace("\n", "\r\n"),
        "base_version": 1,
        **fields,
    }
    return browser.post(f"/blocks/{block.id}/", form)


def form_of(response: Any) -> dict[str, str]:
    """What a browser would send of the screen."""
    page = Page(response.content.decode())
    sent = {}
    for element in page.elements:
        name = element.attributes.get("name", "")
        if not name:
            continue
        if element.tag == "textarea":
            # A browser leaves the first line end of a textarea out.
            sent[name] = element.text.removeprefix("\n").replace("\n", "\r\n")
        elif element.tag == "input" and element.attributes.get("type") in ("hidden", "text"):
            sent[name] = element.attributes.get("value", "")
        elif element.tag == "input" and "checked" in element.attributes:
            sent[name] = element.attributes["value"]
    return sent


def merge(browser: Client, block: Block, form: dict[str, str], **choices: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in choices.items()}
    return browser.post(f"/blocks/{block.id}/merge/", {**form, **named})


def test_a_clash_opens_the_screen_with_every_place_and_loses_nothing(browser: Client, block: Block) -> None:
    response = save(browser, block)
    html = response.content.decode()
    assert response.status_code == 409
    assert "librarian saved v2 while you edited." in html
    assert "2 changes merged by themselves. 1 place was changed by both of you." in html
    assert "data-open-count>1 left</span>" in html
    assert "Line 4, both changed it." in html
    assert form_of(response)["value"].replace("\r", "") == MINE
    assert Block.objects.get().value == THEIRS


@pytest.mark.parametrize(
    ("choices", "line"),
    [
        ({"place_1": "mine"}, "four (mine)"),
        ({"place_1": "theirs"}, "FOUR (theirs)"),
        ({"place_1": "both"}, "four (mine)\nFOUR (theirs)"),
        ({"place_1": "own", "text_1": "4\r\nand a half"}, "4\nand a half"),
    ],
)
def test_each_choice_is_saved_as_one_version_that_follows_theirs(
    browser: Client, block: Block, choices: dict[str, str], line: str
) -> None:
    response = merge(browser, block, form_of(save(browser, block)), **choices)
    assert response.status_code == 302
    assert Block.objects.get().value == CHANGED.format(line)
    version = BlockVersion.objects.get(number=3)
    assert (version.base_version, version.unseen_dropped) == (2, 0)
    assert verify_block(Block.objects.get()) == []


def test_a_written_place_may_be_empty_and_a_merged_one_may_be_undone(browser: Client, block: Block) -> None:
    form = form_of(save(browser, block))
    merge(browser, block, form, place_1="own", text_1="", place_0="base", place_2="base")
    assert Block.objects.get().value == "one\ntwo\nthree\nfive\nsix\nseven"


def test_without_a_choice_the_screen_comes_again_with_what_was_chosen(browser: Client, block: Block) -> None:
    form = form_of(save(browser, block))
    response = merge(browser, block, form, place_0="base", text_1="half written")
    assert response.status_code == 422
    assert "1 place is not settled yet." in response.content.decode()
    again = form_of(response)
    assert (again["place-0"], again["text-1"], "place-1" in again) == ("base", "half written", False)
    assert Block.objects.get().version == 2
    assert merge(browser, block, form, place_1="nonsense").status_code == 422


def test_a_third_save_in_between_merges_or_brings_the_next_screen(browser: Client, block: Block) -> None:
    form = form_of(save(browser, block))
    write(block, THEIRS.replace("FOUR (theirs)", "4!").replace("six", "SIX"))
    response = merge(browser, block, form, place_1="mine")
    assert response.status_code == 409
    assert "librarian saved v3 while you edited." in response.content.decode()
    again = form_of(response)
    assert again["value"].replace("\r", "") == CHANGED.format("four (mine)")
    assert merge(browser, block, again, place_0="both").status_code == 302
    assert Block.objects.get().value == "ONE\ntwo\nthree\nfour (mine)\n4!\nfive\nSIX\nseven\neight"


def test_other_fields_that_both_changed_are_chosen_too(browser: Client, block: Block) -> None:
    write(block, THEIRS, description="theirs", limit=400)
    response = save(browser, block, description="mine", limit=500, value=BASE.replace("\n", "\r\n"))
    html = response.content.decode()
    assert response.status_code == 409
    assert "Description, both changed it." in html
    assert "Limit, both" not in html
    form = form_of(response)
    assert merge(browser, block, form).status_code == 422
    assert merge(browser, block, form, field_description="theirs").status_code == 302
    saved = Block.objects.get()
    assert (saved.description, saved.limit, saved.value) == ("theirs", 400, THEIRS)


def test_what_was_written_behind_our_back_can_be_merged_with(browser: Client, block: Block) -> None:
    Block.objects.update(value=THEIRS.replace("FOUR (theirs)", "forged"))
    response = save(browser, block)
    assert response.status_code == 409
    assert "forged" in response.content.decode()
    assert merge(browser, block, form_of(response), place_1="mine").status_code == 302
    assert Block.objects.get().value == CHANGED.format("four (mine)")


def test_markup_in_the_lines_stays_text(browser: Client, block: Block) -> None:
    evil = "</textarea><script>alert(1)</script>"
    response = save(browser, block, value=MINE.replace("four (mine)", evil))
    html = response.content.decode()
    assert "<script>alert(1)" not in html
    merge(browser, block, form_of(response), place_1="mine")
    assert evil in Block.objects.get().value


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"base": ""}, 400),
        ({"base": "x"}, 400),
        ({"theirs": "99"}, 404),
        ({"limit": "many", "place-1": "mine"}, 422),
        ({"label": "", "place-1": "mine"}, 422),
        ({"place-1": "own", "text-1": "x" * 600}, 422),
        ({"place-1": "own", "text-1": "a\0b"}, 422),
    ],
)
def test_a_broken_form_is_refused_and_writes_nothing(
    browser: Client, block: Block, changes: dict[str, str], status: int
) -> None:
    form = form_of(save(browser, block))
    assert browser.post(f"/blocks/{block.id}/merge/", {**form, **changes}).status_code == status
    assert Block.objects.get().version == 2


def test_only_editors_of_the_workspace_merge(sign_in: SignIn, browser: Client, block: Block) -> None:
    form = form_of(save(browser, block))
    other = make_block(workspace=make_workspace(), value=BASE)
    assert browser.post(f"/blocks/{other.id}/merge/", form).status_code == 404
    reader = sign_in("reviewer")
    assert reader.post(f"/blocks/{block.id}/merge/", form).status_code == 403
