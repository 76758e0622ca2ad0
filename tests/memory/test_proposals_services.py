"""Writes that wait for approval: what is kept of them, and what each decision makes of the block."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from agents.models import Agent
from letta_ade.accounts.auth import Caller
from letta_ade.accounts.models import Role
from letta_ade.core.errors import AdeError, Conflict, Forbidden, Invalid, NotFound, Unprocessable
from letta_ade.core.ids import new_id
from memory.models import Block, BlockProposal, BlockVersion
from memory.services.block_checks import BlockTooLong
from memory.services.block_merges import BlockConflict
from memory.services.block_policies import set_policy
from memory.services.block_versions import blame_block, verify_block
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, change_block, delete_block, edit_block
from memory.services.proposal_decisions import AlreadyDecided, approve_proposal, reject_proposal
from memory.services.proposals import Cause
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def agent() -> Agent:
    return make_agent(name="Scribe")


@pytest.fixture
def block(agent: Agent) -> Block:
    block = make_block(agent=agent, label="human", value="one\ntwo\nthree", limit=60)
    return set_policy(caller=make_caller(), block_id=block.id, rules={"agents": "propose"})


def suggest(
    block: Block, agent: Agent, edit: Callable[[str], str] | str, *, run: str = "run-1", **fields: object
) -> BlockProposal:
    """What the agent proposes: the value after the edit."""
    done = edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=(lambda _: edit) if isinstance(edit, str) else edit,
        origin=Origin(
            run_id=run, step_id="step-1", message_id="message-1", tool_call_id="c1", tool_name="memory_insert"
        ),
        find_cause=lambda: Cause(conversation_id="conv-1", text="Call me Ada.", message_id="message-0"),
        **fields,  # type: ignore[arg-type] # is_rewrite and seen_version
    )
    assert not done.has_changed
    assert done.proposal is not None
    return done.proposal


def value_of(block: Block) -> str:
    return Block.objects.get(id=block.id).value


def human() -> Caller:
    return make_caller(name="Grace")


def test_a_proposal_changes_nothing_and_keeps_what_was_asked_and_why(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, lambda value: f"{value}\nfour")
    assert (value_of(block), Block.objects.get(id=block.id).version) == ("one\ntwo\nthree", 1)
    stored = BlockProposal.objects.get(id=proposal.id)
    assert (stored.base_version, stored.base_value, stored.value) == (
        1,
        "one\ntwo\nthree",
        "one\ntwo\nthree\nfour",
    )
    assert (stored.actor_kind, stored.actor_id, stored.actor_name) == ("agent", agent.id, "Scribe")
    assert (stored.run_id, stored.tool_call_id, stored.tool_name) == ("run-1", "c1", "memory_insert")
    assert (stored.excerpt, stored.excerpt_message_id, stored.conversation_id) == (
        "Call me Ada.",
        "message-0",
        "conv-1",
    )
    assert stored.is_pending


def test_an_approved_proposal_is_a_version_of_its_proposer_that_names_the_approver(
    block: Block, agent: Agent
) -> None:
    proposal = suggest(block, agent, lambda value: f"{value}\nfour")
    decided = approve_proposal(caller=human(), proposal_id=proposal.id)
    assert (decided.state, decided.written_version, decided.decided_by_name) == ("approved", 2, "Grace")
    version = BlockVersion.objects.get(block=block, number=2)
    assert version.value == "one\ntwo\nthree\nfour"
    assert (version.actor_id, version.act, version.proposal_id) == (agent.id, "approval", proposal.id)
    assert (version.approved_by_name, version.message_id, version.base_version) == ("Grace", "message-1", 1)
    assert verify_block(Block.objects.get(id=block.id)) == []
    BlockVersion.objects.filter(id=version.id).update(approved_by_name="Eve")
    assert verify_block(Block.objects.get(id=block.id)) == ["Version 2 was changed after it was written."]
    last = blame_block(caller=human(), block_id=block.id)[-1].version
    assert last is not None
    assert last.actor_id == agent.id


def test_what_others_wrote_since_is_merged(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, lambda value: f"{value}\nfour")
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="1\ntwo\nthree"))
    decided = approve_proposal(caller=human(), proposal_id=proposal.id)
    assert (value_of(block), decided.written_version) == ("1\ntwo\nthree\nfour", 3)
    assert BlockVersion.objects.get(block=block, number=3).is_merged


def test_proposals_of_several_runs_that_add_lines_are_all_approved(block: Block, agent: Agent) -> None:
    first = suggest(block, agent, lambda value: f"{value}\nx", run="x")
    second = suggest(block, agent, lambda value: f"{value}\ny", run="y")
    approve_proposal(caller=human(), proposal_id=second.id)
    approve_proposal(caller=human(), proposal_id=first.id)
    assert value_of(block) == "one\ntwo\nthree\ny\nx"


def test_a_conflict_has_hunks_and_is_settled_by_a_text(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "one\n2\nthree")
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="one\nII\nthree"))
    with pytest.raises(BlockConflict) as refused:
        approve_proposal(caller=human(), proposal_id=proposal.id)
    assert refused.value.data["hunks"] == [{"base_line": 2, "base": ["two"], "mine": ["2"], "theirs": ["II"]}]
    assert BlockProposal.objects.get(id=proposal.id).is_pending
    decided = approve_proposal(
        caller=human(), proposal_id=proposal.id, text="one\n2 or II\nthree", base_version=2
    )
    assert (decided.state, decided.edited_value) == ("edited", "one\n2 or II\nthree")
    assert value_of(block) == "one\n2 or II\nthree"


def test_a_text_of_an_older_version_is_merged_too(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "one\ntwo\n3")
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="1\ntwo\nthree"))
    approve_proposal(caller=human(), proposal_id=proposal.id, text="one\ntwo\n3.")
    assert value_of(block) == "1\ntwo\n3."


def test_the_proposed_text_itself_is_no_edit(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "one")
    assert approve_proposal(caller=human(), proposal_id=proposal.id, text="one").state == "approved"


def test_what_the_block_holds_already_is_approved_without_a_version(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "one\ntwo\nthree\nfour")
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="one\ntwo\nthree\nfour"))
    decided = approve_proposal(caller=human(), proposal_id=proposal.id)
    assert (decided.state, decided.written_version, Block.objects.get(id=block.id).version) == (
        "approved",
        None,
        2,
    )


def test_a_rejected_proposal_writes_nothing_and_keeps_the_reason(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "x")
    decided = reject_proposal(caller=human(), proposal_id=proposal.id, reason=" Not true. ")
    assert (decided.state, decided.reason, decided.decided_by_id) == ("rejected", "Not true.", human().id)
    assert (value_of(block), BlockVersion.objects.filter(block=block).count()) == ("one\ntwo\nthree", 1)


def test_the_same_decision_twice_is_one_and_another_is_refused(block: Block, agent: Agent) -> None:
    proposal, other = suggest(block, agent, "x", run="a"), suggest(block, agent, "y", run="b")
    first = approve_proposal(caller=human(), proposal_id=proposal.id)
    again = approve_proposal(caller=make_caller(name="Bob"), proposal_id=proposal.id)
    assert (again.decided_at, again.decided_by_name) == (first.decided_at, "Grace")
    for decide in (
        lambda: approve_proposal(caller=human(), proposal_id=proposal.id, text="z"),
        lambda: reject_proposal(caller=human(), proposal_id=proposal.id),
    ):
        with pytest.raises(AlreadyDecided, match="Grace"):
            decide()
    reject_proposal(caller=human(), proposal_id=other.id, reason="No.")
    assert reject_proposal(caller=human(), proposal_id=other.id).reason == "No."
    assert reject_proposal(caller=human(), proposal_id=other.id, reason="No.").reason == "No."
    with pytest.raises(AlreadyDecided):
        reject_proposal(caller=human(), proposal_id=other.id, reason="Another one.")
    with pytest.raises(AlreadyDecided):
        approve_proposal(caller=human(), proposal_id=other.id)


def test_edits_of_one_run_build_on_each_other_and_become_one_proposal(block: Block, agent: Agent) -> None:
    first = suggest(block, agent, lambda value: f"{value}\nfour")
    second = suggest(block, agent, lambda value: value.replace("four", "4"))
    first.refresh_from_db()
    assert (first.state, first.superseded_by) == ("superseded", second.id)
    assert second.value == "one\ntwo\nthree\n4"
    with pytest.raises(AlreadyDecided, match=second.id):
        approve_proposal(caller=human(), proposal_id=first.id)
    approve_proposal(caller=human(), proposal_id=second.id)
    assert value_of(block) == "one\ntwo\nthree\n4"


def test_an_edit_after_somebody_elses_still_builds_on_the_proposal(block: Block, agent: Agent) -> None:
    suggest(block, agent, lambda value: f"{value}\nfour")
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="1\ntwo\nthree"))
    second = suggest(block, agent, lambda value: value.replace("four", "4"))
    approve_proposal(caller=human(), proposal_id=second.id)
    assert value_of(block) == "1\ntwo\nthree\n4"


def test_an_edit_that_takes_the_proposal_back_withdraws_it(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, lambda value: f"{value}\nfour")
    done = edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=lambda value: value.removesuffix("\nfour"),
        origin=Origin(run_id="run-1"),
    )
    assert done.proposal is None
    assert BlockProposal.objects.get(id=proposal.id).state == "withdrawn"
    assert BlockProposal.objects.count() == 1


def test_an_edit_that_changes_nothing_proposes_nothing(block: Block, agent: Agent) -> None:
    done = edit_block(
        caller=make_agent_caller(agent), block_id=block.id, edit=lambda value: value, origin=Origin()
    )
    assert (done.proposal, BlockProposal.objects.count()) == (None, 0)


def test_a_rewrite_is_compared_with_what_the_agent_was_shown(block: Block, agent: Agent) -> None:
    change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="one\ntwo\nthree\nunseen"))
    proposal = suggest(block, agent, "1\ntwo\nthree", is_rewrite=True, seen_version=1)
    assert proposal.base_version == 1
    approve_proposal(caller=human(), proposal_id=proposal.id)
    assert value_of(block) == "1\ntwo\nthree\nunseen"


def test_a_single_agent_and_the_background_have_rules_of_their_own(block: Block, agent: Agent) -> None:
    other = make_agent()
    set_policy(
        caller=human(),
        block_id=block.id,
        rules={"agents": "propose", "background_agents": "free", other.id: "free"},
    )
    for caller in (make_agent_caller(other), make_agent_caller(agent, is_background=True)):
        done = edit_block(caller=caller, block_id=block.id, edit=lambda value: f"{value}\nx", origin=Origin())
        assert done.has_changed


def test_other_fields_are_proposed_with_the_value(block: Block) -> None:
    set_policy(caller=human(), block_id=block.id, rules={"default": "propose"})
    changes = BlockChanges(value="one", label="person", description="Who it is.", tags=("a",), limit=60)
    change = change_block(caller=human(), block_id=block.id, changes=changes)
    assert change.proposal is not None
    assert change.proposal.changes == {"label": "person", "description": "Who it is.", "tags": ["a"]}
    approve_proposal(caller=human(), proposal_id=change.proposal.id)
    stored = Block.objects.get(id=block.id)
    assert (stored.label, stored.value, stored.description, stored.tags) == (
        "person",
        "one",
        "Who it is.",
        ["a"],
    )


def test_a_form_that_is_sent_with_old_fields_proposes_only_what_was_changed_in_it(block: Block) -> None:
    set_policy(caller=human(), block_id=block.id, rules={"members": "propose"})
    key = make_caller(kind="api_key", id=new_id("api_key"))
    change_block(
        caller=key, block_id=block.id, changes=BlockChanges(description="Newer.", value="one\ntwo\n3")
    )
    form = BlockChanges(label="human", value="1\ntwo\nthree", limit=60, read_only=False)
    change = change_block(caller=human(), block_id=block.id, changes=form, base_version=1)
    assert change.proposal is not None
    assert change.proposal.changes == {}
    approve_proposal(caller=human(), proposal_id=change.proposal.id)
    assert value_of(block) == "1\ntwo\n3"


def test_the_later_write_of_a_person_takes_the_place_of_the_earlier(block: Block) -> None:
    set_policy(caller=human(), block_id=block.id, rules={"members": "propose"})
    one = change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="a", description="d"))
    two = change_block(caller=human(), block_id=block.id, changes=BlockChanges(value="b"))
    assert one.proposal is not None
    assert two.proposal is not None
    assert BlockProposal.objects.get(id=one.proposal.id).superseded_by == two.proposal.id
    assert (two.proposal.value, two.proposal.changes) == ("b", {"description": "d"})


def test_a_label_that_is_taken_is_refused_when_it_is_proposed_and_when_it_is_approved(
    block: Block, agent: Agent
) -> None:
    make_block(agent=agent, label="taken")
    set_policy(caller=human(), block_id=block.id, rules={"members": "propose"})
    with pytest.raises(Conflict):
        change_block(caller=human(), block_id=block.id, changes=BlockChanges(label="taken"))
    change = change_block(caller=human(), block_id=block.id, changes=BlockChanges(label="later"))
    make_block(agent=agent, label="later")
    assert change.proposal is not None
    with pytest.raises(Conflict, match="later"):
        approve_proposal(caller=human(), proposal_id=change.proposal.id)
    assert BlockProposal.objects.get(id=change.proposal.id).is_pending


@pytest.mark.parametrize(
    ("edit", "error"), [("x" * 61, BlockTooLong), ("a\0b", Unprocessable), ("\ud800", Unprocessable)]
)
def test_a_proposal_that_could_not_be_written_is_not_made(
    block: Block, agent: Agent, edit: str, error: type[AdeError]
) -> None:
    with pytest.raises(error):
        suggest(block, agent, edit)
    assert not BlockProposal.objects.exists()


@pytest.mark.parametrize("text", ["x" * 61, "a\0b"])
def test_a_text_that_cannot_be_stored_is_not_approved(block: Block, agent: Agent, text: str) -> None:
    proposal = suggest(block, agent, "x")
    with pytest.raises(Unprocessable):
        approve_proposal(caller=human(), proposal_id=proposal.id, text=text)
    assert BlockProposal.objects.get(id=proposal.id).is_pending


@pytest.mark.parametrize("reason", ["x" * 10_001, "a\0b"])
def test_a_reason_that_nobody_can_read_is_refused(block: Block, agent: Agent, reason: str) -> None:
    proposal = suggest(block, agent, "x")
    with pytest.raises(Unprocessable):
        reject_proposal(caller=human(), proposal_id=proposal.id, reason=reason)


def test_a_base_without_its_text_and_one_that_never_was_are_refused(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "x")
    with pytest.raises(Invalid):
        approve_proposal(caller=human(), proposal_id=proposal.id, base_version=1)
    with pytest.raises(Unprocessable):
        approve_proposal(caller=human(), proposal_id=proposal.id, text="x", base_version=99)


def test_who_may_not_decide(block: Block, agent: Agent) -> None:
    proposal = suggest(block, agent, "x")
    set_policy(caller=human(), block_id=block.id, rules={"agents": "propose", "api_keys": "propose"})
    key = make_caller(kind="api_key", id=new_id("api_key"), role=Role.EDITOR)
    viewer = make_caller(kind="user", id=new_id("user"), role=Role.VIEWER)
    for caller in (make_agent_caller(agent), key, viewer):
        with pytest.raises(Forbidden):
            approve_proposal(caller=caller, proposal_id=proposal.id)
        with pytest.raises(Forbidden):
            reject_proposal(caller=caller, proposal_id=proposal.id)
    with pytest.raises(NotFound):
        approve_proposal(caller=make_caller(workspace=make_workspace()), proposal_id=proposal.id)


def test_a_deleted_block_closes_its_proposals_and_takes_their_texts(block: Block, agent: Agent) -> None:
    proposal, decided = suggest(block, agent, "x", run="a"), suggest(block, agent, "y", run="b")
    reject_proposal(caller=human(), proposal_id=decided.id, reason="No.")
    delete_block(caller=human(), block_id=block.id)
    proposal.refresh_from_db()
    decided.refresh_from_db()
    assert (proposal.state, proposal.reason) == ("withdrawn", "The block was deleted.")
    assert (decided.state, decided.reason) == ("rejected", "No.")
    for row in (proposal, decided):
        assert (row.value, row.base_value, row.excerpt) == (None, "", "")
    with pytest.raises(AlreadyDecided, match="deleted"):
        approve_proposal(caller=human(), proposal_id=proposal.id)


def test_a_long_excerpt_keeps_its_end(block: Block, agent: Agent) -> None:
    done = edit_block(
        caller=make_agent_caller(agent),
        block_id=block.id,
        edit=lambda _: "x",
        origin=Origin(),
        find_cause=lambda: Cause(text="a" * 5000 + "end"),
    )
    assert done.proposal is not None
    assert len(done.proposal.excerpt) == 4001
    assert done.proposal.excerpt.startswith("…")
    assert done.proposal.excerpt.endswith("end")
