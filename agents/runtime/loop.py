"""The loop: call the model, run its tools, store the step, until something says stop (spec/agent-loop.md §3).

An async generator of events without a database or a network of its own: everything it needs of the world comes through ports.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
import uuid
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from agents.runtime.cancellation import CancelToken, RunStopped
from agents.runtime.endings import (
    Ending,
    internal_error_ending,
    model_error_ending,
    status_of,
    stopped_ending,
)
from agents.runtime.events import (
    CallRetried,
    Event,
    RunEnded,
    RunStarted,
    StepStarted,
    StepStored,
    ToolStarted,
)
from agents.runtime.ports import CallOutcome, Journal, PlannedCall, StepEnd, StepStart, ToolRunner
from agents.runtime.prompt import build_request
from agents.runtime.reply_stream import ReplyStream
from agents.runtime.snapshot import Snapshot
from agents.runtime.step import plan_step, refused_outcome
from agents.runtime.tool_rules import PastCall
from letta_ade.core.ids import new_id
from letta_ade.llm.client import ChatModel
from letta_ade.llm.errors import InvalidReply, ModelError
from letta_ade.llm.messages import ChatMessage, Reply, TextPart, ToolReturn, Usage

logger = logging.getLogger(__name__)

CANCELLED_RETURN = "The run was cancelled before this call returned. Whether it took effect is not known."


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """How often a call that failed for a passing reason is sent again, and the first pause; it doubles."""

    attempts: int = 2
    pause_seconds: float = 0.5


@dataclass(slots=True, kw_only=True)
class _Progress:
    """What changes while a run goes on."""

    messages: list[ChatMessage]
    history: list[PastCall] = field(default_factory=list)
    usage: dict[str, Any] = field(
        default_factory=lambda: {
            "prompt_tokens": 0,
            "completion_tokens": 0,
            "total_tokens": 0,
            "step_count": 0,
        }
    )
    used_call_ids: set[str] = field(default_factory=set)
    #: The step that is going on, for whoever has to clean up.
    open_step: _OpenStep | None = None
    stop_reason: str | None = None

    def count(self, usage: Usage, context_tokens: int) -> None:
        totals = self.usage
        totals["prompt_tokens"] += usage.prompt_tokens
        totals["completion_tokens"] += usage.completion_tokens
        totals["total_tokens"] += usage.total_tokens
        totals["step_count"] += 1
        totals["context_tokens"] = context_tokens
        for name in ("cached_input_tokens", "cache_write_tokens", "reasoning_tokens"):
            if (value := getattr(usage, name)) is not None:
                totals[name] = (totals.get(name) or 0) + value


@dataclass(slots=True, kw_only=True)
class _OpenStep:
    start: StepStart
    started_ns: int
    stream: ReplyStream
    ttft_ns: int | None = None
    llm_ns: int = 0
    calls: tuple[PlannedCall, ...] = ()
    outcomes: tuple[CallOutcome, ...] = ()


async def run_loop(
    snapshot: Snapshot,
    *,
    model: ChatModel,
    journal: Journal,
    tools: ToolRunner,
    token: CancelToken,
    estimate: Callable[[ChatMessage], int],
    retry: Retry = Retry(),
) -> AsyncGenerator[Event, None]:
    """Every event of the run, RunStarted first and RunEnded last, whatever happens.

    `estimate` counts the tokens of a message where the provider has not counted it. A stop (`token`) is obeyed while the run waits
    for the model or a tool; text that was passed on is stored then, so that history and screen agree.
    """
    began_ns = time.monotonic_ns()
    yield RunStarted(
        run_id=snapshot.run_id,
        agent_id=snapshot.agent_id,
        conversation_id=snapshot.conversation_id,
        model=model.handle,
        started_at=datetime.now(UTC).isoformat(),
        caller_name=snapshot.caller_name,
        inputs=list(snapshot.input_data),
    )
    progress = _Progress(messages=[*snapshot.context, *snapshot.inputs])
    progress.used_call_ids = {call.id for message in progress.messages for call in message.tool_calls}
    ports = _Ports(
        model=model,
        journal=journal,
        tools=tools,
        token=token,
        estimate=estimate,
        retry=retry,
        snapshot=snapshot,
    )
    try:
        for number in range(1, snapshot.max_steps + 1):
            token.check()
            async for event in _step(ports, progress, number):
                yield event
            if progress.stop_reason is not None:
                break
        ending = Ending(stop_reason=progress.stop_reason or "max_steps")
    except RunStopped as stopped:
        ending = stopped_ending(snapshot.run_id, stopped)
        async for event in _store_partial(ports, progress, stopped):
            yield event
    except ModelError as failure:
        ending = model_error_ending(snapshot.run_id, failure)
        await _store_failure(ports, progress, ending)
    except Exception as failure:
        # The one place where anything may arrive: a run must end in a state that can be read.
        logger.exception("run %s failed", snapshot.run_id)
        ending = internal_error_ending(snapshot.run_id, failure)
        await _store_failure(ports, progress, ending)
    yield RunEnded(
        status=status_of(ending.stop_reason),
        stop_reason=ending.stop_reason,
        usage=progress.usage,
        error=ending.error,
        duration_ms=(time.monotonic_ns() - began_ns) // 1_000_000,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ports:
    snapshot: Snapshot
    model: ChatModel
    journal: Journal
    tools: ToolRunner
    token: CancelToken
    estimate: Callable[[ChatMessage], int]
    retry: Retry


async def _step(ports: _Ports, progress: _Progress, number: int) -> AsyncGenerator[Event, None]:
    """One model call and what follows from it; sets `progress.stop_reason` when it was the last one."""
    snapshot = ports.snapshot
    allowance = snapshot.rules.allowance(snapshot.tool_names, progress.history)
    payload = ports.model.payload(build_request(snapshot, progress.messages, allowance))
    start = StepStart(
        step_id=new_id("step"),
        number=number,
        message_id=_even_message_id(),
        request_text=json.dumps(payload, ensure_ascii=False),
    )
    is_parallel = snapshot.settings.parallel_tool_calls and snapshot.rules.allows_parallel_calls
    step = _OpenStep(
        start=start,
        started_ns=time.monotonic_ns(),
        stream=_reply_stream(start, progress, is_parallel),
    )
    progress.open_step = step
    yield StepStarted(step_id=start.step_id, number=number, message_id=start.message_id)
    # Written beside the call, so that it costs the turn nothing and a killed process still shows what was sent.
    begun = asyncio.create_task(ports.journal.begin_step(start))
    try:
        async for event in _call_model(ports, progress, step, payload, is_parallel):
            yield event
    finally:
        await _settled(begun)
    reply = step.stream.reply
    assert reply is not None, "_call_model raises when there is no reply"
    plan = plan_step(snapshot, reply, allowance, progress.history)
    if _is_empty(reply) and plan.heartbeat is None:
        raise InvalidReply("The model sent an empty reply.", detail=f"finish reason: {reply.finish_reason}")
    step.calls = plan.calls
    async for event in _run_tools(ports, step):
        yield event
    async for event in _store(ports, progress, step, plan.stop_reason, plan.heartbeat):
        yield event
    progress.stop_reason = plan.stop_reason


async def _call_model(
    ports: _Ports, progress: _Progress, step: _OpenStep, payload: dict[str, Any], is_parallel: bool
) -> AsyncGenerator[Event, None]:
    """Stream the reply into `step.stream`. Passing failures are tried again while nothing was passed on yet."""
    attempt = 0
    while True:
        called_ns = time.monotonic_ns()
        try:
            with ports.token.cancellable():
                async with aclosing(ports.model.stream(payload)) as events:
                    async for model_event in events:
                        for event in step.stream.translate(model_event):
                            if step.ttft_ns is None:
                                step.ttft_ns = time.monotonic_ns() - called_ns
                            yield event
            step.llm_ns = time.monotonic_ns() - called_ns
            reply = step.stream.reply
            if reply is None:
                raise InvalidReply("The model's reply ended before it was complete.")
            if _is_empty(reply) and attempt == 0 and reply.finish_reason not in {"refusal", "content_filter"}:
                reason = "the model sent an empty reply"
            else:
                return
        except ModelError as failure:
            step.llm_ns = time.monotonic_ns() - called_ns
            if step.stream.has_begun or not failure.is_transient or attempt >= ports.retry.attempts:
                raise
            reason = failure.message
            with ports.token.cancellable():
                await asyncio.sleep(ports.retry.pause_seconds * 2**attempt)
        attempt += 1
        step.stream = _reply_stream(step.start, progress, is_parallel)
        yield CallRetried(
            step_id=step.start.step_id, message_id=step.start.message_id, attempt=attempt, reason=reason
        )


async def _run_tools(ports: _Ports, step: _OpenStep) -> AsyncGenerator[Event, None]:
    """Refuse what is refused, execute what must run outside the step's transaction."""
    step.outcomes = tuple(refused_outcome(each) for each in step.calls if each.refusal is not None)
    due = [each for each in step.calls if each.refusal is None]
    for planned in due:
        yield ToolStarted(
            step_id=step.start.step_id,
            tool_call_id=planned.call.id,
            name=planned.call.name,
            arguments=json.dumps(planned.arguments, ensure_ascii=False),
        )
    if due:
        with ports.token.cancellable():
            step.outcomes += await ports.tools.execute(step.start, due)


