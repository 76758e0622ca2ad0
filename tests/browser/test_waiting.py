"""Calls that wait, in real browsers: approved and denied by key, together, by whoever is faster, and given by hand for a client."""

from __future__ import annotations

import json
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
BLOCKS: list[Any] = [{"label": "human", "value": "Nothing is known yet."}]
RULES: list[Any] = [
    {"type": "requires_approval", "tool_name": "memory_insert"},
    {"type": "requires_approval", "tool_name": "memory_replace"},
]
SHELL: list[Any] = [
    {
        "name": "shell",
        "description": "Runs a command.",
        "parameters": {"type": "object", "properties": {"command": {"type": "string"}}},
    }
]


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


@pytest.fixture
def agent(sdk: Letta) -> Any:
    return sdk.agents.create(
        name="careful", model="openai/gpt-4o-mini", memory_blocks=BLOCKS, tool_rules=RULES
    )


def insert(words: str, call_id: str = "call_1") -> FakeCall:
    arguments = json.dumps({"label": "human", "new_string": words})
    return FakeCall(name="memory_insert", arguments=arguments, id=call_id)


def ask(page: Page, fake: FakeOpenAI, *calls: FakeCall) -> None:
    """A message whose answer are these calls, until they wait."""
    fake.replies.append(FakeReply(calls=calls or (insert("Likes tea."),)))
    say(page, "Remember it.")
    expect(page.locator("#waiting[data-request]")).to_be_visible()
    expect_end(page, "waiting")


def value_of(sdk: Letta, agent: Any) -> str:
    return sdk.agents.blocks.retrieve("human", agent_id=agent.id).value


def expect_decision(page: Page, words: str) -> None:
    """Seen where the answering run begins, now and after a reload."""
    expect(page.locator(".decision")).to_contain_text(words)
    page.reload()
    expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
    expect(page.locator(".decision")).to_contain_text(words)


def test_a_key_approves_the_call_and_the_transcript_says_who_did(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake)
        expect(page.locator(".approval-head")).to_contain_text("Approve memory_insert?")
        expect(page.locator(".kv-args")).to_contain_text("Likes tea.")
        expect(page.locator(".call[data-state=waiting]")).to_be_visible()
        page.reload()
        expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
        expect(page.locator(".kv-args")).to_contain_text("Likes tea.")
        assert "tea" not in value_of(sdk, agent)
        fake.replies.append(FakeReply(text="Noted."))
        page.locator("#scroll").focus()
        page.keyboard.press("a")
        expect_end(page)
        expect(page.locator("#waiting[data-request]")).to_have_count(0)
        assert answer_of(page) == "Noted."
        assert "Likes tea." in value_of(sdk, agent)
        expect(page.locator(".call[data-state=done]")).to_contain_text("memory_insert")
        expect_decision(page, "You approved memory_insert")
        expect(page.locator(".call[data-state=done]")).to_contain_text("memory_insert")
        expect(page.locator(".event[data-kind=memory]")).to_contain_text("v1 → v2")


def test_the_way_to_the_agents_approves_nothing(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake)
        page.locator("#scroll").focus()
        page.keyboard.press("g")
        page.keyboard.press("a")
        page.wait_for_url("**/agents/")
        assert "tea" not in value_of(sdk, agent)
        assert sdk.agents.retrieve(agent.id, include=["agent.pending_approval"]).pending_approval is not None


def test_a_denial_needs_no_mouse_and_its_reason_reaches_the_model(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake)
        fake.replies.append(FakeReply(text="Then not."))
        page.locator("#scroll").focus()
        page.keyboard.press("d")
        page.keyboard.type("She never said so.")
        page.keyboard.press("Control+Enter")
        expect_end(page)
        assert answer_of(page) == "Then not."
        assert "tea" not in value_of(sdk, agent)
        assert "She never said so." in str(fake.bodies[-1])
        expect(page.locator(".call[data-state=denied]")).to_contain_text("denied")
        expect_decision(page, "You denied memory_insert: She never said so.")
        expect(page.locator(".call[data-state=denied]")).to_contain_text("denied")


def test_several_calls_are_decided_one_by_one_and_answered_together(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake, insert("Likes tea."), insert("Likes rain.", "call_2"))
        expect(page.locator(".approval-head")).to_contain_text("2 calls wait for an answer")
        page.get_by_role("button", name="Send answers").click()
        expect(page.locator(".notice")).to_contain_text("Without an answer: memory_insert, memory_insert")
        page.locator("#scroll").focus()
        page.keyboard.press("a")
        page.keyboard.press("d")
        expect(page.locator("#reason-1")).to_be_focused()
        page.keyboard.type("Nobody does.")
        fake.replies.append(FakeReply(text="Half of it."))
        page.keyboard.press("Enter")
        expect_end(page)
        assert "tea" in value_of(sdk, agent)
        assert "rain" not in value_of(sdk, agent)
        expect(page.locator(".decision")).to_have_count(2)
        expect(page.locator(".decision").last).to_contain_text("denied memory_insert: Nobody does.")


