"""A block in real browsers: two people edit it at once, and a line is followed back to the words that caused it."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from memory.models import Block
from memory.services.block_versions import verify_block
from memory.services.blocks import BlockChanges, BlockDraft, create_block, update_block
from tests.browser.conftest import OpenPages
from tests.support.factories import make_caller
from tests.support.server import RunningServer, wait_until_quiet

BASE = "Returns: 60 days.\nLabels: free.\nPhotos: above 150 EUR.\nRefunds: at once."


@pytest.fixture
def block(server: RunningServer) -> Block:
    return create_block(caller=make_caller(), draft=BlockDraft(label="policies", value=BASE))


def value(page: Page) -> Any:
    return page.get_by_role("textbox", name="Value")


def type_instead(page: Page, old: str, new: str) -> None:
    value(page).fill(value(page).input_value().replace(old, new))


def test_two_people_edit_one_block_merge_and_settle_a_conflict(open_page: OpenPages, block: Block) -> None:
    address = f"/blocks/{block.id}/?view=edit"
    with open_page(address) as ada, open_page(address) as bob:
        # Before Ada saves: a page in which nobody typed follows what is saved.
        type_instead(bob, "free", "free in the EU")
        type_instead(ada, "60 days", "90 days")
        ada.keyboard.press("Control+s")
        expect(ada.get_by_text("Saved policies v2")).to_be_visible()
        bob.keyboard.press("Control+s")
        expect(bob.get_by_text("Saved policies v3, merged with v2")).to_be_visible()
        # Both changed other lines: nobody was asked anything. Now they change the same one.
        ada.goto(address)
        bob.goto(address)
        type_instead(bob, "above 150 EUR", "never")
        type_instead(ada, "above 150 EUR", "above 200 EUR")
        ada.keyboard.press("Control+s")
        expect(ada.get_by_text("Saved policies v4")).to_be_visible()
        bob.keyboard.press("Control+s")
        expect(bob.get_by_text("saved v4 while you edited.")).to_be_visible()
        settle(bob)
        expect(bob.get_by_text("Saved policies v5, merged with v4")).to_be_visible()
        expect(bob.locator(".blame-t").nth(2)).to_have_text("Photos: above 200 EUR, one is enough.")
    assert Block.objects.get().value == (
        "Returns: 90 days.\nLabels: free in the EU.\nPhotos: above 200 EUR, one is enough.\nRefunds: at once."
    )
    assert verify_block(Block.objects.get()) == []


def settle(page: Page) -> None:
    """By keys: theirs, mine, then lines of one's own."""
    result = page.get_by_role("textbox", name="Result of line 3")
    count = page.locator("[data-open-count]")
    expect(count).to_have_text("1 left")
    page.keyboard.press("2")
    expect(result).to_have_value("Photos: above 200 EUR.")
    expect(count).to_be_hidden()
    page.keyboard.press("1")
    expect(result).to_have_value("Photos: never.")
    result.fill("Photos: above 200 EUR, one is enough.")
    expect(page.get_by_role("radio", name="As written here:")).to_be_checked()
    page.get_by_role("button", name="Save merge").click()


def test_a_line_leads_to_the_message_that_wrote_it(open_page: OpenPages, sdk: Letta, block: Block) -> None:
    agent = sdk.agents.create(
        name="desk", model="demo/assistant", block_ids=[block.id], tools=["memory_insert"]
    )
    words = '/call memory_insert {"label": "policies", "new_string": "Klarna: wait two days."}'
    sdk.agents.messages.create(agent.id, input=f"The invoice still says 129.\n{words}")
    wait_until_quiet()
    with open_page(f"/blocks/{block.id}/") as page:
        row = page.locator(".blame-row", has_text="Klarna: wait two days.")
        row.locator("a.blame-v").focus()
        page.keyboard.press("Enter")
        card = page.locator(".blame-card")
        expect(card).to_contain_text("desk wrote this with memory_insert, after “The invoice still says 129.")
        page.keyboard.press("Enter")
        expect(card).to_have_count(0)
        page.keyboard.press("Enter")
        card.get_by_role("link", name="Go to message").click()
        expect(page.locator("h1")).to_have_text("desk")
        page.go_back()
        page.get_by_label("Written by").select_option(label="desk")
        page.get_by_role("link", name="Take out what they wrote…").click()
        page.get_by_role("button", name="Take out, as v3").click()
        expect(page.get_by_text("policies v3: 1 write taken out")).to_be_visible()
    assert Block.objects.get().value == BASE


def test_what_is_not_saved_is_compared_and_kept_by_every_view(open_page: OpenPages, block: Block) -> None:
    with open_page(f"/blocks/{block.id}/") as page:
        page.keyboard.press("e")
        type_instead(page, "60 days", "14 days")
        page.get_by_role("link", name="Diff").click()
        expect(page.locator("#view-diff [data-op=add]")).to_contain_text("Returns: 14 days.")
        page.keyboard.press("b")
        expect(page.locator("#view-blame .blame-t").first).to_have_text("Returns: 60 days.")
        page.keyboard.press("e")
        expect(value(page)).to_have_value(BASE.replace("60", "14"))
        page.keyboard.press("Control+s")
        expect(page.get_by_text("Saved policies v2")).to_be_visible()


def test_what_is_typed_survives_a_reload_and_is_saved_from_its_base(
    open_page: OpenPages, block: Block
) -> None:
    mine, theirs = f"{BASE}\nMine.", BASE.replace("60 days", "90 days")
    with open_page(f"/blocks/{block.id}/?view=edit") as page:
        page.on("dialog", lambda dialog: dialog.accept())
        value(page).fill(mine)
        update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=theirs))
        page.reload()
        expect(value(page)).to_have_value(theirs)
        note = page.locator("[data-draft-note]")
        expect(note).to_contain_text("What you typed from v1 was not saved.")
        page.get_by_role("button", name="Put it back").click()
        expect(value(page)).to_have_value(mine)
        page.keyboard.press("Control+s")
        expect(page.locator(".notice")).to_contain_text("Saved policies v3, merged with v2")
        expect(note).to_be_hidden()
    block.refresh_from_db()
    assert block.value == f"{theirs}\nMine."
