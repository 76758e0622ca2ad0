"""What the palette finds, for whom, and in how many queries."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from letta_ade.web.palette_search import HitGroup, excerpt, find
from letta_ade.web.template_tags import marked
from tests.support.factories import (
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page, SignIn
from tools.services.tools import ensure_builtin_tools

pytestmark = pytest.mark.django_db


def titles(groups: list[HitGroup]) -> dict[str, list[str]]:
    return {group.name: [hit.title for hit in group.hits] for group in groups}


def found(text: str) -> dict[str, list[str]]:
    return titles(find(caller=make_caller(), text=text))


def test_rows_of_every_kind_are_found_by_a_piece_of_their_name() -> None:
    agent = make_agent(name="policy-librarian")
    make_block(agent=agent, label="company_policies")
    make_conversation(agent=agent, summary="The policy of Norway")
    make_message(conversation=agent.conversations.first(), text="Policies say photos")
    make_agent(name="other")
    assert found("poli") == {
        "Agents": ["policy-librarian"],
        "Blocks": ["company_policies"],
        "Conversations": ["The policy of Norway"],
        "Messages": ["Policies say photos"],
    }


def test_names_that_begin_with_the_text_come_first_and_five_of_a_kind_at_most() -> None:
    make_agent(name="tea")
    for number in range(7):
        make_agent(name=f"green tea {number}")
    agents = found("tea")["Agents"]
    assert (agents[0], len(agents)) == ("tea", 5)


def test_words_of_messages_are_found_unfinished_together_and_only_what_was_said() -> None:
    agent = make_agent(name="x")
    conversation = make_conversation(agent=agent)
    make_message(conversation=conversation, text="The pump is serviced in May")
    make_message(conversation=conversation, text="The pump is red", role="tool")
    make_message(conversation=conversation, text="A pump of a failed step", is_err=True)
    assert found("pump serv")["Messages"] == ["The pump is serviced in May"]
    assert "Messages" not in found("pump winter")
    assert "Messages" not in found("p")


@pytest.mark.parametrize(
    "text", ["'", "a & b | !c", "<->", "\\", "%", "a:*", "((", "x'; DROP", "\x00a", "é" * 5000]
)
def test_any_text_can_be_typed(browser: Client, text: str) -> None:
    assert browser.get("/search/", {"q": text}).status_code == 200


def test_an_id_or_its_beginning_finds_the_row() -> None:
    agent = make_agent(name="one")
    make_agent(name="two")
    run = make_run(conversation=make_conversation(agent=agent))
    assert found(agent.id) == {"Agents": ["one"]}
    assert found(f"#{agent.id[:20].upper()}") == {"Agents": ["one"]}
    assert found(run.id) == {"Runs": [run.id]}
    step = make_step(run=run)
    assert found(step.id) == {"Steps": [step.id]}
    assert found("agent-ffffffff-0000") == {}


def test_commands_are_found_by_their_words_and_alone_after_a_mark() -> None:
    make_agent(name="new agent of mine")
    assert found("> agent new") == {"Commands": ["New agent"]}
    assert found("new agent")["Agents"] == ["new agent of mine"]


def test_nothing_typed_shows_what_was_last_used_and_who_holds_it() -> None:
    agent = make_agent(name="busy")
    make_block(agent=agent, label="human")
    make_run(conversation=make_conversation(agent=agent))
    groups = find(caller=make_caller(), text=" ")
    assert [hit.title for hit in groups[0].hits] == ["busy", "human"]
    assert groups[0].hits[1].detail.startswith("busy, v1")
    assert groups[1].name == "Commands"


def test_nothing_of_another_workspace_is_found() -> None:
    other = make_workspace()
    agent = make_agent(name="secret-agent", workspace=other)
    make_message(conversation=make_conversation(agent=agent), text="secret words")
    assert found("secret") == {}
    assert found(agent.id) == {}


def test_who_may_not_edit_is_not_offered_to_make_something(sign_in: SignIn) -> None:
    page = Page(sign_in("reviewer").get("/search/").content.decode())
    options = [
        element.text.strip() for element in page.all("a") if element.attributes.get("role") == "option"
    ]
    assert not [text for text in options if text.startswith("New ")]
    assert [text for text in options if text.startswith("Go to agents")]


def test_the_dialog_gets_rows_only_and_the_page_all(browser: Client) -> None:
    make_agent(name="<b>tea</b>")
    part = browser.get("/search/", {"q": "tea"}, headers={"HX-Request": "true", "HX-Target": "cmd-list"})
    html = part.content.decode()
    assert "<html" not in html
    assert 'tabindex="-1"' in html
    assert "&lt;b&gt;<mark>tea</mark>&lt;/b&gt;" in html
    page = Page(browser.get("/search/", {"q": "tea"}).content.decode())
    (row,) = [each for each in page.all("a") if each.attributes.get("role") == "option"]
    assert "tabindex" not in row.attributes
    assert "Nothing in this workspace fits" in browser.get("/search/", {"q": "zzz"}).content.decode()


def test_its_queries_do_not_grow_with_what_is_found(browser: Client) -> None:
    ensure_builtin_tools(make_caller().workspace_id)
    counts = []
    for number in range(3):
        agent = make_agent(name=f"memory {number}")
        make_block(agent=agent, label=f"memory {number}")
        make_message(conversation=make_conversation(agent=agent, summary="memory"), text="memory")
        with CaptureQueriesContext(connection) as queries:
            find(caller=make_caller(), text="memory")
        counts.append(len(queries))
    assert counts == [counts[0]] * 3
    assert counts[0] <= 9


def test_an_excerpt_is_cut_around_the_word() -> None:
    text = f"{'a ' * 200}needle{' b' * 200}"
    cut = excerpt(text, ["needle"])
    assert cut.startswith("…")
    assert cut.endswith("…")
    assert "needle" in cut
    assert excerpt("short\ntext", ["none"]) == "short text"


def test_marks_stand_around_words_and_text_stays_text() -> None:
    assert marked("A <Tea> b", "tea") == "A &lt;<mark>Tea</mark>&gt; b"
    assert marked("x", "") == "x"
    assert marked("a(b", "(") == "a<mark>(</mark>b"
