"""Conversations on the workbench without its script: which are offered, and what is done to them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent, Conversation, Run
from agents.services.agent_conversations import ConversationDraft, create_conversation
from agents.services.agents import AgentDraft, create_agent
from agents.web.conversation_switcher import load_switcher
from letta_ade.llm.testing import ScriptedModel, installed, text
from tests.support.factories import make_caller, make_conversation, make_lease, make_message, make_run
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Agent:
    return create_agent(caller=make_caller(), draft=AgentDraft(name="clerk", model="demo/assistant"))


def begun(agent: Agent, name: str | None = "Tea") -> Conversation:
    return create_conversation(caller=make_caller(), agent_id=agent.id, draft=ConversationDraft(summary=name))


def page_of(browser: Client, agent: Agent, conversation: Conversation | None = None) -> Page:
    asked = {"conversation": conversation.id} if conversation else {}
    response = browser.get(f"/agents/{agent.id}/", asked)
    assert response.status_code == 200
    return Page(response.content.decode())


def do(browser: Client, conversation: Conversation, wish: str, **fields: str) -> Any:
    address = f"/agents/{conversation.agent_id}/conversations/{conversation.id}/"
    return browser.post(address, {"do": wish, **fields})


def test_the_default_one_is_open_and_the_others_are_offered_by_their_last_message(agent: Agent) -> None:
    older, newer, hidden, away = (begun(agent, name) for name in ("Tea", "Pumps", "Hidden", "Away"))
    now = timezone.now()
    for conversation, hours in ((older, 1), (newer, 2)):
        Conversation.objects.filter(id=conversation.id).update(last_message_at=now + timedelta(hours=hours))
    Conversation.objects.filter(id=hidden.id).update(hidden=True)
    Conversation.objects.filter(id=away.id).update(archived_at=now)
    default = agent.conversations.get(is_default=True)
    switcher = load_switcher(make_caller(), default)
    assert switcher.name == "Default conversation"
    assert [(row.name, row.is_open) for row in switcher.rows] == [
        ("Default conversation", True),
        ("Pumps", False),
        ("Tea", False),
    ]
    assert [row.name for row in switcher.archived] == ["Away"]
    # One that is open is listed whatever it is.
    opened = load_switcher(make_caller(), Conversation.objects.get(id=hidden.id))
    assert [row.name for row in opened.rows if row.is_open] == ["Hidden"]


def test_what_goes_on_in_the_others_is_marked(agent: Agent) -> None:
    busy, waiting = begun(agent, "Busy"), begun(agent, "Waiting")
    make_run(conversation=busy, status="running", stop_reason=None)
    call = {"id": "call_1", "name": "shell", "arguments": "{}"}
    make_message(conversation=waiting, role="approval", tool_calls=[call], in_context=True)
    default = agent.conversations.get(is_default=True)
    states = {row.name: row.state for row in load_switcher(make_caller(), default).rows}
    assert states == {"Default conversation": "", "Busy": "live", "Waiting": "wait"}


def test_many_conversations_cost_no_more_queries(
    agent: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        make_conversation(agent=agent, summary=f"No. {number}")
    caller, default = make_caller(), agent.conversations.get(is_default=True)
    with django_assert_num_queries(5):
        switcher = load_switcher(caller, default)
    assert (len(switcher.rows), switcher.has_more) == (51, True)


def test_a_conversation_is_begun_renamed_put_away_taken_back_and_deleted(
    browser: Client, agent: Agent
) -> None:
    response = browser.post(f"/agents/{agent.id}/conversations/new/", {"summary": "  Tea  "})
    made = agent.conversations.get(is_default=False)
    assert (made.summary, response.headers["Location"]) == (
        "Tea",
        f"/agents/{agent.id}/?conversation={made.id}",
    )
    assert do(browser, made, "rename", summary="Green tea").status_code == 302
    assert "Green tea" in page_of(browser, agent, made).by_id("part-conversation").text
    do(browser, made, "rename", summary="")
    assert "Untitled conversation" in page_of(browser, agent, made).by_id("part-conversation").text
    do(browser, made, "archive")
    assert "Take back" in page_of(browser, agent, made).by_id("part-conversation").text
    do(browser, made, "unarchive")
    made.refresh_from_db()
    assert made.archived_at is None
    assert do(browser, made, "delete").headers["Location"] == f"/agents/{agent.id}/"
    assert browser.get(f"/agents/{agent.id}/", {"conversation": made.id}).status_code == 404


def test_a_fork_holds_what_was_said_and_goes_on_by_itself(browser: Client, agent: Agent) -> None:
    tea = begun(agent)
    make_message(
        conversation=tea, role="user", content=[{"type": "text", "text": "Two sugars"}], in_context=True
    )
    response = do(browser, tea, "fork")
    forked = agent.conversations.exclude(id=tea.id).get(is_default=False)
    assert response.headers["Location"].endswith(f"?conversation={forked.id}")
    assert forked.entries.count() == 2


def test_an_htmx_form_is_led_to_the_page(browser: Client, agent: Agent) -> None:
    response = browser.post(f"/agents/{agent.id}/conversations/new/", headers={"HX-Request": "true"})
    made = agent.conversations.get(is_default=False)
    assert response.headers["HX-Redirect"] == f"/agents/{agent.id}/?conversation={made.id}"


@pytest.mark.parametrize(
    ("wish", "status"), [("rename", 400), ("archive", 400), ("delete", 400), ("paint it", 400)]
)
def test_the_default_one_stays_as_it_is(browser: Client, agent: Agent, wish: str, status: int) -> None:
    assert do(browser, agent.conversations.get(is_default=True), wish).status_code == status


def test_a_conversation_with_a_run_is_not_deleted(browser: Client, agent: Agent) -> None:
    tea = begun(agent)
    run = make_run(conversation=tea, status="running", stop_reason=None)
    make_lease(tea, run=run)
    assert do(browser, tea, "delete").status_code == 409
    tea.refresh_from_db()
    assert tea.deleted_at is None


@pytest.mark.parametrize("unknown", ["conv-00000000-0000-4000-8000-000000000000", "nonsense"])
def test_one_that_is_not_the_agents_is_not_found(browser: Client, agent: Agent, unknown: str) -> None:
    other = make_conversation()
    for name in (unknown, other.id):
        assert browser.get(f"/agents/{agent.id}/", {"conversation": name}).status_code == 404
    other.agent = agent
    assert do(browser, other, "archive").status_code == 404


def test_a_viewer_switches_and_changes_nothing(sign_in: SignIn, agent: Agent) -> None:
    tea = begun(agent)
    browser = sign_in("viewer")
    page = page_of(browser, agent, tea)
    assert f"/agents/{agent.id}/" in {link.attributes.get("href") for link in page.all("a")}
    assert "Begin" not in page.by_id("part-conversation").text
    assert do(browser, tea, "archive").status_code == 403


@pytest.mark.django_db(transaction=True)
def test_a_message_goes_into_the_conversation_that_is_open(browser: Client) -> None:
    with installed(model := ScriptedModel()):
        model.add(text("With milk."))
        agent = create_agent(caller=make_caller(), draft=AgentDraft(name="clerk", model=model.handle))
        tea = begun(agent)
        response = browser.post(
            f"/agents/{agent.id}/messages/", {"text": "Tea?", "role": "user", "conversation_id": tea.id}
        )
        assert response.headers["Location"] == f"/agents/{agent.id}/?conversation={tea.id}"
        assert [run.conversation_id for run in Run.objects.all()] == [tea.id]
