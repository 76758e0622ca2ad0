"""Proposed memory edits in a real browser: they appear, are decided by key, and are seen where they belong."""

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

BLOCKS: list[Any] = [{"label": "human", "value": "Name: Ada"}]


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    """An agent whose edits wait for approval."""
    agent = sdk.agents.create(name="scribe", model="openai/gpt-4o-mini", memory_blocks=BLOCKS)
    rules = {"rules": {"agents": "propose"}}
    block_id = sdk.agents.blocks.retrieve("human", agent_id=agent.id).id
    sdk.put(f"/v1/blocks/{block_id}/policy", body=rules, cast_to=object)
    return agent


def ask(sdk: Letta, fake: FakeOpenAI, agent: Any, words: str) -> None:
    """A message whose answer is an edit that waits."""
    arguments = json.dumps({"label": "human", "new_string": words})
    fake.replies.append(FakeReply(calls=(FakeCall(name="memory_insert", arguments=arguments, id="call_1"),)))
    fake.replies.append(FakeReply(text="I proposed it."))
    sdk.agents.messages.create(agent.id, input=f"Remember: {words}")


def value_of(sdk: Letta, agent: Any) -> str:
    return sdk.agents.blocks.retrieve("human", agent_id=agent.id).value


def card(page: Page) -> Any:
    return page.locator("#proposal")


def test_a_proposal_appears_in_the_inbox_and_is_approved_with_the_keyboard(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI, agent: Any
) -> None:
    with open_page("/inbox/") as page:
        expect(page.locator(".blank-title")).to_have_text("Nothing waits")
        page.wait_for_load_state("networkidle")
        ask(sdk, fake, agent, "Likes tea.")
        expect(card(page)).to_contain_text("Likes tea.")
        expect(card(page)).to_contain_text("Remember: Likes tea.")
        expect(page.locator("#rail-waiting")).to_have_text("1")
        page.keyboard.press("a")
        expect(page.locator(".blank-title")).to_have_text("Nothing waits")
        expect(page.locator("#notices")).to_contain_text("Approved human v2")
        assert "/inbox/" in page.url
    assert value_of(sdk, agent) == "Name: Ada\nLikes tea."
    wait_until_quiet()


def test_an_edited_text_and_a_reason_are_written_with_the_keyboard_and_kept_while_others_work(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI, agent: Any
) -> None:
    ask(sdk, fake, agent, "Likes tea.")
    with open_page("/inbox/") as page:
        page.wait_for_load_state("networkidle")
        page.keyboard.press("e")
        editor = page.locator("#proposal-text")
        expect(editor).to_be_focused()
        editor.fill("Name: Ada\nLikes green tea.")
        # Another one comes, and the list is drawn again around what is being written.
        ask(sdk, fake, agent, "Likes rain.")
        expect(page.locator("[data-inbox-row]")).to_have_count(2)
        expect(editor).to_have_value("Name: Ada\nLikes green tea.")
        page.keyboard.press("Control+Enter")
        expect(page.locator("[data-inbox-row]")).to_have_count(1)
        expect(card(page)).to_contain_text("Likes rain.")
        # A key that comes too early was meant for the one before.
        expect(page.locator("#proposal:not([data-settling])")).to_be_visible()
        page.keyboard.press("r")
        page.locator("#proposal-reason").fill("Nobody likes rain.")
        page.keyboard.press("Control+Enter")
        expect(page.locator(".blank-title")).to_have_text("Nothing waits")
    assert value_of(sdk, agent) == "Name: Ada\nLikes green tea."
    fake.replies.append(FakeReply(text="I see."))
    sdk.agents.messages.create(agent.id, input="Hello?")
    assert "Nobody likes rain." in json.dumps(fake.received[-1].body)
    wait_until_quiet()


def test_the_page_of_a_proposal_says_when_somebody_else_decided_and_the_workbench_what_waits(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI, agent: Any
) -> None:
    with open_page(f"/agents/{agent.id}/") as workbench:
        workbench.wait_for_load_state("networkidle")
        ask(sdk, fake, agent, "Likes tea.")
        waits = workbench.locator(".blk-waits")
        expect(waits).to_have_text("1 proposal waits")
        address = waits.get_attribute("href")
        assert address is not None
        with open_page(address) as page:
            page.wait_for_load_state("networkidle")
            expect(card(page)).to_have_attribute("data-state", "pending")
            proposal_id = address.strip("/").split("/")[-1]
            sdk.post(f"/v1/proposals/{proposal_id}/approve", cast_to=object)
            expect(card(page)).to_have_attribute("data-state", "approved")
        expect(waits).to_have_count(0)
        expect(workbench.locator(".blk .lines")).to_contain_text("Likes tea.")
    wait_until_quiet()
