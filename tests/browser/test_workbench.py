"""The workbench in a real browser: a whole turn, somebody else's run, a reload in the middle, stopping, and a small screen."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import Page, expect

from tests.browser.bench import answer_of, expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer

ADA = "My name is Ada and I like tea."
BLOCKS: list[Any] = [
    {"label": "human", "value": "Nothing is known yet."},
    {"label": "persona", "value": "I keep notes."},
]


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(name="tea-notes", model="demo/assistant", memory_blocks=BLOCKS)


def test_a_new_agent_chats_and_writes_its_memory_while_one_watches(page: Page, server: RunningServer) -> None:
    page.goto("/agents/new/")
    page.fill("#id_name", "ada-notes")
    page.select_option("#id_model", "demo/assistant")
    page.locator("main button[type=submit]:not(.vh)", has_text="Create agent").click()
    expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
    card = page.locator(".blk", has=page.get_by_text("human", exact=True))
    assert "Ada" not in card.inner_text()

    say(page, f"/think {ADA}\n/slow 150")

    expect(page.locator(".msg-user")).to_contain_text(ADA)
    expect(page.locator("#runline[data-busy]")).to_be_visible()
    expect(page.locator(".line[data-fresh]", has_text="Ada")).to_be_visible()
    expect(card).to_contain_text("Likes tea")
    expect(card.locator(".blk-foot")).to_contain_text("v2")
    expect(page.locator(".call[data-state=done]", has_text="memory_insert")).to_be_visible()
    expect(page.locator(".event[data-kind=memory]")).to_contain_text("v1 → v2")
    live = page.locator(".msg[data-live] [data-raw]")
    expect(live).to_have_text(re.compile(r"\w+ \w+"))
    first = live.text_content() or ""
    expect_end(page)
    assert len(answer_of(page)) > len(first)
    expect(page.locator(".fold > summary").first).to_contain_text("Thought for")
    expect(page.locator("#changed-count")).to_have_text("1 changed this turn")
    expect(page.locator("#context .ctx-total b")).not_to_have_text("0")


def test_a_run_that_a_program_starts_is_seen_live(open_page: OpenPages, sdk: Letta, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        text = ""
        seen_live = False
        for chunk in sdk.agents.messages.create(
            agent.id, input="/slow 60", streaming=True, stream_tokens=True
        ):
            if chunk.message_type == "assistant_message":
                text += str(chunk.content)
                if not seen_live and len(text) > 60:
                    expect(page.locator(".msg[data-live] [data-raw]")).to_have_text(re.compile(r"\w"))
                    seen_live = True
        assert seen_live
        expect_end(page)
        assert answer_of(page) == text
        expect(page.locator(".msg-user")).to_have_count(1)


def test_a_reload_in_the_middle_resumes_and_repeats_nothing(
    open_page: OpenPages, sdk: Letta, agent: Any
) -> None:
    with workbench(open_page, agent) as page:
        say(page, "/slow 200")
        expect(page.locator(".msg[data-live] [data-raw]")).to_have_text(re.compile(r"websocket"))
        page.reload()
        expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
        expect(page.locator(".msg[data-live] [data-raw]")).to_have_text(re.compile(r"websocket"))
        expect(page.locator("#runs > .run")).to_have_count(1)
        expect_end(page)
        stored = [
            each for each in sdk.agents.messages.list(agent.id) if each.message_type == "assistant_message"
        ]
        assert answer_of(page) == stored[-1].content
        expect(page.locator(".msg-user")).to_have_count(1)
        expect(page.locator("[data-raw]")).to_have_count(1)


def test_escape_stops_the_run_and_keeps_what_was_said(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        say(page, "/slow 2000")
        expect(page.locator(".msg[data-live] [data-raw]")).to_have_text(re.compile(r"websocket"))
        page.keyboard.press("Escape")
        expect_end(page, "cancelled")
        expect(page.locator(".run-end")).to_contain_text("Stopped")
        assert "websocket" in answer_of(page)
        expect(page.locator("#stop")).to_be_hidden()


def test_what_is_typed_meanwhile_waits_and_is_then_sent(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        say(page, "/slow 3000")
        expect(page.locator("#runline[data-busy]")).to_be_visible()
        say(page, "never sent")
        say(page, "Hello there")
        expect(page.locator(".queue")).to_have_count(2)
        page.locator(".queue", has_text="never sent").get_by_role("button", name="Remove").click()
        expect(page.locator(".queue")).to_have_count(1)
        page.locator("#stop").click()
        expect(page.locator(".msg-user")).to_have_count(2)
        expect(page.locator(".msg-user").last).to_contain_text("Hello there")
        expect_end(page)
        expect(page.locator(".queue")).to_have_count(0)


def test_queued_messages_are_edited_and_kept_over_a_reload_and_sent_in_order(
    open_page: OpenPages, agent: Any
) -> None:
    with workbench(open_page, agent) as page:
        say(page, "/slow 3000")
        expect(page.locator("#runline[data-busy]")).to_be_visible()
        say(page, "First in the queue")
        page.get_by_label("Role", exact=True).select_option("system")
        say(page, "Second in the queue")
        page.reload()
        expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
        rows = page.locator(".queue")
        expect(rows).to_have_count(2)
        expect(rows.last.locator(".chip")).to_have_text("system")
        expect(rows.first.locator(".chip")).to_be_hidden()

        rows.first.get_by_role("button", name="Edit").click()
        field = rows.first.get_by_role("textbox")
        expect(field).to_be_focused()
        field.fill("Thrown away")
        field.press("Escape")
        expect(rows.first).to_contain_text("Queued: First in the queue")
        expect(page.locator("#runline[data-busy]")).to_be_visible()

        rows.first.get_by_role("button", name="Edit").click()
        field.fill("First, edited")
        page.locator("#stop").click()
        expect_end(page, "cancelled")
        # What is being edited waits, and so does what stands behind it.
        expect(rows).to_have_count(2)
        field.press("Control+Enter")
        expect(rows).to_have_count(0)
        expect(page.locator(".msg-user")).to_have_count(3)
        expect_end(page)
        said = [each.strip() for each in page.locator(".msg-user .msg-body").all_inner_texts()]
        assert said == ["/slow 3000", "First, edited", "Second in the queue"]
        assert "system" in page.locator(".msg-user .msg-head").last.inner_text()


def test_a_provider_error_is_told_in_its_words_and_can_be_tried_again(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    agent = sdk.agents.create(name="faulty", model="openai/gpt-4o-mini", memory_blocks=BLOCKS)
    fake.replies.append(
        FakeReply(
            status=429, error={"error": {"message": "Slow down, tiger.", "type": "rate_limit_exceeded"}}
        )
    )
    with workbench(open_page, agent) as page:
        say(page, "Hello")
        expect(page.locator(".fault")).to_contain_text("Slow down, tiger.")
        expect_end(page, "failed")
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#runs > .run")).to_have_count(2)
        expect_end(page)
        expect(page.locator(".fault")).to_have_count(1)


def test_html_in_any_text_stays_text(open_page: OpenPages, sdk: Letta, fake: FakeOpenAI) -> None:
    bad = '<img src=x onerror="document.title=1"><script>document.title=2</script><b>bold</b>'
    agent = sdk.agents.create(
        name="html",
        description=bad,
        tags=[bad],
        system=bad,
        model="openai/gpt-4o-mini",
        memory_blocks=[{"label": "human", "value": bad}],
    )
    sdk.conversations.create(agent_id=agent.id, summary=bad)
    search = FakeCall(name="conversation_search", arguments=json.dumps({"query": bad}))
    ways_in = "[go](javascript:alert(1)) [data](data:text/html,<script>1</script>) <svg onload=alert(1)>"
    fake.replies += [
        FakeReply(calls=(search,)),
        FakeReply(
            text=f'{bad} {ways_in}\n\n```html onclick=alert(1)\n{bad}\n```\n\n![x](x" onerror="alert(1))'
        ),
    ]
    with workbench(open_page, agent) as page:
        say(page, bad)
        expect_end(page)
        expect(page.locator(".msg-user")).to_contain_text("<script>")
        drawn = page.locator("[data-drawn]").last
        expect(drawn).to_contain_text("<script>")
        expect(drawn.locator(".code-block code")).to_have_text(f"{bad}\n")
        expect(page.locator(".line").first).to_contain_text("<script>")
        expect(page.locator(".call").first).to_contain_text("<img src=x")
        expect(page.locator("#part-identity")).to_contain_text(bad)
        expect(page.locator("#part-system .prompt")).to_have_text(bad)
        expect(page.locator("#switch-list")).to_contain_text(bad)
        for view in ("Debug", "Raw", "Chat"):
            page.locator("#views").get_by_role("link", name=view).click()
            expect(page.locator("#view-raw pre, #view-debug pre, #log .msg").first).to_be_attached()
            assert page.locator("main img, main script, main svg[onload]").count() == 0
            assert page.locator("main b", has_text="bold").count() == 0
        hrefs = page.locator("[data-drawn] a").evaluate_all(
            "all => all.map(a => a.getAttribute('href') ?? '')"
        )
        assert not [each for each in hrefs if not each.startswith(("http", "mailto:", "#", "x"))]
        handlers = "() => [...document.querySelectorAll('main *')].filter(e => [...e.attributes].some(a => /^on/.test(a.name))).length"
        assert page.evaluate(handlers) == 0
        assert page.title() not in ("1", "2")


def test_a_block_of_code_names_its_language_and_is_copied(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    agent = sdk.agents.create(name="coder", model="openai/gpt-4o-mini", memory_blocks=BLOCKS)
    fake.replies.append(FakeReply(text="Run this:\n\n```python\nprint('<tea>')\n```\n\nIt prints tea."))
    with workbench(open_page, agent) as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        say(page, "Code, please.")
        expect_end(page)
        block = page.locator(".code-block")
        expect(block.locator("[data-language]")).to_have_text("python")
        block.get_by_role("button", name="Copy the code").click()
        page.wait_for_function("async () => (await navigator.clipboard.readText()) === \"print('<tea>')\"")


def test_a_clash_of_two_editors_shows_both_texts(open_page: OpenPages, sdk: Letta, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        page.get_by_role("link", name="Edit human").click()
        editor = page.locator(".blk-editor")
        expect(editor).to_be_focused()
        editor.fill("Mine.")
        sdk.agents.blocks.update("human", agent_id=agent.id, value="Theirs.")
        expect(page.locator("[data-moved]")).to_be_visible()
        page.get_by_role("button", name="Save", exact=True).click()
        expect(page.locator(".blk-theirs")).to_have_text("Theirs.")
        expect(page.locator(".blk-editor")).to_have_value("Mine.")
        page.get_by_role("button", name="Save over v2").click()
        expect(page.locator("[data-editing]")).to_have_count(0)
        expect(page.locator(".blk", has_text="human")).to_contain_text("Mine.")
        assert sdk.agents.blocks.retrieve("human", agent_id=agent.id).value == "Mine."


def test_a_lost_connection_is_told_and_what_was_typed_is_kept(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        page.fill("#say", "Half a thought")
        page.route_web_socket("**/ws/**", lambda socket: socket.close(code=1013))
        page.reload()
        expect(page.locator("#link-lost")).to_be_visible()
        expect(page.locator("#link-lost")).to_contain_text("What you typed is kept.")
        expect(page.locator("#say")).to_have_value("Half a thought")


def test_on_a_phone_the_panes_are_tabs(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent, width=390, height=844) as page:
        expect(page.locator(".pane-2")).to_be_visible()
        expect(page.locator(".pane-3")).to_be_hidden()
        say(page, ADA)
        expect_end(page)
        expect(page.locator("#memory-mark")).to_have_text("1")
        page.locator("label:has(#tab-3)").click()
        expect(page.locator(".pane-2")).to_be_hidden()
        expect(page.locator(".blk", has_text="human")).to_contain_text("Ada")
        page.locator("label:has(#tab-1)").click()
        expect(page.locator("#model-picker")).to_be_visible()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_keys_work_outside_of_fields_only(open_page: OpenPages, agent: Any) -> None:
    with workbench(open_page, agent) as page:
        page.keyboard.press("/")
        expect(page.locator("#say")).to_be_focused()
        page.keyboard.type("[?")
        expect(page.locator("#say")).to_have_value("[?")
        expect(page.locator(".pane-1")).to_be_visible()
        page.locator("#scroll").focus()
        page.keyboard.press("[")
        expect(page.locator(".pane-1")).to_be_hidden()
        page.keyboard.press("?")
        expect(page.locator("#keys")).to_be_visible()
