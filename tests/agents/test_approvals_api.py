"""Calls that wait, over REST: the request and its answer on the wire, what is refused and how, cancelling, what an agent shows (§6)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import httpx
import pytest

from agents.models import Agent
from agents.services.agents import AgentDraft, create_agent
from letta_ade.core import threads
from letta_ade.core.ids import message_id_before, new_id, otid_at
from letta_ade.llm.testing import ScriptedModel, installed, reasoning, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.api import asgi_client, events_of
from tests.support.factories import make_caller, make_workspace

pytestmark = pytest.mark.django_db(transaction=True)

SHELL = {"name": "shell", "description": "Run a command.", "parameters": {"type": "object", "properties": {}}}


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        model=model.handle,
        blocks=(BlockDraft(label="human", value="Name: Ada"),),
        tool_rules=({"type": "requires_approval", "tool_name": "memory_insert"},),
    )
    return create_agent(caller=make_caller(), draft=draft)


@pytest.fixture
async def api() -> AsyncIterator[httpx.AsyncClient]:
    async with asgi_client() as client:
        yield client


def url(agent: Agent, rest: str = "") -> str:
    return f"/agents/{agent.id}/messages{rest}"


def insert(call_id: str = "c1") -> Any:
    return tool_call("memory_insert", call_id=call_id, label="human", new_string="Likes tea.")


def yes(call_id: str = "c1") -> dict[str, Any]:
    return {"type": "approval", "tool_call_id": call_id, "approve": True}


async def ask(api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, *pieces: Any, **body: Any) -> Any:
    """The answer of a run that ends in a request."""
    model.add(list(pieces) or insert())
    answer = (await api.post(url(agent), json={"input": "Hello", **body})).json()
    assert answer["stop_reason"]["stop_reason"] == "requires_approval", answer
    return answer


async def answer(api: httpx.AsyncClient, agent: Agent, *items: Any, **fields: Any) -> httpx.Response:
    messages = [{"type": "approval", "approvals": list(items), **fields}]
    return await api.post(url(agent), json={"messages": messages})


def types(messages: Any) -> list[str]:
    return [message["message_type"] for message in messages]


async def test_a_request_is_told_after_the_free_calls_and_is_its_own_otid(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    body = await ask(
        api,
        agent,
        model,
        reasoning("Hm."),
        tool_call("conversation_search", call_id="c2", query="x"),
        insert(),
    )
    thought, free, request = body["messages"]
    assert types(body["messages"]) == ["reasoning_message", "tool_call_message", "approval_request_message"]
    assert thought["id"] == free["id"]
    assert request["id"] == request["otid"] == message_id_before(free["id"])
    assert [thought["otid"], free["otid"]] == [otid_at(free["id"], index) for index in (0, 1)]
    assert request["tool_call"] == request["tool_calls"][0]
    assert request["tool_call"] == {
        "name": "memory_insert",
        "arguments": '{"label": "human", "new_string": "Likes tea."}',
        "tool_call_id": "c1",
    }
    assert request["step_id"] == free["step_id"]
    listed = (await api.get(url(agent))).json()
    assert listed[-3:] == body["messages"]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("rest", ["", "/stream", "/async"])
async def test_while_it_waits_a_message_is_a_conflict_that_names_the_request(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, rest: str, streaming: bool
) -> None:
    body = await ask(api, agent, model)
    request_id = body["messages"][-1]["id"]
    before = (await api.get(url(agent))).json()
    refused = await api.post(url(agent, rest), json={"input": "Hurry", "streaming": streaming})
    assert refused.status_code == 409
    assert refused.headers["content-type"].startswith("application/json")
    assert refused.headers["x-should-retry"] == "false"
    detail = refused.json()["detail"]
    assert list(detail) == ["code", "message", "pending_request_id"]
    assert (detail["code"], detail["pending_request_id"]) == ("PENDING_APPROVAL", request_id)
    assert isinstance(detail["message"], str)
    assert (await api.get(url(agent))).json() == before


@pytest.mark.parametrize("kind", ["approval", "tool_return", None])
async def test_a_client_returns_what_its_tool_gave(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, kind: str | None
) -> None:
    body = await ask(api, agent, model, tool_call("shell", call_id="c1"), client_tools=[SHELL])
    assert types(body["messages"]) == ["approval_request_message"]
    model.add(text("Done."))
    items = [
        {
            "type": "tool",
            "tool_call_id": "c1",
            "tool_return": [{"type": "text", "text": "a"}],
            "status": "success",
        }
    ]
    field = "tool_returns" if kind == "tool_return" else "approvals"
    message = {field: items} | ({"type": kind} if kind else {})
    told = (await api.post(url(agent), json={"messages": [message], "client_tools": [SHELL]})).json()
    assert types(told["messages"]) == ["tool_return_message", "assistant_message"]
    returned = told["messages"][0]
    assert (returned["tool_return"], returned["status"], returned["tool_call_id"]) == ("a", "success", "c1")
    response = (await api.get(url(agent))).json()[-3]
    assert response["message_type"] == "approval_response_message"
    assert response["approvals"][0]["tool_call_id"] == "c1"


async def test_the_answer_is_listed_and_not_told_back(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    body = await ask(api, agent, model)
    model.add(text("Done."))
    told = (await answer(api, agent, {**yes(), "reason": "Go on."}, otid="mine")).json()
    assert types(told["messages"]) == ["tool_return_message", "assistant_message"]
    assert told["stop_reason"]["stop_reason"] == "end_turn"
    # The returns belong to the step that asked.
    assert told["messages"][0]["step_id"] == body["messages"][-1]["step_id"]
    listed = (await api.get(url(agent))).json()
    assert types(listed[-4:]) == [
        "approval_request_message",
        "approval_response_message",
        "tool_return_message",
        "assistant_message",
    ]
    response = listed[-3]
    assert response["otid"] == "mine"
    assert response["approvals"] == [
        {"type": "approval", "tool_call_id": "c1", "approve": True, "reason": "Go on."}
    ]
    assert (response["approve"], response["reason"]) == (True, "Go on.")


@pytest.mark.parametrize("stream_tokens", [False, True])
async def test_request_and_answer_are_streamed_as_they_are_listed(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, stream_tokens: bool
) -> None:
    options = {"streaming": True, "stream_tokens": stream_tokens, "include_pings": False}
    model.add([reasoning("Hm."), insert()], text("Done."))
    first = (await api.post(url(agent), json={"input": "Hello", **options})).text
    second = (
        await api.post(url(agent), json={"messages": [{"type": "approval", "approvals": [yes()]}], **options})
    ).text
    told = [[json.loads(data) for _, data in events_of(each) if data != "[DONE]"] for each in (first, second)]
    assert [events[-2]["stop_reason"] for events in told] == ["requires_approval", "end_turn"]
    listed = {
        (message["id"], message["otid"], message["message_type"])
        for message in (await api.get(url(agent))).json()
    }
    messages = [each for events in told for each in events if "id" in each]
    assert {(each["id"], each["otid"], each["message_type"]) for each in messages} <= listed
    assert list(dict.fromkeys(types(messages))) == [
        "reasoning_message",
        "approval_request_message",
        "tool_return_message",
        "assistant_message",
    ]
    pieces = [each["tool_call"] for each in messages if each["message_type"] == "approval_request_message"]
    assert {piece["tool_call_id"] for piece in pieces} == {"c1"}
    assert "".join(piece.get("arguments") or "" for piece in pieces) == (
        '{"label": "human", "new_string": "Likes tea."}'
    )


BAD: dict[str, tuple[dict[str, Any], int]] = {
    "another call": ({"approvals": [yes("c9")]}, 400),
    "too many": ({"approvals": [yes(), yes("c2")]}, 400),
    "one twice": ({"approvals": [yes(), yes()]}, 400),
    "another request": ({"approve": True, "approval_request_id": "message-1"}, 400),
    "no answers": ({"type": "approval", "approvals": []}, 422),
    "no returns": ({"type": "tool_return", "tool_returns": []}, 422),
    "nothing": ({"type": "approval"}, 422),
    "no decision": ({"approvals": [{"type": "approval", "tool_call_id": "c1"}]}, 422),
    "no call": ({"approvals": [{"type": "approval", "approve": True}]}, 422),
    "no return": ({"approvals": [{"type": "tool", "tool_call_id": "c1", "status": "success"}]}, 422),
    "an unknown kind": ({"approvals": [{"type": "maybe", "tool_call_id": "c1", "approve": True}]}, 422),
    "an unknown status": (
        {"approvals": [{"type": "tool", "tool_call_id": "c1", "tool_return": "", "status": "maybe"}]},
        422,
    ),
    "a decision among returns": ({"type": "tool_return", "tool_returns": [yes()]}, 422),
}


@pytest.mark.parametrize(("message", "status"), BAD.values(), ids=BAD)
async def test_bad_answers_are_refused_and_nothing_is_stored(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel, message: dict[str, Any], status: int
) -> None:
    await ask(api, agent, model)
    before = (await api.get(url(agent), params={"include_err": True})).json()
    refused = await api.post(url(agent), json={"messages": [message, {"role": "user", "content": "x"}]})
    assert refused.status_code == status
    assert refused.json()["detail"]
    assert (await api.get(url(agent), params={"include_err": True})).json() == before
    model.add(text("ok"))
    assert (await answer(api, agent, yes())).status_code == 200


async def test_answers_come_first(api: httpx.AsyncClient, agent: Agent, model: ScriptedModel) -> None:
    await ask(api, agent, model)
    messages = [{"role": "user", "content": "x"}, {"type": "approval", "approvals": [yes()]}]
    assert (await api.post(url(agent), json={"messages": messages})).status_code == 422


async def test_the_same_answer_again_gives_the_same_body(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    await ask(api, agent, model)
    model.add(text("Done."))
    first = await answer(api, agent, yes())
    again = await answer(api, agent, yes())
    assert (again.status_code, again.json()) == (200, first.json())


async def test_a_cancel_closes_the_request(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    body = await ask(api, agent, model)
    run_id = body["messages"][-1]["run_id"]
    cancelled = await api.post(url(agent, "/cancel"))
    assert (cancelled.status_code, cancelled.json()) == (200, {run_id: "cancelled"})
    run = (await api.get(f"/runs/{run_id}")).json()
    assert (run["status"], run["stop_reason"]) == ("cancelled", "cancelled")
    response, returned = (await api.get(url(agent))).json()[-2:]
    assert (response["message_type"], response["approve"]) == ("approval_response_message", False)
    assert (returned["message_type"], returned["status"]) == ("tool_return_message", "error")
    again = await api.post(url(agent, "/cancel"))
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")
    model.add(text("Here."))
    assert (await api.post(url(agent), json={"input": "Hi"})).status_code == 200


async def test_an_agent_shows_what_it_waits_for_when_asked(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    include = {"include": "agent.pending_approval"}

    async def shown() -> list[Any]:
        one = (await api.get(f"/agents/{agent.id}", params=include)).json()
        listed = (await api.get("/agents/", params=include)).json()
        return [one["pending_approval"], *(each["pending_approval"] for each in listed)]

    other = await threads.run(
        lambda: create_agent(caller=make_caller(), draft=AgentDraft(model=model.handle))
    )
    assert await shown() == [None, None, None]
    request = (await ask(api, agent, model))["messages"][-1]
    one, *listed = await shown()
    assert one == request
    assert sorted(map(bool, listed)) == [False, True]
    assert (await api.get(f"/agents/{agent.id}")).json()["pending_approval"] is None
    assert (await api.get(f"/agents/{other.id}", params=include)).json()["pending_approval"] is None
    model.add(text("Done."))
    await answer(api, agent, yes())
    assert await shown() == [None, None, None]


async def test_another_workspaces_agent_is_neither_answered_nor_cancelled(
    api: httpx.AsyncClient, model: ScriptedModel
) -> None:
    def make() -> Agent:
        stranger = make_caller(workspace=make_workspace())
        return create_agent(caller=stranger, draft=AgentDraft(model=model.handle))

    theirs = await threads.run(make)
    assert (await answer(api, theirs, yes())).status_code == 404
    assert (await api.post(url(theirs, "/cancel"))).status_code == 404


async def test_a_run_of_nobody_cannot_be_cancelled(
    api: httpx.AsyncClient, agent: Agent, model: ScriptedModel
) -> None:
    await ask(api, agent, model)
    assert (await api.post(url(agent, "/cancel"), json={"run_ids": [new_id("run")]})).status_code == 404
    assert (await api.post(url(agent), json={"input": "Hurry"})).status_code == 409


async def test_a_heartbeat_is_listed_as_a_user_message_with_its_json_and_not_told(
    api: httpx.AsyncClient, model: ScriptedModel
) -> None:
    def make() -> Agent:
        draft = AgentDraft(
            model=model.handle, agent_type="memgpt_agent", timezone="Europe/Oslo", initial_messages=()
        )
        return create_agent(caller=make_caller(), draft=draft)

    agent = await threads.run(make)
    model.add(
        [
            text("I look."),
            tool_call("conversation_search", query="tea", request_heartbeat=True),
        ],
        tool_call("send_message", message="Hi"),
    )
    told = (await api.post(url(agent), json={"input": "Hello", "use_assistant_message": False})).json()
    assert told["stop_reason"]["stop_reason"] == "tool_rule"
    assert "user_message" not in types(told["messages"])
    listed = (await api.get(url(agent), params={"use_assistant_message": False})).json()
    notes = [each for each in listed if each["message_type"] == "user_message" and each["content"] != "Hello"]
    [note] = [json.loads(each["content"]) for each in notes]
    assert (note["type"], list(note)) == ("heartbeat", ["type", "reason", "time"])
    assert note["time"].endswith(("CET+0100", "CEST+0200"))
    # The next request begins with the bytes of the last one.
    model.add(tool_call("send_message", message="Again"))
    await api.post(url(agent), json={"input": "More"})
    before, after = (payload["messages"] for payload in model.payloads[-2:])
    assert after[: len(before)] == before
    found = (await api.get(url(agent))).json()
    assert len(found) >= len(listed)
