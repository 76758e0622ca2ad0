"""What one actor wrote, taken out again."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from letta_ade.accounts.auth import Caller
from letta_ade.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from memory.models import Block, BlockVersion
from memory.services.block_merges import BlockConflict
from memory.services.block_restores import undo
from memory.services.block_reverts import UNKNOWN_ACTOR, Wrote, revert_writes
from memory.services.block_versions import find_problems
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, edit_block, update_block
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller, make_workspace

pytestmark = pytest.mark.django_db

TEXT = "one\ntwo\nthree\nfour\nfive\nsix"


@pytest.fixture
def block() -> Block:
    return make_block(value=TEXT)


@pytest.fixture
def keeper() -> Caller:
    return make_agent_caller(make_agent(name="keeper"))


def swap(block: Block, caller: Caller, old: str, new: str, run_id: str | None = None) -> None:
    origin = Origin(run_id=run_id, tool_name="memory_replace")
    edit_block(caller=caller, block_id=block.id, edit=lambda value: value.replace(old, new, 1), origin=origin)


def revert(block: Block, base_version: int | None = None, **wrote: Any) -> Block:
    return revert_writes(
        caller=make_caller(), block_id=block.id, wrote=Wrote(**wrote), base_version=base_version
    ).block


def test_all_writes_of_one_actor_go_in_one_version_and_those_of_others_stay(
    block: Block, keeper: Caller
) -> None:
    swap(block, keeper, "one", "ONE")
    swap(block, make_caller(), "three", "THREE")
    swap(block, keeper, "five", "FIVE\n5b")
    swap(block, keeper, "FIVE", "V")
    swap(block, make_caller(), "six", "six\nseven")
    after = revert(block, actor_id=keeper.id)
    assert after.value == "one\ntwo\nTHREE\nfour\nfive\nsix\nseven"
    assert after.version == 7
    version = BlockVersion.objects.get(block=block, number=7)
    assert (version.act, version.reverted, version.base_version) == ("revert", [2, 4, 5], 6)
    assert find_problems(after) == []


def test_a_revert_of_one_run_leaves_the_other_runs(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE", run_id="run-1")
    swap(block, keeper, "four", "FOUR", run_id="run-2")
    assert revert(block, run_id="run-1").value == TEXT.replace("four", "FOUR")


def test_a_revert_since_a_time_leaves_what_was_before(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE")
    swap(block, keeper, "four", "FOUR")
    BlockVersion.objects.filter(number=2).update(created_at=timezone.now() - timedelta(days=2))
    since = timezone.now() - timedelta(days=1)
    assert revert(block, actor_id=keeper.id, since=since).value == TEXT.replace("one", "ONE")


def test_a_revert_can_be_undone(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE")
    revert(block, actor_id=keeper.id)
    assert undo(caller=make_caller(), block_id=block.id).value == TEXT.replace("one", "ONE")


def test_other_fields_go_back_too_unless_somebody_set_them_since(block: Block, keeper: Caller) -> None:
    first = BlockChanges(label="keeper_label", description="Said by the keeper")
    update_block(caller=keeper, block_id=block.id, changes=first)
    update_block(caller=make_caller(), block_id=block.id, changes=BlockChanges(label="mine"))
    after = revert(block, actor_id=keeper.id)
    assert (after.label, after.description) == ("mine", None)


def test_lines_that_others_changed_since_are_a_conflict_with_the_three_texts(
    block: Block, keeper: Caller
) -> None:
    swap(block, keeper, "one", "ONE")
    swap(block, keeper, "five", "FIVE")
    swap(block, make_caller(), "ONE", "One!")
    with pytest.raises(BlockConflict) as caught:
        revert(block, actor_id=keeper.id)
    data = caught.value.data
    assert (data["base_version"], data["current_version"]) == (3, 4)
    assert data["mine"] == TEXT
    assert data["hunks"] == [{"base_line": 1, "base": ["ONE"], "mine": ["one"], "theirs": ["One!"]}]
    assert caught.value.wanted["value"] == TEXT
    block.refresh_from_db()
    assert block.version == 4


def test_unexplained_writes_can_be_taken_out(block: Block) -> None:
    Block.objects.update(value=TEXT + "\nforged")
    swap(block, make_caller(), "one", "ONE")
    assert revert(block, actor_id=UNKNOWN_ACTOR).value == TEXT.replace("one", "ONE")


def test_what_is_gone_already_is_nothing_to_revert(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE")
    undo(caller=make_caller(), block_id=block.id)
    with pytest.raises(Conflict, match="Nothing of what was written there is left"):
        revert(block, actor_id=keeper.id)


def test_the_first_version_stays(block: Block) -> None:
    with pytest.raises(Conflict, match="what the rest builds on"):
        revert(block, actor_id=make_caller().id)


@pytest.mark.parametrize(
    ("wrote", "error", "words"),
    [
        ({}, Unprocessable, "give actor_id, run_id, or both"),
        ({"actor_id": "agent-9"}, NotFound, "no version of actor 'agent-9'"),
        ({"run_id": "run-9"}, NotFound, "no version of run 'run-9'"),
        ({"run_id": "run-1", "actor_id": "agent-9"}, NotFound, "actor 'agent-9' and run 'run-1'"),
        ({"run_id": "run-1", "since": timezone.now() + timedelta(days=1)}, Conflict, "nothing to revert"),
    ],
)
def test_what_cannot_be_meant_is_refused(
    block: Block, keeper: Caller, wrote: dict[str, Any], error: type[Exception], words: str
) -> None:
    swap(block, keeper, "one", "ONE", run_id="run-1")
    with pytest.raises(error, match=words):
        revert(block, **wrote)
    block.refresh_from_db()
    assert block.version == 2


def test_a_block_that_has_moved_on_is_not_reverted(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE")
    with pytest.raises(Conflict, match="is at version 2, not 1"):
        revert(block, base_version=1, actor_id=keeper.id)


def test_who_may_only_read_reverts_nothing_and_others_find_no_block(block: Block, keeper: Caller) -> None:
    swap(block, keeper, "one", "ONE")
    wrote = Wrote(actor_id=keeper.id)
    with pytest.raises(Forbidden):
        revert_writes(caller=make_caller(role="viewer"), block_id=block.id, wrote=wrote)
    with pytest.raises(NotFound):
        revert_writes(caller=make_caller(workspace=make_workspace()), block_id=block.id, wrote=wrote)


def test_a_missing_version_is_said(block: Block, keeper: Caller) -> None:
    swap(block, make_caller(), "two", "TWO")
    swap(block, keeper, "one", "ONE")
    BlockVersion.objects.filter(number=2).delete()
    with pytest.raises(Conflict, match=r"Version 2 .* is missing"):
        revert(block, actor_id=keeper.id)
