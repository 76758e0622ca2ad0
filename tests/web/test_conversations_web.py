"""The conversations of the workbench without their script: where each is, what the switcher lists, what is refused and to whom."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from agents.models import Agent, Conversation, Message, Run
from agents.services.agent_conversations import ConversationDraft, create_conversation
from agents.services.agents import AgentDraft, create_agent
from agents.web.conversation_rows import LISTED
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, installed
from letta_ade.llm.testing import text as words
from memory.services.blocks import BlockDraft
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_lease,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

HTMX: Any = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def agent(browser: Client) -> Agent:
    blocks = (BlockDraft(label="human", value="Nothing yet."),)
    draft = AgentDraft(name="tea-notes", model="demo/assistant", blocks=blocks)
    return create_agent(caller=make_caller(), draft=draft)


def begin(agent: Agent, name: str | None = None, **fields: Any) -> Conversation:
    draft = ConversationDraft(summary=name, **fields)
    return create_conversation(caller=make_caller(), agent_id=agent.id, draft=draft)


def address(conversation: Conversation, rest: str = "") -> str:
    return f"/agents/{conversation.agent_id}/conversations/{conversation.id}/{rest}"


def names_in(html: str) -> list[str]:
    return [
        each.attributes["title"]
        for each in Page(html).all("a")
        if each.attributes.get("class", "") == "conv-row"
    ]


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return str(response.content.decode())


def talk(conversation: Conversation, said: str, answered: str) -> tuple[Message, Message]:
    """A run with a message and its answer, both in context."""
    run = make_run(conversation=conversation)
    step = make_step(run=run)
    common: dict[str, Any] = {"conversation": conversation, "run": run, "step": step, "in_context": True}
    return make_message(text=said, **common), make_message(role="assistant", text=answered, **common)


def test_each_conversation_has_its_own_page(browser: Client, agent: Agent) -> None:
    tea = begin(agent, "Tea")
    talk(agent.conversations.get(is_default=True), "In the default one.", "Yes.")
    talk(tea, "In the named one.", "Indeed.")
    named, default = text_of(browser.get(address(tea))), text_of(browser.get(f"/agents/{agent.id}/"))
    assert "In the named one." in named
    assert "In the default one." not in named
    assert "In the named one." not in default
    assert f'action="{address(tea, "messages/")}"' in named
    assert f'data-stop="{address(tea, "stop/")}"' in named
    assert f"/ws/agents/{agent.id}/conversations/{tea.id}/" in named


def test_the_default_one_has_the_address_of_its_agent(browser: Client, agent: Agent) -> None:
    default = agent.conversations.get(is_default=True)
    for name in (default.id, "default"):
        assert browser.get(f"/agents/{agent.id}/conversations/{name}/")["Location"] == f"/agents/{agent.id}/"
    tea = begin(agent, "Tea")
    assert browser.get(f"/agents/{agent.id}/?conversation={tea.id}")["Location"] == address(tea)


def test_an_id_that_means_nothing_is_not_found(browser: Client, agent: Agent) -> None:
    for wanted in ("nonsense", "conv-00000000-0000-4000-8000-000000000000", make_conversation().id):
        assert browser.get(f"/agents/{agent.id}/", {"conversation": wanted}).status_code == 404, wanted
        assert browser.get(f"/agents/{agent.id}/conversations/{wanted}/").status_code == 404, wanted


def test_a_conversation_is_begun_with_a_name_or_without(browser: Client, agent: Agent) -> None:
    for typed, name in (({"summary": "  Tea  "}, "Tea"), ({}, None)):
        known = set(agent.conversations.values_list("id", flat=True))
        answer = browser.post(f"/agents/{agent.id}/conversations/", typed)
        made = agent.conversations.exclude(id__in=known).get()
        assert (made.summary, answer["Location"]) == (name, address(made))
    refused = browser.post(f"/agents/{agent.id}/conversations/", {"summary": "x" * 201})
    assert refused.status_code == 400
    assert agent.conversations.count() == 3


def test_a_form_of_the_script_is_led_to_the_new_conversation(browser: Client, agent: Agent) -> None:
    answer = browser.post(f"/agents/{agent.id}/conversations/", {"summary": "Tea"}, **HTMX)
    made = agent.conversations.get(is_default=False)
    assert (answer.status_code, answer["HX-Redirect"]) == (204, address(made))


def test_a_conversation_of_somebody_else_is_not_found(browser: Client, agent: Agent) -> None:
    foreign = make_conversation(agent=make_agent(workspace=make_workspace()))
    other = make_conversation(agent=make_agent())
    gone = begin(agent, "Gone")
    browser.post(address(gone, "delete/"))
    for path in (
        address(foreign),
        f"/agents/{agent.id}/conversations/{other.id}/",
        f"/agents/{agent.id}/conversations/{new_id('conversation')}/",
        address(gone),
    ):
        assert browser.get(path).status_code == 404, path
    message = make_message(conversation=other, in_context=True)
    for rest in ("fork/", "context/"):
        path = f"/agents/{agent.id}/conversations/default/messages/{message.id}/{rest}"
        assert browser.post(path).status_code == 404, path
    for rest in ("name/", "fork/", "delete/"):
        path = f"/agents/{agent.id}/conversations/{other.id}/{rest}"
        assert browser.post(path, {"archived": "1"}).status_code == 404, path


def test_the_switcher_lists_the_default_one_first_and_then_by_the_last_message(
    browser: Client, agent: Agent
) -> None:
    first, second = begin(agent, "First"), begin(agent)
    begin(agent, "Hidden", hidden=True)
    page = text_of(browser.get(address(first)))
    assert names_in(page) == ["Default conversation", "Untitled", "First"]
    browser.post(address(second, "name/"), {"summary": "Second"})
    browser.post(address(second, "name/"), {"archived": "1"})
    assert names_in(text_of(browser.get(address(first)))) == ["Default conversation", "First"]
    assert names_in(text_of(browser.get(address(first, "switch/?archived"), **HTMX))) == ["Second"]
    browser.post(address(second, "name/"), {"archived": "0"})
    assert names_in(text_of(browser.get(address(first, "switch/?search=eco"), **HTMX))) == ["Second"]
    assert "called “nothing”" in text_of(browser.get(address(first, "switch/?search=nothing"), **HTMX))


def test_the_open_one_is_listed_even_when_it_is_hidden_or_old(browser: Client, agent: Agent) -> None:
    hidden = begin(agent, "Hidden", hidden=True)
    assert names_in(text_of(browser.get(address(hidden)))) == ["Default conversation", "Hidden"]
    for number in range(LISTED):
        make_conversation(agent=agent, summary=f"No. {number}", last_message_at=timezone.now())
    page = text_of(browser.get(address(hidden)))
    names = names_in(page)
    assert (len(names), names[0], names[-1]) == (LISTED, "Default conversation", "Hidden")
    assert "Search to find others." in page
    assert "Hidden" not in names_in(text_of(browser.get(f"/agents/{agent.id}/")))


def test_the_switcher_goes_by_the_last_message(browser: Client, agent: Agent) -> None:
    older, newer = begin(agent, "Older"), begin(agent, "Newer")
    for conversation, hours in ((newer, 2), (older, 1)):
        at = timezone.now() + timedelta(hours=hours)
        Conversation.objects.filter(id=conversation.id).update(last_message_at=at)
    names = names_in(text_of(browser.get(f"/agents/{agent.id}/")))
    assert names == ["Default conversation", "Newer", "Older"]


def test_the_switcher_marks_what_runs_and_what_waits(browser: Client, agent: Agent) -> None:
    runs, waits = begin(agent, "Runs"), begin(agent, "Waits")
    make_run(conversation=runs, status="running", stop_reason=None)
    call = {"id": "c1", "name": "shell", "arguments": "{}"}
    make_message(conversation=waits, role="approval", content=[], text="", tool_calls=[call], in_context=True)
    page = Page(text_of(browser.get(address(waits, "switch/"), **HTMX)))
    rows = {each.attributes["title"]: each.text for each in page.all("a") if "title" in each.attributes}
    assert "running" in rows["Runs"]
    assert "waits for an answer" in rows["Waits"]
    assert "running" not in rows["Default conversation"]


def test_more_conversations_need_no_more_queries(browser: Client, agent: Agent) -> None:
    def count() -> int:
        with CaptureQueriesContext(connection) as asked:
            browser.get(f"/agents/{agent.id}/conversations/default/switch/", **HTMX)
        return len(asked)

    begin(agent)
    before = count()
    for _ in range(9):
        begin(agent)
    assert count() == before <= 7


def test_a_name_is_given_and_taken_away(browser: Client, agent: Agent) -> None:
    conversation = begin(agent)
    head = text_of(browser.post(address(conversation, "name/"), {"summary": " <b>Tea</b> "}, **HTMX))
    assert "&lt;b&gt;Tea&lt;/b&gt;" in head
    conversation.refresh_from_db()
    assert conversation.summary == "<b>Tea</b>"
    refused = browser.post(address(conversation, "name/"), {"summary": "x" * 201}, **HTMX)
    assert refused.status_code == 422
    assert "at most 200 characters; this one has 201" in refused.content.decode()
    browser.post(address(conversation, "name/"), {"summary": ""})
    conversation.refresh_from_db()
    assert conversation.summary is None


def test_the_default_one_is_neither_renamed_nor_archived_nor_deleted(browser: Client, agent: Agent) -> None:
    default = agent.conversations.get(is_default=True)
    for name in (default.id, "default"):
        path = f"/agents/{agent.id}/conversations/{name}/"
        assert browser.post(f"{path}name/", {"summary": "Tea"}).status_code == 400
        assert browser.post(f"{path}name/", {"archived": "1"}).status_code == 400
        assert browser.get(f"{path}name/?edit").status_code == 400
        assert browser.post(f"{path}delete/").status_code == 400
    default.refresh_from_db()
    assert (default.summary, default.archived_at, default.deleted_at) == (None, None, None)
    page = text_of(browser.get(f"/agents/{agent.id}/"))
    assert "Rename" not in page
    assert "Fork conversation" in page


def test_a_deletion_waits_for_the_end_of_a_run(browser: Client, agent: Agent) -> None:
    conversation = begin(agent, "Tea")
    lease = make_lease(conversation)
    refused = browser.post(address(conversation, "delete/"))
    assert refused.status_code == 409
    assert "Not deleted." in refused.content.decode()
    conversation.refresh_from_db()
    assert conversation.deleted_at is None
    lease.delete()
    assert browser.post(address(conversation, "delete/"))["Location"] == f"/agents/{agent.id}/"
    conversation.refresh_from_db()
    assert conversation.deleted_at is not None


def test_a_fork_shows_what_it_took_over(browser: Client, agent: Agent) -> None:
    tea = begin(agent, "Tea")
    asked, _ = talk(tea, "First words.", "First answer.")
    talk(tea, "Second words.", "Second answer.")
    answer = browser.post(address(tea, f"messages/{asked.id}/fork/"), **HTMX)
    fork = Conversation.objects.get(forked_from=tea)
    assert answer["HX-Redirect"] == address(fork)
    page = text_of(browser.get(address(fork)))
    assert "First words." in page
    assert "First answer." not in page
    assert "Second words." not in page
    assert "Forked here." in page


def test_a_whole_conversation_is_forked_with_one_button(browser: Client, agent: Agent) -> None:
    tea = begin(agent, "Tea")
    talk(tea, "First words.", "First answer.")
    talk(tea, "Second words.", "Second answer.")
    answer = browser.post(address(tea, "fork/"))
    fork = Conversation.objects.get(forked_from=tea)
    assert answer["Location"] == address(fork)
    assert fork.entries.count() == 5
    assert "Second answer." in text_of(browser.get(address(fork)))


def test_a_hidden_message_says_so_and_offers_the_way_back(browser: Client, agent: Agent) -> None:
    tea = begin(agent, "Tea")
    asked, answered = talk(tea, "Forget this.", "Never.")
    part = text_of(browser.post(address(tea, f"messages/{asked.id}/context/"), **HTMX))
    assert 'data-place="hidden"' in part
    assert "Show in context again" in part
    assert not tea.entries.filter(message=asked).exists()
    page = Page(text_of(browser.get(address(tea))))
    assert page.by_id(f"place-{asked.id}").attributes["data-place"] == "hidden"
    assert page.by_id(f"place-{answered.id}").attributes["data-place"] == "in"
    refused = browser.post(address(tea, f"messages/{asked.id}/fork/"), **HTMX)
    assert refused.status_code == 400
    browser.post(address(tea, f"messages/{asked.id}/context/"), {"shown": "1"})
    assert tea.entries.filter(message=asked).exists()


def test_a_message_is_not_hidden_while_a_run_goes_on(browser: Client, agent: Agent) -> None:
    tea = begin(agent, "Tea")
    asked, _ = talk(tea, "Keep this.", "Yes.")
    make_lease(tea)
    assert browser.post(address(tea, f"messages/{asked.id}/context/"), **HTMX).status_code == 409
    assert tea.entries.filter(message=asked).exists()


def test_the_memory_is_that_of_the_conversation(browser: Client, agent: Agent) -> None:
    alone = begin(agent, "Alone", isolated_block_labels=("human",))
    copy, shared = alone.block_links.get().block, agent.blocks.get()
    page = text_of(browser.get(address(alone)))
    assert f'id="block-{copy.id}"' in page
    assert f'id="block-{shared.id}"' not in page
    assert browser.get(address(alone, f"blocks/{copy.id}/"), **HTMX).status_code == 200
    assert browser.get(address(alone, f"blocks/{shared.id}/"), **HTMX).status_code == 404
    assert f'id="block-{shared.id}"' in text_of(browser.get(f"/agents/{agent.id}/"))


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_not_edit_sees_no_buttons_and_is_refused(sign_in: SignIn, agent: Agent, role: str) -> None:
    tea = begin(agent, "Tea")
    asked, _ = talk(tea, "Read this.", "Yes.")
    reader = sign_in(role)
    page = text_of(reader.get(address(tea)))
    assert "Read this." in page
    assert names_in(page) == ["Default conversation", "Tea"]
    for label in (
        "New conversation",
        "Rename",
        "Archive",
        "Fork conversation",
        "Fork here",
        "Hide from context",
    ):
        assert label not in page
    assert reader.get(address(tea, "name/?edit"), **HTMX).status_code == 403
    for path in (
        f"/agents/{agent.id}/conversations/",
        address(tea, "name/"),
        address(tea, "delete/"),
        address(tea, "fork/"),
        address(tea, f"messages/{asked.id}/fork/"),
        address(tea, f"messages/{asked.id}/context/"),
    ):
        assert reader.post(path).status_code == 403, path
    assert agent.conversations.count() == 2


@pytest.mark.django_db(transaction=True)
def test_a_message_goes_into_the_conversation_that_is_open(browser: Client) -> None:
    with installed(model := ScriptedModel()):
        model.add(words("With milk."))
        agent = create_agent(caller=make_caller(), draft=AgentDraft(name="clerk", model=model.handle))
        tea = begin(agent, "Tea")
        answer = browser.post(address(tea, "messages/"), {"text": "Tea?", "role": "user"})
        assert answer["Location"] == address(tea)
        assert [run.conversation_id for run in Run.objects.all()] == [tea.id]
