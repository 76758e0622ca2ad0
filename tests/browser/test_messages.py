"""Messages in a real browser: copied, linked, edited and run again, and seen in each of the three views."""

from __future__ import annotations

import re
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import expect

from tests.browser.bench import answer_of, expect_end, say, workbench
from tests.browser.conftest import OpenPages


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(
        name="tea-notes",
        model="demo/assistant",
        memory_blocks=[{"label": "human", "value": "Nothing is known yet."}],
    )


def test_an_edited_message_is_run_again_in_a_fork_and_nothing_is_lost(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    sdk.agents.messages.create(agent.id, input="First words.")
    sdk.agents.messages.create(agent.id, input="Second words.")
    with workbench(open_page, agent) as page:
        before = page.url
        message = page.locator(".msg-user", has_text="Second words.")
        message.hover()
        message.get_by_role("link", name="Edit and run again").click()
        dialog = page.get_by_role("dialog", name="Edit and run again")
        expect(dialog).to_contain_text("This one stays as it is.")
        field = dialog.get_by_label("Edited message")
        expect(field).to_be_focused()
        expect(field).to_have_value("Second words.")
        field.fill(" ")
        field.press("Control+Enter")
        expect(dialog.get_by_role("alert")).to_contain_text("Write a message first.")
        dialog.get_by_label("Edited message").fill("Better words.")
        dialog.get_by_role("button", name="Fork and send").click()
        page.wait_for_url(re.compile(r"/conversations/conv-"))
        expect(page.locator("#log")).to_contain_text("Better words.")
        expect_end(page)
        assert answer_of(page)
        expect(page.locator("#log")).to_contain_text("First words.")
        expect(page.locator("#log")).not_to_contain_text("Second words.")
        page.goto(before)
        expect(page.locator("#log")).to_contain_text("Second words.")
        expect(page.locator("#log")).not_to_contain_text("Better words.")


def test_the_address_of_an_old_message_leads_to_it(open_page: OpenPages, sdk: Letta, agent: Any) -> None:
    for number in range(45):
        sdk.agents.messages.create(agent.id, input=f"Tea number {number}.")
    with workbench(open_page, agent) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        message = page.locator(".msg-user").last
        message.hover()
        message.get_by_role("button", name="Copy link").click()
        link = page.evaluate("() => navigator.clipboard.readText()")
        assert link == f"{page.url}#{message.get_attribute('id')}"
        message.get_by_role("button", name="Copy", exact=True).click()
        page.wait_for_function("async () => (await navigator.clipboard.readText()) === 'Tea number 44.'")

        old = next(
            each
            for each in sdk.agents.messages.list(agent.id, order="asc", limit=20)
            if each.message_type == "user_message" and "number 3." in str(each.content)
        )
        page.evaluate("id => (location.hash = id)", old.id)
        found = page.locator("[data-found]")
        expect(found).to_contain_text("Tea number 3.")
        expect(found).to_be_in_viewport()
        # What stands between is fetched as it comes near, and the newest run is still there.
        expect(page.locator(".msg-user", has_text="Tea number 44.")).to_have_count(1)
        page.locator("#scroll").evaluate("e => (e.scrollTop = e.scrollTop + 4000)")
        expect(page.locator(".msg-user", has_text="Tea number 20.")).to_have_count(1)
        page.locator("[data-to-newest] button").click()
        expect(page.locator(".msg-user", has_text="Tea number 44.")).to_be_in_viewport()
        page.evaluate("() => (location.hash = 'message-00000000-0000-4000-8000-000000000000')")
        expect(page.get_by_text("This conversation has no such message.")).to_be_visible()


def test_the_views_are_named_in_the_address_and_follow_the_run(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        page.locator("#views").get_by_role("link", name="Debug").click()
        page.wait_for_url("**/?view=debug")
        debug = page.locator("#view-debug")
        expect(debug.locator("[data-role=system]")).to_have_count(1)
        say(page, "Hello <img src=x onerror=document.title='run'>")
        expect_end(page)
        expect(debug.locator("[data-role=user]").last).to_contain_text("onerror")
        expect(debug.locator("[data-role=assistant]").last).to_contain_text("in context")
        expect(debug.locator("[data-role=user]").last).to_contain_text("end_turn")
        page.locator("#views").get_by_role("link", name="Raw").click()
        raw = page.locator("#view-raw")
        expect(raw).to_contain_text('"message_type": "user_message"')
        expect(debug).to_be_hidden()
        page.reload()
        expect(raw).to_contain_text("onerror=document.title='run'")
        assert raw.locator("img").count() == 0
        page.go_back()
        expect(debug).to_be_visible()
        page.go_back()
        expect(page.locator("#log")).to_be_visible()
        assert "run" not in page.title()


def test_words_are_found_further_up_and_one_match_after_the_other(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    for number in range(30):
        sdk.agents.messages.create(
            agent.id, input=f"Tea number {number}, {'oolong' if number % 14 == 2 else 'mint'}."
        )
    with workbench(open_page, agent) as page:
        page.locator("#log").click()
        page.keyboard.press("f")
        field = page.get_by_label("Words said in this conversation")
        expect(field).to_be_focused()
        field.fill("OOLONG")
        count, current = page.locator("#find-count"), page.locator("[data-found]")
        expect(count).to_have_text("2 of 2")
        expect(current).to_contain_text("Tea number 16, oolong.")
        expect(current).to_be_in_viewport()
        field.press("Enter")
        expect(count).to_have_text("1 of 2")
        expect(current).to_contain_text("Tea number 2, oolong.")
        expect(current).to_be_in_viewport()
        assert page.evaluate("() => [...CSS.highlights.get('found-now')].map(String)") == ["oolong"]
        page.get_by_role("button", name="Later match").click()
        expect(count).to_have_text("2 of 2")
        assert page.url.endswith("?find=OOLONG")
        page.reload()
        expect(count).to_have_text("2 of 2")
        field.fill("nobody said this")
        expect(count).to_have_text("no match")
        field.press("Escape")
        expect(field).to_be_hidden()
        expect(page.get_by_role("button", name="Search in this conversation")).to_be_focused()
        assert "find" not in page.url
