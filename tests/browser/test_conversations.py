"""Conversations of one agent in a real browser: begun, talked in, renamed, left and put away."""

from __future__ import annotations

import re

from letta_client import Letta
from playwright.sync_api import expect

from tests.browser.bench import answer_of, expect_end, say, workbench
from tests.browser.conftest import OpenPages


def test_a_conversation_is_begun_talked_in_renamed_left_and_put_away(
    open_page: OpenPages, sdk: Letta
) -> None:
    agent = sdk.agents.create(
        name="trader", model="demo/assistant", memory_blocks=[{"label": "human", "value": "Nobody."}]
    )
    with workbench(open_page, agent) as first, workbench(open_page, agent) as second:
        pick = first.locator(".conv-pick")
        pick.click()
        first.fill("#new-conversation", "Tea")
        first.get_by_role("button", name="Begin").click()
        first.wait_for_url(re.compile(r"conversation=conv-"))
        expect(pick).to_contain_text("Tea")
        expect(first.locator("#bench")).to_have_attribute("data-link", "ready")
        say(first, "My name is Ada.")
        expect_end(first)
        assert "Ada" in answer_of(first)
        # The page on the default conversation hears of it in its list, and of none of its words.
        second.locator(".conv-pick").click()
        expect(second.locator(".conv-row", has_text="Tea")).to_be_visible()
        expect(second.locator("#runs > .run")).to_have_count(0)
        pick.click()
        first.fill("#rename-conversation", "Green tea")
        first.get_by_role("button", name="Rename").click()
        expect(pick).to_contain_text("Green tea")
        expect(first.locator("#runs > .run")).to_have_count(1)
        pick.click()
        first.get_by_role("button", name="Archive").click()
        expect(pick).to_contain_text("archived")
        pick.click()
        first.locator(".conv-row", has_text="Default conversation").click()
        expect(pick).to_contain_text("Default conversation")
        expect(first.locator("#runs > .run")).to_have_count(0)
    [kept] = sdk.conversations.list(agent_id=agent.id, archive_status="archived")
    assert kept.summary == "Green tea"
