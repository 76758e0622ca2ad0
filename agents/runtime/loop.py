"""The loop: call the model, run its tools, store the step, until something says stop (spec/agent-loop.md §3).

An async generator of events without a database or a network of its own: everything it needs of the world comes through ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from agents.runtime.cancellation import CancelToken, RunStopped
from agents.runtime.compacting import Compactor, FindSummarisers, Occasion
from agents.runtime.compaction import Gauge, Trigger
from agents.runtime.endings import (
    Ending,
    SystemPromptOverflow,
    internal_error_ending,
    model_error_ending,
    overflow_ending,
    status_of,
    stopped_ending,
)
from agents.runtime.events import (
    Event,
    RunEnded,
    RunResumed,
    RunStarted,
    StepStarted,
    StepStored,
    ToolStarted,
)
from agents.runtime.model_call import ModelCall, Retry, is_empty
from agents.runtime.ports import (
    AnswersEnd,
    CallOutcome,
    Journal,
    PlannedCall,
    RunEnd,
    StepEnd,
    StepStart,
    StoredCompaction,
    StoredStep,
    ToolRunner,
)
from agents.runtime.progress import Progress, usage_data
from agents.runtime.prompt import build_request
from agents.runtime.reply_stream import ReplyRules
from agents.runtime.snapshot import PendingTurn, Snapshot
from agents.runtime.step import StepPlan, plan_answers, plan_step, refused_outcome
from agents.runtime.tool_rules import Allowance
from agents.runtime.turn import heartbeat_text
from letta_ade.core.ids import new_assistant_message_id, new_id
from letta_ade.llm.client import ChatModel
from letta_ade.llm.errors import ContextOverflow, InvalidReply, ModelError
from letta_ade.llm.messages import ChatMessage, Reply, TextPart, ToolReturn, Usage
from letta_ade.llm.tokens import estimate_tools

logger = logging.getLogger(__name__)

#: A request that the provider finds too long is blamed on the system message when it takes this share of the window.
_SYSTEM_SHARE = 0.9
#: A request that stays too long however much is taken out of it fails with the provider's words.
_MOST_OVERFLOWS = 3

CANCELLED_RETURN = "The run was cancelled before this call returned. Whether it took effect is not known."


@dataclass(slots=True, kw_only=True)
class _OpenStep:
    """A step that is not stored yet."""

    start: StepStart
    call: ModelCall
    started_ns: int
    calls: tuple[PlannedCall, ...] = ()
    outcomes: tuple[CallOutcome, ...] = ()
    tool_ns: int | None = None


@dataclass(slots=True, kw_only=True)
class _OpenAnswers:
    """The answers to a request that are not stored yet."""

    pending: PendingTurn
    calls: tuple[PlannedCall, ...]
    outcomes: tuple[CallOutcome, ...]
    tool_ns: int | None = None


@dataclass(slots=True, kw_only=True)
class _Run:
    """A run that goes on: its ports, and where it stands."""

    snapshot: Snapshot
    model: ChatModel
    journal: Journal
    tools: ToolRunner
    token: CancelToken
    estimate: Callable[[ChatMessage], int]
    retry: Retry
    progress: Progress
    compactor: Compactor
    gauge: Gauge
    began_ns: int
    #: Requests in a row that were too long.
    overflows: int = 0
    #: What whoever stops the run has to clean up.
    open: _OpenStep | _OpenAnswers | None = None
    stop_reason: str | None = None
    end: RunEnd | None = None

    def ending(self, ending: Ending) -> RunEnd:
        """The end of the run, which is written once: with its last step, or alone."""
        self.end = RunEnd(
            status=status_of(ending.stop_reason),
            stop_reason=ending.stop_reason,
            error=ending.error,
            duration_ms=(time.monotonic_ns() - self.began_ns) // 1_000_000,
        )
        return self.end


async def run_loop(
    snapshot: Snapshot,
    *,
    model: ChatModel,
    journal: Journal,
    tools: ToolRunner,
    token: CancelToken,
    estimate: Callable[[ChatMessage], int],
    retry: Retry,
    find_summarisers: FindSummarisers | None = None,
) -> AsyncGenerator[Event, None]:
    """Every event of the run: RunStarted (RunResumed when it goes on after a crash) first and RunEnded last, whatever happens.

    Only when another process has taken the run over, it breaks off without an end: that process tells it. `estimate` counts the
    tokens of a message where the provider has not counted it; the agent's own model writes summaries where `find_summarisers` names no
    other. A stop (`token`) is obeyed while the run waits for the model or a
    tool; text that was passed on is stored then, so that history and screen agree.
    """
    run = _Run(
        snapshot=snapshot,
        model=model,
        journal=journal,
        tools=tools,
        token=token,
        estimate=estimate,
        retry=retry,
        progress=Progress(snapshot),
        compactor=Compactor(
            snapshot=snapshot,
            model=model,
            journal=journal,
            token=token,
            retry=retry,
            find_summarisers=find_summarisers,
        ),
        gauge=Gauge(
            estimate=estimate,
            window=snapshot.context_window,
            tools_tokens=estimate_tools([tool.spec for tool in snapshot.tools]),
        ),
        began_ns=time.monotonic_ns(),
    )
    yield _first_event(run)
    try:
        async for event in _events(run):
            yield event
        if run.end is None:
            await journal.end_run(run.ending(Ending(stop_reason=run.stop_reason or "max_steps")))
    except RunStopped:
        # Another process has the run, or will end it: it tells how.
        return
    assert run.end is not None, "written above at the latest"
    yield RunEnded(
        status=run.end.status,
        stop_reason=run.end.stop_reason,
        usage=run.progress.usage,
        error=run.end.error,
        duration_ms=run.end.duration_ms,
        logprobs=run.progress.logprobs,
    )


def _first_event(run: _Run) -> Event:
    snapshot = run.snapshot
    if snapshot.resumed is not None:
        return RunResumed(run_id=snapshot.run_id, steps=snapshot.resumed.steps)
    return RunStarted(
        run_id=snapshot.run_id,
        agent_id=snapshot.agent_id,
        conversation_id=snapshot.conversation_id,
        model=run.model.handle,
        started_at=datetime.now(UTC).isoformat(),
        caller_name=snapshot.caller_name,
        inputs=list(snapshot.input_data),
        loop=snapshot.loop,
    )


async def _events(run: _Run) -> AsyncGenerator[Event, None]:
    """What happens between the first event and the last one. Raises RunStopped when another process goes on with the run."""
    run_id = run.snapshot.run_id
    try:
        try:
            async for event in _steps(run):
                yield event
        except RunStopped as stopped:
            if stopped.cause in ("lease_lost", "handover"):
                raise
            async for event in _store_stopped(run, stopped):
                yield event
    except RunStopped:
        raise
    except SystemPromptOverflow as failure:
        await _store_failure(run, overflow_ending(run_id, failure))
    except ModelError as failure:
        await _store_failure(run, model_error_ending(run_id, failure))
    except Exception as failure:
        # The one place where anything may arrive: a run must end in a state that can be read.
        logger.exception("run %s failed", run_id)
        await _store_failure(run, internal_error_ending(run_id, failure))


async def _steps(run: _Run) -> AsyncGenerator[Event, None]:
    snapshot = run.snapshot
    if snapshot.resumed is not None:
        run.stop_reason = snapshot.resumed.stop_reason
    if snapshot.pending is not None:
        async for event in _answer(run, snapshot.pending):
            yield event
    while run.stop_reason is None and run.progress.steps < snapshot.max_steps:
        run.token.check()
        run.progress.last_number += 1
        async for event in _step(run, run.progress.last_number):
            yield event


async def _step(run: _Run, number: int) -> AsyncGenerator[Event, None]:
    """One model call and what follows from it; sets `stop_reason` when it was the last one."""
    snapshot, progress = run.snapshot, run.progress
    if not run.overflows and _can_shrink_to(run, snapshot.context_window):
        # Not every server refuses what it has no room for: some silently leave out the beginning.
        async for event in _compact(run, "context_window_exceeded"):
            yield event
    allowance = snapshot.rules.allowance(snapshot.tool_names, progress.history)
    payload = run.model.payload(build_request(snapshot, progress.messages, allowance))
    step = _open_step(run, number, allowance, json.dumps(payload, ensure_ascii=False))
    start = step.start
    run.open = step
    yield StepStarted(step_id=start.step_id, number=number, message_id=start.message_id)
    overflow: ContextOverflow | None = None
    # Written beside the call, so that it costs the turn nothing and a killed process still shows what was sent.
    begun = asyncio.create_task(run.journal.begin_step(start))
    try:
        _check_system_prompt(run)
        async for event in step.call.run(payload):
            yield event
    except ContextOverflow as failure:
        _check_system_prompt(run, share=_SYSTEM_SHARE)
        overflow = failure
    finally:
        await _settled(begun)
    if overflow is not None:
        async for event in _make_room(run, step, overflow):
            yield event
        return
    run.overflows = 0
    reply = step.call.reply
    plan = plan_step(snapshot, reply, allowance, progress.history)
    _check_reply(run, reply, plan)
    step.calls = plan.calls
    if plan.stop_reason != "requires_approval":
        step.outcomes = _known_outcomes(plan)
        async for event in _run_tools(run, step, start.step_id, start.message_id):
            yield event
    async for event in _store(run, step, plan):
        yield event


async def _make_room(run: _Run, step: _OpenStep, overflow: ContextOverflow) -> AsyncGenerator[Event, None]:
    """Compact the context of a request that was too long, so that another step can ask again. Raises the error when it cannot help."""
    run.overflows += 1
    has_room = False
    if run.overflows <= _MOST_OVERFLOWS:
        async for event in _compact(run, "context_window_exceeded"):
            has_room = True
            yield event
    if not has_room:
        raise overflow
    ending = model_error_ending(run.snapshot.run_id, overflow)
    await run.journal.end_step(
        replace(
            _step_end(step),
            status="failed",
            stop_reason=ending.stop_reason,
            error=ending.error,
            is_repeated=True,
        )
    )
    run.open = None


def _can_shrink_to(run: _Run, limit: int) -> bool:
    """Whether the context is longer than this, and what no compaction takes out of it is not."""
    progress = run.progress
    stays = [progress.messages[0], *progress.unstored]
    return run.gauge.size(progress.messages) > limit > run.gauge.size(stays)


async def _compact(run: _Run, trigger: Trigger, step_id: str | None = None) -> AsyncGenerator[Event, None]:
    """Compact the context and go on with it; no event when there was nothing to compact."""
    progress = run.progress
    occasion = Occasion(
        trigger=trigger,
        size=run.gauge.size(progress.messages),
        step_id=step_id,
        unstored=progress.unstored,
        takes_all=run.overflows > 1,
    )
    async for event in run.compactor.compact(occasion, run.gauge):
        if isinstance(event, StoredCompaction):
            chat = [item.chat for item in event.context]
            if run.snapshot.has_own_system:
                chat[0] = run.snapshot.context[0]
            progress.messages = [*chat, *progress.unstored]
            progress.usage["context_tokens"] = run.gauge.size(progress.messages)
        else:
            yield event


def _check_system_prompt(run: _Run, *, share: float = 1.0) -> None:
    """Raise SystemPromptOverflow when instructions and memory alone take this share of the window: nothing could be dropped."""
    tokens, window = run.estimate(run.progress.messages[0]), run.snapshot.context_window
    if tokens >= window * share:
        raise SystemPromptOverflow(tokens=tokens, window=window)


def _check_reply(run: _Run, reply: Reply, plan: StepPlan) -> None:
    """Raise InvalidReply for a reply that says nothing. After a tool call a model may have nothing to add."""
    detail = f"finish reason: {reply.finish_reason}"
    if plan.stop_reason == "invalid_llm_response":
        raise InvalidReply("The model refused to answer and said nothing else.", detail=detail)
    is_cut = plan.stop_reason == "max_tokens_exceeded"
    if is_empty(reply) and plan.heartbeat is None and not is_cut and not run.progress.has_returns:
        raise InvalidReply("The model sent an empty reply.", detail=detail)


def _open_step(run: _Run, number: int, allowance: Allowance, request_text: str) -> _OpenStep:
    start = StepStart(
        step_id=new_id("step"),
        number=number,
        message_id=new_assistant_message_id(),
        request_text=request_text,
        context_window=run.snapshot.context_window,
    )
    snapshot = run.snapshot
    rules = ReplyRules(
        used_ids=frozenset(run.progress.used_call_ids),
        is_parallel=snapshot.allows_parallel_calls,
        # What may not be called now is refused and asks nobody.
        waiting_names=snapshot.waiting_names & allowance.names,
        text_is_thought=snapshot.loop == "heartbeat" and bool(snapshot.tools),
    )
    call = ModelCall(
        model=run.model,
        token=run.token,
        retry=run.retry,
        step_id=start.step_id,
        message_id=start.message_id,
        rules=rules,
        may_say_nothing=run.progress.has_returns,
    )
    return _OpenStep(start=start, call=call, started_ns=time.monotonic_ns())


def _known_outcomes(plan: StepPlan) -> tuple[CallOutcome, ...]:
    refused = tuple(refused_outcome(each) for each in plan.calls if each.refusal is not None)
    return plan.outcomes + refused


async def _run_tools(
    run: _Run, opened: _OpenStep | _OpenAnswers, step_id: str, message_id: str
) -> AsyncGenerator[Event, None]:
    """Execute what must run outside the step's transaction."""
    known = {outcome.tool_call_id for outcome in opened.outcomes}
    due = [each for each in opened.calls if each.call.id not in known]
    for planned in due:
        yield ToolStarted(
            step_id=step_id,
            tool_call_id=planned.call.id,
            name=planned.call.name,
            arguments=json.dumps(planned.arguments, ensure_ascii=False),
            started_at=datetime.now(UTC).isoformat(),
        )
    if not due:
        return
    began_ns = time.monotonic_ns()
    try:
        with run.token.cancellable():
            opened.outcomes += await run.tools.execute(step_id, message_id, due)
    finally:
        opened.tool_ns = time.monotonic_ns() - began_ns


