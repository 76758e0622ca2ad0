"""The inbox without its script: what it lists, what it opens, who may answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Message, Run
from letta_ade.core.ids import new_id
from tests.support.factories import (
    local_workspace,
    make_agent,
    make_conversation,
    make_message,
    make_run,
    make_workspace,
)
from tests.support.waiting import make_request
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


def page_of(browser: Client, address: str = "/inbox/") -> Page:
    response = browser.get(address)
    assert response.status_code == 200
    return Page(response.content.decode())


def rows_of(page: Page) -> list[str]:
    return [
        element.attributes["id"].removeprefix("row-")
        for element in page.all("li")
        if element.attributes.get("id", "").startswith("row-")
    ]


def open_in(page: Page) -> str | None:
    return page.by_id("waiting").attributes.get("data-request")


def make_two() -> tuple[Message, Message]:
    return make_request("clock"), make_request("shell", minutes=5)


def test_an_empty_inbox_says_what_would_be_in_it(browser: Client) -> None:
    page = page_of(browser)
    assert "Nothing waits" in page.by_id("main").text
    assert "hidden" in page.by_id("inbox-open").attributes
    assert "data-act" not in page.by_id("rail-waiting").attributes


def test_the_newest_is_open_and_the_rail_counts(browser: Client) -> None:
    older, newer = make_two()
    page = page_of(browser)
    assert rows_of(page) == [newer.id, older.id]
    assert open_in(page) == newer.id
    assert page.by_id("rail-waiting").text == "2"
    assert browser.get("/inbox/count/").content.decode().count(">2<") == 1


def test_the_address_says_what_is_open_and_what_is_listed(browser: Client) -> None:
    older, newer = make_two()
    assert open_in(page_of(browser, f"/inbox/?open={older.id}")) == older.id
    assert rows_of(page_of(browser, "/inbox/?kind=client")) == [newer.id]
    assert rows_of(page_of(browser, "/inbox/?kind=approval")) == [older.id]
    assert rows_of(page_of(browser, "/inbox/?kind=everything")) == [newer.id, older.id]
    assert rows_of(page_of(browser, f"/inbox/?agent={older.agent_id}")) == [older.id]
    nothing = page_of(browser, f"/inbox/?agent={older.agent_id}&kind=client")
    assert rows_of(nothing) == []
    assert "Nothing of this kind waits" in nothing.by_id("main").text


def test_what_does_not_wait_any_more_is_not_opened(browser: Client) -> None:
    older, newer = make_two()
    make_message(conversation=older.conversation, role="approval", approvals=[], in_context=True)
    page = page_of(browser, f"/inbox/?open={older.id}")
    assert open_in(page) == newer.id
    assert "data-asked" not in page.by_id("inbox-open").attributes
    foreign = make_request(
        "clock", conversation=make_conversation(agent=make_agent(workspace=make_workspace()))
    )
    for unknown in (foreign.id, new_id("message"), "x"):
        assert open_in(page_of(browser, f"/inbox/?open={unknown}")) == newer.id
    assert browser.get(f"/inbox/?after={new_id('message')}").status_code == 404


def test_a_viewer_reads_and_has_no_way_to_answer(sign_in: SignIn) -> None:
    make_request("clock")
    text = page_of(sign_in("viewer")).by_id("inbox-open").text
    assert "A viewer does not answer." in text
    assert "Approve clock?" in text
    assert "Cancel request" not in text


def test_long_lists_are_paged(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("agents.web.inbox.PAGE_ROWS", 2)
    requests = [make_request("clock", minutes=minute).id for minute in range(3)]
    assert rows_of(page_of(browser)) == [requests[2], requests[1]]
    second = page_of(browser, f"/inbox/?after={requests[1]}")
    assert rows_of(second) == [requests[0]]
    assert f"?after={requests[1]}&open={requests[0]}" in [a.attributes.get("href") for a in second.all("a")]


def test_the_page_costs_the_same_however_much_waits(browser: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            page_of(browser)
        return len(asked)

    make_request("clock")
    before = cost()
    for minute in range(8):
        make_request("clock", "shell", minutes=minute)
    assert cost() == before == 7


def test_a_page_of_another_workspace_shows_nothing(browser: Client) -> None:
    local_workspace()
    make_request("clock", conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
    assert rows_of(page_of(browser)) == []


def test_the_card_says_when_a_request_expires(browser: Client, settings: Any) -> None:
    settings.REQUEST_EXPIRY_HOURS = 24 * 365
    make_request("clock")
    assert "expires in" in page_of(browser).by_id("inbox-open").text


def test_a_failed_run_that_nothing_followed_is_listed_with_its_error(browser: Client) -> None:
    error = {"error_type": "llm_error", "message": "The provider refused."}
    run = make_run(status="failed", stop_reason="llm_api_error", metadata={"error": error})
    page = Page(browser.get("/inbox/").content.decode())
    assert "The provider refused." in page.by_id("inbox-failed").text
    assert page.by_id("inbox-count").text == "0 waiting, 1 failed"
    assert f"/runs/{run.id}/" in {each.attributes.get("href") for each in page.all("a")}
    make_run(conversation=run.conversation)
    assert "inbox-failed" not in browser.get("/inbox/").content.decode()


def test_failed_runs_of_long_ago_and_of_others_are_not_listed(browser: Client) -> None:
    old = make_run(status="failed")
    Run.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(days=8))
    make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())), status="failed")
    assert "inbox-failed" not in browser.get("/inbox/").content.decode()


def test_the_rail_counts_failed_runs_beside_what_waits(browser: Client) -> None:
    make_request("clock")
    failed = make_run(status="failed")
    make_run(conversation=make_conversation(agent=make_agent(hidden=True)), status="failed")
    page = page_of(browser, "/agents/")
    assert page.by_id("rail-waiting").text == "2"
    assert "data-act" in page.by_id("rail-waiting").attributes
    assert ">2<" in browser.get("/inbox/count/").content.decode()
    make_run(conversation=failed.conversation, status="completed")
    assert page_of(browser, "/agents/").by_id("rail-waiting").text == "1"
    assert ">1<" in browser.get("/inbox/count/").content.decode()