async def _store(
    ports: _Ports, progress: _Progress, step: _OpenStep, stop_reason: str | None, heartbeat: str | None
) -> AsyncGenerator[Event, None]:
    reply = step.stream.reply
    assert reply is not None, "only a step with a reply is stored whole"
    context_tokens = reply.usage.total_tokens or sum(map(ports.estimate, progress.messages))
    end = StepEnd(
        step_id=step.start.step_id,
        number=step.start.number,
        message_id=step.start.message_id,
        status="success",
        stop_reason=stop_reason,
        parts=reply.parts,
        calls=step.calls,
        outcomes=step.outcomes,
        heartbeat=heartbeat,
        reply=reply,
        context_tokens=context_tokens,
        llm_request_ns=step.llm_ns,
        ttft_ns=step.ttft_ns,
        step_ns=time.monotonic_ns() - step.started_ns,
    )
    stored = await ports.journal.end_step(end)
    progress.open_step = None
    outcomes = {outcome.tool_call_id: outcome for outcome in stored.outcomes}
    # Tool returns are in the context of the next call, but no provider has counted them yet.
    returns = _returns_message(step.calls, outcomes)
    if returns is not None:
        context_tokens += ports.estimate(returns)
    progress.count(reply.usage, context_tokens)
    _remember(progress, step, reply, outcomes, returns, heartbeat)
    yield StepStored(
        step_id=step.start.step_id,
        number=step.start.number,
        messages=stored.messages,
        input_ids=stored.input_ids,
        usage=_usage_data(reply.usage),
        context_tokens=context_tokens,
        step_ms=(time.monotonic_ns() - step.started_ns) // 1_000_000,
    )
    for change in stored.changes:
        yield change


