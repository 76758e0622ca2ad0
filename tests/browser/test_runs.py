"""Runs in real browsers: watched live by whoever opens the page, walked by keys, looked into, and cancelled."""

from __future__ import annotations

import re
from typing import Any

import pytest
from letta_client import APIStatusError, Letta
from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(
        name="desk", model="demo/assistant", memory_blocks=[{"label": "human", "value": "Nothing yet."}]
    )


def run_of(sdk: Letta, agent: Any) -> str:
    return next(iter(sdk.runs.list(agent_id=agent.id))).id


def ready(page: Page) -> None:
    expect(page.locator("#bench")).to_have_attribute("data-link", "ready")


def test_a_run_of_the_sdk_is_watched_live_and_cancelled(open_page: OpenPages, sdk: Letta, agent: Any) -> None:
    stream = sdk.agents.messages.create(agent.id, input="/slow 4000", streaming=True, stream_tokens=True)
    next(iter(stream))
    run_id = run_of(sdk, agent)
    with open_page(f"/runs/{run_id}/") as page, open_page(f"/runs/{run_id}/") as second:
        for each in (page, second):
            ready(each)
            expect(each.locator("#log [data-raw]")).not_to_be_empty()
            expect(each.locator(".trace-row[data-open]").first).to_be_visible()
        # Come back, it goes on from where it is.
        second.reload()
        ready(second)
        expect(second.locator("#log [data-raw]")).not_to_be_empty()
        page.get_by_text("Cancel run", exact=True).click()
        page.get_by_role("button", name=re.compile("^Cancel run-")).click()
        for each in (page, second):
            expect(each.locator("#run-state")).to_contain_text("cancelled")
            expect(each.locator(".trace-row[data-open]")).to_have_count(0)
        expect(page.locator("#run-ends")).to_contain_text("Stopped")
    stream.close()


def test_a_row_lights_up_its_message_and_keys_walk_the_rows(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    sdk.agents.messages.create(agent.id, input="My name is Ada and I like tea.")
    with open_page(f"/runs/{run_of(sdk, agent)}/") as page:
        ready(page)
        call = page.locator(".trace-row", has_text="memory_insert").first
        call.hover()
        lit = page.locator("[data-lit]")
        expect(lit).to_have_attribute("id", call.get_attribute("data-of") or "")
        expect(lit).to_contain_text("memory_insert")
        page.mouse.move(5, 5)
        page.keyboard.press("j")
        expect(page.locator(".trace-row").nth(1)).to_be_focused()
        page.keyboard.press("j")
        page.keyboard.press("k")
        page.keyboard.press("Enter")
        expect(page.locator(".trace-row").nth(1)).to_have_attribute("aria-current", "true")
        expect(page).to_have_url(re.compile(r"[?&]at=step-"))
        expect(page.locator("#trace-detail")).to_contain_text("Input")
        # The row that is looked at stays so when the page is opened again.
        page.reload()
        ready(page)
        expect(page.locator(".trace-row[aria-current]")).to_have_count(1)
        expect(page.locator(".trace-row").nth(1)).to_have_attribute("aria-current", "true")


def test_the_request_of_the_step_that_is_looked_at_stands_beside(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    sdk.agents.messages.create(agent.id, input="I like tea.")
    with open_page(f"/runs/{run_of(sdk, agent)}/") as page:
        ready(page)
        page.locator(".trace-row", has_text="step").first.click()
        page.get_by_role("link", name="Context", exact=True).click()
        expect(page.locator("#step-context")).to_contain_text("Identical to what was sent")
        first = page.locator("#step-context .proof").inner_text()
        page.locator(".trace-row", has_text="step").last.click()
        expect(page.locator("#step-context .proof")).not_to_have_text(first)
        expect(page).to_have_url(re.compile("side=context"))
        page.get_by_role("link", name="Messages", exact=True).click()
        expect(page.locator("#log")).to_be_visible()


def test_the_list_shows_a_run_that_begins_and_how_it_ends(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    sdk.agents.messages.create(agent.id, input="First.")
    with open_page("/runs/") as page:
        expect(page.locator("tr[data-row]")).to_have_count(1)
        sdk.agents.messages.create(agent.id, input="Second.")
        expect(page.locator("tr[data-row]")).to_have_count(2)
        expect(page.locator("tr[data-row]").first).to_contain_text("completed")
        page.keyboard.press("j")
        page.keyboard.press("j")
        expect(page.locator('tr[data-row][aria-selected="true"]')).to_contain_text("First.")
        page.keyboard.press("Enter")
        expect(page.locator("#run-ends")).to_contain_text("First.")


def test_from_a_wrong_answer_to_the_request_that_led_to_it(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    for words in ("I like tea.", "I live in Oslo."):
        sdk.agents.messages.create(agent.id, input=words)
    with open_page(f"/agents/{agent.id}/") as page:
        page.locator(".ctx-col").last.click()
        expect(page.locator(".proof")).to_contain_text("Identical to what was sent")
        page.get_by_role("link", name="Diff of requests").click()
        expect(page.locator(".diff-row[data-op='add']").first).to_be_visible()
        page.get_by_role("link", name=re.compile("^run-")).click()
        expect(page.locator("#run-ends")).to_contain_text("I live in Oslo.")


def test_a_failed_run_tells_the_providers_own_words_and_is_asked_again(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    error = {
        "error": {
            "message": "You exceeded your current quota",
            "type": "insufficient_quota",
            "code": "insufficient_quota",
        }
    }
    fake.replies.append(FakeReply(status=400, error=error))
    made = sdk.agents.create(name="poor", model="openai/gpt-4o-mini", memory_blocks=[])
    with pytest.raises(APIStatusError):
        sdk.agents.messages.create(made.id, input="Hello")
    fake.replies.append(FakeReply(text="Here I am."))
    failed = run_of(sdk, made)
    with open_page(f"/runs/{failed}/") as page:
        ready(page)
        expect(page.locator("#run-ends")).to_contain_text("You exceeded your current quota")
        expect(page.locator("#trace-detail")).to_contain_text("You exceeded your current quota")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#run-ends")).to_contain_text("Here I am.")
        assert failed not in page.url
