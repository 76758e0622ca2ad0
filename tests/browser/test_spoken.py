"""An agent of the heartbeat loop in a real browser: it speaks through a tool, and thinks beside it."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from letta_client import Letta
from playwright.sync_api import expect

from tests.browser.bench import answer_of, expect_end, say, workbench
from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply
from tests.support.server import RunningServer


@pytest.fixture
def server(slow_server: RunningServer) -> RunningServer:
    return slow_server


def test_words_sent_by_a_tool_stream_as_words_and_stay_so(open_page: OpenPages, sdk: Letta) -> None:
    agent = sdk.agents.create(name="beat", agent_type="memgpt_v2_agent", model="demo/assistant")
    with workbench(open_page, agent) as page:
        say(page, "/slow 120")
        live = page.locator("#runs .msg[data-live] [data-raw]")
        expect(live).to_have_text(re.compile(r"websocket"))
        first = live.text_content() or ""
        assert "{" not in first
        expect_end(page)
        words = answer_of(page)
        assert words.startswith(first)
        assert len(words) > len(first)
        expect(page.locator("#runs .call")).to_have_count(0)
        page.reload()
        expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
        assert answer_of(page) == words
        expect(page.locator("#runs .call")).to_have_count(0)


def test_what_it_says_to_itself_is_a_thought_live_and_after_a_reload(
    open_page: OpenPages, sdk: Letta, fake: FakeOpenAI
) -> None:
    agent: Any = sdk.agents.create(
        name="beat",
        agent_type="memgpt_v2_agent",
        model="openai/gpt-4o-mini",
        memory_blocks=[{"label": "human", "value": "Nobody."}],
    )
    insert = {"label": "human", "new_string": "Ada.", "request_heartbeat": True}
    answer = {"message": 'Hello "Ada".\nTea?'}
    fake.replies += [
        FakeReply(text="A name.", calls=(FakeCall(name="memory_insert", arguments=json.dumps(insert)),)),
        FakeReply(text="Now I greet.", calls=(FakeCall(name="send_message", arguments=json.dumps(answer)),)),
    ]
    with workbench(open_page, agent) as page:
        say(page, "I am Ada.")
        expect_end(page)
        for _ in range(2):
            assert answer_of(page) == 'Hello "Ada".\nTea?'
            expect(page.locator("#runs .call")).to_have_count(1)
            thoughts = page.locator("#runs .thought").all_text_contents()
            assert thoughts == ["A name.", "Now I greet."]
            page.reload()
            expect(page.locator("#bench")).to_have_attribute("data-link", "ready")
