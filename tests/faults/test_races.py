"""Many clients, two server processes, one conversation: exactly one runs at a time, and nothing is lost or done twice."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest
from letta_client import InternalServerError, Letta

from tests.faults.model import SECONDS, Gate, check_pairs, held
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server, eventually
from tests.support.fake_provider import FakeReply

pytestmark = pytest.mark.slow

T = TypeVar("T")


@pytest.fixture(scope="module")
def servers(scene: Scene) -> Iterator[list[Server]]:
    first = scene.up()
    folder = Path(tempfile.mkdtemp(prefix="ade-faults-"))
    yield [first, scene.second_up(folder)]
    scene.check_ends()
    scene.stop_all()
    shutil.rmtree(folder)


@pytest.fixture
def agent_id(servers: list[Server]) -> str:
    return servers[0].make_agent()


def at_once(count: int, send: Callable[[int], T]) -> list[T]:
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(send, range(count)))


def post(server: Server, agent_id: str, body: Any, **headers: str) -> httpx.Response:
    return httpx.post(
        f"{server.url}/v1/agents/{agent_id}/messages", json=body, headers=headers, timeout=SECONDS
    )


def turns(server: Server, agent_id: str) -> list[tuple[str, str]]:
    """Each message of the user with its answer; every other history is wrong."""
    history = server.said(agent_id)[1:]
    kinds = [kind for kind, _ in history]
    assert kinds == ["user_message", "assistant_message"] * (len(kinds) // 2)
    return [(said, answer) for (_, said), (_, answer) in zip(history[::2], history[1::2], strict=True)]


def test_of_twenty_requests_one_runs_and_the_others_are_told_which(
    scene: Scene, servers: list[Server], agent_id: str
) -> None:
    gate = Gate()
    for number in range(20):
        scene.model.script(f"Number {number} of {agent_id}", held(f"Answer {number}", gate))

    def send(number: int) -> Reader:
        body = {"input": f"Number {number} of {agent_id}"}
        return Reader(f"{servers[number % 2].url}/v1/agents/{agent_id}/messages", body)

    readers = at_once(20, send)
    gate.wait_for_arrival()
    eventually(lambda: sum(reader.status is not None for reader in readers) == 19, "nineteen refusals")
    refused = [reader.finish() for reader in readers if reader.status is not None]
    [run] = servers[1].get("/runs/", agent_id=agent_id, active=True)
    for reader in refused:
        assert reader.status == 409
        assert reader.answer["run_id"] == run["id"]
        assert reader.answer["detail"].startswith("CONFLICT:")
        assert reader.answer_headers["x-should-retry"] == "false"
    gate.open()
    [winner] = [number for number, reader in enumerate(readers) if reader not in refused]
    assert readers[winner].finish().status == 200
    assert turns(servers[0], agent_id) == [(f"Number {winner} of {agent_id}", f"Answer {winner}")]
    assert len(servers[0].get("/runs/", agent_id=agent_id)) == 1


def test_what_was_answered_is_in_the_history_and_what_was_refused_is_not(
    servers: list[Server], agent_id: str
) -> None:
    """Nobody waits for anybody: runs end while others begin."""
    answered = at_once(
        40, lambda number: (number, post(servers[number % 2], agent_id, {"input": f"Number {number}"}))
    )
    taken = {f"Number {number}" for number, answer in answered if answer.status_code == 200}
    refused = [answer for _, answer in answered if answer.status_code != 200]
    assert taken
    for answer in refused:
        assert answer.status_code == 409, answer.text
        assert answer.json()["run_id"].startswith("run-")
        assert answer.headers["x-should-retry"] == "false"
    said = turns(servers[0], agent_id)
    assert {each for each, _ in said} == taken
    assert len(said) == len(taken)
    assert all(answer == f"You said: {each}" for each, answer in said)


def test_who_would_rather_wait_is_served_in_turn(scene: Scene, servers: list[Server], agent_id: str) -> None:
    def send(number: int) -> httpx.Response:
        body = {"input": f"Turn {number} of {agent_id}"}
        return post(servers[number % 2], agent_id, body, Prefer="wait=20")

    assert [answer.status_code for answer in at_once(8, send)] == [200] * 8
    said = turns(servers[1], agent_id)
    assert sorted(each for each, _ in said) == [f"Turn {number} of {agent_id}" for number in range(8)]
    # Each saw all that was before it.
    sizes = []
    for each, _ in said:
        [request] = scene.model.requests_of(each)
        check_pairs(request)
        sizes.append(len(request["messages"]))
    assert sizes == [2 + 2 * number for number in range(8)]


def test_a_wait_that_is_too_short_ends_in_the_conflict(
    scene: Scene, servers: list[Server], agent_id: str
) -> None:
    gate = Gate()
    scene.model.script(f"Long, {agent_id}", held("Done.", gate))
    first = Reader(f"{servers[0].url}/v1/agents/{agent_id}/messages", {"input": f"Long, {agent_id}"})
    gate.wait_for_arrival()
    answer = post(servers[1], agent_id, {"input": "Me too"}, Prefer="wait=1")
    assert answer.status_code == 409
    gate.open()
    assert first.finish().status == 200


@pytest.mark.parametrize("streaming", [False, True])
def test_one_request_sent_many_times_at_once_is_one_run(
    scene: Scene, servers: list[Server], agent_id: str, streaming: bool
) -> None:
    gate = Gate()
    said = f"Once, {agent_id}"
    scene.model.script(said, held("Only once.", gate))
    message = {"role": "user", "content": said, "otid": f"otid-{agent_id}"}

    def send(number: int) -> Reader:
        body = {"messages": [message], "streaming": streaming}
        return Reader(f"{servers[number % 2].url}/v1/agents/{agent_id}/messages", body)

    readers = at_once(10, send)
    gate.wait_for_arrival()
    gate.open()
    assert [reader.finish().status for reader in readers] == [200] * 10
    # After its end, too.
    readers.append(send(11).finish())
    if streaming:
        assert {reader.run_id for reader in readers} == {readers[0].run_id}
        assert [reader.text for reader in readers] == ["Only once."] * 11
    else:
        assert [reader.answer for reader in readers] == [readers[0].answer] * 11
    assert turns(servers[0], agent_id) == [(said, "Only once.")]
    assert len(scene.model.requests_of(said)) == 1


def test_a_request_that_failed_can_be_sent_again(scene: Scene, servers: list[Server], agent_id: str) -> None:
    said = f"Try, {agent_id}"
    body = {"messages": [{"role": "user", "content": said, "otid": f"otid-{agent_id}"}]}
    scene.model.script(said, FakeReply(status=500, error="Out of order."))
    assert post(servers[0], agent_id, body).status_code == 503
    scene.model.script(said, FakeReply(text="It works."))
    assert post(servers[1], agent_id, body).status_code == 200
    assert turns(servers[0], agent_id) == [(said, "It works.")]


def test_a_repeat_after_a_5xx_is_not_run_again(scene: Scene, servers: list[Server], agent_id: str) -> None:
    """The first answer was lost; the client sends the same again and says so, here to both servers."""
    said = f"Fail, {agent_id}"
    scene.model.script(said, FakeReply(status=500, error="Out of order."))
    first = post(servers[0], agent_id, {"input": said})
    assert (first.status_code, first.headers["x-should-retry"]) == (503, "false")
    again = at_once(
        6,
        lambda number: post(
            servers[number % 2], agent_id, {"input": said}, **{"X-Stainless-Retry-Count": "1"}
        ),
    )
    assert [(answer.status_code, answer.json()) for answer in again] == [(503, first.json())] * 6
    assert len(scene.model.requests_of(said)) == 1
    assert servers[0].said(agent_id, include_err=True)[1:] == [("user_message", said)]


def test_repeats_that_overtake_each_other_are_one_run(
    scene: Scene, servers: list[Server], agent_id: str
) -> None:
    """The connection broke before the first one had become a run: all of these say that they are repeats."""
    said = f"Overtake, {agent_id}"
    answers = at_once(
        8,
        lambda number: post(
            servers[number % 2], agent_id, {"input": said}, **{"X-Stainless-Retry-Count": "1"}
        ),
    )
    assert [answer.status_code for answer in answers] == [200] * 8
    assert all(answer.json() == answers[0].json() for answer in answers)
    assert turns(servers[0], agent_id) == [(said, f"You said: {said}")]


def test_the_sdk_does_not_run_a_failed_request_again(
    scene: Scene, servers: list[Server], agent_id: str
) -> None:
    said = f"From the SDK, {agent_id}"
    scene.model.script(said, FakeReply(status=503, error="Overloaded."))
    with Letta(base_url=servers[0].url, max_retries=2) as client, pytest.raises(InternalServerError):
        client.agents.messages.create(agent_id, input=said)
    assert len(scene.model.requests_of(said)) == 1


def test_a_run_is_cancelled_through_the_other_server(
    scene: Scene, servers: list[Server], agent_id: str
) -> None:
    gate = Gate()
    said = f"Elsewhere, {agent_id}"
    scene.model.script(said, held("Never said.", gate))
    reader = Reader(f"{servers[0].url}/v1/agents/{agent_id}/messages", {"input": said, "streaming": True})
    gate.wait_for_arrival()
    cancelled = servers[1].post(f"/agents/{agent_id}/messages/cancel")
    assert cancelled == {reader.run_id: "cancelled"}
    assert reader.finish().stop_reasons == ["cancelled"]