async def _store(run: _Run, step: _OpenStep, plan: StepPlan) -> AsyncGenerator[Event, None]:
    progress, reply = run.progress, step.call.reply
    context_tokens = reply.usage.total_tokens or sum(map(run.estimate, progress.messages))
    run.gauge = run.gauge.measured(progress.messages, reply.usage.prompt_tokens)
    stop_reason = plan.stop_reason
    if stop_reason is None and progress.steps + 1 >= run.snapshot.max_steps:
        stop_reason = "max_steps"
    # A run whose context is compacted after its last step ends after that: until then nobody else may write here.
    run_end = None
    if stop_reason is not None and (stop_reason == "requires_approval" or not _is_full(run, step)):
        run_end = run.ending(Ending(stop_reason=stop_reason))
    note = _note(run, plan)
    end = replace(
        _step_end(step),
        stop_reason=plan.stop_reason,
        parts=reply.parts,
        calls=step.calls,
        outcomes=step.outcomes,
        heartbeat=note,
        context_tokens=context_tokens,
        run_end=run_end,
    )
    stored = await run.journal.end_step(end)
    run.open, run.stop_reason, progress.unstored = None, stop_reason, ()
    progress.steps += 1
    outcomes = {outcome.tool_call_id: outcome for outcome in stored.outcomes}
    progress.remember_reply(reply.parts, step.calls)
    if not end.is_request and (returns := progress.remember_returns(step.calls, outcomes)) is not None:
        # Tool returns are in the context of the next call, but no provider has counted them yet.
        context_tokens += run.estimate(returns)
    progress.remember_note(note)
    progress.count(reply, context_tokens)
    async for event in _stored_events(step, stored, reply.usage, context_tokens):
        yield event
    # A run that has ended with its step had room before its tools returned: the next one sees to it.
    if run.end is None:
        async for event in _compact_after(run, step):
            yield event


