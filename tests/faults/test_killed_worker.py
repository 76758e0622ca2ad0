"""`kill -9` of the process that works on runs of the background, at each stage of a turn: another one goes on.

Two places are killed once each, with a run at each stage: a worker beside a server, and a server that works on jobs itself.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.model import check_pairs
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server, eventually
from tests.faults.stages import AMONG_THE_WORDS, BETWEEN_STEPS, DURING_A_CALL, STAGES, Stage, make_stages

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A run of the background; nobody reads one that was started by `messages/async`."""

    stage: Stage
    agent_id: str
    run_id: str
    reader: Reader
    async_agent_id: str
    async_run_id: str


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What the tests look at, once everything has gone on to its end."""

    place: str
    scene: Scene
    server: Server
    turns: dict[str, Turn]


@pytest.fixture(scope="module", params=["a worker", "a server"])
def killed(scene: Scene, request: pytest.FixtureRequest) -> Iterator[Killed]:
    place: str = request.param
    is_worker = place == "a worker"
    server = scene.up(ADE_JOB_WORKER="0" if is_worker else "1")
    victim = scene.worker() if is_worker else server.process
    turns = {}
    for name, stage in make_stages(scene.model, place).items():
        agent_id, async_agent_id = server.make_agent(), server.make_agent()
        body = {"input": stage.said, "streaming": True, "background": True, "stream_tokens": True}
        reader = Reader(f"{server.url}/v1/agents/{agent_id}/messages", body)
        turns[name] = Turn(
            stage=stage,
            agent_id=agent_id,
            run_id=reader.run_id,
            reader=reader,
            async_agent_id=async_agent_id,
            async_run_id=server.say_later(async_agent_id, stage.said),
        )
    turns[AMONG_THE_WORDS].reader.wait_for_text("One two three ")
    for turn in turns.values():
        turn.stage.gate.wait_for_arrival()
        turn.stage.gate.wait_for_arrival()
    # The beginning of a step is written beside its call.
    begun = "SELECT 1 WHERE (SELECT count(*) FROM agents_step WHERE status = 'pending') >= %s"
    eventually(lambda: scene.rows(begun, 2 * len(turns)), "every step has begun")
    victim.stop(signal.SIGKILL)
    for turn in turns.values():
        turn.stage.gate.open()
    if is_worker:
        scene.worker()
    else:
        server = scene.up()
    for turn in turns.values():
        scene.wait_for_end(turn.run_id)
        scene.wait_for_end(turn.async_run_id)
    yield Killed(place=place, scene=scene, server=server, turns=turns)
    scene.stop_all()


@pytest.mark.parametrize("name", STAGES)
def test_the_run_goes_on_to_its_end(killed: Killed, name: str) -> None:
    turn = killed.turns[name]
    for run_id in (turn.run_id, turn.async_run_id):
        run = killed.server.get(f"/runs/{run_id}")
        assert (run["status"], run["stop_reason"]) == ("completed", "end_turn")
        assert killed.scene.run(run_id)["attempts"] == 1
        steps = killed.server.get(f"/runs/{run_id}/steps", order="asc")
        whole = 1 + (name in (DURING_A_CALL, BETWEEN_STEPS))
        assert [step["status"] for step in steps].count("success") == whole
        assert [step["status"] for step in steps].count("failed") == 1


@pytest.mark.parametrize("name", STAGES)
def test_everything_is_stored_once(killed: Killed, name: str) -> None:
    turn = killed.turns[name]
    for agent_id in (turn.agent_id, turn.async_agent_id):
        assert killed.server.said(agent_id, include_err=True)[1:] == turn.stage.whole


def test_what_a_tool_did_is_done_once(killed: Killed) -> None:
    noting, keeping = killed.turns[BETWEEN_STEPS], killed.turns[DURING_A_CALL]
    for agent_id in (noting.agent_id, noting.async_agent_id):
        assert killed.server.block(agent_id) == "Name: Ada\nLikes tea."
    for agent_id in (keeping.agent_id, keeping.async_agent_id):
        assert len(killed.server.get(f"/agents/{agent_id}/archival-memory")) == 1


def test_a_step_that_was_stored_is_not_asked_for_again(killed: Killed) -> None:
    """Two runs of two steps each, and each was killed in its second one."""
    requests = killed.scene.model.requests_of(killed.turns[BETWEEN_STEPS].stage.said)
    for request in requests:
        check_pairs(request)
    assert sorted(len(request["messages"]) for request in requests) == [2, 2, 4, 4, 4, 4]


@pytest.mark.parametrize("name", STAGES)
def test_a_reader_gets_the_whole_stream_with_one_end(killed: Killed, name: str) -> None:
    """One that stayed, where the server lives on; one that comes back after what it has, where it does not."""
    turn = killed.turns[name]
    before = turn.reader.finish()
    parts = [before]
    if before.is_cut:
        parts.append(_resumed(killed, turn.run_id, after=max(before.numbers, default=0)))
    assert [each for part in parts for each in part.stop_reasons] == ["end_turn"]
    assert sum(part.ends for part in parts) == 1
    assert not any(part.errors for part in parts)
    numbers = [number for part in parts for number in part.numbers]
    assert numbers == sorted(set(numbers))
    assert _told([event for part in parts for event in part.events]) == turn.stage.whole[1:]


def test_a_reader_that_comes_late_gets_the_same(killed: Killed) -> None:
    for turn in killed.turns.values():
        late = _resumed(killed, turn.run_id, after=0)
        assert (late.stop_reasons, late.ends) == (["end_turn"], 1)
        assert _told(late.events) == turn.stage.whole[1:]


def test_every_run_has_one_end(killed: Killed) -> None:
    killed.scene.check_ends()


def _resumed(killed: Killed, run_id: str, *, after: int) -> Reader:
    return Reader(f"{killed.server.url}/v1/runs/{run_id}/stream", {"starting_after": after}).finish()


def _told(events: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """The stream in short, as `Server.said` has the history; what a dead process said of a step that never was is left out."""
    told: dict[tuple[str, str], tuple[str, str]] = {}
    for event in events:
        kind, key = event["message_type"], (event.get("id", ""), event["message_type"])
        if kind == "assistant_message":
            told[key] = (kind, told.get(key, ("", ""))[1] + event["content"])
        elif kind == "tool_call_message":
            # Only the first piece of a call names it.
            told[key] = (kind, event["tool_call"].get("name") or told[key][1])
        elif kind == "tool_return_message":
            told[key] = (kind, event["status"])
    # The steps are told in order: of two that say the same thing the first was broken off.
    kept = [each for each in told.values() if each != ("assistant_message", "One two three ")]
    return list(dict.fromkeys(kept))
