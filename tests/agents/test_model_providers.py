"""Runs with models of real protocols: what comes of a reply in the next request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio
from pytest_django import Settings

from agents import streams
from agents.api.wire import wire_messages
from agents.models import Agent, Message, Step
from agents.runtime.events import ReasoningDelta, RunEnded, TextDelta
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from agents.services.run_requests import InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.llm import catalog
from letta_ade.llm.messages import TextPart
from letta_ade.llm.providers import clients
from letta_ade.llm.services.providers import ProviderDraft, create_provider
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_hosts import FakeGemini
from tests.support.fake_openai import FakeOpenAI, frame
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def environment(settings: Settings) -> Iterator[dict[str, str]]:
    variables: dict[str, str] = {}
    settings.LLM_ENVIRONMENT = variables
    settings.DEFAULT_EMBEDDING_HANDLE = ""
    catalog._current = None
    yield variables
    catalog._current = None


@pytest_asyncio.fixture(autouse=True)
async def closed_clients() -> AsyncIterator[None]:
    yield
    await clients.close_clients()


def draft(model: str) -> AgentDraft:
    block = BlockDraft(label="human", value="Nothing yet.")
    return AgentDraft(name="Ada", model=model, blocks=(block,), tool_names=("memory_insert",))


async def ask(agent: Agent, words: str) -> list[Any]:
    caller = await threads.run(make_caller)
    message = InputMessage(role="user", content=(TextPart(text=words),))
    started = await execution.start_run(
        caller=caller, request=RunRequest(agent_id=agent.id, messages=(message,))
    )
    events = [event async for _, event in streams.follow(started.run_id)]
    assert isinstance(events[-1], RunEnded)
    assert events[-1].error is None
    return events


INSERT = FakeCall(name="memory_insert", arguments=json.dumps({"label": "human", "new_string": "Likes tea."}), id="call_1")  # fmt: skip


async def test_encrypted_reasoning_goes_back_and_its_summary_is_read(environment: dict[str, str]) -> None:
    with FakeOpenAI(models=("gpt-5.1",)) as fake:
        environment.update(OPENAI_API_KEY="k", OPENAI_BASE_URL=fake.url, ADE_OPENAI_API="responses")
        agent = await threads.run(lambda: create_agent(caller=make_caller(), draft=draft("openai/gpt-5.1")))
        fake.enqueue(
            FakeReply(reasoning="I note it.", signature="blob-1", calls=(INSERT,)),
            FakeReply(signature="blob-2", text="Noted."),
            FakeReply(text="Tea."),
        )
        events = await ask(agent, "I like tea.")
        await ask(agent, "What do I like?")
    first, second, third = (body["input"] for body in fake.bodies)
    assert [item.get("type", item.get("role")) for item in first] == ["user"]
    assert [item.get("type", item.get("role")) for item in second] == [
        "user",
        "reasoning",
        "function_call",
        "function_call_output",
    ]
    assert [item["encrypted_content"] for item in third if item.get("type") == "reasoning"] == [
        "blob-1",
        "blob-2",
    ]
    rows = await threads.run(lambda: list(Message.objects.filter(role="assistant").order_by("created_at")))
    listed = [each for row in rows for each in wire_messages(row)]
    assert [each["message_type"] for each in listed] == [
        "reasoning_message",
        "tool_call_message",
        "hidden_reasoning_message",
        "assistant_message",
        "assistant_message",
    ]
    # Stream and list agree on which message is which.
    streamed = {event.otid for event in events if isinstance(event, ReasoningDelta | TextDelta)}
    assert streamed == {listed[0]["otid"], listed[3]["otid"]}
    step = await threads.run(lambda: Step.objects.order_by("created_at").first())
    assert step is not None
    assert (step.model_handle, step.model_endpoint) == ("openai/gpt-5.1", f"{fake.url}/v1")


async def test_geminis_signature_is_stored_with_its_call(environment: dict[str, str]) -> None:
    signed = {
        "id": "call_1",
        "function": {"name": INSERT.name, "arguments": INSERT.arguments},
        "extra_content": {"google": {"thought_signature": "sig"}},
    }
    chunk = {"choices": [{"delta": {"tool_calls": [signed]}, "finish_reason": "stop"}]}
    fake = FakeGemini()
    fake.rows = (
        {
            "name": "models/gemini-3-pro",
            "supportedGenerationMethods": ["generateContent"],
            "inputTokenLimit": 9000,
        },
    )
    with fake:
        environment.update(GEMINI_API_KEY="k", GEMINI_BASE_URL=fake.url)
        agent = await threads.run(
            lambda: create_agent(caller=make_caller(), draft=draft("google_ai/gemini-3-pro"))
        )
        fake.enqueue(FakeReply(frames=(frame(chunk),)), FakeReply(text="Noted."), FakeReply(text="Tea."))
        await ask(agent, "I like tea.")
        await ask(agent, "What do I like?")
    for body in fake.bodies[1:]:
        (call,) = next(message for message in body["messages"] if message.get("tool_calls"))["tool_calls"]
        assert call["extra_content"] == {"google": {"thought_signature": "sig"}}
    assert fake.bodies[0]["extra_body"]["google"]["thinking_config"]["thinking_budget"] == 1024


async def test_a_provider_that_the_workspace_brought_runs_its_agents() -> None:
    with FakeOpenAI() as fake:

        def make() -> Agent:
            caller = make_caller()
            brought = ProviderDraft(name="house", provider_type="openai", api_key="sk-own", base_url=fake.url)
            create_provider(caller=caller, draft=brought)
            return create_agent(caller=caller, draft=draft("house/gpt-4o"))

        agent = await threads.run(make)
        fake.enqueue(FakeReply(text="Hello."))
        await ask(agent, "Hi")
    request = next(each for each in fake.received if each.path == "/v1/chat/completions")
    assert request.headers["authorization"] == "Bearer sk-own"
    assert request.body["model"] == "gpt-4o"
    step = await threads.run(lambda: Step.objects.get())
    assert step.model_handle == "house/gpt-4o"


async def test_lines_are_numbered_for_anthropics_models_whatever_their_provider_is_called() -> None:
    with FakeAnthropic() as fake:

        def make() -> str:
            caller = make_caller()
            brought = ProviderDraft(name="mine", provider_type="anthropic", api_key="k", base_url=fake.url)
            create_provider(caller=caller, draft=brought)
            agent = create_agent(caller=caller, draft=draft("mine/claude-haiku-4-5"))
            system: str = Message.objects.get(agent=agent, role="system").content[0]["text"]
            return system

        assert "1→ Nothing yet." in await threads.run(make)


async def test_a_stream_that_breaks_in_the_middle_leaves_a_history_that_the_next_call_accepts(
    environment: dict[str, str],
) -> None:
    with FakeOpenAI(models=("gpt-5.1",)) as fake:
        environment.update(OPENAI_API_KEY="k", OPENAI_BASE_URL=fake.url, ADE_OPENAI_API="responses")
        agent = await threads.run(lambda: create_agent(caller=make_caller(), draft=draft("openai/gpt-5.1")))
        fake.enqueue(
            FakeReply(reasoning="Hm.", calls=(INSERT,), breaks_with="The model fell over."),
            FakeReply(text="Fine."),
        )
        caller = await threads.run(make_caller)
        message = InputMessage(role="user", content=(TextPart(text="Hi"),))
        started = await execution.start_run(
            caller=caller, request=RunRequest(agent_id=agent.id, messages=(message,))
        )
        *_, last = [event async for _, event in streams.follow(started.run_id)]
        assert isinstance(last, RunEnded)
        assert last.error is not None
        assert "The model fell over." in json.dumps(last.error)
        await ask(agent, "Again")
    assert [item.get("type", item.get("role")) for item in fake.bodies[-1]["input"]] == ["user"]
