"""The workbench as pages and forms: what works without a websocket, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from django.test import AsyncClient, Client

from agents.models import Agent, Message, Run
from agents.services.agents import AgentDraft, create_agent
from agents.streams import follow
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.testing import ScriptedModel, installed, text
from memory.models import Block
from memory.services.blocks import BlockDraft
from tests.support.clients import LocalClient
from tests.support.factories import (
    make_agent,
    make_caller,
    make_conversation,
    make_message,
    make_run,
    make_step,
    make_workspace,
)

pytestmark = pytest.mark.django_db(transaction=True)

HTMX: dict[str, Any] = {"HTTP_HX_REQUEST": "true"}
BAD = "<script>alert(1)</script>"


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    blocks = (BlockDraft(label="human", value=f"One.\n{BAD}", limit=200),)
    return create_agent(
        caller=make_caller(), draft=AgentDraft(name="tea-notes", model=model.handle, blocks=blocks)
    )


@pytest.fixture
def client() -> Client:
    return Client(HTTP_HOST="localhost")


@pytest.fixture
def async_client() -> AsyncClient:
    return LocalClient()


def address(agent: Agent, rest: str = "") -> str:
    return f"/agents/{agent.id}/{rest}"


def body(response: Any) -> str:
    return str(response.content.decode())


def test_the_page_shows_text_as_text(client: Client, agent: Agent) -> None:
    page = body(client.get(address(agent)))
    assert "Nothing was said yet" in page
    assert "&lt;script&gt;alert(1)" in page
    assert BAD not in page


def test_an_agent_of_another_workspace_is_not_found(client: Client, agent: Agent) -> None:
    other = make_agent(workspace=make_workspace())
    make_conversation(agent=other)
    for rest in ("", "messages/older/", "identity/", "archival/", "blocks/block-1/"):
        assert client.get(address(other, rest)).status_code == 404
    assert client.post(address(other, "model/"), {"model": "demo/assistant"}).status_code == 404


def test_the_transcript_pages_back_by_runs(client: Client, agent: Agent) -> None:
    conversation = agent.conversations.get()
    for number in range(23):
        run = make_run(conversation=conversation)
        step = make_step(run=run)
        make_message(conversation=conversation, run=run, step=step, text=f"ask-{number:02}")
        make_message(
            conversation=conversation, run=run, step=step, role="assistant", text=f"answer-{number:02}"
        )
    page = body(client.get(address(agent)))
    assert "ask-22" in page
    assert "answer-13" in page
    assert "ask-12" not in page
    oldest = Run.objects.order_by("created_at", "id")[3]
    older = body(client.get(address(agent, f"transcript/?before={oldest.id}"), **HTMX))
    assert "answer-02" in older
    assert "ask-00" in older
    assert "ask-03" not in older
    assert "Older messages" not in older
    assert ">23</a>" in page
    assert ">1</a>" in older


def test_a_step_numbers_its_words_and_rows(client: Client, agent: Agent) -> None:
    conversation = agent.conversations.get()
    run = make_run(conversation=conversation)
    step = make_step(run=run)
    calls = [{"id": "call_1", "name": "memory_insert", "arguments": json.dumps({"label": BAD})}]
    returns = [
        {"tool_call_id": "call_1", "name": "memory_insert", "status": "error", "text": BAD, "duration_ms": 41}
    ]
    make_message(conversation=conversation, run=run, step=step, role="assistant", tool_calls=calls, text="")
    make_message(conversation=conversation, run=run, step=step, role="tool", tool_returns=returns, content=[])
    page = body(client.get(address(agent)))
    assert '<details class="call" data-state="failed" open>' in page
    assert "41 ms" in page
    assert BAD not in page


async def test_a_message_starts_a_run(async_client: AsyncClient, agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hello."))
    answer = await async_client.post(address(agent, "messages/"), {"text": "Hi", "role": "user"})
    assert answer.status_code == 200
    async for _ in follow(answer.json()["run_id"]):
        pass
    said = await threads.run(lambda: list(Message.objects.filter(agent=agent, role="assistant")))
    assert [message.text for message in said] == ["Hello."]


async def test_what_cannot_be_sent_is_said(async_client: AsyncClient, agent: Agent) -> None:
    empty = await async_client.post(address(agent, "messages/"), {"text": "  ", "role": "user"})
    assert (empty.status_code, empty.json()["message"]) == (400, "Write a message first.")
    role = await async_client.post(address(agent, "messages/"), {"text": "Hi", "role": "tool"})
    assert role.status_code == 400
    unknown = await async_client.post(f"/agents/{new_id('agent')}/messages/", {"text": "Hi"})
    assert unknown.status_code == 404
    nothing = await async_client.post(address(agent, "stop/"))
    assert (nothing.status_code, nothing.json()) == (200, {"run_ids": []})


def test_a_saved_block_makes_a_version(client: Client, agent: Agent) -> None:
    block = agent.blocks.get()
    page = body(client.get(address(agent, f"blocks/{block.id}/?edit"), **HTMX))
    assert "&lt;script&gt;" in page
    saved = client.post(address(agent, f"blocks/{block.id}/"), {"value": "Two.", "base_version": "1"}, **HTMX)
    assert saved.status_code == 200
    assert "v2" in body(saved)
    assert Block.objects.get().value == "Two."


def test_a_save_over_somebody_elses_shows_both_and_loses_neither(client: Client, agent: Agent) -> None:
    block = agent.blocks.get()
    place = address(agent, f"blocks/{block.id}/")
    client.post(place, {"value": "Theirs.", "base_version": "1"}, **HTMX)
    clash = client.post(place, {"value": "Mine.", "base_version": "1"}, **HTMX)
    assert clash.status_code == 422
    assert "Theirs." in body(clash)
    assert "Mine.</textarea>" in body(clash)
    assert 'name="base_version" value="2"' in body(clash)
    assert Block.objects.get().value == "Theirs."


def test_a_value_over_its_limit_stays_in_the_field(client: Client, agent: Agent) -> None:
    block = agent.blocks.get()
    long = "x" * 201
    refused = client.post(address(agent, f"blocks/{block.id}/"), {"value": long, "base_version": "1"}, **HTMX)
    assert refused.status_code == 422
    assert long in body(refused)
    assert "its limit is 200" in body(refused)
    assert Block.objects.get().version == 1


def test_an_unknown_model_is_refused_beside_the_picker(client: Client, agent: Agent) -> None:
    refused = client.post(address(agent, "model/"), {"model": "demo/nothing"}, **HTMX)
    assert refused.status_code == 422
    assert "model-error" in body(refused)
    changed = client.post(address(agent, "model/"), {"model": "demo/assistant"}, **HTMX)
    assert changed.status_code == 200
    agent.refresh_from_db()
    assert agent.model == "demo/assistant"


def test_name_system_and_tools_change_in_place(client: Client, agent: Agent) -> None:
    client.post(
        address(agent, "identity/"), {"name": "coffee-notes", "description": "", "tags": "a, b,"}, **HTMX
    )
    client.post(address(agent, "system/"), {"system": "Be brief."}, **HTMX)
    tool = agent.tools.first()
    assert tool is not None
    client.post(address(agent, "tools/"), {"detach": tool.id}, **HTMX)
    agent.refresh_from_db()
    assert (agent.name, agent.tags, agent.system) == ("coffee-notes", ["a", "b"], "Be brief.")
    assert not agent.tools.filter(id=tool.id).exists()
    back = client.post(address(agent, "tools/"), {"attach": tool.id}, **HTMX)
    assert f"Detach {tool.name}" in body(back)
    refused = client.post(address(agent, "identity/"), {"name": "x" * 300}, **HTMX)
    assert refused.status_code == 422


def test_blocks_are_made_attached_and_detached(client: Client, agent: Agent) -> None:
    made = client.post(address(agent, "blocks/"), {"label": "plans"}, **HTMX)
    assert made.status_code == 200
    plans = Block.objects.get(label="plans")
    client.post(address(agent, "blocks/"), {"detach": plans.id}, **HTMX)
    assert list(agent.blocks.values_list("label", flat=True)) == ["human"]
    client.post(address(agent, "blocks/"), {"attach": plans.id}, **HTMX)
    assert agent.blocks.count() == 2
    twice = client.post(address(agent, "blocks/"), {"label": "human"}, **HTMX)
    assert twice.status_code == 422


def test_archival_memory_is_filled_searched_and_emptied(client: Client, agent: Agent) -> None:
    added = body(client.post(address(agent, "archival/"), {"text": f"The pump is old. {BAD}"}, **HTMX))
    assert "1 passage" in added
    assert BAD not in added
    found = body(client.get(address(agent, "archival/?query=pump"), **HTMX))
    assert "The pump is old." in found
    assert "Nothing matches" in body(client.get(address(agent, "archival/?query=zebra"), **HTMX))
    passage = agent.archives.get().passages.get()
    gone = client.post(address(agent, "archival/"), {"delete": passage.id}, **HTMX)
    assert "0 passages" in body(gone)
    assert client.post(address(agent, "archival/"), {"text": " "}, **HTMX).status_code == 422