def test_the_card_leaves_the_other_browser_and_what_was_written_there_stays(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as mine, workbench(open_page, agent) as theirs:
        ask(mine, fake)
        expect(theirs.locator("#waiting[data-request]")).to_be_visible()
        theirs.locator("summary", has_text="Deny with a reason").click()
        theirs.fill("#deny-reason", "I would not.")
        fake.replies.append(FakeReply(text="Noted."))
        mine.get_by_role("button", name="Approve").click()
        expect(theirs.locator("#waiting[data-request]")).to_have_count(0)
        expect(theirs.locator("#say")).to_have_value("I would not.")
        expect(theirs.locator(".notice")).to_contain_text("Answered by somebody else.")
        expect(theirs.locator(".decision")).to_contain_text("You approved memory_insert")
        expect_end(mine)
        expect_end(theirs)


def test_an_answer_that_comes_second_is_told_so_and_kept(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as mine:
        ask(mine, fake)
        with open_page("/") as theirs:
            theirs.route_web_socket("**/ws/**", lambda socket: socket.close(code=1013))
            theirs.goto(f"/agents/{agent.id}/")
            theirs.locator("summary", has_text="Deny with a reason").click()
            theirs.fill("#deny-reason", "I would not.")
            fake.replies.append(FakeReply(text="Noted."))
            mine.get_by_role("button", name="Approve").click()
            expect_end(mine)
            theirs.locator(".deny-box").get_by_role("button", name="Deny").click()
            expect(theirs.locator(".notice")).to_contain_text("Answered already: You approved it.")
            expect(theirs.locator("#say")).to_have_value("I would not.")
            expect(mine.locator(".decision")).to_have_count(1)


def test_a_message_that_is_written_meanwhile_is_sent_after_the_answer(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake)
        expect(page.locator("#say")).to_have_attribute(
            "placeholder", "Write a message. It is sent after the answer."
        )
        say(page, "And my cat is Tom.")
        expect(page.locator(".queue")).to_contain_text("And my cat is Tom.")
        fake.replies += [FakeReply(text="Noted."), FakeReply(text="Hello Tom.")]
        page.get_by_role("button", name="Approve").click()
        expect(page.locator(".msg-user").last).to_contain_text("And my cat is Tom.")
        expect(page.locator("[data-raw]").last).to_have_text("Hello Tom.")
        expect_end(page)


def test_a_cancelled_request_leaves_an_agent_that_listens(
    open_page: OpenPages, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        ask(page, fake)
        page.get_by_role("button", name="Cancel request").click()
        expect(page.locator("#waiting[data-request]")).to_have_count(0)
        expect_end(page, "cancelled")
        expect(page.locator(".call[data-state=denied]")).to_contain_text("not run")
        fake.replies.append(FakeReply(text="Here."))
        say(page, "Still there?")
        expect(page.locator("[data-raw]").last).to_have_text("Here.")
        expect_end(page)


def test_the_return_of_a_clients_tool_can_be_given_by_hand(
    open_page: OpenPages, sdk: Letta, agent: Any, fake: FakeOpenAI
) -> None:
    with workbench(open_page, agent) as page:
        call = FakeCall(name="shell", arguments='{"command": "ls"}', id="call_9")
        fake.replies.append(FakeReply(calls=(call,)))
        sdk.agents.messages.create(agent.id, input="List them.", client_tools=SHELL)
        expect(page.locator(".approval-head")).to_contain_text("Waiting for a client to run shell")
        expect(page.locator(".kv-args")).to_contain_text("ls")
        page.fill("#return-0", "notes.txt")
        page.locator(".verdict label", has_text="Error").click()
        fake.replies.append(FakeReply(text="One file, it seems."))
        page.get_by_role("button", name="Send return").click()
        expect_end(page)
        assert answer_of(page) == "One file, it seems."
        assert "notes.txt" in str(fake.bodies[-1])
        assert [tool["function"]["name"] for tool in fake.bodies[-1]["tools"]].count("shell") == 1
        expect(page.locator(".call[data-state=failed]")).to_contain_text("notes.txt")
        expect_decision(page, "You gave an error as the return of shell")
