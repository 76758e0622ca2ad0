"""The context window by its parts, and the request that a message would make: both are what is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from agents.models import Agent, ProviderTrace
from agents.services import context_overview
from agents.services.agents import AgentDraft, create_agent
from agents.services.conversations import get_default_conversation
from letta_ade.llm.testing import ScriptedModel, installed, text
from memory.services.blocks import BlockDraft
from tests.support.api import Api, asgi_client
from tests.support.factories import make_agent, make_caller, make_message, make_workspace
from tests.support.runs import db, finish, start

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("ended_runs")]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    draft = AgentDraft(
        name="Ada", model=model.handle, blocks=(BlockDraft(label="human", value="Likes tea."),)
    )
    return create_agent(caller=make_caller(), draft=draft)


async def get(path: str) -> Any:
    async with asgi_client() as client:
        return (await client.get(path)).json()


def sent_last() -> dict[str, Any]:
    text = ProviderTrace.objects.order_by("-created_at").values_list("request_text", flat=True)[0]
    sent: dict[str, Any] = json.loads(text)
    return sent


async def test_the_preview_is_what_is_sent(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"), text("Again"))
    await finish((await start(agent, "Hello")).run_id)
    body = {"messages": [{"role": "user", "content": "Once more"}]}
    async with asgi_client() as client:
        shown = (await client.post(f"/agents/{agent.id}/messages/preview-raw-payload", json=body)).json()
    assert await db(ProviderTrace.objects.count) == 1
    await finish((await start(agent, "Once more")).run_id)
    assert shown == await db(sent_last)


async def test_the_overview_holds_what_is_sent_and_adds_up(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi"), text("Again"))
    await finish((await start(agent, "Hello")).run_id)
    shown = await get(f"/agents/{agent.id}/context")
    await finish((await start(agent, "Once more")).run_id)
    sent = await db(sent_last)
    system = sent["messages"][0]["parts"][0]["text"]
    for name in ("system_prompt", "core_memory", "external_memory_summary"):
        assert shown[name]
        assert shown[name] in system
    joined = shown["system_prompt"] + shown["core_memory"] + shown["external_memory_summary"]
    assert "".join(joined.split()) == "".join(system.split())
    assert len(shown["messages"]) + 1 == len(sent["messages"]) - 1
    assert [each["function"]["name"] for each in shown["functions_definitions"]] == [
        each["function"]["name"] if "function" in each else each["name"] for each in sent["tools"]
    ]
    parts = [value for name, value in shown.items() if name.startswith("num_tokens_")]
    assert shown["context_window_size_current"] == sum(parts)
    assert shown["context_window_size_max"] == 32_000
    assert (shown["num_messages"], shown["num_recall_memory"]) == (3, 0)


async def test_a_summary_stands_apart_from_the_messages(agent: Agent) -> None:
    def fill() -> None:
        conversation = get_default_conversation(agent)
        make_message(conversation=conversation, role="summary", text="They counted.", in_context=True)
        make_message(conversation=conversation, text="Hello", in_context=True)

    await db(fill)
    shown = await get(f"/agents/{agent.id}/context")
    assert shown["summary_memory"] == "They counted."
    assert [each["role"] for each in shown["messages"]] == ["user"]
    assert shown["num_tokens_summary_memory"] > 0


async def test_it_is_made_once_for_each_version(agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    original = context_overview._overview

    def make(*given: Any) -> Any:
        made.append(1)
        return original(*given)

    monkeypatch.setattr(context_overview, "_overview", make)
    path = f"/agents/{agent.id}/context"
    first = await get(path)
    assert await get(path) == first
    assert len(made) == 1
    await db(lambda: make_message(conversation=get_default_conversation(agent), in_context=True))
    assert (await get(path))["num_messages"] == 2
    assert len(made) == 2


@pytest.mark.parametrize("kind", ["another workspace", "unknown conversation"])
def test_what_is_not_there_is_404(agent: Agent, kind: str) -> None:
    if kind == "another workspace":
        other = make_agent(workspace=make_workspace())
        assert Api().get(f"/v1/agents/{other.id}/context").status_code == 404
    else:
        assert Api().get(f"/v1/agents/{agent.id}/context", conversation_id="conv-0").status_code == 404
