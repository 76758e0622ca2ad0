"""Processes that are stopped in good order, and runs that outlive one process after the other.

Starting processes is what takes time here, so each is used for as much as possible: a server that stops, a second one that works
on no jobs, and four workers, of which the first stops in good order and the others are killed.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.faults.model import Gate, held
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server
from tests.support.commands import Worker

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class Stopped:
    """What clients saw of the server that stopped."""

    agents: dict[str, str]
    streamed: Reader
    plain: Reader
    background: Reader


@pytest.fixture(scope="module")
def stopped(scene: Scene) -> Stopped:
    server = scene.up()
    gates = {name: Gate() for name in ("streamed", "plain", "background")}
    agents = {name: server.make_agent() for name in gates}
    for name, gate in gates.items():
        scene.model.script(f"Go on, {name}.", held("One two three four.", gate, after_words=2))
    seen = Stopped(
        agents=agents,
        streamed=read(server, agents["streamed"], "Go on, streamed."),
        plain=Reader(f"{server.url}/v1/agents/{agents['plain']}/messages", {"input": "Go on, plain."}),
        background=read(server, agents["background"], "Go on, background.", background=True),
    )
    for reader in (seen.streamed, seen.background):
        reader.wait_for_text("One two ")
    for gate in gates.values():
        gate.wait_for_arrival()
    assert server.stop() < 10
    assert server.process.process.returncode == 0
    for gate in gates.values():
        gate.open()
    return seen


@pytest.fixture(scope="module")
def server(scene: Scene, stopped: Stopped) -> Iterator[Server]:
    yield scene.up(ADE_JOB_WORKER="0")
    scene.check_ends()
    scene.stop_all()


@pytest.fixture(scope="module")
def worker(scene: Scene, server: Server, stopped: Stopped) -> Worker:
    """It has finished what the first server handed over."""
    worker = scene.worker()
    scene.wait_for_end(stopped.background.run_id)
    return worker


@dataclass(frozen=True, kw_only=True)
class HandedOver:
    run_id: str
    agent_id: str
    #: It has finished the run, and goes on.
    next_worker: Worker


@pytest.fixture(scope="module")
def handed_over(scene: Scene, server: Server, worker: Worker) -> HandedOver:
    gate, agent_id = Gate(), server.make_agent()
    scene.model.script("Hand me on.", held("Here I am.", gate))
    run_id = server.say_later(agent_id, "Hand me on.")
    gate.wait_for_arrival()
    next_worker = scene.worker()
    assert worker.stop() < 10
    assert worker.process.returncode == 0
    gate.wait_for_arrival()
    gate.open()
    scene.wait_for_end(run_id)
    return HandedOver(run_id=run_id, agent_id=agent_id, next_worker=next_worker)


@dataclass(frozen=True, kw_only=True)
class Killed:
    """The first worker was killed with both runs, and two more with the deadly one."""

    deadly: Reader
    deadly_agent: str
    cancelled: str
    cancelled_agent: str
    #: What the request to cancel was told, when the worker was dead.
    told: dict[str, str]


@pytest.fixture(scope="module")
def killed(scene: Scene, server: Server, handed_over: HandedOver) -> Killed:
    deadly_gate, other_gate = Gate(), Gate()
    deadly_agent, other_agent = server.make_agent(), server.make_agent()
    scene.model.script("Kill them all.", held("Never said.", deadly_gate))
    scene.model.script("Cancel me.", held("Never said.", other_gate))
    deadly = read(server, deadly_agent, "Kill them all.", background=True)
    other = server.say_later(other_agent, "Cancel me.")
    deadly_gate.wait_for_arrival()
    other_gate.wait_for_arrival()
    handed_over.next_worker.stop(signal.SIGKILL)
    told = server.post(f"/agents/{other_agent}/messages/cancel", {"run_ids": [other]})
    for _ in range(2):
        worker = scene.worker()
        deadly_gate.wait_for_arrival()
        worker.stop(signal.SIGKILL)
    scene.wait_for_end(deadly.run_id)
    return Killed(
        deadly=deadly, deadly_agent=deadly_agent, cancelled=other, cancelled_agent=other_agent, told=told
    )


def read(server: Server, agent_id: str, said: str, **fields: bool) -> Reader:
    body = {"input": said, "streaming": True, "stream_tokens": True, **fields}
    return Reader(f"{server.url}/v1/agents/{agent_id}/messages", body)


def test_a_stopping_server_ends_its_answers_with_a_reason(stopped: Stopped) -> None:
    assert stopped.streamed.finish().stop_reasons == ["error"]
    assert [error["error_type"] for error in stopped.streamed.errors] == ["stream_task_cancelled"]
    assert stopped.streamed.ends == 1
    assert stopped.plain.finish().status == 503
    assert stopped.plain.answer["detail"].startswith("The server stopped while the run went on.")
    assert stopped.plain.answer_headers["x-should-retry"] == "false"


@pytest.mark.parametrize("name", ["streamed", "plain"])
def test_what_was_said_before_the_stop_stays_so_that_history_and_screen_agree(
    server: Server, stopped: Stopped, name: str
) -> None:
    agent_id = stopped.agents[name]
    [run] = server.get("/runs/", agent_id=agent_id)
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert server.said(agent_id)[1:3] == [
        ("user_message", f"Go on, {name}."),
        ("assistant_message", "One two "),
    ]
    assert server.say(agent_id, "Again?") == ["You said: Again?"]


def test_a_run_of_the_background_is_handed_over_and_that_is_no_death(
    scene: Scene, server: Server, stopped: Stopped, worker: Worker
) -> None:
    before = stopped.background.finish()
    # Not as an end of the run: its readers are told where the rest is.
    assert [error["error_type"] for error in before.errors] == ["stream_incomplete"]
    run = scene.run(before.run_id)
    assert (run["status"], run["attempts"]) == ("completed", 0)
    assert server.said(stopped.agents["background"])[1:] == [
        ("user_message", "Go on, background."),
        ("assistant_message", "One two three four."),
    ]
    url = f"{server.url}/v1/runs/{before.run_id}/stream"
    rest = Reader(url, {"starting_after": max(before.numbers)}).finish()
    assert (rest.stop_reasons, rest.ends, rest.text) == (["end_turn"], 1, "One two three four.")


def test_a_run_goes_from_a_stopping_worker_to_the_next(
    scene: Scene, server: Server, handed_over: HandedOver
) -> None:
    run = scene.run(handed_over.run_id)
    assert (run["status"], run["attempts"]) == ("completed", 0)
    assert server.said(handed_over.agent_id)[1:] == [
        ("user_message", "Hand me on."),
        ("assistant_message", "Here I am."),
    ]


def test_a_run_that_costs_three_processes_their_life_is_failed_and_says_so(
    scene: Scene, server: Server, killed: Killed
) -> None:
    run = scene.run(killed.deadly.run_id)
    sentence = (
        "3 server processes ended while they worked on this run. It is not tried again. "
        "Steps that were stored are kept."
    )
    assert (run["status"], run["stop_reason"]) == ("failed", "error")
    assert run["metadata"]["error"]["message"] == sentence
    assert killed.deadly.finish().stop_reasons == ["error"]
    assert [error["message"] for error in killed.deadly.errors] == [sentence]
    assert killed.deadly.ends == 1
    assert server.said(killed.deadly_agent, include_err=True)[1:2] == [("user_message", "Kill them all.")]
    assert server.say(killed.deadly_agent, "Still there?") == ["You said: Still there?"]


def test_a_run_whose_worker_was_killed_can_be_cancelled_and_is_not_taken_up_again(
    scene: Scene, server: Server, killed: Killed
) -> None:
    assert killed.told == {killed.cancelled: "cancelled"}
    assert scene.run(killed.cancelled)["status"] == "cancelled"
    assert server.say(killed.cancelled_agent, "And now?") == ["You said: And now?"]
    assert len(scene.model.requests_of("Cancel me.")) == 1


def test_a_run_that_no_worker_takes_can_be_cancelled(scene: Scene, server: Server, killed: Killed) -> None:
    agent_id = server.make_agent()
    reader = read(server, agent_id, "Nobody hears me.", background=True)
    run_id = reader.run_id
    assert server.post(f"/agents/{agent_id}/messages/cancel") == {run_id: "cancelled"}
    assert (reader.finish().stop_reasons, reader.ends) == (["cancelled"], 1)
    assert scene.wait_for_end(run_id)["status"] == "cancelled"
    assert server.said(agent_id, include_err=True)[1:] == [("user_message", "Nobody hears me.")]
    assert scene.model.requests_of("Nobody hears me.") == []
    assert server.say(agent_id, "Hello") == ["You said: Hello"]