def _is_full(run: _Run, step: _OpenStep) -> bool:
    """Whether the context will be compacted after this step, as far as can be said before its tools have returned."""
    said = step.call.reply
    turn = ChatMessage(role="assistant", parts=said.parts, tool_calls=said.tool_calls)
    returned = ChatMessage(
        role="tool",
        tool_returns=tuple(
            ToolReturn(tool_call_id=each.tool_call_id, text=each.text) for each in step.outcomes
        ),
    )
    return run.gauge.size([*run.progress.messages, turn, returned]) > run.gauge.threshold


async def _compact_after(run: _Run, step: _OpenStep) -> AsyncGenerator[Event, None]:
    """Compact a context that has grown too full. A run whose instructions and tools alone fill the window ends."""
    if run.gauge.size(run.progress.messages) <= run.gauge.threshold:
        return
    if _can_shrink_to(run, run.gauge.threshold):
        async for event in _compact(run, "post_step_context_check", step.start.step_id):
            yield event
    if run.stop_reason is None:
        _check_system_prompt(run)


def _note(run: _Run, plan: StepPlan) -> str | None:
    """What the model is told to go on with: the very text that is stored, so that the next run sends the same."""
    if plan.heartbeat is None:
        return None
    return heartbeat_text(plan.heartbeat, moment=datetime.now(UTC), timezone=run.snapshot.timezone)


