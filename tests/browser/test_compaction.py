"""Compactions on the workbench: marked when they happen and after a reload, looked into, and undone by who may."""

from __future__ import annotations

from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.bench import expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply
from tests.support.server import RunningServer

FULL = {"prompt_tokens": 125_000, "completion_tokens": 7, "total_tokens": 125_007}
SUMMARY = "Ada counts cups of tea and wants to know the sum."


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta, fake: FakeOpenAI) -> Any:
    """An agent that has spoken; its next answer fills the window."""
    made = sdk.agents.create(
        name="counter",
        model="openai/gpt-4o-mini",
        memory_blocks=[{"label": "human", "value": "Ada"}],
        compaction_settings={"model": "openai/gpt-4o-mini"},
    )
    for number in range(4):
        fake.replies.append(FakeReply(text=f"That makes {number} cups."))
        sdk.agents.messages.create(
            made.id, input=f"Cup number {number}, please count it. " + "One more sip. " * 600
        )
    return made


def compact(page: Page, fake: FakeOpenAI) -> None:
    """A turn after which the context is compacted."""
    fake.replies.append(FakeReply(text="That is a lot of tea.", usage=FULL))
    fake.replies.append(FakeReply(text=SUMMARY))
    say(page, "And one more.")
    expect(page.locator(".compaction")).to_have_count(1)
    expect_end(page)


def test_a_compaction_is_marked_opened_and_undone(
    open_page: OpenPages, agent: Any, sdk: Letta, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        compact(page, fake)
        mark = page.locator(".compaction")
        expect(mark.locator("summary")).to_contain_text("Context compacted")
        mark.locator("summary").click()
        expect(mark.get_by_label("Summary", exact=True)).to_contain_text(SUMMARY)
        expect(mark.get_by_label("What it replaced")).to_contain_text("Cup number 0")
        expect(page.locator(".ctx-cut")).to_have_count(1)
        expect(page.locator(".ctx-total b")).not_to_have_text("125,007")
        page.reload()
        mark = page.locator(".compaction")
        expect(mark).to_have_count(1)
        mark.locator("summary").click()
        mark.get_by_role("button", name="Undo").click()
        expect(mark.locator("summary")).to_contain_text("Compaction undone")
        expect(mark.get_by_role("button", name="Undo")).to_have_count(0)
        expect(page.locator(".ctx-cut")).to_have_count(0)
    state = sdk.agents.retrieve(agent.id)
    assert len(state.message_ids or ()) == 11


def test_a_compaction_that_somebody_asks_for_appears_on_open_pages(
    open_page: OpenPages, agent: Any, sdk: Letta, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        fake.replies.append(FakeReply(text=SUMMARY))
        sdk.agents.messages.compact(agent.id)
        expect(page.locator(".compaction")).to_have_count(1)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [(1440, 900), (390, 844)])
def test_the_marker_fits_the_page(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI, tmp_path: Any, theme: Any, size: tuple[int, int]
) -> None:
    with workbench(open_page, agent) as page:
        page.set_viewport_size({"width": size[0], "height": size[1]})
        page.emulate_media(color_scheme=theme)
        compact(page, fake)
        page.locator(".compaction > summary").click()
        expect(page.get_by_role("button", name="Undo")).to_be_visible()
        page.screenshot(path=tmp_path / f"compaction-{theme}-{size[0]}.png")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        box = page.locator(".compaction").bounding_box()
        assert box is not None
        assert box["x"] >= 0
        assert box["x"] + box["width"] <= size[0]
