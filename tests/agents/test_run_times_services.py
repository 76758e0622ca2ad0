"""What a run leaves in its rows about itself: times, ends and errors, on every way that it can take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from typing import Any, TypeVar

import pytest
from django.db import DataError
from django.utils import timezone

from agents import streams
from agents.models import Agent, Message, ProviderTrace, Run, RunLease, Step
from agents.runtime.events import Event, RunEnded, TextDelta
from agents.runtime.ports import RunEnd, StepStart
from agents.services import execution, journal, leases, opening, run_rows
from agents.services.agents import AgentDraft, create_agent
from agents.services.opening import StartedRun
from agents.services.run_requests import AnswersInput, InputMessage, RunRequest
from letta_ade.core import threads
from letta_ade.core.ids import new_id
from letta_ade.llm.errors import ModelConnection, ModelRateLimited
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, error, hang, installed, text, tool_call
from memory.services.blocks import BlockDraft
from tests.support.factories import make_caller, make_conversation, make_lease, make_run, make_step
from tests.support.workers import run_queue_worker

pytestmark = pytest.mark.django_db(transaction=True)
R = TypeVar("R")

NOTE = tool_call("memory_insert", label="human", new_string="Tea.")


@pytest.fixture
def model() -> Iterator[ScriptedModel]:
    scripted = ScriptedModel()
    with installed(scripted):
        yield scripted


def make(model: ScriptedModel, **fields: Any) -> Agent:
    blocks = (BlockDraft(label="human", value="Nothing yet."),)
    return create_agent(caller=make_caller(), draft=AgentDraft(model=model.handle, blocks=blocks, **fields))


@pytest.fixture
def agent(model: ScriptedModel) -> Agent:
    return make(model)


async def db(fn: Callable[[], R]) -> R:
    return await threads.run(fn)


def asking(agent: Agent, **fields: Any) -> RunRequest:
    message = InputMessage(role="user", content=(TextPart(text="Hello"),))
    return RunRequest(**{"agent_id": agent.id, "messages": (message,), **fields})


async def start(agent: Agent, **fields: Any) -> StartedRun:
    return await execution.start_run(caller=await db(make_caller), request=asking(agent, **fields))


async def ask(agent: Agent, **fields: Any) -> Run:
    started = await start(agent, **fields)
    events = [event async for _, event in streams.follow(started.run_id)]
    assert isinstance(events[-1], RunEnded)
    return await db(lambda: Run.objects.get(id=started.run_id))


async def steps_of(run: Run | str) -> list[Step]:
    run_id = run if isinstance(run, str) else run.id
    return await db(lambda: list(Step.objects.filter(run_id=run_id).order_by("number")))


def ns(moment: datetime) -> int:
    return round(moment.timestamp() * 1e6) * 1000


def took(step: Step) -> tuple[int, int, int]:
    """Start of the call, its length, and the length of the step, all of them known."""
    assert step.llm_request_start_ns is not None
    assert step.llm_request_ns is not None
    assert step.step_ns is not None
    return step.llm_request_start_ns, step.llm_request_ns, step.step_ns


async def test_a_run_is_timed_from_its_request_and_a_step_from_its_call(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(NOTE, text("Noted."))
    run = await ask(agent)
    assert run.completed_at is not None
    assert run.total_duration_ns == ns(run.completed_at) - ns(run.created_at)
    first, second = await steps_of(run)
    llm_start, llm, whole = took(first)
    assert ns(run.created_at) <= ns(first.started_at) <= llm_start + 1000 <= ns(second.started_at) + 1000
    assert first.ttft_ns is not None
    assert 0 < first.ttft_ns <= llm
    assert run.ttft_ns == llm_start + first.ttft_ns - ns(run.created_at)
    assert first.tool_execution_ns is not None
    assert 0 < first.tool_execution_ns <= whole - llm
    assert second.tool_execution_ns is None
    [returned] = (await db(lambda: Message.objects.get(role="tool"))).tool_returns
    began = ns(datetime.fromisoformat(returned["started_at"]))
    assert llm_start + llm <= began + 1000 <= ns(first.started_at) + whole + 1000


async def test_the_agent_knows_how_its_last_run_ended(agent: Agent, model: ScriptedModel) -> None:
    model.add(text("Hi."))
    run = await ask(agent)
    await db(agent.refresh_from_db)
    assert run.total_duration_ns is not None
    assert agent.last_stop_reason == "end_turn"
    assert agent.last_run_completion == run.completed_at
    assert agent.last_run_duration_ms == run.total_duration_ns // 1_000_000


async def test_a_call_that_was_sent_again_is_timed_from_its_last_attempt(
    agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.LLM_RETRY_PAUSE_SECONDS = 0.03
    model.add(error(ModelConnection("cut off")), text("Hi."))
    [step] = await steps_of(await ask(agent))
    llm_start, llm, whole = took(step)
    assert llm_start - ns(step.started_at) >= 30_000_000
    assert llm + 30_000_000 <= whole


async def test_a_failed_call_leaves_a_step_with_its_error_and_its_time(
    agent: Agent, model: ScriptedModel, settings: Any
) -> None:
    settings.LLM_RETRIES = 0
    model.add(error(ModelRateLimited("slow down", request_id="req-7")))
    run = await ask(agent)
    [step] = await steps_of(run)
    trace = await db(lambda: ProviderTrace.objects.get(step=step))
    await db(agent.refresh_from_db)
    assert (run.status, step.status, step.stop_reason) == ("failed", "failed", "llm_api_error")
    assert step.error_type == "llm_rate_limit"
    assert step.error_data is not None
    assert step.error_data["message"] == "slow down"
    assert min(took(step)) > 0
    assert (trace.provider_request_id, trace.latency_ms is not None) == ("req-7", True)
    assert (run.ttft_ns, agent.last_stop_reason) == (None, "llm_api_error")


async def test_a_step_whose_model_was_not_called_says_so(agent: Agent, model: ScriptedModel) -> None:
    await db(lambda: Agent.objects.filter(id=agent.id).update(context_window_limit=10))
    run = await ask(agent)
    [step] = await steps_of(run)
    assert run.stop_reason == step.stop_reason == "context_window_overflow_in_system_prompt"
    assert (step.llm_request_start_ns, step.llm_request_ns, step.ttft_ns) == (None, None, None)
    assert step.step_ns is not None
    assert (await db(lambda: ProviderTrace.objects.get(step=step))).latency_ms is None


async def begun(model: ScriptedModel, agent: Agent) -> StartedRun:
    """A run whose model has said a word and nothing more."""
    model.add([text("Once"), hang()])
    started = await start(agent)
    async for _, event in streams.follow(started.run_id):
        if isinstance(event, TextDelta):
            break
    # The step is written beside the call.
    while not await db(Step.objects.exists):
        pass
    return started


async def test_a_cancelled_call_is_timed_until_it_was_cancelled(agent: Agent, model: ScriptedModel) -> None:
    started = await begun(model, agent)
    await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id)
    [step] = await steps_of(started.run_id)
    run = await db(lambda: Run.objects.get(id=started.run_id))
    _, llm, whole = took(step)
    assert (step.status, step.stop_reason, step.error_type) == ("cancelled", "cancelled", None)
    assert step.ttft_ns is not None
    assert 0 < step.ttft_ns <= llm <= whole
    assert run.ttft_ns is not None
    assert run.total_duration_ns is not None
    await db(agent.refresh_from_db)
    assert agent.last_stop_reason == "cancelled"


async def test_a_step_that_the_server_broke_off_says_why(agent: Agent, model: ScriptedModel) -> None:
    started = await begun(model, agent)
    await execution.stop_all("shutdown")
    [step] = await steps_of(started.run_id)
    assert (step.status, step.stop_reason, step.error_type) == ("cancelled", "error", "stream_task_cancelled")
    assert step.error_data is not None
    assert "The server stopped" in step.error_data["message"]


async def test_a_step_that_could_not_be_stored_ends_with_its_run(
    agent: Agent, model: ScriptedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **options: object) -> None:
        raise DataError("disk full")

    monkeypatch.setattr(journal, "insert_messages", fail)
    model.add(text("Hi."))
    run = await ask(agent)
    [step] = await steps_of(run)
    assert (run.status, step.status, step.error_type) == ("failed", "failed", "internal_error")
    assert step.error_data is not None
    assert "disk full" in step.error_data["detail"]


async def test_the_heartbeat_loop_times_its_steps_alike(model: ScriptedModel) -> None:
    agent = await db(lambda: make(model, agent_type="memgpt_v2_agent"))
    note = tool_call("memory_insert", label="human", new_string="Tea.", request_heartbeat=True)
    model.add(note, tool_call("send_message", message="Noted."))
    for step in await steps_of(await ask(agent)):
        _, llm, whole = took(step)
        assert step.tool_execution_ns is not None
        assert 0 < step.tool_execution_ns <= whole - llm


async def test_calls_that_waited_are_counted_in_the_step_that_asked(
    agent: Agent, model: ScriptedModel
) -> None:
    rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    await db(lambda: Agent.objects.filter(id=agent.id).update(tool_rules=rules))
    call = tool_call("memory_insert", call_id="call_1", label="human", new_string="Tea.")
    model.add(call, text("Noted."))
    asked = await ask(agent)
    [before] = await steps_of(asked)
    assert (asked.stop_reason, before.tool_execution_ns) == ("requires_approval", None)
    items = ({"type": "approval", "tool_call_id": "call_1", "approve": True, "reason": None},)
    answered = await ask(agent, messages=(), answers=AnswersInput(items=items))
    [after] = await steps_of(asked)
    assert after.tool_execution_ns is not None
    assert after.tool_execution_ns > 0
    assert took(after)[2] == took(before)[2] + after.tool_execution_ns
    [own] = await steps_of(answered)
    assert own.ttft_ns is not None
    assert answered.ttft_ns == took(own)[0] + own.ttft_ns - ns(answered.created_at)


async def test_a_denied_call_takes_no_time(agent: Agent, model: ScriptedModel) -> None:
    rules = [{"type": "requires_approval", "tool_name": "memory_insert"}]
    await db(lambda: Agent.objects.filter(id=agent.id).update(tool_rules=rules))
    model.add(tool_call("memory_insert", call_id="call_1", label="human", new_string="Tea."), text("Well."))
    asked = await ask(agent)
    items = ({"type": "approval", "tool_call_id": "call_1", "approve": False, "reason": "No."},)
    await ask(agent, messages=(), answers=AnswersInput(items=items))
    [step] = await steps_of(asked)
    assert step.tool_execution_ns is None
    [returned] = (await db(lambda: Message.objects.get(role="tool"))).tool_returns
    assert returned["started_at"] is None


async def test_a_run_whose_process_died_is_timed_and_told_of_too(agent: Agent, model: ScriptedModel) -> None:
    started = await begun(model, agent)
    past = timezone.now() - timedelta(seconds=1)
    await db(lambda: RunLease.objects.update(owner="elsewhere:1:x", expires_at=past))
    assert await threads.run(leases.reap_abandoned_runs) == [started.run_id]
    run = await db(lambda: Run.objects.get(id=started.run_id))
    [step] = await steps_of(run)
    await db(agent.refresh_from_db)
    assert run.completed_at is not None
    assert run.total_duration_ns == ns(run.completed_at) - ns(run.created_at)
    assert (step.status, step.error_type) == ("failed", "stream_task_cancelled")
    assert (agent.last_stop_reason, agent.last_run_completion) == ("error", run.completed_at)
    await execution.stop_all("lease_lost")


async def test_a_run_that_was_cancelled_in_the_queue_is_timed(agent: Agent, model: ScriptedModel) -> None:
    started = await start(agent, background=True)
    await execution.cancel_runs(caller=await db(make_caller), agent_id=agent.id)
    run = await db(lambda: Run.objects.get(id=started.run_id))
    assert (run.status, run.request, run.ttft_ns) == ("cancelled", None, None)
    assert run.total_duration_ns is not None
    await db(agent.refresh_from_db)
    assert agent.last_stop_reason == "cancelled"


async def test_a_background_run_is_timed_from_when_it_was_asked_for(
    agent: Agent, model: ScriptedModel
) -> None:
    model.add(text("Hi."))
    started = await start(agent, background=True)
    async with run_queue_worker():
        events: list[Event] = [event async for _, event in streams.follow(started.run_id)]
    run = await db(lambda: Run.objects.get(id=started.run_id))
    [step] = await steps_of(run)
    assert isinstance(events[-1], RunEnded)
    assert step.ttft_ns is not None
    assert run.ttft_ns == took(step)[0] + step.ttft_ns - ns(run.created_at)


async def test_a_step_that_a_dead_worker_left_is_closed_when_another_takes_up_the_run(
    agent: Agent, model: ScriptedModel
) -> None:
    def lose() -> str:
        conversation = agent.conversations.get()
        run = make_run(conversation=conversation, status="running", stop_reason=None, background=True)
        step = make_step(run=run, status="pending")
        make_lease(conversation, run=run, owner=leases.QUEUE)
        assert leases.take_up(run.id) is not None
        return step.id

    step_id = await db(lose)
    step = await db(lambda: Step.objects.get(id=step_id))
    assert (step.status, step.stop_reason, step.error_type) == ("failed", "error", "stream_task_cancelled")


async def test_a_process_that_lost_its_run_begins_no_step_that_nobody_would_end(
    agent: Agent, model: ScriptedModel
) -> None:
    opened = await threads.run(opening.open_run, await db(make_caller), asking(agent))
    assert not isinstance(opened, StartedRun)
    step = StepStart(
        step_id=new_id("step"), number=1, message_id=new_id("message"), request_text="{}", context_window=1
    )
    await db(lambda: RunLease.objects.update(epoch=7))
    await journal.DatabaseJournal(opened.open_run).begin_step(step)
    assert not await db(Step.objects.exists)
    assert not await db(ProviderTrace.objects.exists)


def test_the_first_word_of_a_run_is_that_of_its_first_step_that_said_one() -> None:
    conversation = make_conversation()
    lease = make_lease(conversation)
    run = lease.run
    began = ns(run.created_at)
    make_step(run=run, llm_request_start_ns=began + 1000, ttft_ns=None)
    make_step(run=run, llm_request_start_ns=began + 5000, ttft_ns=70)
    make_step(run=run, llm_request_start_ns=began + 9000, ttft_ns=10)
    assert run_rows.end_run_row(lease, RunEnd(status="completed", stop_reason="end_turn"))
    run.refresh_from_db()
    assert run.ttft_ns == 5070


def test_a_run_of_machines_with_different_clocks_has_no_negative_times() -> None:
    later = timezone.now() + timedelta(seconds=9)
    run = make_run(status="running", stop_reason=None, created_at=later)
    make_step(run=run, llm_request_start_ns=ns(timezone.now()), ttft_ns=5)
    assert run_rows.end_run_from_outside(run.id, RunEnd(status="failed", stop_reason="error"))
    run.refresh_from_db()
    run.agent.refresh_from_db()
    assert (run.ttft_ns, run.total_duration_ns, run.agent.last_run_duration_ms) == (0, 0, 0)


def test_a_run_ends_once() -> None:
    run = make_run()
    assert not run_rows.end_run_from_outside(run.id, RunEnd(status="failed", stop_reason="error"))
    run.refresh_from_db()
    assert run.status == "completed"