async def _stored_events(
    step: _OpenStep, stored: StoredStep, usage: Usage, context_tokens: int
) -> AsyncGenerator[Event, None]:
    yield StepStored(
        step_id=step.start.step_id,
        number=step.start.number,
        messages=stored.messages,
        input_ids=stored.input_ids,
        usage=usage_data(usage),
        context_tokens=context_tokens,
        step_ms=(time.monotonic_ns() - step.started_ns) // 1_000_000,
    )
    for change in stored.changes:
        yield change


async def _answer(run: _Run, pending: PendingTurn) -> AsyncGenerator[Event, None]:
    """Run the calls of an earlier step that waited and may run now, and store what all of them returned in that step."""
    plan = plan_answers(run.snapshot, pending, run.progress.history)
    answers = _OpenAnswers(pending=pending, calls=plan.calls, outcomes=_known_outcomes(plan))
    run.open = answers
    began_ns = time.monotonic_ns()
    async for event in _run_tools(run, answers, pending.step_id, pending.message_id):
        yield event
    stop_reason = plan.stop_reason
    if run.snapshot.inputs and stop_reason != "invalid_tool_call":
        # Somebody has said something beside the answers: that is to be heard first.
        stop_reason = None
    run_end = run.ending(Ending(stop_reason=stop_reason)) if stop_reason is not None else None
    async for event in _store_answers(run, answers, _note(run, plan), run_end, began_ns):
        yield event
    run.stop_reason = stop_reason


