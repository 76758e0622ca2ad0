"""The right pane of a block's page: what saving would do, who is behind, what differs; and the hints on the workbench's cards."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from agents.models import Agent, Conversation
from agents.services.agents import AgentDraft, create_agent
from agents.services.block_pins import pin_block
from agents.services.conversations import get_default_conversation
from letta_ade.core.ids import new_id
from memory.models import Block
from memory.services.blocks import BlockChanges, BlockDraft, create_block, update_block
from tests.support.factories import (
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_lease,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page

pytestmark = pytest.mark.django_db


@pytest.fixture
def block(browser: Client) -> Block:
    return create_block(caller=make_caller(), draft=BlockDraft(label="policies", value="Be fair."))


def make_holder(block: Block, name: str = "desk") -> Agent:
    draft = AgentDraft(name=name, model="demo/assistant", block_ids=(block.id,))
    return create_agent(caller=make_caller(), draft=draft)


def rewrite(block: Block, value: str) -> Block:
    return update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value=value))


def words(response: Any, element_id: str) -> str:
    return " ".join(Page(response.content.decode()).by_id(element_id).text.split())


def impact(browser: Client, block: Block, **draft: Any) -> str:
    return words(browser.post(f"/agents/of-block/{block.id}/", draft), "holders")


def act(browser: Client, block: Block, **fields: Any) -> Any:
    return browser.post(f"/agents/of-block/{block.id}/conversations/", fields)


def conversations(browser: Client, block: Block) -> str:
    return words(browser.get(f"/agents/of-block/{block.id}/conversations/"), "block-conversations")


def test_the_page_asks_for_its_parts_and_names_its_websocket(browser: Client, block: Block) -> None:
    page = Page(browser.get(f"/blocks/{block.id}/").content.decode())
    for element_id, path in (("holders", ""), ("block-conversations", "conversations/")):
        assert page.by_id(element_id).attributes["hx-get"] == f"/agents/of-block/{block.id}/{path}"
    presence = page.by_id("block-presence").attributes
    assert presence["data-block-live"] == f"/ws/blocks/{block.id}/?version=1"
    assert "data-has-draft" not in presence


def test_a_form_that_comes_back_with_errors_holds_a_draft(browser: Client, block: Block) -> None:
    fields = {"label": block.label, "value": "Typed.", "limit": "0", "base_version": 1}
    answer = browser.post(f"/blocks/{block.id}/", fields)
    assert answer.status_code == 422
    assert "data-has-draft" in Page(answer.content.decode()).by_id("block-presence").attributes


def test_what_is_typed_is_counted(browser: Client, block: Block) -> None:
    conversation = get_default_conversation(make_holder(block))
    make_step(run=make_run(conversation=conversation), prompt_tokens=31_900, completion_tokens=0)
    make_holder(block, "other-desk")
    quiet = impact(browser, block, value="Be fair.", base_version=1)
    assert "agents2" in quiet
    assert "No conversation would pass its window" in quiet
    assert "Base is current, nobody saved since v1" in quiet
    loud = impact(browser, block, value="x" * 800, base_version=1)
    assert "+198" in loud
    assert "1 conversation would pass its window" in loud
    assert "desk, Default" in loud
    assert "32,098 of 32,000" in loud
    assert Block.objects.get(id=block.id).value == "Be fair."


def test_line_ends_of_a_form_are_not_counted(browser: Client, block: Block) -> None:
    block = rewrite(block, "one\ntwo\nthree\nfour")
    assert "tokens each0" in impact(browser, block, value="one\r\ntwo\r\nthree\r\nfour", base_version=2)


def test_a_moved_base_and_runs_in_flight_are_said(browser: Client, block: Block) -> None:
    make_lease(get_default_conversation(make_holder(block)))
    rewrite(block, "Be quick.")
    said = impact(browser, block, value="Mine.", base_version=1)
    assert "v2 was saved since v1: saving merges with it" in said
    assert "Run of desk reads v1 until it ends" in said


def test_an_agent_without_a_conversation_that_shows_it_is_named_too(browser: Client, block: Block) -> None:
    make_agent(name="bare").block_links.create(block=block, position=0)
    said = words(browser.get(f"/agents/of-block/{block.id}/"), "holders")
    assert "bare" in said
    assert "no conversation shows it" in said


def test_long_lists_are_cut_at_the_same_number_of_queries(browser: Client, block: Block) -> None:
    make_holder(block)
    with CaptureQueriesContext(connection) as few:
        impact(browser, block, value="x", base_version=1)
    with CaptureQueriesContext(connection) as few_conversations:
        conversations(browser, block)
    agents = [
        Agent(
            workspace_id=block.workspace_id, name=f"a{n:03}", model="demo/assistant", context_window_limit=9
        )
        for n in range(60)
    ]
    Agent.objects.bulk_create(agents)
    for agent in agents:
        agent.block_links.create(block=block, position=0)
    Conversation.objects.bulk_create(
        Conversation(workspace_id=block.workspace_id, agent=agent, is_default=True) for agent in agents
    )
    with CaptureQueriesContext(connection) as many:
        said = impact(browser, block, value="x", base_version=1)
    with CaptureQueriesContext(connection) as many_conversations:
        stale = conversations(browser, block)
    assert "and 41 more" in said
    assert "60 of 61" in stale
    assert "and 40 more" in stale
    assert (len(many), len(many_conversations)) == (len(few), len(few_conversations))


def test_stale_conversations_have_their_version_and_a_difference(browser: Client, block: Block) -> None:
    make_holder(block)
    assert "Every conversation shows v1." in conversations(browser, block)
    rewrite(block, "Be fair.\nBe quick.")
    said = conversations(browser, block)
    assert "1 of 1" in said
    assert "Default, compiled at v1" in said
    assert "1 behind" in said
    answer = browser.get(f"/agents/of-block/{block.id}/since/1/")
    assert "Be quick." in words(answer, "block-difference")
    assert browser.get(f"/agents/of-block/{block.id}/since/9/").status_code == 404


def test_recompiling_pinning_and_unpinning_say_what_they_did(browser: Client, block: Block) -> None:
    conversation = get_default_conversation(make_holder(block))
    other = get_default_conversation(make_holder(block, "other"))
    rewrite(block, "Be quick.")

    def said(**fields: Any) -> str:
        answer = act(browser, block, **fields)
        assert answer.status_code == 200
        return str(json.loads(answer["HX-Trigger"])["block-said"]["words"])

    assert said(act="pin", conversation=conversation.id) == "desk, Default keeps v1"
    assert said(act="recompile", conversation=other.id) == "Recompiled"
    assert said(act="recompile_all") == "0 recompiled"
    words_of_unpin = "desk, Default follows the block at its next turn"
    assert said(act="unpin", conversation=conversation.id) == words_of_unpin
    assert said(act="recompile_all") == "1 recompiled"
    assert "0 of 2" in conversations(browser, block)


def test_bad_input_is_said_in_the_part(browser: Client, block: Block) -> None:
    conversation = get_default_conversation(make_holder(block))
    theirs = make_conversation(agent=make_agent(workspace=make_workspace()))
    for fields, expected in (
        ({"act": "explode", "conversation": conversation.id}, "There is no such action"),
        ({"act": "pin", "conversation": theirs.id}, "There is no conversation"),
        ({"act": "pin"}, "There is no conversation"),
    ):
        answer = act(browser, block, **fields)
        assert answer.status_code == 422
        assert expected in words(answer, "block-conversations")
    make_lease(conversation)
    rewrite(block, "Be quick.")
    answer = act(browser, block, act="recompile", conversation=conversation.id)
    assert "Another run of this conversation is going on" in words(answer, "block-conversations")
    for block_id in (new_id("block"), make_block(workspace=make_workspace()).id):
        for path in ("", "conversations/", "since/1/"):
            assert browser.get(f"/agents/of-block/{block_id}/{path}").status_code == 404


def test_cards_say_when_the_open_conversation_is_behind_or_pinned(browser: Client, block: Block) -> None:
    agent = make_holder(block)
    make_holder(block, "other")
    card = f"block-{block.id}"
    assert "behind" not in words(browser.get(f"/agents/{agent.id}/"), card)
    rewrite(block, "Be quick.")
    shown = words(browser.get(f"/agents/{agent.id}/"), card)
    assert "1 behind" in shown
    assert "2 agents" in shown
    pin_block(caller=make_caller(), conversation_id=agent.id, block_id=block.id)
    assert "pinned v1" in words(browser.get(f"/agents/{agent.id}/blocks/{block.id}/"), card)
