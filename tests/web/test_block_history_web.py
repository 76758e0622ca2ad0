"""Blame, versions and what is done with them on the block's pages."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Agent
from memory.models import Block, BlockVersion
from memory.services.block_checkpoints import create_checkpoint
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, update_block
from memory.web import block_versions
from memory.web.block_blame import load_groups
from tests.support.factories import (
    make_agent,
    make_agent_caller,
    make_block,
    make_caller,
    make_conversation,
    make_message,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="librarian")


@pytest.fixture
def block(agent: Agent) -> Block:
    """Made by a person, with a line of an agent after a question of somebody."""
    block = make_block(agent=agent, label="policies", value="one\ntwo\nthree")
    conversation = make_conversation(agent=agent)
    make_message(conversation=conversation, role="user", text="Is the <b>invoice</b> right?")
    call = make_message(conversation=conversation, role="assistant", text="")
    origin = Origin(message_id=call.id, run_id="run-1", tool_name="memory_insert")
    changes = BlockChanges(value="one\ntwo (agent)\nthree\nfour (agent)")
    update_block(caller=make_agent_caller(agent), block_id=block.id, changes=changes, origin=origin)
    block.refresh_from_db()
    return block


def html_of(browser: Client, address: str) -> str:
    response = browser.get(address)
    assert response.status_code == 200
    return response.content.decode()


def test_lines_are_grouped_by_the_version_that_wrote_them(block: Block) -> None:
    BlockVersion.objects.filter(number=1).update(created_at=timezone.now() - timedelta(days=9))
    groups = load_groups(block)
    assert [
        (group.version.number if group.version else None, group.start, group.lines, group.age, group.mark)
        for group in groups
    ] == [
        (1, 1, ("one",), 2, "person"),
        (2, 2, ("two (agent)",), 0, "agent"),
        (1, 3, ("three",), 2, "person"),
        (2, 4, ("four (agent)",), 0, "agent"),
    ]


def test_a_text_is_read_with_its_blame_first_and_what_was_typed_is_never_hidden(
    browser: Client, block: Block
) -> None:
    def view(html: str) -> str:
        return next(
            each.attributes["data-views"]
            for each in Page(html).all("section")
            if "data-views" in each.attributes
        )

    html = html_of(browser, f"/blocks/{block.id}/")
    assert view(html) == "blame"
    assert "two (agent)" in html
    assert view(html_of(browser, f"/blocks/{block.id}/?view=edit")) == "edit"
    assert view(html_of(browser, f"/blocks/{make_block(value='').id}/")) == "edit"
    bad = browser.post(
        f"/blocks/{block.id}/", {"label": "", "limit": "5", "value": "typed", "base_version": 2}
    )
    assert (bad.status_code, view(bad.content.decode())) == (422, "edit")


def test_a_line_says_after_which_words_it_was_written_and_leads_there(
    browser: Client, block: Block, agent: Agent
) -> None:
    part = html_of(browser, f"/agents/written/{block.id}/2/")
    assert "librarian" in part
    assert "memory_insert" in part
    assert "after “Is the &lt;b&gt;invoice&lt;/b&gt; right?”" in part
    message_id = BlockVersion.objects.get(number=2).message_id
    assert f'href="/agents/{agent.id}/#{message_id}"' in part
    agent.delete()
    lost = html_of(browser, f"/agents/written/{block.id}/2/")
    assert "librarian</b>, an agent that was deleted, wrote this" in lost
    assert "Its messages went with it." in lost
    assert "Go to message" not in lost
    assert browser.get(f"/agents/written/{block.id}/9/").status_code == 404
    other = make_block(workspace=make_workspace())
    assert browser.get(f"/agents/written/{other.id}/1/").status_code == 404


def test_what_is_not_saved_is_compared_with_what_is(browser: Client, block: Block) -> None:
    answer = browser.post(f"/blocks/{block.id}/draft/", {"value": "one\r\nTWO\r\nthree\r\nfour (agent)"})
    page = Page(answer.content.decode())
    changed = [each.text.strip() for each in page.all("div") if "data-op" in each.attributes]
    assert [text.split("removed")[-1].split("added")[-1] for text in changed] == ["two (agent)", "TWO"]


def test_two_versions_have_an_address_together(browser: Client, block: Block) -> None:
    html = html_of(browser, f"/blocks/{block.id}/compare/1/2/")
    assert "v1 → v2" in html
    moved = browser.get(f"/blocks/{block.id}/compare/1/2/?from=2&to=1")
    assert moved["Location"] == f"/blocks/{block.id}/compare/2/1/"
    assert browser.get(f"/blocks/{block.id}/compare/1/7/").status_code == 404


def test_restore_undo_and_redo_make_versions_and_say_so(browser: Client, block: Block) -> None:
    def act(path: str, **fields: object) -> str:
        return browser.post(f"/blocks/{block.id}/{path}/", fields, follow=True).content.decode()

    assert "policies v3 is as v1 was" in act("versions/1/restore")
    assert "policies is as in v1 already" in act("versions/1/restore")
    assert "Undo: policies is v4 now" in act("step/undo", base_version=3)
    assert Block.objects.get().value.endswith("four (agent)")
    assert "Redo: policies is v5 now" in act("step/redo", base_version=4)
    assert "is at version 5, not 4" in act("step/undo", base_version=4)
    assert "There is nothing to redo" in act("step/redo")
    assert "nothing called" in act("step/destroy")
    assert browser.get(f"/blocks/{block.id}/step/undo/").status_code == 405
    assert "disabled" in html_of(browser, f"/blocks/{block.id}/").split("Redo what was undone")[1][:200]


def test_a_restore_shows_what_would_change_first(browser: Client, block: Block) -> None:
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(limit=5_000))
    page = Page(html_of(browser, f"/blocks/{block.id}/versions/1/restore/"))
    assert "What changes from v3 is below, and the limit too." in page.elements[0].text
    assert "Restore, as v4" in page.elements[0].text
    assert {each.attributes["data-op"] for each in page.all("div") if "data-op" in each.attributes} >= {"del"}
    assert Block.objects.get().version == 3
    stale = browser.post(f"/blocks/{block.id}/versions/1/restore/", {"base_version": 2}, follow=True)
    assert "is at version 3, not 2" in stale.content.decode()
    assert "there is nothing to change" in html_of(browser, f"/blocks/{block.id}/versions/3/restore/")
    assert browser.get(f"/blocks/{block.id}/versions/9/restore/").status_code == 404


def test_a_background_agent_is_called_so(browser: Client, block: Block) -> None:
    sleeper = make_agent(name="sleeper", agent_type="sleeptime_agent")
    update_block(caller=make_agent_caller(sleeper), block_id=block.id, changes=BlockChanges(value="tidy"))
    assert "sleeper</b>, a background agent, saved this" in html_of(browser, f"/agents/written/{block.id}/3/")


def test_a_save_lets_the_page_forget_the_draft_of_before(browser: Client, block: Block) -> None:
    form = {"label": block.label, "limit": block.limit, "value": "new", "base_version": 2}
    saved = browser.post(f"/blocks/{block.id}/", form)
    assert saved["Location"] == f"/blocks/{block.id}/?saved=3"
    attributes = Page(html_of(browser, saved["Location"])).by_id("block-form").attributes
    assert (attributes["data-draft-saved"], attributes["autocomplete"]) == ("3", "off")


def test_a_version_gets_names_that_the_list_shows(browser: Client, block: Block) -> None:
    address = f"/blocks/{block.id}/versions/1/checkpoints/"
    assert (
        "v1 is called before the sale"
        in browser.post(address, {"name": "before the sale"}, follow=True).content.decode()
    )
    assert "before the sale" in html_of(browser, f"/blocks/{block.id}/")
    again = browser.post(address, {"name": "before the sale"}, follow=True).content.decode()
    assert "already" in again
    checkpoint = block.checkpoints.get()
    browser.post(address, {"name": "sale", "checkpoint": checkpoint.id})
    checkpoint.refresh_from_db()
    assert checkpoint.name == "sale"
    browser.post(address, {"delete": "1", "checkpoint": checkpoint.id})
    assert not block.checkpoints.exists()


def test_what_an_agent_wrote_is_shown_and_taken_out_in_one_act(
    browser: Client, block: Block, agent: Agent
) -> None:
    update_block(
        caller=make_caller(), block_id=block.id, changes=BlockChanges(value=block.value.replace("three", "3"))
    )
    filtered = html_of(browser, f"/blocks/{block.id}/?by={agent.id}")
    versions = [
        each.attributes["href"] for each in Page(filtered).all("a") if each.attributes.get("class") == "ver"
    ]
    assert versions == [f"/blocks/{block.id}/versions/2/"]
    assert "Take out what they wrote…" in filtered
    preview = html_of(browser, f"/blocks/{block.id}/revert/?actor={agent.id}")
    assert "Take out, as v4" in preview
    assert "by librarian" in preview
    done = browser.post(f"/blocks/{block.id}/revert/", {"actor": agent.id, "base_version": 3}, follow=True)
    assert "policies v4: 1 write taken out" in done.content.decode()
    assert Block.objects.get().value == "one\ntwo\n3"
    assert "Nothing of it is left" in html_of(browser, f"/blocks/{block.id}/revert/?run=run-1")


def test_lines_changed_since_stay_and_the_preview_names_them(
    browser: Client, block: Block, agent: Agent
) -> None:
    changes = BlockChanges(value=block.value.replace("two (agent)", "two, corrected"))
    update_block(caller=make_caller(), block_id=block.id, changes=changes)
    preview = html_of(browser, f"/blocks/{block.id}/revert/?run=run-1")
    assert "1 place stays as now" in preview
    assert "two, corrected" in preview
    browser.post(f"/blocks/{block.id}/revert/", {"run": "run-1", "base_version": 3})
    assert Block.objects.get().value == "one\ntwo, corrected\nthree"


def test_lines_changed_since_can_be_chosen_on_the_merge_screen(browser: Client, block: Block) -> None:
    changes = BlockChanges(value=block.value.replace("two (agent)", "two, corrected"))
    update_block(caller=make_caller(), block_id=block.id, changes=changes)
    asked = browser.post(f"/blocks/{block.id}/revert/", {"run": "run-1", "settle": "1"})
    page = Page(asked.content.decode())
    assert asked.status_code == 409
    assert "Others have changed the same lines since." in page.by_id("merge-form").text
    form = {
        each.attributes["name"]: each.text.removeprefix("\n")
        for each in page.all("textarea")
        if each.attributes["name"] != "csrfmiddlewaretoken"
    } | {
        each.attributes["name"]: each.attributes["value"]
        for each in page.all("input")
        if each.attributes["type"] == "hidden"
    }
    assert form["value"] == "one\ntwo\nthree"
    unsettled = browser.post(f"/blocks/{block.id}/merge/", form)
    assert unsettled.status_code == 422
    assert 'name="title" value="Others have changed' in unsettled.content.decode()
    clash = next(each.attributes["name"] for each in page.all("input") if each.attributes["type"] == "radio")
    browser.post(f"/blocks/{block.id}/merge/", form | {clash: "mine"})
    assert Block.objects.get().value == "one\ntwo\nthree"
    assert BlockVersion.objects.filter(block=block).count() == 4


def test_taking_out_needs_somebody_who_wrote(browser: Client, block: Block) -> None:
    assert browser.get(f"/blocks/{block.id}/revert/").status_code == 422
    assert browser.get(f"/blocks/{block.id}/revert/?actor=nobody").status_code == 404
    moved = browser.post(f"/blocks/{block.id}/revert/", {"run": "run-1", "base_version": 1}, follow=True)
    assert "is at version 2, not 1" in moved.content.decode()


def test_who_may_only_read_sees_all_and_is_offered_nothing(sign_in: SignIn, block: Block) -> None:
    reader = sign_in("reviewer")
    create_checkpoint(caller=make_caller(), block_id=block.id, name="mark")
    page = Page(html_of(reader, f"/blocks/{block.id}/versions/1/") + html_of(reader, f"/blocks/{block.id}/"))
    words = [each.text.strip() for each in page.all("button")]
    assert not [word for word in words if word.startswith(("Restore", "Save", "Name", "Rename"))]
    assert reader.get(f"/blocks/{block.id}/revert/?run=run-1").status_code == 403
    for path in ("versions/1/restore", "step/undo", "versions/1/checkpoints"):
        answer = reader.post(f"/blocks/{block.id}/{path}/", {"name": "x"}, follow=True).content.decode()
        assert "may not" in answer or "cannot" in answer or "read" in answer
    assert Block.objects.get().version == 2


def test_an_unexplained_version_is_marked_wherever_it_is_seen(browser: Client, block: Block) -> None:
    Block.objects.update(value="forged\ntwo (agent)\nthree\nfour (agent)")
    assert "no version" in html_of(browser, f"/blocks/{block.id}/")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(description="new"))
    assert "Unexplained" in html_of(browser, f"/blocks/{block.id}/")
    assert "Nobody explained this." in html_of(browser, f"/blocks/{block.id}/versions/3/")
    assert "Nobody</b> said that this was written" in html_of(browser, f"/agents/written/{block.id}/3/")
    verified = html_of(browser, f"/blocks/{block.id}/verify/")
    assert "Version 3 is unexplained" in verified
    assert "3 of 4 explained, <a" in verified
    assert "v3</a> is not" in verified
    assert f"/blocks/{block.id}/versions/3/" in verified


def test_older_versions_are_loaded_of_the_same_writer(
    browser: Client, block: Block, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(block_versions, "SHOWN", 2)
    for number in range(4):
        for caller in (make_caller(), make_agent_caller(agent)):
            update_block(
                caller=caller, block_id=block.id, changes=BlockChanges(value=f"{caller.id} {number}")
            )
    html = html_of(browser, f"/blocks/{block.id}/?by={agent.id}")
    (more,) = {each.attributes["hx-get"] for each in Page(html).all("a") if "Older" in each.text}
    part = html_of(browser, more)
    found = [each.attributes["href"] for each in Page(part).all("a") if each.attributes.get("class") == "ver"]
    assert found == [f"/blocks/{block.id}/versions/{number}/" for number in (6, 4)]
