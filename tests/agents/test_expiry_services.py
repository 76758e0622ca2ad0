"""Requests that nobody answers end in time, and an agent whose request is gone is never stuck."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from agents.jobs import expire_requests
from agents.models import Agent, Message, Run
from agents.services.agent_tools import detach_tool
from agents.services.approvals import EXPIRED
from agents.services.expiry import close_expired
from agents.services.runs import delete_run
from agents.services.waiting import load_waiting
from letta_ade.core.errors import Conflict
from letta_ade.core.jobs import run_worker
from letta_ade.llm.testing import ScriptedModel, installed, text, tool_call
from tests.support.approvals import (
    SHELL,
    answers,
    asked,
    assert_talks,
    block_of,
    cancel,
    insert,
    make_careful_agent,
    no,
    replace,
    request_of,
    status_of,
    yes,
)
from tests.support.factories import make_caller, make_lease
from tests.support.sending import context_of, db, send
from tools.models import Tool

pytestmark = pytest.mark.django_db(transaction=True)

#: A worker defers periodic jobs by itself when a minute begins; under another lock ours does not collide with them.
MINE = "of a test"


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    with installed(scripted := ScriptedModel()):
        yield scripted


@pytest.fixture
async def agent(model: ScriptedModel, settings: Any) -> Agent:
    settings.REQUEST_EXPIRY_HOURS = 2
    return await db(lambda: make_careful_agent(model))


async def age_request(agent: Agent, *, hours: float) -> Message:
    request = await request_of(agent)
    then = timezone.now() - timedelta(hours=hours)
    await db(lambda: Message.objects.filter(id=request.id).update(created_at=then))
    return request


async def test_a_worker_closes_what_waited_too_long_with_a_reason_that_the_model_reads(
    agent: Agent, model: ScriptedModel
) -> None:
    run = await asked(agent, model, text("Two."), insert(call_id="c1"), replace(call_id="c2"))
    await age_request(agent, hours=2.1)
    await db(lambda: expire_requests.configure(queueing_lock=MINE).defer(timestamp=0))
    await run_worker(wait=False)
    answer, tool = (await context_of(agent))[-2:]
    assert answer.approvals == [no("c1", EXPIRED.reason)]
    assert answer.created_by_id is None
    assert [(each["tool_call_id"], each["text"], each["status"]) for each in tool.tool_returns] == [
        ("c2", EXPIRED.returns, "error"),
        ("c1", EXPIRED.returns, "error"),
    ]
    assert await status_of(run.run_id) == ("cancelled", "cancelled")
    assert await block_of(agent) == "Name: Ada"
    await assert_talks(agent, model)
    assert EXPIRED.returns in str(model.payloads[-1]["messages"])


async def test_what_has_not_waited_long_enough_goes_on_waiting(
    agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    await asked(agent, model)
    await age_request(agent, hours=1.9)
    assert await db(close_expired) == []
    settings.REQUEST_EXPIRY_HOURS = 0
    await age_request(agent, hours=9000)
    assert await db(close_expired) == []
    model.add(text("Noted."))
    await send(agent, answers=answers(yes("c1")))
    assert "Likes tea." in await block_of(agent)


async def test_a_client_that_never_returns_does_not_hold_its_agent(
    agent: Agent, model: ScriptedModel
) -> None:
    await asked(agent, model, tool_call("shell", call_id="c1", command="ls"), client_tools=(SHELL,))
    request = await age_request(agent, hours=3)
    assert await db(close_expired) == [request.id]
    assert await db(close_expired) == []
    await assert_talks(agent, model)


async def test_a_request_that_is_being_answered_does_not_expire(agent: Agent, model: ScriptedModel) -> None:
    await asked(agent, model)
    request = await age_request(agent, hours=3)
    lease = await db(lambda: make_lease(request.conversation))
    assert await db(close_expired) == []
    assert await request_of(agent) == request
    await db(lease.delete)
    assert await db(close_expired) == [request.id]


async def test_an_answer_after_the_expiry_runs_nothing(agent: Agent, model: ScriptedModel) -> None:
    run = await asked(agent, model)
    await age_request(agent, hours=3)
    await db(close_expired)
    late = await send(agent, answers=answers(yes("c1")))
    assert late.run_id == run.run_id
    assert await block_of(agent) == "Name: Ada"


async def test_the_expiry_is_told_with_the_request(agent: Agent, model: ScriptedModel, settings: Any) -> None:
    await asked(agent, model)
    request = await request_of(agent)
    waiting = await db(lambda: load_waiting(request.conversation))
    assert waiting is not None
    assert waiting.expires_at == request.created_at + timedelta(hours=2)
    settings.REQUEST_EXPIRY_HOURS = 0
    waiting = await db(lambda: load_waiting(request.conversation))
    assert waiting is not None
    assert waiting.expires_at is None


def _delete_tool(agent: Agent) -> None:
    Tool.objects.filter(agents=agent, name="memory_insert").delete()


def _detach_tool(agent: Agent) -> None:
    tool = agent.tools.get(name="memory_insert")
    detach_tool(caller=make_caller(), agent_id=agent.id, tool_id=tool.id)


def _drop_rules(agent: Agent) -> None:
    Agent.objects.filter(id=agent.id).update(tool_rules=[])


def _try_to_delete_run(agent: Agent) -> None:
    with pytest.raises(Conflict, match="waits for an answer"):
        delete_run(caller=make_caller(), run_id=Run.objects.get(agent=agent).id)


def _nothing(agent: Agent) -> None:
    """The plain ways out."""


@pytest.mark.parametrize("change", [_nothing, _delete_tool, _detach_tool, _drop_rules, _try_to_delete_run])
@pytest.mark.parametrize("way_out", ["approve", "deny", "cancel", "expiry"])
async def test_whatever_changes_meanwhile_there_is_a_way_out(
    agent: Agent, model: ScriptedModel, change: Any, way_out: str
) -> None:
    await asked(agent, model)
    await db(lambda: change(agent))
    if way_out == "cancel":
        await cancel(agent)
    elif way_out == "expiry":
        await age_request(agent, hours=3)
        assert len(await db(close_expired)) == 1
    else:
        model.add(text("I see."))
        given = yes("c1") if way_out == "approve" else no("c1")
        assert (await send(agent, answers=answers(given))).stop_reason == "end_turn"
    await assert_talks(agent, model)
