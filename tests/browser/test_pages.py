"""The pages in a browser: what only scripts do, and that they do nothing that the policy forbids."""

from __future__ import annotations

import re
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Dialog, Page, expect

from agents.models import Agent
from memory.models import Block
from memory.services.blocks import BlockDraft, create_block
from tests.browser.conftest import OpenPages
from tests.support.factories import (
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_run,
    make_step,
)
from tests.support.server import RunningServer


def test_an_agent_is_made_with_one_block_more(page: Page) -> None:
    page.get_by_role("link", name="New agent").first.click()
    page.get_by_role("textbox", name="Name").fill("returns-desk")
    page.get_by_role("button", name="Add block").click()
    label = page.get_by_label("Label of block 3")
    expect(label).to_be_focused()
    label.fill("orders")
    page.get_by_label("Value of block 3").fill("None yet.")
    expect(page.get_by_role("textbox", name="Name")).to_have_value("returns-desk")
    expect(page.locator('[data-count-of="id_blocks-2-value"]')).to_have_text("9 of 5,000 characters")
    page.get_by_role("button", name="Remove block 1").click()
    expect(page.get_by_label("Label of block 3")).to_have_count(0)
    page.get_by_role("button", name="Create agent").click()
    expect(page).to_have_url(re.compile(r"/agents/agent-[0-9a-f-]+/$"))
    agent = Agent.objects.get()
    assert agent.name == "returns-desk"
    assert list(agent.blocks.values_list("label", flat=True)) == ["human", "orders"]


def test_another_type_of_agent_brings_its_instructions_and_tools(page: Page) -> None:
    page.goto("/agents/new/")
    page.get_by_role("textbox", name="Name").fill("typed")
    page.get_by_text("Type of agent", exact=True).click()
    choice = page.get_by_role("radio", name="memgpt_agent", exact=False).first
    choice.check()
    expect(page.locator("#id_system")).to_have_value(re.compile("send_message"))
    expect(page.get_by_role("checkbox", name="memory_apply_patch")).to_be_checked()
    expect(choice).to_be_focused()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("checkbox", name="memory_apply_patch")).not_to_be_checked()
    page.locator("#id_system").fill("Mine.")
    page.get_by_role("radio", name="letta_v1_agent").check()
    expect(page.locator("[name=tools][value=memory_insert]")).to_be_checked()
    expect(page.locator("#id_system")).to_have_value("Mine.")
    expect(page.get_by_role("textbox", name="Name")).to_have_value("typed")


def test_the_list_filters_while_one_types_and_keeps_the_address(page: Page) -> None:
    for name in ("support-frontline", "billing-desk"):
        make_agent(name=name)
    page.reload()
    page.get_by_label("Filter agents").press_sequentially("bill")
    expect(page.get_by_role("link", name="support-frontline", exact=True)).to_have_count(0)
    expect(page.locator("#agent-count")).to_have_text("1")
    assert page.url.endswith("/agents/?q=bill")
    expect(page.get_by_label("Filter agents")).to_be_focused()


def test_a_row_peeks_and_keys_go_on(page: Page) -> None:
    first = make_agent(name="a-first")
    make_block(agent=first, label="policies")
    make_agent(name="b-second")
    page.goto("/agents/?sort=name")
    page.get_by_role("row", name="a-first").get_by_text("never run").click()
    expect(page.get_by_role("complementary", name="a-first")).to_contain_text("policies")
    assert f"peek={first.id}" in page.url
    page.keyboard.press("j")
    expect(page.get_by_role("complementary", name="b-second")).to_be_visible()
    page.get_by_role("link", name="Close the panel").click()
    expect(page.locator("#peek")).to_be_hidden()
    assert "peek=" not in page.url


def test_the_theme_is_kept_and_set_before_the_page_is_drawn(open_page: OpenPages) -> None:
    with open_page("/agents/", theme="dark") as page:
        theme: Any = page.locator("html")
        expect(theme).to_have_attribute("data-bs-theme", "dark")
        page.get_by_role("button", name="Theme: auto. Change").click()
        expect(theme).to_have_attribute("data-bs-theme", "light")
        page.goto("/blocks/")
        expect(theme).to_have_attribute("data-bs-theme", "light")


def test_a_block_counts_saves_by_key_and_asks_before_it_is_left(open_page: OpenPages) -> None:
    block = create_block(caller=make_caller(), draft=BlockDraft(label="policies", value="One.", limit=20))
    with open_page(f"/blocks/{block.id}/?view=edit") as page:
        expect(page.get_by_text("Verified: 1 version, all explained")).to_be_visible()
        expect(page.get_by_text("Not saved", exact=True)).to_be_hidden()
        value = page.get_by_role("textbox", name="Value")
        value.fill("One.\nTwo.")
        expect(page.get_by_text("9 of 20 characters")).to_be_visible()
        expect(page.get_by_text("Not saved", exact=True)).to_be_visible()
        asked: list[str] = []

        def accept(dialog: Dialog) -> None:
            asked.append(dialog.type)
            dialog.accept()

        page.on("dialog", accept)
        value.press("Control+s")
        expect(page.get_by_text("Saved policies v2")).to_be_visible()
        assert not asked
        # The notice is there before the script that listens for keys.
        page.wait_for_load_state()
        page.keyboard.press("e")
        expect(page.get_by_role("textbox", name="Value")).to_be_focused()
        page.get_by_role("textbox", name="Value").fill("Lost.")
        page.get_by_role("link", name="Blocks").first.click()
        page.wait_for_url("**/blocks/")
        assert asked == ["beforeunload"]
    assert Block.objects.get().value == "One.\nTwo."


