"""Proposed memory edits without the page's script: the inbox, their own page, the block's page, who may decide."""

from __future__ import annotations

from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from letta_ade.accounts.models import Role
from letta_ade.core.ids import new_id
from letta_ade.web.palette_search import find
from memory.models import Block, BlockProposal
from memory.services.block_policies import set_policy
from memory.services.blocks import BlockChanges, change_block, delete_block
from memory.services.proposal_decisions import approve_proposal, reject_proposal
from tests.support.factories import (
    make_agent,
    make_block,
    make_caller,
    make_conversation,
    make_message,
    make_workspace,
)
from tests.support.proposals import make_proposal
from tests.support.waiting import make_request
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


def page_of(browser: Client, address: str, **headers: str) -> Page:
    response = browser.get(address, headers=headers)
    assert response.status_code == 200
    return Page(response.content.decode())


def decide(browser: Client, proposal: BlockProposal, decision: str, **fields: Any) -> Any:
    return browser.post(f"/proposals/{proposal.id}/decide/", {"decision": decision, **fields})


def state_of(proposal: BlockProposal) -> str:
    return BlockProposal.objects.get(id=proposal.id).state


def rows_of(page: Page) -> list[str]:
    ids = [element.attributes.get("id", "") for element in page.all("li")]
    return [each.removeprefix("row-") for each in ids if each.startswith("row-")]


def test_the_inbox_lists_proposals_beside_requests_and_counts_both(browser: Client) -> None:
    request, proposal = make_request("clock"), make_proposal(label="policies")
    page = page_of(browser, "/inbox/")
    assert rows_of(page) == [proposal.id, request.id]
    assert page.by_id("rail-waiting").text == "2"
    assert page.by_id("proposal").attributes["data-proposal"] == proposal.id
    assert "Write that down." in page.by_id("proposal").text
    assert rows_of(page_of(browser, "/inbox/?kind=proposal")) == [proposal.id]
    assert rows_of(page_of(browser, "/inbox/?kind=approval")) == [request.id]
    assert rows_of(page_of(browser, f"/inbox/?agent={proposal.actor_id}")) == [proposal.id]
    assert browser.get("/inbox/count/").content.decode().count(">2<") == 1
    reject_proposal(caller=make_caller(), proposal_id=proposal.id)
    assert rows_of(page_of(browser, f"/inbox/?open={proposal.id}")) == [request.id]


def test_the_inbox_goes_on_after_a_row_of_either_kind(browser: Client) -> None:
    old, new = make_proposal(), make_proposal()
    request = make_request("clock")
    assert rows_of(page_of(browser, f"/inbox/?after={new.id}")) == [old.id, request.id]
    approve_proposal(caller=make_caller(), proposal_id=new.id)
    assert rows_of(page_of(browser, f"/inbox/?after={new.id}")) == [old.id, request.id]
    assert rows_of(page_of(browser, f"/inbox/?after={request.id}")) == []
    assert browser.get(f"/inbox/?after={new_id('proposal')}").status_code == 404


def test_the_inbox_costs_the_same_however_many_wait(browser: Client) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connection) as asked:
            page_of(browser, "/inbox/")
        return len(asked)

    make_proposal()
    before = cost()
    for _ in range(5):
        make_proposal()
    assert cost() == before == 8


def test_a_proposal_has_its_own_page_with_the_change_its_cause_and_the_way_there(browser: Client) -> None:
    agent = make_agent(name="Scribe")
    conversation = make_conversation(agent=agent)
    message = make_message(conversation=conversation, role="user")
    proposal = make_proposal(agent=agent, conversation=conversation, excerpt_message_id=message.id)
    page = page_of(browser, f"/proposals/{proposal.id}/")
    card = page.by_id("proposal").text
    for words in ("Scribe", "memory_insert", "Second line.", "Write that down.", "Approve", "Reject"):
        assert words in card
    links = [link.attributes["href"] for link in page.all("a")]
    assert f"/agents/{agent.id}/conversations/{conversation.id}/#{message.id}" in links
    part = page_of(browser, f"/proposals/{proposal.id}/", **{"HX-Request": "true", "HX-Target": "proposal"})
    assert part.all("main") == []


def test_the_page_costs_a_fixed_number_of_queries(browser: Client) -> None:
    proposal = make_proposal(conversation=make_conversation())
    with CaptureQueriesContext(connection) as asked:
        page_of(browser, f"/proposals/{proposal.id}/")
    assert len(asked) == 5


