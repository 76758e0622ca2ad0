"""The page of one block and its history: views, blame, comparison, undo, restore, checkpoints, reverts."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from pytest_django import DjangoAssertNumQueries

from agents.models import Agent
from letta_ade.core.ids import LOCAL_USER_ID, new_id
from memory.models import Block, BlockCheckpoint, BlockVersion
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, BlockDraft, create_block, edit_block, update_block
from tests.support.factories import (
    make_agent,
    make_agent_caller,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

TEXT = "one\ntwo\nthree"


@pytest.fixture
def block(browser: Client) -> Block:
    return create_block(caller=make_caller(), draft=BlockDraft(label="policies", value=TEXT, limit=200))


@pytest.fixture
def keeper() -> Agent:
    return make_agent(name="keeper")


def write(block: Block, agent: Agent, old: str, new: str, **origin: Any) -> None:
    edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=lambda value: value.replace(old, new),
        origin=Origin(**({"tool_name": "memory_replace"} | origin)),
    )


def words(response: Any) -> str:
    return " ".join(Page(response.content.decode()).elements[0].text.split())


def rows_of(response: Any) -> list[str]:
    """The rows of a blame, each without its blanks."""
    elements = Page(response.content.decode()).elements
    return ["".join(each.text.split()) for each in elements if each.attributes.get("class") == "blame-row"]


def test_the_page_takes_as_many_queries_however_long_the_history_is(
    browser: Client, block: Block, keeper: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        write(block, keeper, f"three{number or ''}", f"three{number + 1}")
    for view, queries in (("edit", 7), ("blame", 11)):
        with django_assert_num_queries(queries):
            assert browser.get(f"/blocks/{block.id}/?view={view}").status_code == 200


def test_blame_names_version_author_and_tool_of_each_group(
    browser: Client, block: Block, keeper: Agent, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    write(block, keeper, "two", "TWO\n2b")
    with django_assert_num_queries(5):
        response = browser.get(f"/blocks/{block.id}/blame/")
    assert rows_of(response) == ["v1YYounow1one", "v2keepermemory_replacenow2TWO", "32b", "v1YYounow4three"]


def test_blame_marks_what_is_typed_and_not_saved(browser: Client, block: Block) -> None:
    response = browser.post(f"/blocks/{block.id}/blame/", {"value": "one\r\n2\r\nthree\r\nfour"})
    assert rows_of(response) == [
        "v1YYounow1one",
        "takenout−removedtwo",
        "newnotsaved+added22",
        "v1YYounow3three",
        "newnotsaved+added4four",
    ]


def test_a_line_written_without_a_version_is_unexplained(browser: Client, block: Block) -> None:
    Block.objects.update(value=f"{TEXT}\nforged")
    assert rows_of(browser.get(f"/blocks/{block.id}/blame/"))[-1] == "?Unexplained4forged"


def test_an_empty_block_has_no_blame_and_says_so(browser: Client) -> None:
    block = create_block(caller=make_caller(), draft=BlockDraft(label="empty"))
    assert "Empty: no line" in browser.get(f"/blocks/{block.id}/?view=blame").content.decode()


def test_a_large_block_with_a_long_history_is_blamed(browser: Client, keeper: Agent) -> None:
    lines = [f"line {number} {'x' * 40}" for number in range(400)]
    block = create_block(caller=make_caller(), draft=BlockDraft(label="big", value="\n".join(lines)))
    for number in range(40):
        write(block, keeper, f"line {number} ", f"LINE {number} ")
    rows = rows_of(browser.get(f"/blocks/{block.id}/blame/"))
    assert len(rows) == 400
    assert rows[39].startswith("v41keeper")
    assert rows[40].startswith("v1Y")


def test_the_difference_is_of_what_is_typed(browser: Client, block: Block) -> None:
    html = words(browser.post(f"/blocks/{block.id}/diff/", {"value": "one\r\ntwo"}))
    assert "What is typed against v1: +0 −1" in html
    assert "Nothing is typed that v1 does not have" in words(browser.get(f"/blocks/{block.id}/diff/"))


def test_raw_shows_the_value_as_it_is(browser: Client, block: Block) -> None:
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="</pre><b>x"))
    html = browser.get(f"/blocks/{block.id}/?view=raw").content.decode()
    assert "&lt;/pre&gt;&lt;b&gt;x</pre>" in html


def test_an_unknown_view_is_the_editor(browser: Client, block: Block) -> None:
    page = Page(browser.get(f"/blocks/{block.id}/?view=nothing").content.decode())
    assert "hidden" not in page.by_id("id_value").attributes
    assert "hidden" in page.by_id("value-view").attributes


# ---- how a version came about ---------------------------------------------------------------


def test_a_version_leads_to_the_step_and_the_words_before_it(
    browser: Client, block: Block, keeper: Agent
) -> None:
    conversation = make_conversation(agent=keeper)
    make_step(run=make_run(conversation=conversation))
    run = make_run(conversation=conversation)
    make_message(conversation=conversation, run=run, text="The invoice\nstill says 129.")
    step = make_step(run=run)
    reply = make_message(conversation=conversation, run=run, step=step, role="assistant", text="Noted.")
    write(block, keeper, "two", "TWO", run_id=run.id, step_id=step.id, message_id=reply.id)
    response = browser.get(f"/agents/wrote/{block.id}/2/")
    assert words(response).startswith(
        "keeper wrote this in step 2 with memory_replace, after “The invoice still says 129.”."
    )
    links = {each.text: each.attributes["href"] for each in Page(response.content.decode()).all("a")}
    assert links["Go to message"] == f"/agents/{keeper.id}/#{step.id}"
    assert f'id="{step.id}"' in browser.get(f"/agents/{keeper.id}/").content.decode()


def test_a_step_of_long_ago_is_shown_on_the_page_of_older_messages(
    browser: Client, block: Block, keeper: Agent
) -> None:
    conversation = make_conversation(agent=keeper)
    step = make_step(run=make_run(conversation=conversation))
    make_message(conversation=conversation, run=step.run, step=step, role="assistant", text="Noted.")
    for _ in range(21):
        make_run(conversation=conversation)
    write(block, keeper, "two", "TWO", run_id=step.run_id, step_id=step.id)
    page = Page(browser.get(f"/agents/wrote/{block.id}/2/").content.decode())
    address, _, anchor = (
        next(each for each in page.all("a") if each.text == "Go to message").attributes["href"].partition("#")
    )
    assert address.startswith(f"/agents/{keeper.id}/messages/older/?before=")
    assert f'id="{anchor}"' in browser.get(address).content.decode()


def test_a_background_agent_is_called_so(browser: Client, block: Block) -> None:
    write(block, make_agent(name="sleeper", agent_type="sleeptime_agent"), "two", "TWO")
    assert "sleeper, a background agent, wrote this" in words(browser.get(f"/agents/wrote/{block.id}/2/"))


def test_a_deleted_agent_is_named_without_a_dead_link(browser: Client, block: Block, keeper: Agent) -> None:
    write(block, keeper, "two", "TWO", step_id=new_id("step"), message_id=new_id("message"))
    keeper.delete()
    response = browser.get(f"/agents/wrote/{block.id}/2/")
    assert words(response).startswith(
        "keeper, an agent that was deleted, wrote this with memory_replace. The message is no longer there."
    )
    assert [each.text for each in Page(response.content.decode()).all("a")] == ["Open v2"]


def test_a_deleted_message_and_a_deleted_conversation_are_said(
    browser: Client, block: Block, keeper: Agent
) -> None:
    write(block, keeper, "two", "TWO", step_id=new_id("step"), message_id=new_id("message"))
    assert "The message is no longer there." in words(browser.get(f"/agents/wrote/{block.id}/2/"))
    conversation = make_conversation(agent=keeper, is_default=False)
    step = make_step(run=make_run(conversation=conversation))
    write(block, keeper, "one", "ONE", step_id=step.id)
    type(conversation).objects.update(deleted_at=step.started_at)
    said = words(browser.get(f"/agents/wrote/{block.id}/3/"))
    assert "Its conversation was deleted." in said
    assert "Go to message" not in said


def test_people_programs_and_nobody_are_told_apart(browser: Client, block: Block) -> None:
    key = make_caller(kind="api_key", id="key-1", name="nightly")
    update_block(caller=key, block_id=block.id, changes=BlockChanges(value="a"))
    Block.objects.update(value="forged")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"), base_version=3)
    said = [words(browser.get(f"/agents/wrote/{block.id}/{number}/")) for number in (1, 2, 3, 4)]
    assert "You wrote this" in said[0]
    assert "nightly wrote this over the API" in said[1]
    assert "Nobody known wrote this" in said[2]
    assert "You wrote this, from v3" in said[3]


def test_another_workspaces_block_has_no_origin(browser: Client) -> None:
    caller = make_caller(workspace=make_workspace())
    block = create_block(caller=caller, draft=BlockDraft(label="theirs"))
    for path in (
        f"/agents/wrote/{block.id}/1/",
        f"/blocks/{block.id}/blame/",
        f"/blocks/{block.id}/diff/",
        f"/blocks/{block.id}/compare/1/1/",
        f"/blocks/{block.id}/revert/",
    ):
        assert browser.get(path).status_code == 404, path


# ---- versions -------------------------------------------------------------------------------


def test_versions_are_filtered_by_their_writer(browser: Client, block: Block, keeper: Agent) -> None:
    write(block, keeper, "two", "TWO")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="mine"))
    page = Page(browser.get(f"/blocks/{block.id}/?actor={keeper.id}").content.decode())
    versions = " ".join(page.by_id("versions").text.split())
    assert versions.startswith("v2 keeper")
    assert "v1" not in versions
    assert "Revert what keeper wrote" in page.elements[0].text
    nobody = Page(browser.get(f"/blocks/{block.id}/?actor=agent-9").content.decode())
    assert "No version of this writer." in nobody.by_id("versions").text


def test_two_versions_are_compared_at_an_address(browser: Client, block: Block, keeper: Agent) -> None:
    write(block, keeper, "two", "TWO")
    changes = BlockChanges(value="one\nTWO\n3", description="Numbers")
    update_block(caller=make_caller(), block_id=block.id, changes=changes)
    chosen = browser.get(f"/blocks/{block.id}/compare/?old=1&new=3")
    assert chosen.headers["Location"] == f"/blocks/{block.id}/compare/1/3/"
    newest = browser.get(f"/blocks/{block.id}/compare/?old=x")
    assert newest.headers["Location"] == f"/blocks/{block.id}/compare/2/3/"
    page = Page(browser.get(f"/blocks/{block.id}/compare/1/3/").content.decode())
    ops = [
        each.attributes.get("data-op") for each in page.elements if each.attributes.get("class") == "diff-row"
    ]
    assert ops == [None, "del", "del", "add", "add"]
    assert "Descriptionnone became Numbers" in " ".join(page.elements[0].text.split())
    checked = [
        each.attributes["value"]
        for each in page.all("input")
        if each.attributes.get("name") in ("old", "new") and "checked" in each.attributes
    ]
    assert checked == ["3", "1"]
    assert browser.get(f"/blocks/{block.id}/compare/1/9/").status_code == 404


def test_what_is_explained_is_counted_and_what_is_not_is_linked(browser: Client, block: Block) -> None:
    Block.objects.update(value="forged")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"), base_version=None)
    response = browser.get(f"/blocks/{block.id}/verify/")
    assert "2 of 3 explained, v2 is not" in words(response)
    links = [each.attributes["href"] for each in Page(response.content.decode()).all("a")]
    assert links == [f"/blocks/{block.id}/versions/2/"]
    assert "Nobody explains this version." in words(browser.get(links[0]))


def test_a_version_that_was_altered_says_so(browser: Client, block: Block) -> None:
    BlockVersion.objects.update(value="altered")
    assert "was changed after it was written" in words(browser.get(f"/blocks/{block.id}/versions/1/"))


def test_undo_and_redo_are_buttons_that_say_why_they_are_off(browser: Client, block: Block) -> None:
    def disabled() -> list[str]:
        page = Page(browser.get(f"/blocks/{block.id}/").content.decode())
        return [each.attributes["title"] for each in page.all("button") if "disabled" in each.attributes]

    assert [each.partition(":")[0] for each in disabled()] == ["Nothing to undo", "Nothing to redo"]
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b"))
    assert [each.partition(":")[0] for each in disabled()] == ["Nothing to redo"]
    html = browser.post(f"/blocks/{block.id}/undo/", {"base_version": 2}, follow=True).content.decode()
    assert "Undone: policies v3" in html
    assert Block.objects.get().value == TEXT
    browser.post(f"/blocks/{block.id}/redo/", {"base_version": 3})
    assert Block.objects.get().value == "b"
    stale = browser.post(f"/blocks/{block.id}/undo/", {"base_version": 3}, follow=True).content.decode()
    assert "is at version 4, not 3" in stale
    again = browser.post(f"/blocks/{block.id}/redo/", follow=True).content.decode()
    assert "There is nothing to redo" in again


def test_a_restore_is_confirmed_and_makes_a_version(browser: Client, block: Block) -> None:
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="b", limit=300))
    said = words(browser.get(f"/blocks/{block.id}/versions/1/restore/"))
    assert "This makes v3." in said
    assert "Limit300 became 200" in said
    assert Block.objects.get().version == 2
    html = browser.post(f"/blocks/{block.id}/versions/1/restore/", {"base_version": 2}, follow=True)
    assert "Restored v1 as v3" in html.content.decode()
    assert (Block.objects.get().value, Block.objects.get().limit) == (TEXT, 200)
    stale = browser.post(f"/blocks/{block.id}/versions/2/restore/", {"base_version": 2})
    assert stale.status_code == 409
    assert "is at version 3, not 2" in stale.content.decode()
    assert "nothing to change" in words(browser.get(f"/blocks/{block.id}/versions/3/restore/"))
    assert browser.get(f"/blocks/{block.id}/versions/9/restore/").status_code == 404


def test_a_checkpoint_is_named_renamed_and_deleted(browser: Client, block: Block) -> None:
    names = f"/blocks/{block.id}/versions/1/checkpoints/"
    browser.post(names, {"name": "before the relaunch"})
    checkpoint = BlockCheckpoint.objects.get()
    assert (checkpoint.name, checkpoint.version) == ("before the relaunch", 1)
    page = Page(browser.get(f"/blocks/{block.id}/").content.decode())
    assert "before the relaunch" in page.by_id("versions").text
    taken = browser.post(names, {"name": "before the relaunch"}, follow=True).content.decode()
    assert "has a checkpoint" in taken
    assert "between 1 and 255" in browser.post(names, {"name": " "}, follow=True).content.decode()
    browser.post(f"{names}{checkpoint.id}/", {"name": "v1"})
    checkpoint.refresh_from_db()
    assert checkpoint.name == "v1"
    browser.post(f"{names}{checkpoint.id}/", {"name": "v1", "delete": "1"})
    assert not BlockCheckpoint.objects.exists()
    assert (
        "has no checkpoint"
        in browser.post(f"{names}{checkpoint.id}/", {"name": "x"}, follow=True).content.decode()
    )


# ---- taking out what one writer wrote --------------------------------------------------------


def test_what_a_writer_wrote_is_shown_and_taken_out(browser: Client, block: Block, keeper: Agent) -> None:
    write(block, keeper, "one", "ONE", run_id="run-1")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="ONE\ntwo\n3"))
    write(block, keeper, "ONE", "Eins", run_id="run-2")
    revert = f"/blocks/{block.id}/revert/"
    said = words(browser.get(f"{revert}?actor={keeper.id}"))
    assert "2 versions: v4, v2." in said
    assert "Take 2 versions out, as v5" in said
    html = browser.post(revert, {"actor": keeper.id, "base_version": 4}, follow=True).content.decode()
    assert "Took 2 versions out of policies: v5" in html
    assert "Reverted v2, v4" in html
    assert Block.objects.get().value == "one\ntwo\n3"


def test_one_run_is_taken_out_and_later_changes_lead_to_the_merge_screen(
    browser: Client, block: Block, keeper: Agent
) -> None:
    write(block, keeper, "one", "ONE", run_id="run-1")
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(value="One!\ntwo\nthree"))
    revert = f"/blocks/{block.id}/revert/"
    assert "Others have changed 1 place of it since." in words(
        browser.get(f"{revert}?actor={keeper.id}&run=run-1")
    )
    response = browser.post(revert, {"run": "run-1", "actor": keeper.id, "base_version": 3})
    page = Page(response.content.decode())
    assert response.status_code == 409
    assert "Others have built on what keeper wrote." in page.by_id("main").text
    hidden = [each for each in page.all("input") if each.attributes.get("type") == "hidden"]
    form = {each.attributes["name"]: each.attributes["value"] for each in hidden}
    kept = next(each for each in page.all("textarea") if each.attributes["name"] == "value")
    mine = kept.text.lstrip("\n")
    browser.post(f"/blocks/{block.id}/merge/", form | {"value": mine, "description": "", "hunk_1": "mine"})
    assert Block.objects.get().value == TEXT


@pytest.mark.parametrize(
    ("query", "status", "message"),
    [
        ("actor=agent-9", 404, "no version of actor"),
        ("run=run-9", 404, "no version of run"),
        ("since=yesterday", 400, "is no time"),
        (f"actor={LOCAL_USER_ID}&since=2999-01-01T00:00", 409, "nothing to revert"),
        ("", 200, "Take out what one writer wrote"),
    ],
)
def test_a_revert_that_means_nothing_is_said(
    browser: Client, block: Block, query: str, status: int, message: str
) -> None:
    response = browser.get(f"/blocks/{block.id}/revert/?{query}")
    assert response.status_code == status
    assert message in response.content.decode()


def test_a_revert_of_a_block_that_has_moved_on_is_refused(
    browser: Client, block: Block, keeper: Agent
) -> None:
    write(block, keeper, "one", "ONE")
    response = browser.post(f"/blocks/{block.id}/revert/", {"actor": keeper.id, "base_version": 1})
    assert response.status_code == 409
    assert "is at version 2, not 1" in response.content.decode()


def test_who_may_only_read_sees_all_and_can_do_nothing(sign_in: SignIn, block: Block, keeper: Agent) -> None:
    write(block, keeper, "one", "ONE")
    viewer = sign_in("viewer")
    page = Page(viewer.get(f"/blocks/{block.id}/?actor={keeper.id}").content.decode())
    assert "readonly" in page.by_id("id_value").attributes
    assert "Revert what" not in page.elements[0].text
    for path in ("?view=blame", "versions/2/", "compare/1/2/", "blame/", "diff/"):
        assert viewer.get(f"/blocks/{block.id}/{path}").status_code == 200, path
    version = Page(viewer.get(f"/blocks/{block.id}/versions/1/").content.decode())
    assert "Restore" not in version.elements[0].text
    posts = ("undo/", "redo/", "versions/1/checkpoints/")
    for path in posts:
        viewer.post(f"/blocks/{block.id}/{path}", {"name": "x"})
    for path in ("revert/", "versions/1/restore/"):
        assert viewer.get(f"/blocks/{block.id}/{path}").status_code == 403, path
    assert Block.objects.get().version == 2
    assert not BlockCheckpoint.objects.exists()
