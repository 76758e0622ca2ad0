"""What the tests of the workbench do on its page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from playwright.sync_api import Page, expect

from tests.browser.conftest import OpenPages


@contextmanager
def workbench(open_page: OpenPages, agent: Any, **options: Any) -> Iterator[Page]:
    """The agent's page, once its websocket has caught up."""
    with open_page(f"/agents/{agent.id}/", **options) as page:
        expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
        yield page


def say(page: Page, text: str) -> None:
    page.fill("#say", text)
    page.keyboard.press("Control+Enter")


def expect_end(page: Page, phase: str = "completed") -> None:
    expect(page.locator("#runline")).to_have_attribute("data-phase", phase)


def answer_of(page: Page) -> str:
    return page.locator("#runs > .run").last.locator("[data-raw]").last.text_content() or ""