async def _store_answers(
    run: _Run, answers: _OpenAnswers, heartbeat: str | None, run_end: RunEnd | None, began_ns: int
) -> AsyncGenerator[Event, None]:
    pending = answers.pending
    stored = await run.journal.store_answers(
        AnswersEnd(
            step_id=pending.step_id,
            message_id=pending.message_id,
            calls=answers.calls,
            outcomes=answers.outcomes,
            heartbeat=heartbeat,
            tool_ns=answers.tool_ns,
            run_end=run_end,
        )
    )
    run.open = None
    outcomes = {outcome.tool_call_id: outcome for outcome in stored.outcomes}
    run.progress.remember_returns(answers.calls, outcomes)
    run.progress.remember_note(heartbeat)
    run.progress.remember_inputs()
    yield StepStored(
        step_id=pending.step_id,
        number=0,
        messages=stored.messages,
        input_ids=stored.input_ids,
        usage=usage_data(Usage()),
        context_tokens=sum(map(run.estimate, run.progress.messages)),
        step_ms=(time.monotonic_ns() - began_ns) // 1_000_000,
    )
    for change in stored.changes:
        yield change


async def _store_stopped(run: _Run, stopped: RunStopped) -> AsyncGenerator[Event, None]:
    """Store what a stopped step had passed on: its text, and its calls if they had begun to run.

    RunStopped again for a run that goes on elsewhere.
    """
    if stopped.cause in ("lease_lost", "handover"):
        raise stopped
    ending = run.ending(stopped_ending(run.snapshot.run_id, stopped))
    opened = run.open
    if opened is None:
        await run.journal.end_run(ending)
        return
    known = {outcome.tool_call_id for outcome in opened.outcomes}
    opened.outcomes += tuple(_interrupted(each) for each in opened.calls if each.call.id not in known)
    if isinstance(opened, _OpenAnswers):
        async for event in _store_answers(run, opened, None, ending, time.monotonic_ns()):
            yield event
        return
    reply = opened.call.stream.reply
    parts = reply.parts if reply is not None else opened.call.stream.partial_parts()
    has_text = any(isinstance(part, TextPart) and part.text for part in parts)
    end = replace(
        _step_end(opened),
        status="cancelled",
        stop_reason=ending.stop_reason,
        error=ending.error,
        parts=parts if has_text or opened.calls else (),
        calls=opened.calls,
        outcomes=opened.outcomes,
        run_end=ending,
    )
    stored = await _store_last(run, end, ending)
    if stored is None:
        return
    run.open = None
    usage = reply.usage if reply is not None else Usage()
    if reply is not None:
        run.progress.count(reply, usage.total_tokens)
    async for event in _stored_events(opened, stored, usage, usage.total_tokens):
        yield event