def _remember(
    progress: _Progress,
    step: _OpenStep,
    reply: Reply,
    outcomes: dict[str, CallOutcome],
    returns: ChatMessage | None,
    heartbeat: str | None,
) -> None:
    """Put the step into the context of the next call and into the history of the rules, once each."""
    if reply.parts or step.calls:
        calls = tuple(each.call for each in step.calls)
        progress.messages.append(ChatMessage(role="assistant", parts=reply.parts, tool_calls=calls))
        progress.used_call_ids.update(call.id for call in calls)
    if returns is not None:
        progress.messages.append(returns)
    if heartbeat is not None:
        progress.messages.append(ChatMessage(role="user", parts=(TextPart(text=heartbeat),)))
    progress.history += [
        PastCall(name=each.call.name, result=outcomes[each.call.id].text)
        for each in step.calls
        if each.refusal is None
    ]


def _returns_message(calls: tuple[PlannedCall, ...], outcomes: dict[str, CallOutcome]) -> ChatMessage | None:
    if not calls:
        return None
    returns = tuple(
        ToolReturn(
            tool_call_id=each.call.id,
            text=outcomes[each.call.id].text,
            is_error=outcomes[each.call.id].is_error,
        )
        for each in calls
    )
    return ChatMessage(role="tool", tool_returns=returns)


