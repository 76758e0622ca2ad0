"""What a run did and how long that took, from its rows: its metrics, and its trace as spans."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet, Sum

from agents.models import Compaction, Message, Run, Step
from agents.models.message import MessageRole
from agents.models.step import StepStatus
from agents.services.runs import get_run_for, public_error
from letta_ade.accounts.auth import Caller
from letta_ade.core.ids import PREFIXES, uuid_of
from tools.models import Tool

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
#: The step of this run ended in a request for approval: what it called was run when somebody had answered.
_ASKED = "requires_approval"
_MOST_ERROR_CHARACTERS = 1000
#: Messages that tell of calls that were run.
_ROLES = (MessageRole.TOOL, MessageRole.APPROVAL)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunMetrics:
    run: Run
    start_ns: int
    #: None while it goes on.
    run_ns: int | None
    num_steps: int
    #: Ids of the tools that this server ran for it, in the order of their first call; those of deleted tools are not known.
    tools_used: list[str]
    project_id: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A piece of time. Ids are those of OpenTelemetry, and the same whenever the trace is read."""

    id: str
    parent_id: str | None
    #: run, waiting, agent_step, llm_request, time_to_first_token, tool_execution or compaction.
    name: str
    #: Nanoseconds of Unix time.
    start_ns: int
    #: None while it goes on, and where nobody knows it: the process died.
    duration_ns: int | None
    attributes: dict[str, Any] = field(default_factory=dict)
    error: str | None = None


def unix_ns(moment: datetime) -> int:
    """The moment in nanoseconds of Unix time."""
    return (moment - _EPOCH) // _MICROSECOND * 1000


def trace_id_of(run_id: str) -> str:
    """The trace id of a run and of its steps: a UUID is as long as one."""
    return uuid_of(run_id).hex


def run_ids_of(trace_ids: Iterable[str]) -> list[str]:
    """The ids of the runs that have these trace ids; what is no trace id of ours is left out."""
    found = []
    for trace_id in trace_ids:
        try:
            found.append(f"{PREFIXES['run']}-{uuid.UUID(hex=trace_id)}")
        except ValueError:
            continue
    return found


