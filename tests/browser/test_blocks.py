"""Two people at one block: what merges by itself, what they settle, and that nothing typed is lost on the way."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPages

TEXT = "# Returns\n60 days.\n\n# Refunds\nUp to 80 EUR.\n\n# Tone\nShort and kind."


@pytest.fixture
def block(sdk: Letta) -> Any:
    return sdk.blocks.create(label="policies", value=TEXT, limit=1000)


def change(page: Page, old: str, new: str) -> None:
    page.fill("#id_value", page.input_value("#id_value").replace(old, new))


def save(page: Page) -> None:
    page.locator("#id_value").press("Control+s")


def test_two_people_edit_one_block_and_settle_where_they_clash(
    open_page: OpenPages, sdk: Letta, block: Any
) -> None:
    path = f"/blocks/{block.id}/"
    with open_page(path) as mine, open_page(path) as theirs:
        change(mine, "60 days", "30 days")
        change(theirs, "kind", "warm")
        save(theirs)
        expect(theirs.locator(".notice")).to_contain_text("Saved policies v2")
        save(mine)
        expect(mine.locator(".notice")).to_contain_text("Saved policies v3, merged with v2 by You")
        expect(mine.locator("#id_value")).to_have_value(
            TEXT.replace("60 days", "30 days").replace("kind", "warm")
        )

        # They still look at v2, and want the line that changed.
        change(theirs, "60 days", "90 days")
        change(theirs, "80 EUR", "100 EUR")
        save(theirs)
        expect(theirs.locator("[data-merge-save]")).to_have_text("Save merge, 1 left")
        expect(theirs.locator("[data-merge-save]")).to_be_disabled()
        expect(theirs.locator(".merge-place").first).to_contain_text("Line 2, both changed it.")

        # A third save comes in between, in the same line.
        change(mine, "30 days", "31 days")
        save(mine)
        expect(mine.locator(".notice")).to_contain_text("Saved policies v4")
        theirs.keyboard.press("3")
        expect(theirs.locator("[data-merge-save]")).to_have_text("Save merge")
        theirs.locator("[data-merge-save]").click()
        expect(theirs.locator(".merge-heads")).to_contain_text("v4")
        expect(theirs.locator("textarea[name=text_1]")).to_have_value("90 days.\n30 days.")
        theirs.fill("textarea[name=text_1]", "45 days.")
        theirs.locator("[data-merge-save]").click()
        expect(theirs.locator(".notice")).to_contain_text("Saved policies v5")
    value = sdk.blocks.retrieve(block.id).value
    assert value == TEXT.replace("60", "45").replace("80 EUR", "100 EUR").replace("kind", "warm")


def test_what_is_typed_survives_a_reload_and_is_saved_from_its_base(
    open_page: OpenPages, sdk: Letta, block: Any
) -> None:
    with open_page(f"/blocks/{block.id}/") as page:
        change(page, "60 days", "30 days")
        sdk.blocks.update(block.id, value=TEXT.replace("kind", "warm"))
        page.on("dialog", lambda dialog: dialog.accept())
        page.reload()
        expect(page.locator("[data-draft-note]")).to_contain_text("What you typed from v1 was not saved.")
        page.get_by_role("button", name="Put it back").click()
        expect(page.locator("#id_value")).to_have_value(TEXT.replace("60 days", "30 days"))
        save(page)
        expect(page.locator(".notice")).to_contain_text("Saved policies v3, merged with v2")
        expect(page.locator("[data-draft-note]")).to_be_hidden()
    assert sdk.blocks.retrieve(block.id).value == TEXT.replace("60 days", "30 days").replace("kind", "warm")


def test_blame_is_reached_by_keys_and_leads_to_the_message(
    open_page: OpenPages, sdk: Letta, block: Any
) -> None:
    agent = sdk.agents.create(name="billing-desk", model="demo/assistant", block_ids=[block.id])
    arguments = '{"label": "policies", "old_string": "80 EUR", "new_string": "90 EUR"}'
    sdk.agents.messages.create(agent.id, input=f"/call memory_replace {arguments}")
    with open_page(f"/blocks/{block.id}/") as page:
        change(page, "kind", "warm")
        page.locator("[data-view=blame]").click()
        expect(page.locator(".blame-row[data-op=add]")).to_contain_text("Short and warm.")
        head = page.locator(".blame-v", has_text="v2")
        head.focus()
        page.keyboard.press("Enter")
        card = page.locator(".blame-card")
        expect(card).to_contain_text("billing-desk wrote this in step 1 with memory_replace, after “/call")
        page.keyboard.press("Enter")
        expect(card).to_have_count(0)
        page.locator(".blame-row", has_text="Up to 90 EUR.").locator(".blame-t").click()
        address = card.get_by_role("link", name="Go to message").get_attribute("href") or ""
        page.locator("[data-view=edit]").click()
        expect(page.locator("#id_value")).to_have_value(TEXT.replace("80", "90").replace("kind", "warm"))
        save(page)
        expect(page.locator(".notice")).to_contain_text("Saved policies v3")
        page.goto(address)
        expect(page.locator(f"[id='{address.partition('#')[2]}']")).to_contain_text("memory_replace")


def test_a_merge_fits_a_phone(open_page: OpenPages, sdk: Letta, block: Any) -> None:
    with open_page(f"/blocks/{block.id}/", width=390, height=844) as page:
        change(page, "60 days", "30 days")
        sdk.blocks.update(block.id, value=TEXT.replace("60 days", "90 days"))
        save(page)
        expect(page.get_by_text("Take theirs")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        page.get_by_text("Take theirs").click()
        page.locator("[data-merge-save]").click()
        expect(page.locator("#id_value")).to_have_value(TEXT.replace("60 days", "90 days"))
