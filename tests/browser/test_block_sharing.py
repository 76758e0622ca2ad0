"""A shared block in several real browsers: who is there, what saving would do, what others save meanwhile, and the flash in workbenches."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.bench import workbench
from tests.browser.conftest import OpenPages
from tests.support.server import RunningServer

VALUE = "Returns within 30 days.\nNo gift cards."


@pytest.fixture
def block(sdk: Letta) -> Any:
    return sdk.blocks.create(label="policies", value=VALUE, limit=4_000)


@pytest.fixture
def agents(sdk: Letta, block: Any) -> list[Any]:
    return [
        sdk.agents.create(name=name, model="demo/assistant", block_ids=[block.id])
        for name in ("first-desk", "second-desk")
    ]


def save(sdk: Letta, block: Any, value: str) -> None:
    sdk.blocks.update(block.id, value=value)


def value_field(page: Page) -> Any:
    return page.locator("#id_value")


def test_two_browsers_see_each_other_and_that_one_types(open_page: OpenPages, block: Any) -> None:
    path = f"/blocks/{block.id}/?view=edit"
    with open_page(path) as first:
        with open_page(path) as second:
            here = first.locator("#block-presence")
            expect(here).to_contain_text("You, in another window")
            expect(second.locator("#block-presence")).to_contain_text("You, in another window")
            value_field(second).press_sequentially("More. ")
            expect(here).to_contain_text("editing")
            expect(second.locator("#block-presence")).not_to_contain_text("editing")
            value_field(second).fill(VALUE)
            expect(here).not_to_contain_text("editing")
        expect(here).to_be_empty()


def test_a_page_that_nobody_typed_in_follows_what_is_saved(
    open_page: OpenPages, sdk: Letta, block: Any
) -> None:
    with open_page(f"/blocks/{block.id}/?view=edit") as page:
        expect(page.locator("#holders")).to_contain_text("Base is current")
        value_field(page).click()
        save(sdk, block, VALUE + "\nNo refunds in cash.")
        expect(value_field(page)).to_have_value(VALUE + "\nNo refunds in cash.")
        expect(page.locator("#notices")).to_contain_text("Loaded v2")
        expect(page.locator("#block-moved")).to_be_hidden()
        expect(value_field(page)).to_be_focused()


def test_what_somebody_typed_stays_and_a_banner_says_who_saved(
    open_page: OpenPages, sdk: Letta, block: Any
) -> None:
    with open_page(f"/blocks/{block.id}/?view=edit", height=420) as page:
        expect(page.locator("#holders")).to_contain_text("Base is current")
        mine = VALUE + "\nMine."
        value_field(page).fill(mine)
        save(sdk, block, "Express exchange.\n" + VALUE)
        banner = page.locator("#block-moved")
        expect(banner).to_contain_text("v2 was saved by")
        expect(banner).to_contain_text("1 line")
        expect(page.locator("#holders")).to_contain_text("v2 was saved since v1")
        banner.get_by_role("button", name="Show").click()
        expect(page.locator("#block-difference [data-op=add]")).to_be_in_viewport()
        expect(page.locator("#block-difference [data-op=add]")).to_contain_text("Express exchange.")
        page.get_by_role("button", name="Close the difference").click()
        expect(page.locator("#block-difference")).to_be_empty()
        assert value_field(page).input_value() == mine
        # Both edits are there after saving.
        page.get_by_role("button", name="Save v").click()
        expect(value_field(page)).to_have_value("Express exchange.\n" + mine)


def test_the_impact_is_recounted_while_somebody_types(
    open_page: OpenPages, block: Any, agents: list[Any]
) -> None:
    with open_page(f"/blocks/{block.id}/?view=edit") as page:
        facts = page.locator("#holders .facts")
        expect(facts).to_contain_text("2")
        expect(page.locator("#holders")).to_contain_text("No conversation would pass")
        value_field(page).fill("x" * 3_600)
        expect(facts).to_contain_text("+890")
        value_field(page).fill(VALUE)
        expect(facts).not_to_contain_text("+890")


def test_a_stale_conversation_is_shown_pinned_and_brought_up_to_date(
    open_page: OpenPages, sdk: Letta, block: Any, agents: list[Any]
) -> None:
    save(sdk, block, VALUE + "\nNew.")
    with open_page(f"/blocks/{block.id}/?view=edit") as page:
        part = page.locator("#block-conversations")
        expect(part).to_contain_text("2 of 2")
        part.get_by_role("button", name="1 behind").first.click()
        expect(page.locator("#block-difference [data-op=add]")).to_contain_text("New.")
        row = part.locator("li", has_text="first-desk")
        row.locator("summary").click()
        row.get_by_role("button", name="Keep v1, pin it").click()
        expect(part.locator("li", has_text="first-desk")).to_contain_text("pinned to v1")
        part.get_by_role("button", name="Recompile all").click()
        expect(page.locator("#notices")).to_contain_text("1 recompiled")
        expect(part).to_contain_text("0 of 2")


def test_what_anybody_saves_flashes_in_every_open_workbench_that_holds_the_block(
    open_page: OpenPages, sdk: Letta, block: Any, agents: list[Any]
) -> None:
    first, second = agents
    with workbench(open_page, first) as here, workbench(open_page, second) as there:
        card = f"#block-{block.id}"
        save(sdk, block, VALUE + "\nNo refunds in cash.")
        for page in (here, there):
            expect(page.locator(f"{card} .line[data-fresh]")).to_contain_text("No refunds in cash.")
            expect(page.locator(card)).to_contain_text("1 behind")
        # Now from a page, while somebody edits the same block in the other one.
        here.locator(card).get_by_label("Edit policies").click()
        editor = here.locator(f"{card} textarea")
        editor.fill("What I am typing.")
        with open_page(f"/blocks/{block.id}/?view=edit") as page:
            value_field(page).fill("From the page.\n" + VALUE)
            page.get_by_role("button", name="Save v").click()
            expect(page.locator("#notices")).to_contain_text("Saved policies v3")
        expect(there.locator(f"{card} .line[data-fresh]")).to_contain_text("From the page.")
        expect(here.locator(f"{card} [data-moved]")).to_be_visible()
        assert editor.input_value() == "What I am typing."


def test_what_one_agent_writes_flashes_in_the_workbench_of_another(
    open_page: OpenPages, sdk: Letta, server: RunningServer
) -> None:
    shared = sdk.blocks.create(label="human", value="Nothing is known yet.")
    writer, reader = (
        sdk.agents.create(name=name, model="demo/assistant", block_ids=[shared.id])
        for name in ("writer", "reader")
    )
    with workbench(open_page, reader) as page:
        sdk.agents.messages.create(
            writer.id, messages=[{"role": "user", "content": "My name is Ada and I like green tea."}]
        )
        expect(page.locator(f"#block-{shared.id} .line[data-fresh]").first).to_contain_text("Ada")