def test_an_approval_goes_back_to_the_page_and_says_so(browser: Client) -> None:
    proposal = make_proposal(label="policies")
    answer = decide(browser, proposal, "approve")
    assert answer.headers["Location"] == f"/proposals/{proposal.id}/"
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "Approved policies v2" in page.by_id("notices").text
    assert "Approved by You" in page.by_id("proposal").text
    assert Block.objects.get(id=proposal.block_id).value == "First line.\nSecond line."
    version = page_of(browser, f"/blocks/{proposal.block_id}/versions/2/")
    assert "the proposal" in version.by_id("main").text
    assert "approved by You" in version.by_id("main").text
    assert decide(browser, proposal, "approve").status_code == 302


def test_from_the_inbox_it_goes_back_there(browser: Client) -> None:
    proposal, other = make_proposal(), make_proposal()
    assert decide(browser, proposal, "reject", reason="No.", page="inbox").headers["Location"] == "/inbox/"
    answer = decide(browser, other, "approve", page="inbox", kind="proposal")
    assert answer.headers["Location"] == "/inbox/?kind=proposal"


def test_an_edited_text_is_approved_with_line_ends_as_they_are_stored(browser: Client) -> None:
    proposal = make_proposal()
    decide(browser, proposal, "edit", text="First line.\r\n2nd line.", base_version="1")
    assert Block.objects.get(id=proposal.block_id).value == "First line.\n2nd line."
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "What was approved instead" in page.by_id("proposal").text


def test_a_rejection_says_whether_the_agent_has_read_it(browser: Client) -> None:
    proposal = make_proposal()
    decide(browser, proposal, "reject", reason="Not true.")
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "Not true." in page.by_id("proposal").text
    assert "reads it with the next message" in page.by_id("proposal").text
    BlockProposal.objects.filter(id=proposal.id).update(told_message_id=new_id("message"))
    assert "has read it" in page_of(browser, f"/proposals/{proposal.id}/").by_id("proposal").text


@pytest.mark.parametrize("text", ["x" * 5001, "a\0b"])
def test_a_text_that_cannot_be_is_shown_again_as_it_was_typed(browser: Client, text: str) -> None:
    proposal = make_proposal(block=make_block(agent=make_agent(), limit=5000))
    answer = decide(browser, proposal, "edit", text=text, base_version="1")
    assert answer.status_code == 422
    assert Page(answer.content.decode()).by_id("proposal-text").text.strip() == text
    assert state_of(proposal) == "pending"


def test_a_conflict_shows_both_texts_and_the_editor_starts_with_both(browser: Client) -> None:
    block = make_block(agent=make_agent(), value="First line.")
    proposal = make_proposal(block=block, value="1st line.")
    change_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="Line one."))
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "Line 1 was changed meanwhile" in page.by_id("proposal").text
    assert page.by_id("proposal-text").text.strip() == "Line one.\n1st line."
    refused = decide(browser, proposal, "approve")
    assert refused.status_code == 409
    assert state_of(proposal) == "pending"
    assert decide(browser, proposal, "edit", text="Line 1.", base_version="2").status_code == 302
    assert Block.objects.get(id=block.id).value == "Line 1."


def test_the_change_is_shown_against_what_the_block_holds_now(browser: Client) -> None:
    block = make_block(agent=make_agent(), value="a\nb\nc\nd")
    proposal = make_proposal(block=block, value="a\nb\nc\nD")
    change_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="A\nb\nc\nd"))
    page = page_of(browser, f"/proposals/{proposal.id}/")
    ops = [row.text.strip() for row in page.all("div") if row.attributes.get("data-op")]
    assert [text[-1] for text in ops] == ["d", "D"]
    assert "went from v1 to v2" in page.by_id("proposal").text


def test_whoever_decides_second_is_told(browser: Client) -> None:
    proposal = make_proposal()
    reject_proposal(caller=make_caller(name="Grace"), proposal_id=proposal.id)
    answer = decide(browser, proposal, "approve")
    assert answer.status_code == 409
    assert "was rejected by Grace" in Page(answer.content.decode()).by_id("proposal").text


def test_a_proposal_of_a_deleted_block_is_closed_and_still_has_a_page(browser: Client) -> None:
    proposal = make_proposal()
    delete_block(caller=make_caller(), block_id=proposal.block_id)
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "The block was deleted." in page.by_id("proposal").text
    assert all("decide" not in form.attributes.get("action", "") for form in page.all("form"))
    assert decide(browser, proposal, "approve").status_code == 409


