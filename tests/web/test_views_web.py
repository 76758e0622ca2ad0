"""The debug and the raw view of a conversation: every stored message with its ids, and the same as the SDK gives it."""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from agents.models import Agent, Conversation
from agents.services.agent_conversations import ConversationDraft, create_conversation
from agents.services.agents import AgentDraft, create_agent
from agents.web.debug_view import AT_ONCE
from letta_ade.core.ids import new_id
from tests.support.api import Api
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]
HTMX: Any = {"HTTP_HX_REQUEST": "true"}


@pytest.fixture
def agent(browser: Client) -> Agent:
    draft = AgentDraft(name="tea-notes", model="demo/assistant", initial_messages=())
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
def tea(agent: Agent) -> Conversation:
    return create_conversation(
        caller=make_caller(), agent_id=agent.id, draft=ConversationDraft(summary="Tea")
    )


def address(conversation: Conversation, rest: str = "") -> str:
    return f"/agents/{conversation.agent_id}/conversations/{conversation.id}/{rest}"


def call_a_tool(conversation: Conversation) -> dict[str, str]:
    """A step with a call and its return; the ids of what it left behind."""
    run = make_run(conversation=conversation)
    step = make_step(run=run, prompt_tokens=1234, completion_tokens=56, stop_reason="end_turn")
    common: dict[str, Any] = {"conversation": conversation, "run": run, "step": step, "in_context": True}
    asked = make_message(text="Which <b>tea</b>?", otid="otid-of-it", **common)
    call = {"id": "call_7", "name": "find_tea", "arguments": '{"kind": "green"}'}
    said = make_message(role="assistant", text="", content=[], tool_calls=[call], **common)
    back = {
        "tool_call_id": "call_7",
        "name": "find_tea",
        "status": "error",
        "text": "<script>no tea</script>",
        "stdout": ["looked"],
        "stderr": [],
        "duration_ms": 12.3,
    }
    make_message(role="tool", text="", content=[], tool_returns=[back], **common)
    return {"run": run.id, "step": step.id, "asked": asked.id, "said": said.id}


def test_the_debug_view_tells_everything_of_every_message(browser: Client, tea: Conversation) -> None:
    made = call_a_tool(tea)
    failed = make_message(conversation=tea, role="assistant", text="Half an answer.", is_err=True)
    html = browser.get(address(tea), {"view": "debug"}).content.decode()
    page = Page(html)
    rows = [each for each in page.all("article") if each.attributes.get("class") == "debug"]
    assert [row.attributes["data-role"] for row in rows] == [
        "system",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert rows[-1].attributes["id"] == f"debug-{failed.id}"
    assert "of a failed step" in rows[-1].text
    for words in (*made.values(), "otid-of-it"):
        assert words in html
    for words in ("1,234 tokens in", "56 out", "end_turn", "Which <b>tea</b>?", "in context"):
        assert words in rows[1].text
    assert "find_tea · call_7" in rows[2].text
    for words in ("find_tea · call_7 · error · 12 ms", "<script>no tea</script>", "looked"):
        assert words in rows[3].text
    assert page.by_id("view-debug").attributes.get("hidden") is None
    assert "hidden" in page.by_id("scroll").attributes


def test_the_debug_view_goes_back_to_the_beginning(browser: Client, tea: Conversation) -> None:
    for number in range(AT_ONCE + 4):
        make_message(conversation=tea, text=f"Number {number}.")
    newest = browser.get(address(tea, "debug/"), **HTMX).content.decode()
    assert newest.count('class="debug"') == AT_ONCE
    first = Page(newest).all("article")[0].attributes["id"].removeprefix("debug-")
    older = browser.get(address(tea, "debug/"), {"before": first}, **HTMX).content.decode()
    assert older.count('class="debug"') == 5
    assert "Older messages" not in older
    assert "Number 3." in older
    assert browser.get(address(tea, "debug/"), {"before": new_id("message")}, **HTMX).status_code == 404


def test_a_view_has_an_address_and_an_unknown_one_is_the_chat(browser: Client, tea: Conversation) -> None:
    for asked, seen in (("debug", "debug"), ("raw", "raw"), ("chat", "chat"), ("<b>", "chat"), ("", "chat")):
        page = Page(browser.get(address(tea), {"view": asked}).content.decode())
        assert page.by_id("bench").attributes["data-view"] == seen
        current = [each for each in page.all("a") if each.attributes.get("data-view") == seen]
        assert [each.attributes["aria-current"] for each in current] == ["true"]
    assert browser.get(address(tea, "debug/"))["Location"] == f"{address(tea)}?view=debug"


@pytest.mark.django_db(transaction=True)
def test_the_raw_view_is_what_the_sdk_is_given(browser: Client, tea: Conversation) -> None:
    call_a_tool(tea)
    raw = browser.get(address(tea, "raw/")).json()
    listed = Api().get(f"/v1/conversations/{tea.id}/messages", order="asc").json()
    assert raw == {"messages": listed, "before": None}


def test_the_raw_view_comes_in_pages_and_tells_failed_steps(browser: Client, tea: Conversation) -> None:
    for number in range(60):
        make_message(conversation=tea, text=f"Number {number}.", is_err=number == 59)
    newest = browser.get(address(tea, "raw/")).json()
    assert newest["messages"][-1]["content"] == "Number 59."
    assert newest["messages"][0]["id"] == newest["before"]
    older = browser.get(address(tea, "raw/"), {"before": newest["before"]}).json()
    assert [each["message_type"] for each in older["messages"]] == ["system_message"] + ["user_message"] * 10
    assert older["before"] is None


def test_both_views_are_read_by_viewers_and_by_nobody_of_elsewhere(
    browser: Client, sign_in: SignIn, tea: Conversation
) -> None:
    foreign = make_conversation(agent=make_agent(workspace=make_workspace()))
    for rest in ("raw/", "debug/"):
        assert browser.get(address(foreign, rest)).status_code == 404
        assert browser.get(f"/agents/{tea.agent_id}/conversations/{foreign.id}/{rest}").status_code == 404
    reader = sign_in("viewer")
    assert reader.get(address(tea, "raw/")).status_code == 200
    assert reader.get(address(tea, "debug/"), **HTMX).status_code == 200


def test_the_modules_that_the_scripts_import_are_fetched_with_the_page(
    browser: Client, tea: Conversation
) -> None:
    page = Page(browser.get(address(tea)).content.decode())
    links = page.all("link")
    preloaded = {each.attributes["href"] for each in links if each.attributes["rel"] == "modulepreload"}
    scripts = {
        each.attributes["src"].split("?")[0]
        for each in page.all("script")
        if "/js/" in each.attributes["src"]
    }
    imported: set[str] = set()
    left = list(scripts)
    while left:
        script = left.pop()
        source = (ROOT / script.lstrip("/")).read_text()
        for name in re.findall(r'^import .*?"(.+?)";$', source, re.M):
            found = posixpath.normpath(posixpath.join(posixpath.dirname(script), name))
            if found not in imported:
                imported.add(found)
                left.append(found)
    assert preloaded == imported
