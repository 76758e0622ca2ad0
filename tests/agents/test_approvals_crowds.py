"""Many calls that wait at once, and many who answer them: each call runs once, and one answer counts."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from agents.models import Agent, Message
from agents.services import execution
from agents.services.conversations import get_default_conversation
from agents.services.leases import RunBusy
from agents.services.run_requests import RunRequest
from letta_ade.core.errors import Invalid
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from tests.support.approvals import (
    SHELL,
    answers,
    asked,
    assert_talks,
    block_of,
    insert,
    make_careful_agent,
    no,
    replace,
    request_of,
    returned,
    yes,
)
from tests.support.factories import make_caller, make_conversation
from tests.support.sending import context_of, db, finish, send

pytestmark = pytest.mark.django_db(transaction=True)

IDS = [f"c{number}" for number in range(64)]


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make_careful_agent(model)


async def test_sixty_four_calls_are_answered_out_of_order_and_twice(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model, *(insert(f"Line {call_id}.", call_id=call_id) for call_id in IDS))
    given = [yes(call_id) if place % 2 else no(call_id, "Odd.") for place, call_id in enumerate(IDS)]
    model.add(text("Done."))
    first = await send(agent, answers=answers(*reversed(given)))
    again = await send(agent, answers=answers(*given))
    assert again.run_id == first.run_id
    value = await block_of(agent)
    assert [value.count(f"Line {call_id}.") for call_id in IDS] == [place % 2 for place in range(64)]
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    assert [each["tool_call_id"] for each in tool.tool_returns] == IDS
    await assert_talks(agent, model)


async def test_of_two_answers_at_once_one_counts(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    model.add(text("Noted."), text("And again."))
    caller = await db(make_caller)

    def start(item: dict[str, object]) -> object:
        request = RunRequest(agent_id=agent.id, messages=(), answers=answers(item))
        return execution.start_run(caller=caller, request=request)

    results = await asyncio.gather(start(yes("c1")), start(no("c1")), return_exceptions=True)  # type: ignore[call-overload]  # coroutines
    started = [each for each in results if not isinstance(each, RunBusy)]
    runs = {each.run_id for each in started}
    assert len(runs) == 1
    await finish(runs.pop())
    stored = await db(lambda: list(Message.objects.filter(agent=agent, approvals__isnull=False)))
    assert len(stored) == 1
    [answer] = stored[0].approvals or []
    is_approved = answer["approve"]
    assert ("Likes tea." in await block_of(agent)) == is_approved


async def test_an_answer_in_another_conversation_answers_nothing(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    request = await request_of(agent)
    other = await db(lambda: make_conversation(agent=agent))
    with pytest.raises(Invalid, match="No tool call of this conversation waits"):
        await send(agent, answers=answers(yes("c1")), conversation_id=other.id)
    assert await request_of(agent) == request
    assert await block_of(agent) == "Name: Ada"


async def test_a_clients_tool_over_the_servers_waits_beside_an_approval_and_a_free_call(
    agent: Agent, model: ScriptedModel
) -> None:
    own = SHELL.__class__(name="core_memory_append", parameters=SHELL.parameters)
    await asked(
        agent,
        model,
        tool_call("core_memory_append", call_id="c1", command="x"),
        insert(call_id="c2"),
        replace(call_id="c3"),
        client_tools=(own,),
    )
    assert [call["id"] for call in (await request_of(agent)).tool_calls] == ["c1", "c2"]
    model.add(text("Done."))
    parts = [{"type": "text", "text": "a" * 200_000}, {"type": "text", "text": "b" * 200_000}]
    await send(agent, answers=answers(yes("c2"), returned("c1", parts)), client_tools=(own,))
    [tool] = [message for message in await context_of(agent) if message.role == "tool"]
    by_id = {each["tool_call_id"]: each for each in tool.tool_returns}
    assert sorted(by_id) == ["c1", "c2", "c3"]
    assert "[The return was cut: it has 400001 characters" in by_id["c1"]["text"]
    assert await block_of(agent) == "Name: Grace\nLikes tea."


async def test_a_return_in_pieces_is_refused_and_what_waits_goes_on_waiting(
    agent: Agent, model: ScriptedModel
) -> None:
    shell = [tool_call("shell", call_id=call_id, command="ls") for call_id in ("c1", "c2")]
    await asked(agent, model, *shell, client_tools=(SHELL,))
    for pieces in ([returned("c1")], [returned("c1"), returned("c1", "more"), returned("c2")]):
        with pytest.raises(Invalid, match=r"must name each waiting call once\. Waiting: c1, c2"):
            await send(agent, answers=answers(*pieces), client_tools=(SHELL,))
    conversation = await db(lambda: get_default_conversation(agent))
    assert await db(conversation.messages.filter(role="tool").count) == 0
    model.add(text("Two files."))
    await send(agent, answers=answers(returned("c2"), returned("c1")), client_tools=(SHELL,))
    await assert_talks(agent, model)