async def _store_partial(
    ports: _Ports, progress: _Progress, stopped: RunStopped
) -> AsyncGenerator[Event, None]:
    """Store what a stopped step had passed on: its text, and its calls if they had begun to run."""
    step = progress.open_step
    if step is None or stopped.cause == "lease_lost":
        return
    reply = step.stream.reply
    parts = reply.parts if reply is not None else step.stream.partial_parts()
    has_text = any(isinstance(part, TextPart) and part.text for part in parts)
    known = {outcome.tool_call_id for outcome in step.outcomes}
    interrupted = tuple(
        CallOutcome(tool_call_id=each.call.id, name=each.call.name, text=CANCELLED_RETURN, is_error=True)
        for each in step.calls
        if each.call.id not in known
    )
    end = StepEnd(
        step_id=step.start.step_id,
        number=step.start.number,
        message_id=step.start.message_id,
        status="cancelled",
        stop_reason="cancelled",
        parts=parts if has_text or step.calls else (),
        calls=step.calls,
        outcomes=step.outcomes + interrupted,
        reply=reply,
        llm_request_ns=step.llm_ns,
        ttft_ns=step.ttft_ns,
        step_ns=time.monotonic_ns() - step.started_ns,
    )
    stored = await ports.journal.end_step(end)
    progress.open_step = None
    usage = reply.usage if reply is not None else Usage()
    if reply is not None:
        progress.count(usage, usage.total_tokens)
    yield StepStored(
        step_id=step.start.step_id,
        number=step.start.number,
        messages=stored.messages,
        input_ids=stored.input_ids,
        usage=_usage_data(usage),
        context_tokens=usage.total_tokens,
        step_ms=(time.monotonic_ns() - step.started_ns) // 1_000_000,
    )


async def _store_failure(ports: _Ports, progress: _Progress, ending: Ending) -> None:
    """Store that the open step failed, and with what. A failure to do even this leaves the run to the reaper."""
    step = progress.open_step
    if step is None:
        return
    end = StepEnd(
        step_id=step.start.step_id,
        number=step.start.number,
        message_id=step.start.message_id,
        status="failed",
        stop_reason=ending.stop_reason,
        reply=step.stream.reply,
        llm_request_ns=step.llm_ns,
        ttft_ns=step.ttft_ns,
        step_ns=time.monotonic_ns() - step.started_ns,
        error=ending.error,
    )
    try:
        await ports.journal.end_step(end)
    except Exception:
        # The database may be what failed; the run's end is still told to those who listen.
        logger.exception("step %s could not be stored", step.start.step_id)


async def _settled(task: asyncio.Task[None]) -> None:
    """Wait for a write that must not be interrupted; its failure must not hide the call's."""
    try:
        await asyncio.shield(task)
    except Exception:
        logger.exception("the beginning of a step could not be stored")


def _reply_stream(start: StepStart, progress: _Progress, is_parallel: bool) -> ReplyStream:
    return ReplyStream(
        step_id=start.step_id,
        message_id=start.message_id,
        used_ids=frozenset(progress.used_call_ids),
        is_parallel=is_parallel,
    )


def _even_message_id() -> str:
    """A message id whose last 7 bits are 0, so that the otid of the first wire message is its own UUID."""
    return f"message-{uuid.UUID(int=uuid.uuid4().int & ~0x7F)}"


def _is_empty(reply: Reply) -> bool:
    has_content = any(not isinstance(part, TextPart) or part.text for part in reply.parts)
    return not reply.tool_calls and not has_content


def _usage_data(usage: Usage) -> dict[str, int | None]:
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
        "cached_input_tokens": usage.cached_input_tokens,
        "cache_write_tokens": usage.cache_write_tokens,
        "reasoning_tokens": usage.reasoning_tokens,
    }