def _interrupted(planned: PlannedCall) -> CallOutcome:
    return CallOutcome(
        tool_call_id=planned.call.id, name=planned.call.name, text=CANCELLED_RETURN, is_error=True
    )


async def _store_failure(run: _Run, ending: Ending) -> None:
    """Store that the open step failed, and with what."""
    end = run.ending(ending)
    step = run.open
    if not isinstance(step, _OpenStep):
        await run.journal.end_run(end)
        return
    failed = replace(
        _step_end(step), status="failed", stop_reason=ending.stop_reason, error=ending.error, run_end=end
    )
    await _store_last(run, failed, end)


async def _store_last(run: _Run, step: StepEnd, end: RunEnd) -> StoredStep | None:
    """What was stored of a step with which the run ends; None when only the end could be. Raises RunStopped."""
    try:
        return await run.journal.end_step(step)
    except RunStopped:
        raise
    except Exception:
        # What it holds may be what cannot be stored.
        logger.exception("step %s could not be stored", step.step_id)
        await run.journal.end_run(end)
        return None


def _step_end(step: _OpenStep) -> StepEnd:
    """The step with what every end of it tells."""
    return StepEnd(
        step_id=step.start.step_id,
        number=step.start.number,
        message_id=step.start.message_id,
        status="success",
        reply=step.call.stream.reply,
        llm_request_start_ns=step.call.llm_start_ns,
        llm_request_ns=step.call.llm_ns,
        ttft_ns=step.call.ttft_ns,
        tool_ns=step.tool_ns,
        step_ns=time.monotonic_ns() - step.started_ns,
    )


async def _settled(task: asyncio.Task[None]) -> None:
    """Wait for a write that must not be interrupted; its failure must not hide the call's."""
    try:
        await asyncio.shield(task)
    except Exception:
        logger.exception("the beginning of a step could not be stored")