def run_metrics(*, caller: Caller, run_id: str) -> RunMetrics:
    """How long the run took, and with what. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    messages = _in_order(Message.objects.filter(run=run, role__in=_ROLES))
    names = dict.fromkeys(each["name"] for _, each in _executed(messages))
    ids = dict(Tool.objects.filter(workspace_id=run.workspace_id, name__in=names).values_list("name", "id"))
    return RunMetrics(
        run=run,
        start_ns=unix_ns(run.created_at),
        run_ns=_run_ns(run),
        num_steps=run.steps.count(),
        tools_used=[ids[name] for name in names if name in ids],
        project_id=run.agent.project_id,
    )


def run_spans(*, caller: Caller, run_id: str, limit: int) -> list[Span]:
    """The first spans of the run in the order in which they began; the run itself is the first. Raises NotFound."""
    run = get_run_for(caller=caller, run_id=run_id)
    return spans_of(run, list(run.steps.order_by("number")))[:limit]


def spans_of(run: Run, steps: Sequence[Step]) -> list[Span]:
    """The spans of a run in the order in which they began; `steps` are all of it. Three queries."""
    own = [step.id for step in steps]
    # By the ids of the steps: a condition on a joined table beside one on messages would read all messages there are.
    messages = _in_order(Message.objects.filter(Q(run=run) | Q(step_id__in=own), role__in=_ROLES))
    root = _root(run)
    spans = [root, *_queue_spans(run, root, steps), *_compaction_spans(run, root)]
    for step in steps:
        spans += _step_spans(step, root, [each for each in messages if each.step_id == step.id])
    for message, returned in _executed([each for each in messages if each.run_id == run.id]):
        is_own = message.step_id in own
        parent_id = _span_id(message.step_id or "") if is_own else root.id
        spans.append(_tool_span(message, returned, parent_id))
    # Parents stand before their children, and stay there when both began at once; the clocks of two machines may differ.
    return sorted(spans, key=lambda span: (span.parent_id is not None, span.start_ns))


def _in_order(messages: QuerySet[Message]) -> list[Message]:
    columns = ("role", "run_id", "step_id", "created_at", "tool_calls", "tool_returns", "approvals")
    return list(messages.order_by("created_at", "id").only(*columns))


def _executed(messages: Sequence[Message]) -> Iterator[tuple[Message, dict[str, Any]]]:
    """The returns of calls that this server ran: neither refused ones nor those that the client brought."""
    brought = {
        answer["tool_call_id"]
        for message in messages
        for answer in message.approvals or ()
        if answer["type"] == "tool"
    }
    for message in messages:
        for returned in message.tool_returns:
            if returned.get("was_run", True) and returned["tool_call_id"] not in brought:
                yield message, returned


def _run_ns(run: Run) -> int | None:
    if run.completed_at is None:
        return None
    return max(0, unix_ns(run.completed_at) - unix_ns(run.created_at))


def _root(run: Run) -> Span:
    return Span(
        id=_span_id(run.id),
        parent_id=None,
        name="run",
        start_ns=unix_ns(run.created_at),
        duration_ns=_run_ns(run),
        attributes={
            "run_id": run.id,
            "agent_id": run.agent_id,
            "conversation_id": run.conversation_id,
            "run_type": run.metadata.get("run_type"),
            "model": run.metadata.get("model"),
            "background": run.background,
            "status": run.status,
            "stop_reason": run.stop_reason,
        },
        error=_message_of(run.metadata.get("error")),
    )


def _queue_spans(run: Run, root: Span, steps: Sequence[Step]) -> Iterator[Span]:
    """The wait of a background run for a worker."""
    if not run.background:
        return
    ended_ns = unix_ns(steps[0].started_at) if steps else None
    waited_ns = root.duration_ns if ended_ns is None else max(0, ended_ns - root.start_ns)
    yield _span("waiting", root.id, root.start_ns, waited_ns, of=f"{run.id} queue", waits_for="worker")


def _compaction_spans(run: Run, root: Span) -> Iterator[Span]:
    """The calls of summarisers, one after the other; the row is written when the last has answered."""
    calls = Sum("traces__latency_ms")
    for compaction in (
        Compaction.objects.filter(run=run).annotate(calls_ms=calls).order_by("created_at", "id")
    ):
        took_ns = (compaction.calls_ms or 0) * 1_000_000
        yield _span(
            "compaction",
            root.id,
            unix_ns(compaction.created_at) - took_ns,
            took_ns,
            of=compaction.id,
            compaction_id=compaction.id,
            step_id=compaction.step_id,
            trigger=compaction.trigger,
            model=compaction.model,
            tokens_before=compaction.tokens_before,
            tokens_after=compaction.tokens_after,
            prompt_tokens=compaction.prompt_tokens,
            completion_tokens=compaction.completion_tokens,
        )


def _step_spans(step: Step, root: Span, messages: Sequence[Message]) -> Iterator[Span]:
    start_ns, step_ns = unix_ns(step.started_at), step.step_ns
    llm_start_ns, llm_ns = step.llm_request_start_ns, step.llm_request_ns
    if step.stop_reason == _ASKED and llm_start_ns is not None and llm_ns is not None:
        # What its calls took when they were run is in `step_ns` too, and in the trace of the run that ran them.
        step_ns = llm_start_ns + llm_ns - start_ns
    own = Span(
        id=_span_id(step.id),
        parent_id=root.id,
        name="agent_step",
        start_ns=start_ns,
        duration_ns=step_ns,
        attributes={
            "step_id": step.id,
            "number": step.number,
            "status": step.status,
            "stop_reason": step.stop_reason,
        },
        error=_message_of(step.error_data) if step.status != StepStatus.SUCCESS else None,
    )
    yield own
    if llm_start_ns is not None:
        llm = _span(
            "llm_request",
            own.id,
            llm_start_ns,
            llm_ns,
            of=f"{step.id} llm",
            step_id=step.id,
            model=step.model_handle,
            prompt_tokens=step.prompt_tokens,
            completion_tokens=step.completion_tokens,
            cached_input_tokens=step.cached_input_tokens,
            reasoning_tokens=step.reasoning_tokens,
        )
        yield llm
        if step.ttft_ns is not None:
            yield _span("time_to_first_token", llm.id, llm_start_ns, step.ttft_ns, of=f"{step.id} ttft")
    if step.stop_reason == _ASKED:
        yield from _answer_span(step, own, messages)


def _answer_span(step: Step, own: Span, messages: Sequence[Message]) -> Iterator[Span]:
    """The wait for somebody to answer a request; it goes on while nobody has."""
    asked = next((each for each in messages if each.role == MessageRole.APPROVAL and each.tool_calls), None)
    answer = next((each for each in messages if each.approvals is not None), None)
    if asked is None:
        return
    start_ns = unix_ns(asked.created_at)
    waited_ns = unix_ns(answer.created_at) - start_ns if answer is not None else None
    yield _span("waiting", own.id, start_ns, waited_ns, of=f"{step.id} answer", waits_for="answer")


def _tool_span(message: Message, returned: dict[str, Any], parent_id: str) -> Span:
    duration_ns = (returned.get("duration_ms") or 0) * 1_000_000
    started_at = returned.get("started_at")
    # Of a call that was broken off, and of one that an older server stored, only the end is known.
    start_ns = unix_ns(datetime.fromisoformat(started_at) if started_at else message.created_at)
    is_error = returned["status"] == "error"
    return Span(
        id=_span_id(f"{message.id} {returned['tool_call_id']}"),
        parent_id=parent_id,
        name="tool_execution",
        start_ns=start_ns if started_at else start_ns - duration_ns,
        duration_ns=duration_ns,
        attributes={
            "step_id": message.step_id,
            "tool_name": returned["name"],
            "tool_call_id": returned["tool_call_id"],
        },
        error=returned["text"][:_MOST_ERROR_CHARACTERS] if is_error else None,
    )


def _span(
    name: str, parent_id: str, start_ns: int, duration_ns: int | None, *, of: str, **attributes: Any
) -> Span:
    return Span(
        id=_span_id(of),
        parent_id=parent_id,
        name=name,
        start_ns=start_ns,
        duration_ns=duration_ns,
        attributes=attributes,
    )


def _span_id(of: str) -> str:
    return hashlib.sha256(of.encode()).hexdigest()[:16]


def _message_of(error: dict[str, Any] | None) -> str | None:
    told = public_error(error)
    return None if told is None else str(told.get("message") or told.get("error_type") or "")
