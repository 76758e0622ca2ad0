"""Windows of a transcript, newest, beside a run or around what an address names; and the words that are found in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Agent, Conversation, Message, Run
from agents.services.agents import AgentDraft, create_agent
from agents.services.forks import fork_conversation
from agents.web.transcript_windows import FIRST_WINDOW, MOST_MESSAGES, WINDOW, load_transcript
from letta_ade.core.ids import new_id
from tests.support.factories import make_caller, make_conversation, make_message, make_run, make_step
from tests.web.pages import Page

pytestmark = pytest.mark.django_db

HTMX: Any = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def agent(browser: Client) -> Agent:
    draft = AgentDraft(name="house-keeper", model="demo/assistant", initial_messages=())
    return create_agent(caller=make_caller(), draft=draft)


def default_of(agent: Agent) -> Conversation:
    return agent.conversations.get(is_default=True)


def talk(conversation: Conversation, count: int) -> list[Run]:
    """So many runs with one question and one answer each."""
    start = timezone.now() - timedelta(days=1)
    runs = []
    for number in range(count):
        run = make_run(conversation=conversation)
        at = start + timedelta(seconds=number * 10)
        Run.objects.filter(id=run.id).update(created_at=at)
        step = make_step(run=run)
        common: dict[str, Any] = {"conversation": conversation, "run": run, "in_context": True}
        make_message(text=f"Question {number}.", created_at=at, **common)
        later = at + timedelta(seconds=1)
        make_message(role="assistant", text=f"Answer {number}.", step=step, created_at=later, **common)
        runs.append(run)
    return runs


def window(browser: Client, agent: Agent, **asked: str) -> tuple[list[str], str]:
    """The runs of a window by their ids, and its HTML."""
    response = browser.get(f"/agents/{agent.id}/transcript/", asked, **HTMX)
    assert response.status_code == 200
    html = response.content.decode()
    return [
        each.attributes["id"] for each in Page(html).all("section") if "data-run" in each.attributes
    ], html


def ids(runs: list[Run]) -> list[str]:
    return [run.id for run in runs]


def test_the_page_has_the_newest_runs_and_the_way_to_older_ones(browser: Client, agent: Agent) -> None:
    runs = talk(default_of(agent), FIRST_WINDOW + 3)
    page = browser.get(f"/agents/{agent.id}/").content.decode()
    assert "Question 2." not in page
    assert "Question 3." in page
    assert f"?before={runs[3].id}" in page
    older, html = window(browser, agent, before=runs[3].id)
    assert older == ids(runs[:3])
    assert "?before=" not in html
    assert f"?after={runs[2].id}" in html


def test_runs_after_one_are_given_forwards(browser: Client, agent: Agent) -> None:
    runs = talk(default_of(agent), WINDOW + 3)
    newer, html = window(browser, agent, after=runs[0].id)
    assert newer == ids(runs[1 : WINDOW + 1])
    assert f"?after={runs[WINDOW].id}" in html
    rest, html = window(browser, agent, after=runs[WINDOW].id)
    assert rest == ids(runs[WINDOW + 1 :])
    assert "?after=" not in html


@pytest.mark.parametrize("kind", ["run", "step", "question", "answer", "thought"])
def test_what_an_address_names_stands_in_the_middle_of_its_window(
    browser: Client, agent: Agent, kind: str
) -> None:
    runs = talk(default_of(agent), 2 * WINDOW)
    middle = runs[15]
    question, answer = Message.objects.filter(run=middle).order_by("created_at")
    name = {
        "run": middle.id,
        "step": middle.steps.get().id,
        "question": question.id,
        "answer": answer.id,
        "thought": f"thought-{answer.id}-2",
    }[kind]
    found, html = window(browser, agent, around=name)
    half = WINDOW // 2
    assert found == ids(runs[15 - half : 15 + half + 1])
    assert f'data-around="{middle.id}"' in html
    assert f"?before={runs[15 - half].id}" in html
    assert f"?after={runs[15 + half].id}" in html


def test_what_is_not_in_the_conversation_is_not_found(browser: Client, agent: Agent) -> None:
    talk(default_of(agent), 1)
    foreign = talk(make_conversation(), 1)[0]
    names = ["nonsense", new_id("run"), new_id("message"), foreign.id, foreign.messages.all()[0].id]
    for name in names:
        assert browser.get(f"/agents/{agent.id}/transcript/", {"around": name}).status_code == 404, name
    for way in ("before", "after"):
        assert browser.get(f"/agents/{agent.id}/transcript/", {way: foreign.id}).status_code == 404, way


def test_runs_that_say_much_make_a_shorter_window(browser: Client, agent: Agent) -> None:
    default = default_of(agent)
    runs = talk(default, 4)
    for run in runs[:2]:
        Message.objects.bulk_create(
            Message(
                workspace=agent.workspace,
                agent=agent,
                conversation=default,
                run=run,
                role="user",
                created_at=run.created_at,
            )
            for _ in range(MOST_MESSAGES)
        )
    newest = load_transcript(agent, default)
    assert [run.id for run in newest.runs] == ids(runs[2:])
    older, _ = window(browser, agent, before=runs[2].id)
    assert older == [runs[1].id]


def test_a_fork_is_read_back_to_the_beginning_of_what_it_took_over(browser: Client, agent: Agent) -> None:
    runs = talk(default_of(agent), FIRST_WINDOW + 5)
    fork = fork_conversation(caller=make_caller(), conversation_id=default_of(agent).id, agent_id=agent.id)
    own = make_run(conversation=fork)
    make_message(conversation=fork, run=own, text="In the fork.", in_context=True)
    newest = load_transcript(agent, fork)
    assert [run.id for run in newest.runs] == [own.id]
    assert [run.id for run in newest.taken_over] == ids(runs[-FIRST_WINDOW + 1 :])
    assert newest.ends_taken_over
    older = load_transcript(agent, fork, before=newest.older_than)
    assert [run.id for run in older.taken_over] == ids(runs[: -FIRST_WINDOW + 1])
    assert (older.ends_taken_over, older.older_than, older.runs) == (False, None, ())
    page = browser.get(f"/agents/{agent.id}/conversations/{fork.id}/").content.decode()
    assert page.count("Forked here.") == 1
    assert f"/agents/{agent.id}/conversations/{default_of(agent).id}/" in page


def test_a_window_is_a_page_of_its_own_without_script(browser: Client, agent: Agent) -> None:
    runs = talk(default_of(agent), WINDOW + 3)
    response = browser.get(f"/agents/{agent.id}/transcript/", {"before": runs[5].id})
    page = response.content.decode()
    assert "Question 4." in page
    assert f'href="/agents/{agent.id}/"' in page


def find(browser: Client, agent: Agent, words: str) -> dict[str, Any]:
    response = browser.get(f"/agents/{agent.id}/transcript/search/", {"find": words})
    assert response.status_code == 200
    return dict(response.json())


def test_what_was_said_is_found_in_its_order(browser: Client, agent: Agent) -> None:
    run = talk(default_of(agent), 12)[1]
    question, answer = Message.objects.filter(run=run).order_by("created_at")
    assert find(browser, agent, "ON 1.") == {"total": 1, "ids": [question.id]}
    assert find(browser, agent, "answer 1.")["ids"] == [answer.id]
    assert find(browser, agent, " question ")["total"] == 12
    assert find(browser, agent, "100%")["total"] == 0
    assert find(browser, agent, " ") == {"total": 0, "ids": []}
    assert find(browser, agent, "nul\0l")["total"] == 0


def test_a_search_stays_in_its_conversation_and_out_of_its_system_message(
    browser: Client, agent: Agent
) -> None:
    default = default_of(agent)
    other = make_conversation(agent=agent)
    make_message(conversation=other, text="Elsewhere is a pump.")
    make_message(conversation=default, role="tool", text="A pump in a return.")
    sent = make_message(conversation=default, role="system", run=make_run(conversation=default), text="Pump!")
    system = default.entries.order_by("position")[0].message
    assert find(browser, agent, "pump")["ids"] == [sent.id]
    assert find(browser, agent, system.text[:20])["total"] == 0
    foreign = make_conversation()
    answer = browser.get(f"/agents/{agent.id}/conversations/{foreign.id}/transcript/search/", {"find": "a"})
    assert answer.status_code == 404


def test_a_fork_finds_what_it_took_over(browser: Client, agent: Agent) -> None:
    talk(default_of(agent), 2)
    fork = fork_conversation(caller=make_caller(), conversation_id=default_of(agent).id, agent_id=agent.id)
    found = browser.get(
        f"/agents/{agent.id}/conversations/{fork.id}/transcript/search/", {"find": "question"}
    )
    assert found.json()["total"] == 2
