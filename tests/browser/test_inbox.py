"""The inbox in a real browser: it follows what happens, and its requests are answered by key without leaving it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer, wait_until_quiet

BLOCKS: list[Any] = [{"label": "human", "value": "Nothing is known yet."}]
RULES: list[Any] = [{"type": "requires_approval", "tool_name": "memory_insert"}]


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


def make_agent(sdk: Letta, name: str) -> Any:
    return sdk.agents.create(name=name, model="openai/gpt-4o-mini", memory_blocks=BLOCKS, tool_rules=RULES)


def ask(sdk: Letta, fake: FakeOpenAI, agent: Any, words: str) -> None:
    """A message whose answer is a call that waits."""
    arguments = json.dumps({"label": "human", "new_string": words})
    fake.replies.append(FakeReply(calls=(FakeCall(name="memory_insert", arguments=arguments, id="call_1"),)))
    sdk.agents.messages.create(agent.id, input="Remember it.")


def value_of(sdk: Letta, agent: Any) -> str:
    return sdk.agents.blocks.retrieve("human", agent_id=agent.id).value


def rows(page: Page) -> Any:
    return page.locator("[data-inbox-row]")


def opened(page: Page) -> Any:
    return page.locator("#inbox-open")


def test_what_waits_appears_and_is_answered_by_key_without_leaving(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    first, second = make_agent(sdk, "first"), make_agent(sdk, "second")
    with open_page("/inbox/") as page:
        expect(page.locator(".blank-title")).to_have_text("Nothing waits")
        page.wait_for_load_state("networkidle")
        ask(sdk, fake, first, "Likes tea.")
        expect(rows(page)).to_have_count(1)
        expect(opened(page)).to_contain_text("Likes tea.")
        expect(page.locator("#rail-waiting")).to_have_text("1")
        ask(sdk, fake, second, "Likes rain.")
        expect(rows(page)).to_have_count(2)
        # A newer one does not take the place of the one that is being read.
        expect(opened(page)).to_contain_text("Likes tea.")
        page.keyboard.press("k")
        expect(opened(page)).to_contain_text("Likes rain.")
        expect(page.locator("#waiting:not([data-settling])")).to_be_visible()
        page.keyboard.press("d")
        page.locator("#deny-reason").fill("Not true.")
        fake.replies.append(FakeReply(text="Then not."))
        page.keyboard.press("Control+Enter")
        expect(rows(page)).to_have_count(1)
        expect(opened(page)).to_contain_text("Likes tea.")
        fake.replies.append(FakeReply(text="Noted."))
        expect(page.locator("#waiting:not([data-settling])")).to_be_visible()
        page.keyboard.press("a")
        expect(page.locator(".blank-title")).to_have_text("Nothing waits")
        expect(page.locator("#rail-waiting")).to_have_text("")
        assert "/inbox/" in page.url
    wait_until_quiet()
    denied = [message.message_type for message in sdk.agents.messages.list(second.id)]
    assert "approval_response_message" in denied
    assert "Not true." in str(sdk.agents.messages.list(second.id).items)
    assert "Likes tea." in value_of(sdk, first)
    assert "Likes rain." not in value_of(sdk, second)


def test_a_reason_that_is_being_written_outlives_the_news(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    first, second = make_agent(sdk, "first"), make_agent(sdk, "second")
    ask(sdk, fake, first, "Likes tea.")
    with open_page("/inbox/") as page:
        page.wait_for_load_state("networkidle")
        page.keyboard.press("d")
        page.locator("#deny-reason").fill("Half a rea")
        ask(sdk, fake, second, "Likes rain.")
        expect(rows(page)).to_have_count(2)
        expect(page.locator("#deny-reason")).to_have_value("Half a rea")
        expect(page.locator("#deny-reason")).to_be_focused()


def test_on_a_phone_a_request_is_opened_over_the_list(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    ask(sdk, fake, make_agent(sdk, "first"), "Likes tea.")
    with open_page("/inbox/", width=390, height=844) as page:
        expect(opened(page)).to_be_hidden()
        rows(page).click()
        expect(opened(page)).to_be_visible()
        page.get_by_label("Back to the list").click()
        expect(opened(page)).to_be_hidden()