def test_readers_see_and_do_not_decide(sign_in: SignIn) -> None:
    browser = sign_in(Role.VIEWER)
    proposal = make_proposal()
    page = page_of(browser, f"/proposals/{proposal.id}/")
    assert "does not decide" in page.by_id("proposal").text
    for decision in ("approve", "edit", "reject"):
        assert decide(browser, proposal, decision, text="x").status_code == 403
    assert state_of(proposal) == "pending"
    policy = page_of(browser, f"/blocks/{proposal.block_id}/policy/")
    assert all("disabled" in select.attributes for select in policy.all("select"))
    assert browser.post(f"/blocks/{proposal.block_id}/policy/", {}).status_code == 403


def test_what_belongs_to_another_workspace_is_not_there(browser: Client) -> None:
    proposal = make_proposal()
    BlockProposal.objects.update(workspace=make_workspace())
    assert browser.get(f"/proposals/{proposal.id}/").status_code == 404
    assert decide(browser, proposal, "approve").status_code == 404
    other = make_block(workspace=make_workspace())
    for part in ("policy", "proposals"):
        assert browser.get(f"/blocks/{other.id}/{part}/").status_code == 404


def test_the_block_says_who_may_write_and_lets_it_be_set(browser: Client) -> None:
    agent = make_agent(name="Scribe")
    block = make_block(agent=agent)
    assert "propose" not in page_of(browser, f"/blocks/{block.id}/").by_id("policy-chip").text
    rules = {"rule-default": "", "rule-agents": "propose", "agent": agent.id, "agent_policy": "read_only"}
    saved = Page(browser.post(f"/blocks/{block.id}/policy/", rules).content.decode())
    assert Block.objects.get(id=block.id).policy == {"agents": "propose", agent.id: "read_only"}
    assert "Set by You" in saved.by_id("block-policy").text
    assert "Scribe" in saved.by_id("block-policy").text
    assert "propose" in saved.by_id("policy-chip").text
    assert "propose" in page_of(browser, f"/blocks/{block.id}/").by_id("policy-chip").text
    refused = browser.post(f"/blocks/{block.id}/policy/", {"rule-agents": "never"})
    assert refused.status_code == 422
    assert Block.objects.get(id=block.id).policy["agents"] == "propose"


def test_the_block_lists_what_waits_and_the_last_decisions(browser: Client) -> None:
    block = make_block(agent=make_agent())
    decided, waiting = make_proposal(block=block, value="x"), make_proposal(block=block, value="y")
    reject_proposal(caller=make_caller(), proposal_id=decided.id)
    links = page_of(browser, f"/blocks/{block.id}/proposals/").all("a")
    assert [link.attributes["href"] for link in links] == [
        f"/proposals/{waiting.id}/",
        f"/proposals/{decided.id}/",
    ]


def test_a_save_that_waits_for_approval_leads_to_its_proposal(browser: Client) -> None:
    block = make_block(value="a")
    set_policy(caller=make_caller(), block_id=block.id, rules={"members": "propose"})
    form = {"label": block.label, "limit": block.limit, "description": "", "value": "b", "base_version": 1}
    answer = browser.post(f"/blocks/{block.id}/", form)
    [proposal] = BlockProposal.objects.all()
    assert answer.headers["Location"] == f"/proposals/{proposal.id}/"
    assert (proposal.value, proposal.changes) == ("b", {})
    assert Block.objects.get(id=block.id).value == "a"


def test_the_workbench_says_what_waits_and_what_the_agent_may(browser: Client) -> None:
    agent = make_agent()
    make_conversation(agent=agent, is_default=True)
    block = make_block(agent=agent)
    proposal = make_proposal(agent=agent, block=block)
    page = page_of(browser, f"/agents/{agent.id}/")
    assert "1 proposal waits" in page.by_id(f"block-{block.id}").text
    assert f"/proposals/{proposal.id}/" in [link.attributes.get("href") for link in page.all("a")]
    make_proposal(agent=agent, block=block, value="other")
    assert "2 proposals wait" in page_of(browser, f"/agents/{agent.id}/").by_id(f"block-{block.id}").text
    set_policy(caller=make_caller(), block_id=block.id, rules={agent.id: "read_only"})
    assert "read-only" in page_of(browser, f"/agents/{agent.id}/").by_id(f"block-{block.id}").text


def test_the_palette_finds_a_proposal_by_its_id(browser: Client) -> None:
    proposal = make_proposal(label="policies")
    [group] = find(caller=make_caller(), text=proposal.id)
    assert [(hit.title, hit.address) for hit in group.hits] == [("policies", f"/proposals/{proposal.id}/")]
