"""The same against the database: whatever a model says and whatever goes wrong, rows stay whole and the agent goes on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agents import streams
from agents.models import Agent, Message, Run, RunEvent, RunLease, Step
from agents.services import execution
from agents.services.agents import AgentDraft, create_agent
from agents.services.approvals import find_pending
from agents.services.context import load_context
from agents.services.conversations import get_default_conversation
from agents.services.run_requests import AnswersInput, ClientTool
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller
from tests.support.scripts import TURNS, Names, Turn, assert_whole, reply_of
from tests.support.sending import Finished, db, finish, start

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

NAMES = Names(
    plain="memory_insert",
    asks="core_memory_append",
    client="shell",
    exits="send_message",
    fails="memory_replace",
    arguments={
        "label": "human",
        "new_string": "Tea.",
        "content": "Tea.",
        "old_string": "nothing of the kind",
        "message": "Bye",
        "command": "ls",
    },
)
TOOLS = ("memory_insert", "core_memory_append", "send_message", "memory_replace")
SHELL = ClientTool(name="shell")


def make(model: ScriptedModel, agent_type: str, *, asks: bool, forgets: bool) -> Agent:
    rules: list[dict[str, Any]] = [{"type": "exit_loop", "tool_name": "send_message"}]
    if asks:
        # Alone, so that a reply may hold several calls.
        rules = [{"type": "requires_approval", "tool_name": "core_memory_append"}]
    draft = AgentDraft(
        model=model.handle,
        agent_type=agent_type,
        blocks=(BlockDraft(label="human", value="Name: Ada"),),
        tool_names=TOOLS,
        tool_rules=tuple(rules),
        include_base_tools=False,
        include_base_tool_rules=False,
        initial_messages=(),
        message_buffer_autoclear=forgets,
    )
    return create_agent(caller=make_caller(), draft=draft)


def look(agent: Agent, run_id: str) -> list[str]:
    """The ids of the calls that wait, after everything that is stored was found whole."""
    context = load_context(get_default_conversation(agent))
    pending = find_pending(context)
    assert_whole([entry.chat for entry in context], waits=pending is not None)
    assert [entry.position for entry in context] == list(range(len(context)))
    run = Run.objects.get(id=run_id)
    assert run.has_ended
    assert (run.stop_reason == "requires_approval") == (pending is not None)
    assert RunEvent.objects.filter(run=run, type="RunEnded").count() == 1
    assert not Step.objects.filter(run=run, status="pending").exists()
    assert not RunLease.objects.exists()
    times = list(
        Message.objects.filter(agent=agent).order_by("created_at").values_list("created_at", flat=True)
    )
    assert len(set(times)) == len(times)
    return [call.id for call in pending.waiting] if pending else []


def answers_of(turn: Turn, waiting: list[str]) -> AnswersInput | None:
    if not waiting:
        return None
    if turn.answer == "return":
        return AnswersInput(
            items=tuple(
                {"type": "tool", "tool_call_id": call_id, "tool_return": "42", "status": "success"}
                for call_id in waiting
            )
        )
    return AnswersInput(
        items=tuple(
            {"type": "approval", "tool_call_id": call_id, "approve": turn.answer == "yes"}
            for call_id in waiting
        )
    )


async def play(turns: list[Turn], model: ScriptedModel, agent: Agent) -> None:
    waiting: list[str] = []
    for turn in turns:
        cancels: list[asyncio.Task[Any]] = []

        def cancel(cancels: list[asyncio.Task[Any]] = cancels) -> None:
            cancels.append(asyncio.create_task(cancel_all(agent)))

        model.add(*(reply_of(pieces, NAMES, cancel) for pieces in turn.replies))
        model.add(*(text("Bye") for _ in range(20)))
        answers = answers_of(turn, waiting)
        words = ("Hello",) if answers is None or turn.says_more else ()
        # The client that approves what only it can run is refused; it leaves its tools away here.
        tools = () if answers is not None and turn.answer == "yes" else (SHELL,)
        run = await finish(await start(agent, *words, answers=answers, client_tools=tools, max_steps=4))
        await asyncio.gather(*cancels)
        model.clear()
        await streams.flush()
        waiting = await db(lambda run=run: look(agent, run.run_id))  # type: ignore[misc]  # bound for the loop
    if waiting:
        await cancel_all(agent)
    await assert_goes_on(model, agent)


async def cancel_all(agent: Agent) -> None:
    await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id)


async def assert_goes_on(model: ScriptedModel, agent: Agent) -> None:
    model.add(
        tool_call("memory_insert", label="human", new_string="Milk.", request_heartbeat=True),
        tool_call("send_message", message="Bye"),
        text("Bye"),
    )
    run: Finished = await finish(await start(agent, "Again"))
    assert run.end.status == "completed"
    await streams.flush()
    await db(lambda: look(agent, run.run_id))


@settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    turns=TURNS,
    agent_type=st.sampled_from(["letta_v1_agent", "memgpt_agent"]),
    asks=st.booleans(),
    forgets=st.booleans(),
)
def test_a_conversation_stays_whole_in_the_database(
    turns: list[Turn], agent_type: str, asks: bool, forgets: bool
) -> None:
    model = ScriptedModel()
    with installed(model):
        agent = make(model, agent_type, asks=asks, forgets=forgets)
        asyncio.run(play(turns, model, agent))
