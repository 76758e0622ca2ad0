"""Providers and tools that never answer: whoever waits can stop it at once, wherever the run goes on."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.faults.model import Gate, calls, held, says
from tests.faults.reader import Reader
from tests.faults.scene import Scene, Server
from tests.faults.stages import (
    AMONG_THE_WORDS,
    BEFORE_THE_ANSWER,
    BETWEEN_STEPS,
    DURING_A_CALL,
    STAGES,
    Stage,
    make_stages,
)
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.slow

#: How long it may take until a run is cancelled that waits for others.
AT_ONCE_SECONDS = 1.0


@pytest.fixture(scope="module")
def server(scene: Scene) -> Iterator[Server]:
    """A server, and a worker beside it for the runs of the background."""
    server = scene.up(ADE_JOB_WORKER="0")
    scene.worker()
    yield server
    scene.check_ends()
    scene.stop_all()


#: How a run is asked for, and what is posted.
WAYS: dict[str, dict[str, bool]] = {
    "plain": {},
    "streamed": {"streaming": True, "stream_tokens": True},
    "in the background": {"streaming": True, "stream_tokens": True, "background": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", STAGES)
def test_a_run_is_cancelled_at_once_wherever_it_waits(
    scene: Scene, server: Server, name: str, way: str
) -> None:
    stage = make_stages(scene.model, f"{way}, {name}")[name]
    agent_id = server.make_agent()
    reader = Reader(f"{server.url}/v1/agents/{agent_id}/messages", {"input": stage.said, **WAYS[way]})
    if name == AMONG_THE_WORDS and way != "plain":
        reader.wait_for_text("One two three ")
    stage.gate.wait_for_arrival()
    began = time.monotonic()
    told = server.post(f"/agents/{agent_id}/messages/cancel")
    took = time.monotonic() - began
    [run_id] = told
    assert told == {run_id: "cancelled"}
    assert took < AT_ONCE_SECONDS
    stop_reasons = reader.finish().stop_reasons
    if way == "plain":
        stop_reasons = [reader.answer["stop_reason"]["stop_reason"]]
    assert stop_reasons == ["cancelled"]
    assert server.get(f"/runs/{run_id}")["status"] == "cancelled"
    assert server.said(agent_id)[1:] == _kept(stage, name)
    assert server.say(agent_id, "And now?") == ["You said: And now?"]
    if name != DURING_A_CALL:
        # The provider is left; an embedding is waited for on a thread of its own, which ends with its time.
        assert scene.model.disconnected.acquire(timeout=AT_ONCE_SECONDS)
    stage.gate.open()


def _kept(stage: Stage, name: str) -> list[tuple[str, str]]:
    """What the history has: as much as the screen showed, and a return for every call."""
    user = ("user_message", stage.said)
    interrupted = [("tool_call_message", "archival_memory_insert"), ("tool_return_message", "error")]
    return {
        BEFORE_THE_ANSWER: [user],
        AMONG_THE_WORDS: [user, ("assistant_message", "One two three ")],
        DURING_A_CALL: [user, *interrupted],
        BETWEEN_STEPS: stage.stored,
    }[name]


@pytest.mark.parametrize(
    "reply",
    [
        FakeReply(text="One two three four five.", drop_after=3),
        FakeReply(
            calls=(FakeCall(name="memory_insert", arguments='{"label": "human", "new_string": "Tea."}'),),
            drop_after=4,
        ),
    ],
    ids=["in its words", "in a tool call"],
)
def test_a_reply_that_breaks_off_leaves_a_valid_history(
    scene: Scene, server: Server, reply: FakeReply
) -> None:
    agent_id = server.make_agent()
    said = f"Break off, {agent_id}."
    scene.model.script(said, reply)
    body = {"input": said, "streaming": True, "stream_tokens": True}
    reader = Reader(f"{server.url}/v1/agents/{agent_id}/messages", body).finish()
    assert reader.stop_reasons == ["llm_api_error"]
    assert [error["error_type"] for error in reader.errors] == ["llm_error"]
    assert server.said(agent_id, include_err=True)[1:] == [("user_message", said)]
    assert server.say(agent_id, f"Again, {agent_id}") == [f"You said: Again, {agent_id}"]
    [request] = scene.model.requests_of(f"Again, {agent_id}")
    assert [message["role"] for message in request["messages"]] == ["system", "user"]


def test_tools_that_hang_keep_nobody_from_anything(scene: Scene, server: Server) -> None:
    """More of them than there are threads for the database."""
    gate = Gate()
    stage = make_stages(scene.model, "twenty times")[DURING_A_CALL]
    scene.model.gates["Tea at four, twenty times."] = gate
    agents = [server.make_agent() for _ in range(20)]
    readers = [
        Reader(f"{server.url}/v1/agents/{agent_id}/messages", {"input": stage.said, "streaming": True})
        for agent_id in agents
    ]
    for _ in readers:
        gate.wait_for_arrival()
    other = server.make_agent()
    assert server.say(other, "Hello") == ["You said: Hello"]
    assert len(server.messages(other)) == 3
    gate.open()
    for reader in readers:
        assert reader.finish().stop_reasons == ["end_turn"]


def test_a_run_that_ends_while_it_is_cancelled_has_one_end(scene: Scene, server: Server) -> None:
    """Its last word and the wish to stop come at the same moment; `check_ends` looks at what became of it."""
    agents = [server.make_agent() for _ in range(10)]

    def race(agent_id: str) -> tuple[str, list[str]]:
        stage = make_stages(scene.model, f"racing {agent_id}")[AMONG_THE_WORDS]
        reader = Reader(
            f"{server.url}/v1/agents/{agent_id}/messages", {"input": stage.said, "streaming": True}
        )
        stage.gate.wait_for_arrival()
        stage.gate.open()
        answer: Any = server.client.post(f"/agents/{agent_id}/messages/cancel")
        assert answer.status_code in (200, 409), answer.text
        return reader.run_id, reader.finish().stop_reasons

    with ThreadPoolExecutor(len(agents)) as pool:
        for run_id, stop_reasons in pool.map(race, agents):
            [stop_reason] = stop_reasons
            assert scene.wait_for_end(run_id)["stop_reason"] == stop_reason
            assert stop_reason in ("end_turn", "cancelled")


def test_the_server_answers_while_many_runs_are_slow_and_a_huge_return_is_read(
    scene: Scene, server: Server
) -> None:
    gate = Gate()
    readers = []
    for number in range(20):
        said = f"Slowly, number {number}."
        scene.model.script(said, held("One two three four five.", gate, after_words=3))
        body = {"input": said, "streaming": True, "stream_tokens": True}
        readers.append(Reader(f"{server.url}/v1/agents/{server.make_agent()}/messages", body))
    for _ in readers:
        gate.wait_for_arrival()
    agent_id = server.make_agent()
    scene.model.script("Fetch it.", calls("fetch_page", "{}", call_id="call_1"), says("That is long."))
    tool = {"name": "fetch_page", "parameters": {"type": "object", "properties": {}}}
    asked = server.post(f"/agents/{agent_id}/messages", {"input": "Fetch it.", "client_tools": [tool]})
    assert asked["stop_reason"]["stop_reason"] == "requires_approval"
    returned = {
        "type": "tool",
        "tool_call_id": "call_1",
        "tool_return": "word " * 1_000_000,
        "status": "success",
    }
    answer = Reader(
        f"{server.url}/v1/agents/{agent_id}/messages",
        {"messages": [{"type": "approval", "approvals": [returned]}], "client_tools": [tool]},
    )
    looks = 0
    while answer.is_alive() or not looks:
        assert server.get("/health/")["status"] == "ok"
        looks += 1
    assert answer.finish().answer["messages"][-1]["content"] == "That is long."
    gate.open()
    for reader in readers:
        assert reader.finish().stop_reasons == ["end_turn"]
