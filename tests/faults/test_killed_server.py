"""`kill -9` of a server while people wait for an answer, at each stage of a turn: what is left, and what works afterwards.

The server is killed once, with a run at each stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.faults.model import Gate, check_pairs
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server
from tests.faults.stages import (
    BEFORE_THE_ANSWER,
    BETWEEN_STEPS,
    DURING_A_CALL,
    STAGES,
    Stage,
    make_stages,
)

pytestmark = pytest.mark.slow

REASON = (
    "The server process that worked on this run ended, or lost its database, before the run was over. "
    "Steps that were stored are kept."
)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A turn that was going on."""

    stage: Stage
    agent_id: str
    reader: Reader
    run_id: str


@dataclass(frozen=True, kw_only=True)
class Killed:
    """What the tests look at."""

    scene: Scene
    server: Server
    turns: dict[str, Turn]
    opening: Reader
    opening_agent: str


@pytest.fixture(scope="module")
def killed(scene: Scene) -> Iterator[Killed]:
    first = scene.up()
    turns = {}
    for name, stage in make_stages(scene.model, "please").items():
        agent_id = first.make_agent()
        reader = Reader(f"{first.url}/v1/agents/{agent_id}/messages", _body(stage))
        turns[name] = Turn(stage=stage, agent_id=agent_id, reader=reader, run_id=reader.run_id)
    # This one has not even become a run: it waits for an image.
    opening_agent, gate = first.make_agent(), Gate()
    scene.model.gates["/image.png"] = gate
    image = {"type": "image", "source": {"type": "url", "url": f"{scene.model.url}/image.png"}}
    opening = Reader(
        f"{first.url}/v1/agents/{opening_agent}/messages",
        {"messages": [{"role": "user", "content": [image, {"type": "text", "text": "What is this?"}]}]},
    )
    gate.wait_for_arrival()
    gates = [gate, *(turn.stage.gate for turn in turns.values())]
    for each in gates:
        each.wait_for_arrival()
    first.kill()
    for each in gates:
        each.open()
    second = scene.up()
    yield Killed(scene=scene, server=second, turns=turns, opening=opening, opening_agent=opening_agent)
    scene.stop_all()


def _body(stage: Stage) -> dict[str, Any]:
    return {"input": stage.said, "streaming": True, "stream_tokens": True}


@pytest.mark.parametrize("name", STAGES)
def test_the_run_is_failed_with_a_sentence_that_says_why(killed: Killed, name: str) -> None:
    run = killed.server.get(f"/runs/{killed.turns[name].run_id}")
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert run["metadata"]["error"]["error_type"] == "stream_task_cancelled"
    assert run["metadata"]["error"]["message"] == REASON
    assert run["completed_at"]


@pytest.mark.parametrize("name", STAGES)
def test_its_steps_tell_how_far_it_came_and_what_was_sent(killed: Killed, name: str) -> None:
    turn = killed.turns[name]
    steps = killed.server.get(f"/runs/{turn.run_id}/steps", order="asc")
    assert [step["status"] for step in steps] == ["success"] * bool(turn.stage.stored) + ["failed"]
    traces = killed.scene.rows(
        "SELECT request_text FROM agents_providertrace WHERE run_id = %s ORDER BY created_at", turn.run_id
    )
    assert len(traces) == len(steps)
    assert all(turn.stage.said in trace["request_text"] for trace in traces)


@pytest.mark.parametrize("name", STAGES)
def test_history_holds_whole_steps_and_the_input_is_not_lost(killed: Killed, name: str) -> None:
    turn = killed.turns[name]
    history = killed.server.said(turn.agent_id)[1:]
    assert history[: len(turn.stage.stored)] == turn.stage.stored
    everything = killed.server.said(turn.agent_id, include_err=True)
    assert everything.count(("user_message", turn.stage.said)) == 1


@pytest.mark.parametrize("name", STAGES)
def test_the_next_message_is_answered(killed: Killed, name: str) -> None:
    turn = killed.turns[name]
    said = f"Are you there, {name}?"
    assert killed.server.say(turn.agent_id, said) == [f"You said: {said}"]
    [request] = killed.scene.model.requests_of(said)
    check_pairs(request)
    assert killed.server.said(turn.agent_id)[1:] == [
        *turn.stage.stored,
        ("user_message", said),
        ("assistant_message", f"You said: {said}"),
    ]


def test_a_request_that_had_not_become_a_run_leaves_nothing(killed: Killed) -> None:
    assert killed.opening.finish().is_cut
    assert killed.server.get("/runs/", agent_ids=[killed.opening_agent]) == []
    assert len(killed.server.said(killed.opening_agent, include_err=True)) == 1
    assert killed.server.say(killed.opening_agent, "Hello") == ["You said: Hello"]


def test_memory_that_was_stored_stays_and_what_was_not_is_not_there(killed: Killed) -> None:
    assert killed.server.block(killed.turns[BETWEEN_STEPS].agent_id) == "Name: Ada\nLikes tea."
    keeper = killed.turns[DURING_A_CALL].agent_id
    assert killed.server.get(f"/agents/{keeper}/archival-memory") == []


def test_the_request_that_a_client_sends_again_is_not_run_again(killed: Killed) -> None:
    """As an SDK does that lost the connection: the same body, with its count of attempts."""
    turn = killed.turns[BEFORE_THE_ANSWER]
    url = f"{killed.server.url}/v1/agents/{turn.agent_id}/messages"
    again = Reader(url, _body(turn.stage), **{"X-Stainless-Retry-Count": "1"}).finish()
    assert again.run_id == turn.run_id
    assert [error["message"] for error in again.errors] == [REASON]
    assert len(killed.scene.model.requests_of(turn.stage.said)) == 1


def test_every_run_has_one_end(killed: Killed) -> None:
    killed.scene.check_ends()
