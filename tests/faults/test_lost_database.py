"""The database goes away while runs go on: its connections are cut, or PostgreSQL itself is killed. Nobody is started anew.

Runs of people go on in the server, runs of the background in a worker. Each time there is one of both at each stage of a turn.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults.model import Gate, check_pairs, held
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server, eventually
from tests.faults.stages import AMONG_THE_WORDS, BETWEEN_STEPS, DURING_A_CALL, STAGES, Stage, make_stages

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def server(scene: Scene) -> Iterator[Server]:
    server = scene.up(ADE_JOB_WORKER="0")
    worker = scene.worker()
    yield server
    assert server.process.runs
    assert worker.runs
    scene.check_ends()
    scene.stop_all()


@dataclass(frozen=True, kw_only=True)
class Turn:
    """A run in the server, and one in the worker."""

    stage: Stage
    agent_id: str
    reader: Reader
    background_agent_id: str
    background_run_id: str


@dataclass(frozen=True, kw_only=True)
class Survived:
    """What the tests look at, once everything has gone on."""

    turns: dict[str, Turn]
    #: A request that waited for an image when the database went.
    opening: Reader


@pytest.fixture(scope="module", params=["connections are cut", "PostgreSQL is killed"])
def survived(scene: Scene, server: Server, request: pytest.FixtureRequest) -> Survived:
    what: str = request.param
    turns = {}
    for name, stage in make_stages(scene.model, what).items():
        agent_id, background_agent_id = server.make_agent(), server.make_agent()
        turns[name] = Turn(
            stage=stage,
            agent_id=agent_id,
            reader=read(server, agent_id, stage.said),
            background_agent_id=background_agent_id,
            background_run_id=server.say_later(background_agent_id, stage.said),
        )
    path, gate = f"/{what.split()[0]}.png", Gate()
    scene.model.gates[path] = gate
    image = {"type": "image", "source": {"type": "url", "url": f"{scene.model.url}{path}"}}
    content = [image, {"type": "text", "text": f"What is this, {what}?"}]
    opening = Reader(
        f"{server.url}/v1/agents/{server.make_agent()}/messages",
        {"messages": [{"role": "user", "content": content}]},
    )
    gate.wait_for_arrival()
    turns[AMONG_THE_WORDS].reader.wait_for_text("One two three ")
    for turn in turns.values():
        turn.stage.gate.wait_for_arrival()
        turn.stage.gate.wait_for_arrival()
    if what == "connections are cut":
        assert scene.cut_connections() > 4
        for turn in turns.values():
            turn.stage.gate.open()
    else:
        pid = scene.kill_postgres()
        for turn in turns.values():
            turn.stage.gate.open()
        scene.wait_for_another_postgres(pid)
    gate.open()
    for turn in turns.values():
        scene.wait_for_end(turn.background_run_id)
    return Survived(turns=turns, opening=opening)


def read(server: Server, agent_id: str, said: str, **fields: bool) -> Reader:
    body = {"input": said, "streaming": True, "stream_tokens": True, **fields}
    return Reader(f"{server.url}/v1/agents/{agent_id}/messages", body)


@pytest.mark.parametrize("name", STAGES)
def test_runs_go_on_to_their_end_as_if_nothing_had_happened(
    scene: Scene, server: Server, survived: Survived, name: str
) -> None:
    turn = survived.turns[name]
    assert turn.reader.finish().stop_reasons == ["end_turn"]
    assert (turn.reader.ends, turn.reader.errors) == (1, [])
    for run_id in (turn.reader.run_id, turn.background_run_id):
        run = scene.wait_for_end(run_id)
        assert (run["status"], run["attempts"]) == ("completed", 0)
        steps = server.get(f"/runs/{run_id}/steps")
        assert {step["status"] for step in steps} == {"success"}


@pytest.mark.parametrize("name", STAGES)
def test_everything_is_stored_once(server: Server, survived: Survived, name: str) -> None:
    turn = survived.turns[name]
    turn.reader.finish()
    for agent_id in (turn.agent_id, turn.background_agent_id):
        assert server.said(agent_id, include_err=True)[1:] == turn.stage.whole


def test_what_tools_did_is_done_once(server: Server, survived: Survived) -> None:
    noting, keeping = survived.turns[BETWEEN_STEPS], survived.turns[DURING_A_CALL]
    for turn in (noting, keeping):
        turn.reader.finish()
    for agent_id in (noting.agent_id, noting.background_agent_id):
        assert server.block(agent_id) == "Name: Ada\nLikes tea."
    for agent_id in (keeping.agent_id, keeping.background_agent_id):
        assert len(server.get(f"/agents/{agent_id}/archival-memory")) == 1


def test_a_request_that_was_on_its_way_becomes_a_run(survived: Survived) -> None:
    answer = survived.opening.finish().answer
    assert survived.opening.status == 200, answer
    assert answer["stop_reason"]["stop_reason"] == "end_turn"


def test_the_next_message_is_answered_in_the_server_and_by_the_worker(
    scene: Scene, server: Server, survived: Survived
) -> None:
    turn = survived.turns[BETWEEN_STEPS]
    turn.reader.finish()
    said = f"And now? {turn.reader.run_id}"
    assert server.say(turn.agent_id, said) == [f"You said: {said}"]
    scene.wait_for_end(server.say_later(turn.background_agent_id, said))
    for request in scene.model.requests_of(said):
        check_pairs(request)
    assert server.said(turn.background_agent_id)[-1] == ("assistant_message", f"You said: {said}")


def test_processes_hear_each_other_again(scene: Scene, server: Server, survived: Survived) -> None:
    """A run of the worker that says nothing can be cancelled through the server: the worker listens."""
    gate, agent_id = Gate(), server.make_agent()
    said = f"Say nothing, {agent_id}."
    scene.model.script(said, held("Never said.", gate))
    reader = read(server, agent_id, said, background=True)
    gate.wait_for_arrival()
    assert server.post(f"/agents/{agent_id}/messages/cancel") == {reader.run_id: "cancelled"}
    assert reader.finish().stop_reasons == ["cancelled"]


def test_no_connection_is_left_in_a_transaction(scene: Scene, server: Server, survived: Survived) -> None:
    def left() -> list[dict[str, object]]:
        return scene.rows(
            "SELECT pid, state, query FROM pg_stat_activity WHERE backend_type = 'client backend' "
            "AND pid <> pg_backend_pid() AND state NOT IN ('idle', 'active')"
        )

    eventually(lambda: not left(), "quiet")
    # Sixteen threads, the queue's four and two ears, in each of two processes.
    [row] = scene.rows("SELECT count(*) AS n FROM pg_stat_activity WHERE backend_type = 'client backend'")
    assert row["n"] <= 2 * (16 + 4 + 4)
