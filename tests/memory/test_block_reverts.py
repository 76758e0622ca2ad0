"""Writes of one actor or run taken out again, with everything of others kept."""

from __future__ import annotations

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from letta_ade.core.errors import Conflict, Forbidden, NotFound, Unprocessable
from memory.models import Block, BlockVersion
from memory.services.block_reverts import Writes, plan_reversal, revert_writes
from memory.services.block_versions import verify_block
from memory.services.block_writes import Origin
from memory.services.blocks import BlockChanges, update_block
from tests.support.api import Api
from tests.support.factories import make_agent, make_agent_caller, make_block, make_caller, make_workspace

pytestmark = pytest.mark.django_db

PERSON = "user-person"
OTHER = "user-other"


def write(block: Block, value: str, *, by: str = PERSON, run: str | None = None) -> BlockVersion:
    caller = make_caller(id=by, name=by)
    changes = BlockChanges(value=value)
    update_block(caller=caller, block_id=block.id, changes=changes, origin=Origin(run_id=run))
    block.refresh_from_db()
    return BlockVersion.objects.get(block=block, number=block.version)


def revert(block: Block, **which: object) -> str:
    keeps = bool(which.pop("keeps", False))
    writes = Writes(**which)  # type: ignore[arg-type]  # fields of any choice
    done, _ = revert_writes(caller=make_caller(), block_id=block.id, writes=writes, keeps_clashes=keeps)
    assert verify_block(done) == []
    return done.value


def test_what_one_wrote_goes_and_what_others_wrote_before_and_after_stays() -> None:
    block = make_block(value="one\ntwo\nthree\nfour")
    write(block, "ONE\ntwo\nthree\nfour")
    write(block, "ONE\ntwo\nTHREE\nfour", by=OTHER)
    write(block, "ONE\nthree and a half\nTHREE\nfour\nfive")
    assert revert(block, actor_id=PERSON) == "one\ntwo\nTHREE\nfour"
    last = BlockVersion.objects.get(block=block, number=5)
    assert (last.act, last.base_version, last.actor_id) == ("revert", 4, make_caller().id)


def test_one_run_and_a_time_narrow_it() -> None:
    block = make_block(value="a\nb\nc")
    write(block, "A\nb\nc", run="run-1")
    second = write(block, "A\nB\nc", run="run-2")
    write(block, "A\nB\nC", run="run-2")
    assert plan_reversal(block=block, writes=Writes(run_id="run-1")).value == "a\nB\nC"
    assert plan_reversal(block=block, writes=Writes(run_id="run-2")).versions == (3, 4)
    since = second.created_at + timedelta(microseconds=1)
    assert plan_reversal(block=block, writes=Writes(actor_id=PERSON, since=since)).value == "A\nB\nc"
    assert revert(block, run_id="run-2") == "A\nb\nc"


def test_what_others_changed_since_is_refused_with_both_sides_or_left() -> None:
    block = make_block(value="a\nb\nc")
    write(block, "x\nb\ny")
    write(block, "x and z\nb\ny", by=OTHER)
    with pytest.raises(Conflict, match="Others have changed 1 of these places") as raised:
        revert(block, actor_id=PERSON)
    assert raised.value.data["hunks"] == [
        {"base_line": 1, "base": ["x"], "mine": ["a"], "theirs": ["x and z"]}
    ]
    assert Block.objects.get().version == 3
    assert revert(block, actor_id=PERSON, keeps=True) == "x and z\nb\nc"


def test_where_nothing_is_left_or_nothing_was_written_it_says_so() -> None:
    block = make_block(value="a")
    with pytest.raises(NotFound, match="Nothing in the history"):
        revert(block, actor_id=PERSON)
    with pytest.raises(Unprocessable, match="Say whose writes"):
        revert(block)
    write(block, "b")
    assert revert(block, actor_id=PERSON) == "a"
    with pytest.raises(Conflict, match="Nothing of these writes is left"):
        revert(block, actor_id=PERSON)
    # Whoever made the block did not change it.
    with pytest.raises(NotFound):
        revert(make_block(value="made"), actor_id=make_caller().id)


def test_only_editors_of_the_workspace_may() -> None:
    block = make_block(value="a")
    write(block, "b")
    writes = Writes(actor_id=PERSON)
    with pytest.raises(Forbidden):
        revert_writes(caller=make_caller(role="reviewer"), block_id=block.id, writes=writes)
    with pytest.raises(NotFound):
        revert_writes(caller=make_caller(workspace=make_workspace()), block_id=block.id, writes=writes)


def test_the_route_reverts_what_an_agent_wrote() -> None:
    api, agent = Api(), make_agent()
    block = make_block(agent=agent, value="a\nb")
    update_block(
        caller=make_agent_caller(agent), block_id=block.id, changes=BlockChanges(value="a\nb\nnonsense")
    )
    url = f"/v1/blocks/{block.id}/versions/revert"
    assert api.post(url, {"actor_id": agent.id, "base_version": 1}).status_code == 409
    body = api.post(url, {"actor_id": agent.id, "base_version": 2}).json()
    assert (body["block"]["value"], body["block"]["version"]) == ("a\nb", 3)
    assert (body["reverted_versions"], body["kept"]) == ([2], [])


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 422),
        ({"actor_id": "nobody"}, 404),
        ({"run_id": 5}, 422),
        ({"actor_id": "x", "since": "yesterday"}, 422),
        ({"actor_id": "x", "base_version": "one"}, 422),
    ],
)
def test_bad_requests_are_told_apart(body: dict[str, object], status: int) -> None:
    block = make_block(value="a")
    assert Api().post(f"/v1/blocks/{block.id}/versions/revert", body).status_code == status


LINES = st.lists(st.sampled_from(["a", "b", "c", "d", "e"]), max_size=6)


@settings(max_examples=30, deadline=None)
@given(edits=st.lists(st.tuples(st.booleans(), LINES), min_size=1, max_size=6))
def test_lines_of_others_are_never_lost(edits: list[tuple[bool, list[str]]]) -> None:
    """Each writer's lines carry a mark of its own: none of the other's that stood there may go."""
    block = make_block(value="")
    for number, (is_mine, words) in enumerate(edits):
        by = PERSON if is_mine else OTHER
        kept = [line for line in block.value.split("\n") if line and not line.startswith(by)]
        write(block, "\n".join([*kept, *(f"{by} {word} {number}" for word in words)]), by=by)
    theirs = [line for line in block.value.split("\n") if line.startswith(OTHER)]
    try:
        after = revert(block, actor_id=PERSON, keeps=True)
    except (Conflict, NotFound):
        return
    assert set(theirs) <= set(after.split("\n"))