def test_a_failed_request_becomes_a_notice(page: Page) -> None:
    agent = make_agent(name="gone")
    page.reload()
    Agent.objects.filter(id=agent.id).delete()
    page.get_by_role("link", name="Peek at gone").click()
    notice = page.get_by_role("alert").filter(has_text="Agent not found")
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Close").click()
    expect(notice).to_have_count(0)


@pytest.mark.parametrize("width", [390, 1000, 1440])
def test_no_page_scrolls_sideways_or_hides_its_first_heading(open_page: OpenPages, width: int) -> None:
    agent = make_agent(
        name="a-name-that-is-longer-than-anybody-would-type-but-somebody-pasted", tags=["x" * 60]
    )
    block = make_block(agent=agent, label="label_" * 20, value="word" * 500)
    run = make_run(conversation=make_conversation(agent=agent))
    make_step(run=run, prompt_tokens=10, total_tokens=10)
    paths = ("/", "/runs/", f"/runs/{run.id}/", f"/runs/{run.id}/?view=tree", f"/agents/{agent.id}/context/next/",
             "/agents/", "/agents/new/", "/blocks/", f"/blocks/{block.id}/", "/tools/", "/settings/keys/",
             "/settings/providers/", "/settings/about/", "/login/", "/nothing/")  # fmt: skip
    with open_page("/", width=width) as page:
        for path in paths:
            page.goto(path)
            wide = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            assert wide <= 1, f"{path} scrolls sideways by {wide} px at {width}"
            expect(page.locator("h1")).to_be_visible()
            small = page.evaluate(
                """() => [...document.querySelectorAll('button, summary, select, input:not([type=checkbox], [type=radio], [type=hidden])')]
                .map((e) => [e, e.getBoundingClientRect()])
                .filter(([e, box]) => box.width && box.height && Math.min(box.width, box.height) < 24)
                .map(([e]) => e.outerHTML.slice(0, 120))"""
            )
            assert not small, f"{path} at {width}: {small}"


def test_every_pane_and_control_is_reached_by_keyboard(page: Page) -> None:
    make_agent(name="one")
    page.reload()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to content")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_label("Filter agents")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_label("Tag")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_label("Tag")).to_be_hidden()


def test_g_and_a_letter_go_to_a_section_but_not_from_a_field(page: Page) -> None:
    make_agent()
    page.reload()
    page.keyboard.press("g")
    page.keyboard.press("b")
    page.wait_for_url("**/blocks/")
    page.goto("/agents/")
    page.get_by_label("Filter agents").press_sequentially("gb")
    expect(page).to_have_url(re.compile(r"/agents/\?q=gb$"))


def test_an_open_list_sees_what_a_program_does(page: Page, server: RunningServer) -> None:
    make_agent(name="first")
    page.reload()
    page.get_by_role("row", name="first").get_by_text("never run").click()
    client = Letta(base_url=server.url)
    client.agents.create(name="from-a-program", model="demo/assistant")
    expect(page.get_by_role("link", name="from-a-program", exact=True)).to_be_visible()
    expect(page.locator("#agent-count")).to_have_text("2")
    expect(page.get_by_role("row", name="first")).to_have_attribute("aria-selected", "true")


def test_the_palette_goes_where_its_keys_lead(page: Page) -> None:
    make_conversation(agent=make_agent(name="policy-librarian"), is_default=True)
    make_agent(name="other")
    page.goto("/blocks/")
    page.wait_for_load_state("networkidle")
    page.keyboard.press("Control+k")
    rows = page.locator("#cmd-list [role=option]")
    expect(page.locator("#cmd-input")).to_be_focused()
    expect(rows.first).to_have_attribute("aria-selected", "true")
    page.keyboard.type("poli")
    expect(rows).to_have_count(1)
    expect(rows.locator("mark")).to_have_text("poli")
    page.keyboard.press("Enter")
    expect(page.locator("h1")).to_have_text("policy-librarian")
    page.go_back()
    page.wait_for_load_state("networkidle")
    page.locator("[data-palette-open]").click()
    page.keyboard.type("> keys: what")
    expect(rows).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#keys")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#keys")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.locator("#keys")).to_be_visible()
    page.locator("[data-keys-switch]").uncheck()
    page.keyboard.press("Escape")
    page.keyboard.press("g")
    page.keyboard.press("a")
    page.keyboard.press("?")
    page.keyboard.press("Control+k")
    expect(page.locator("#palette")).to_be_visible()
    assert page.url.endswith("/blocks/")
    expect(page.locator("#keys")).to_be_hidden()
