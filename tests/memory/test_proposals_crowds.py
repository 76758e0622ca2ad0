"""Many who propose and decide at the same moment: each proposal is decided once, and no accepted line is lost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest
from django.db import connections

from memory.models import Block, BlockProposal, BlockVersion
from memory.services.block_policies import set_policy
from memory.services.block_versions import verify_block
from memory.services.block_writes import Origin
from memory.services.blocks import edit_block
from memory.services.proposal_decisions import AlreadyDecided, approve_proposal, reject_proposal
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller
from tests.support.proposals import make_proposal

pytestmark = pytest.mark.django_db(transaction=True)

_PEOPLE = 8


def together(*works: Callable[[], str]) -> list[str]:
    """What each of these returns; all begin at once."""
    barrier = Barrier(len(works))

    def run(work: Callable[[], str]) -> str:
        try:
            barrier.wait(timeout=30)
            return work()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(works)) as pool:
        return list(pool.map(run, works))


def test_of_people_who_decide_at_once_one_wins_and_the_others_are_told() -> None:
    proposal = make_proposal()

    def approve() -> str:
        try:
            return approve_proposal(caller=make_caller(), proposal_id=proposal.id).state
        except AlreadyDecided:
            return "told"

    def reject() -> str:
        try:
            return reject_proposal(caller=make_caller(), proposal_id=proposal.id, reason="No.").state
        except AlreadyDecided:
            return "told"

    heard = Counter(together(*[approve, reject] * (_PEOPLE // 2)))
    proposal.refresh_from_db()
    # The same decision again is the one that was taken; the other half is told.
    assert heard == {proposal.state: _PEOPLE // 2, "told": _PEOPLE // 2}
    written = BlockVersion.objects.filter(proposal_id=proposal.id).count()
    assert written == (1 if proposal.state == "approved" else 0)


def test_proposals_that_are_approved_while_others_write_are_all_in_the_block() -> None:
    writer = make_agent()
    block = make_block(agent=writer, value="first\nlast")
    proposals = [
        make_proposal(block=block, value=f"first\nproposed {number}\nlast") for number in range(_PEOPLE)
    ]
    set_policy(caller=make_caller(), block_id=block.id, rules={"agents": "propose", writer.id: "free"})

    def write() -> str:
        edit_block(
            caller=make_agent_caller(writer),
            block_id=block.id,
            edit=lambda value: f"top\n{value}",
            origin=Origin(),
        )
        return "written"

    def approver(proposal: BlockProposal) -> Callable[[], str]:
        return lambda: approve_proposal(caller=make_caller(), proposal_id=proposal.id).state

    heard = Counter(together(*map(approver, proposals), write, write))
    assert heard == {"approved": _PEOPLE, "written": 2}
    block = Block.objects.get(id=block.id)
    lines = block.value.split("\n")
    assert sorted(lines) == sorted(
        ["top", "top", "first", "last", *(f"proposed {number}" for number in range(_PEOPLE))]
    )
    assert (lines[:3], lines[-1]) == (["top", "top", "first"], "last")
    assert verify_block(block) == []


def test_edits_of_one_run_at_once_become_one_proposal_that_holds_them_all() -> None:
    agent = make_agent()
    block = make_block(agent=agent, value="first")
    set_policy(caller=make_caller(), block_id=block.id, rules={"agents": "propose"})

    def suggest(number: int) -> Callable[[], str]:
        def edit(value: str) -> str:
            return f"{value}\n{number}"

        def work() -> str:
            done = edit_block(
                caller=make_agent_caller(agent), block_id=block.id, edit=edit, origin=Origin(run_id="run-1")
            )
            return "proposed" if done.proposal is not None else "lost"

        return work

    assert set(together(*map(suggest, range(_PEOPLE)))) == {"proposed"}
    [waiting] = BlockProposal.objects.filter(state="pending")
    assert waiting.value is not None
    assert sorted(waiting.value.split("\n")) == sorted(["first", *map(str, range(_PEOPLE))])
    assert BlockProposal.objects.filter(state="superseded").count() == _PEOPLE - 1
