"""Background memory in a real browser: switched on, working after a turn, its edit seen, switched off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import expect

from tests.browser.bench import expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer


@pytest.fixture
def server(transactional_db: None, fake: FakeOpenAI) -> Iterator[RunningServer]:
    """A server that works on the runs of the background itself."""
    from tests.support.factories import local_workspace
    from tests.support.server import running_server

    local_workspace()
    environment = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": fake.base_url, "ADE_JOB_WORKER": "1"}
    with running_server(environment) as running:
        yield running


def test_the_background_is_switched_on_works_and_is_switched_off(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    agent: Any = sdk.agents.create(
        name="notes",
        model="openai/gpt-4o-mini",
        memory_blocks=[{"label": "human", "value": "Nobody."}],
    )
    insert = FakeCall(
        name="memory_insert", arguments='{"label": "human", "new_string": "Likes tea."}', id="a"
    )
    with workbench(open_page, agent) as page:
        part = page.locator("#part-background")
        part.get_by_role("button", name="Switch on").click()
        expect(part.locator(".keeper")).to_contain_text("notes-sleeptime")
        part.get_by_label("Works after every").fill("1")
        part.get_by_label("Works after every").press("Tab")
        expect(part).to_contain_text("Next: after 1 more turn.")
        fake.replies += [
            FakeReply(text="Good."),
            FakeReply(calls=(insert,)),
            FakeReply(calls=(FakeCall(name="memory_finish_edits", id="b"),)),
        ]
        say(page, "I like tea.")
        expect_end(page)
        expect(page.locator("#part-blocks")).to_contain_text("Likes tea.")
        expect(page.locator("#part-blocks .line[data-fresh]")).to_have_count(1)
        expect(part.locator(".keeper-run")).to_contain_text("Done")
        part.get_by_role("link", name="notes-sleeptime").click()
        expect(page.locator("#part-background")).to_contain_text("Keeps the memory of notes.")
        page.go_back()
        page.once("dialog", lambda dialog: dialog.accept())
        page.locator("#part-background").get_by_role("button", name="Switch off").click()
        expect(page.locator("#part-background").get_by_role("button", name="Switch on")).to_be_visible()
    assert [each.name for each in sdk.agents.list()] == ["notes"]
