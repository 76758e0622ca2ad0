"""The conversations of an agent in a real browser: begun, named, forked, left and put away; and that one does not see another's words."""

from __future__ import annotations

import re
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.bench import answer_of, expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.server import RunningServer


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(
        name="tea-notes",
        model="demo/assistant",
        memory_blocks=[{"label": "human", "value": "Nothing is known yet."}],
    )


def is_ready(page: Page) -> None:
    expect(page.locator("#bench")).to_have_attribute("data-link", "ready")


def open_switch(page: Page) -> None:
    page.locator("#switch > summary").click()
    expect(page.locator("#switch-list")).to_be_visible()


def test_a_conversation_is_begun_named_forked_left_and_put_away(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    with workbench(open_page, agent) as page:
        say(page, "In the default one.")
        expect_end(page)
        open_switch(page)
        page.get_by_label("Name of the new conversation").fill("Tea")
        page.get_by_role("button", name="New conversation").click()
        page.wait_for_url(re.compile(r"/conversations/conv-[^/]+/$"))
        is_ready(page)
        expect(page.locator("#log")).not_to_contain_text("In the default one.")
        expect(page.locator("#switch > summary")).to_have_text(re.compile("Tea"))
        begun = page.url

        say(page, "First words here.")
        expect_end(page)
        say(page, "Second words here.")
        expect(page.locator(".msg-user")).to_have_count(2)
        expect_end(page)

        page.get_by_label("More about this conversation").click()
        page.get_by_role("button", name="Rename").click()
        field = page.get_by_label("Name of the conversation")
        expect(field).to_be_focused()
        field.fill("Tea for Ada")
        field.press("Enter")
        expect(page.locator("#switch > summary")).to_have_text(re.compile("Tea for Ada"))

        first = page.locator(".msg-user", has_text="First words here.")
        first.hover()
        first.get_by_role("button", name="Fork here").click()
        page.wait_for_url(lambda url: url != begun)
        is_ready(page)
        expect(page.locator(".fork-mark")).to_be_visible()
        expect(page.locator("#log")).to_contain_text("First words here.")
        expect(page.locator("#log")).not_to_contain_text("Second words here.")
        say(page, "Third words, in the fork.")
        expect_end(page)

        page.keyboard.press("Escape")
        page.locator("#log").click()
        page.keyboard.press("s")
        rows = page.locator("#switch-list .conv-row")
        expect(rows).to_have_count(3)
        expect(rows.first).to_contain_text("Default conversation")
        page.locator(f'#switch-list .conv-row[href="{begun[len(base_of(begun)) :]}"]').click()
        page.wait_for_url(begun)
        is_ready(page)
        expect(page.locator("#log")).to_contain_text("Second words here.")
        expect(page.locator("#log")).not_to_contain_text("Third words")

        page.get_by_label("More about this conversation").click()
        page.get_by_role("button", name="Archive").click()
        expect(page.locator("#part-conversation .chip", has_text="archived")).to_be_visible()
        open_switch(page)
        expect(rows).to_have_count(2)
        page.get_by_role("link", name="Archived").click()
        expect(rows).to_have_count(1)
        expect(rows).to_contain_text("Tea for Ada")
        page.keyboard.press("Escape")
        expect(page.locator("#switch")).not_to_have_attribute("open", "")
        expect(page.locator("#switch > summary")).to_be_focused()

        page.get_by_label("More about this conversation").click()
        page.get_by_role("button", name="Fork conversation").click()
        page.wait_for_url(lambda url: url != begun)
        is_ready(page)
        expect(page.locator("#log")).to_contain_text("Second words here.")
        expect(page.locator(".fork-mark")).to_be_visible()
    found = sdk.conversations.list(agent_id=agent.id)
    assert [each.summary for each in found] == ["Tea for Ada", "Tea for Ada"]


def base_of(address: str) -> str:
    return "/".join(address.split("/")[:3])


def test_a_page_of_another_conversation_does_not_receive_the_stream(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    conversation = sdk.conversations.create(agent_id=agent.id, summary="Elsewhere")
    with (
        workbench(open_page, agent) as watched,
        open_page(f"/agents/{agent.id}/conversations/{conversation.id}/") as other,
    ):
        is_ready(other)
        say(watched, "For the default one only.")
        expect_end(watched)
        # What the other conversation does is told after what it must not hear.
        say(other, "Now the other one.")
        expect_end(other)
        expect(other.locator(".msg-user")).to_have_count(1)
        expect(other.locator("#log")).not_to_contain_text("For the default one only.")
        expect(watched.locator(".msg-user")).to_have_count(1)
        expect(watched.locator("#log")).not_to_contain_text("Now the other one.")


def test_a_hidden_message_is_dimmed_everywhere_and_comes_back(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page, workbench(open_page, agent) as second:
        say(page, "Forget this.")
        expect_end(page)
        expect_end(second)
        assert answer_of(page)
        message = page.locator(".msg-user", has_text="Forget this.")
        message.hover()
        message.get_by_role("button", name="Hide from context").click()
        expect(message).to_contain_text("hidden from context")
        expect(second.locator(".msg-user")).to_contain_text("hidden from context")
        second.locator(".msg-user").hover()
        second.get_by_role("button", name="Show in context again").click()
        expect(second.locator(".msg-user")).not_to_contain_text("hidden from context")
        expect(message).not_to_contain_text("hidden from context")


def test_the_switcher_is_a_sheet_on_a_phone(open_page: OpenPages, sdk: Letta, agent: Any) -> None:
    for number in range(9):
        sdk.conversations.create(agent_id=agent.id, summary=f"Tea number {number}")
    with workbench(open_page, agent, width=390, height=844) as page:
        open_switch(page)
        box = page.locator(".conv-box").bounding_box()
        assert box is not None
        assert (box["x"], box["width"]) == (0, 390)
        assert box["y"] + box["height"] == 844 - 52
        page.get_by_label("Search conversations by name").fill("number 7")
        rows = page.locator("#switch-list .conv-row")
        expect(rows).to_have_count(1)
        rows.click()
        expect(page.locator("#switch > summary")).to_contain_text("Tea number 7")
