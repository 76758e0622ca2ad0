"""A long conversation in a real browser: scrolled up and down in windows, of which few are on the page at once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from letta_client import Letta
from playwright.sync_api import Page, expect

from agents.models import Agent, Run
from tests.browser.bench import expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.factories import make_message, make_run, make_step
from tests.support.server import RunningServer

RUNS = 170
#: Windows besides the newest one, 20 runs each, and the ten of that.
MOST_ON_THE_PAGE = 5 * 20 + 10


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    made = sdk.agents.create(name="long-talk", model="demo/assistant")
    conversation = Agent.objects.get(id=made.id).conversations.get(is_default=True)
    start = timezone.now() - timedelta(days=2)
    for number in range(RUNS):
        run, at = make_run(conversation=conversation), start + timedelta(minutes=number)
        Run.objects.filter(id=run.id).update(created_at=at)
        common: dict[str, Any] = {"conversation": conversation, "run": run}
        make_message(text=f"Question {number}.", created_at=at, **common)
        answer = f"Answer {number}.\n\n" + "It has\n\nmore than\n\none line."
        later = at + timedelta(seconds=1)
        make_message(role="assistant", text=answer, step=make_step(run=run), created_at=later, **common)
    return made


def numbers_on(page: Page) -> list[int]:
    texts = page.locator("#log .msg-user:visible .msg-body").all_inner_texts()
    return [int(text.strip().removeprefix("Question ").removesuffix(".")) for text in texts]


def scroll_until(page: Page, by: int, is_there: Callable[[list[int]], bool]) -> None:
    for _ in range(400):
        page.locator("#scroll").evaluate("(e, by) => e.scrollBy(0, by)", by)
        seen = numbers_on(page)
        assert len(seen) <= MOST_ON_THE_PAGE
        assert seen == list(range(seen[0], seen[-1] + 1)), "something is missing, or stands twice"
        if is_there(seen):
            return
    raise AssertionError(f"not reached: {numbers_on(page)}")


def test_the_way_up_and_down_again_is_whole_and_the_page_stays_small(
    open_page: OpenPages, agent: Any
) -> None:
    with workbench(open_page, agent) as page:
        assert numbers_on(page)[-1] == RUNS - 1
        scroll_until(page, -1500, lambda seen: seen[0] == 0)
        expect(page.locator("#log")).to_contain_text("Question 0.")
        assert numbers_on(page)[-1] < RUNS - 1
        scroll_until(page, 1500, lambda seen: seen[-1] == RUNS - 1)
        scroll_until(page, -1500, lambda seen: seen[0] < 20)
        page.get_by_role("button", name="Newest").click()
        expect(page.locator(".msg-user", has_text=f"Question {RUNS - 1}.")).to_be_in_viewport()


def test_what_is_read_stays_where_it_is_while_a_window_comes(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        scroller = page.locator("#scroll")
        first = page.locator("#log .msg-user").first
        expect(first).to_contain_text(f"Question {RUNS - 10}.")
        first.evaluate("e => { e.id = 'anchor'; e.scrollIntoView({ block: 'start' }); }")
        before = page.locator("#anchor").bounding_box()
        expect(page.locator("#log .msg-user")).to_have_count(30)
        after = page.locator("#anchor").bounding_box()
        assert before is not None
        assert after is not None
        assert abs(before["y"] - after["y"]) < 2
        assert scroller.evaluate("e => e.scrollTop") < 0


def test_a_run_that_goes_on_is_seen_again_from_far_up(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        scroll_until(page, -1500, lambda seen: seen[0] < 40)
        say(page, "Question 170.")
        expect_end(page)
        assert numbers_on(page)[-1] < RUNS - 1
        page.get_by_role("button", name="Newest").click()
        expect(page.locator(".msg-user", has_text="Question 170.")).to_be_in_viewport()
        scroll_until(page, -1500, lambda seen: seen[0] < RUNS - 20)
