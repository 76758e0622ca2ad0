"""The run's journal in the database: each step in one transaction, under the run's lease."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.utils import timezone

from agents.models import Agent, Conversation, Message, Run, RunLease
from agents.runtime.events import BlockChanged
from agents.runtime.ports import CallOutcome, PlannedCall, StepEnd, StepStart, StoredStep
from agents.services.agent_archives import ensure_archive
from agents.services.agent_blocks import attach_block
from agents.services.context import searchable_text, text_content
from agents.services.leases import check_lease
from agents.services.step_rows import end_run_row, finish_step, insert_messages, insert_step
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.ids import new_id, new_otid
from letta_ade.core.nudges import agent_group, nudge, workspace_group
from letta_ade.llm.messages import Reply, call_to_data, part_to_data
from memory.models import Archive, Block
from tools.context import ToolContext
from tools.execution import prepare_call, run_call
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT


@dataclass(slots=True, kw_only=True)
class OpenRun:
    """A run that holds its conversation, and where the next message goes."""

    caller: Caller
    agent: Agent
    conversation: Conversation
    run: Run
    lease: RunLease
    #: Messages of the request; stored with the first step.
    inputs: list[Message]
    next_position: int
    last_message_at: datetime | None
    block_ids: dict[str, str]
    archive_ids: tuple[str, ...]
    #: Tool name -> characters to which its return is cut.
    return_limits: dict[str, int]
    model_endpoint: str | None = None
    has_stored_inputs: bool = False
    #: Time to the first token of the first step.
    ttft_ns: int | None = None
    #: Results of `prepare_call` by tool call id.
    prepared: dict[str, Any] = field(default_factory=dict)


class DatabaseJournal:
    """Journal and ToolRunner of the product. Its methods hop to the pool; the sync halves are below."""

    def __init__(self, opened: OpenRun) -> None:
        self.opened = opened

    async def begin_step(self, step: StepStart) -> None:
        await threads.run(_begin_step, self.opened, step)

    async def end_step(self, step: StepEnd) -> StoredStep:
        return await threads.run(_end_step, self.opened, step)

    async def execute(self, step: StepStart, calls: Sequence[PlannedCall]) -> tuple[CallOutcome, ...]:
        """Run the halves of built-in tools that need the network; their other halves run in the step's transaction."""
        await threads.run(_prepare_calls, self.opened, step, calls)
        return ()


def _begin_step(opened: OpenRun, step: StepStart) -> None:
    insert_step(
        step,
        workspace_id=opened.agent.workspace_id,
        run_id=opened.run.id,
        agent_id=opened.agent.id,
        caller_id=opened.caller.id,
        model=opened.run.metadata["model"],
        endpoint=opened.model_endpoint,
        window=opened.agent.context_window_limit,
    )


def _prepare_calls(opened: OpenRun, step: StepStart, calls: Sequence[PlannedCall]) -> None:
    for planned in calls:
        context = _tool_context(opened, step.step_id, step.message_id, planned)
        opened.prepared[planned.call.id] = prepare_call(planned.call.name, context, planned.arguments)


def _end_step(opened: OpenRun, step: StepEnd) -> StoredStep:
    with transaction.atomic():
        check_lease(opened.lease)
        clock = _Clock(opened.last_message_at)
        inputs = _input_rows(opened, step, clock)
        changes: list[BlockChanged] = []
        outcomes = (*step.outcomes, *_run_calls(opened, step, changes))
        said = _said_rows(opened, step, outcomes, clock)
        _store_messages(opened, step, [*inputs, *said])
        finish_step(step, response_text=_response_text(step.reply))
    # Only after the commit: a rolled-back step must find the run as it was.
    opened.last_message_at = clock.last
    opened.ttft_ns = opened.ttft_ns or step.ttft_ns
    opened.has_stored_inputs = opened.has_stored_inputs or bool(inputs)
    if step.status != "failed":
        opened.next_position += len(inputs) + len(said)
    return StoredStep(
        messages=[row.to_data() for row in (*inputs, *said)],
        input_ids=[row.id for row in inputs],
        outcomes=outcomes,
        changes=tuple(changes),
    )


class _Clock:
    """Times that rise: messages are listed by them, and the clock of a machine may stand still or go back."""

    def __init__(self, last: datetime | None) -> None:
        self.last = last

    def next(self) -> datetime:
        now = timezone.now()
        if self.last is not None and now <= self.last:
            now = self.last + timedelta(microseconds=1)
        self.last = now
        return now


def _input_rows(opened: OpenRun, step: StepEnd, clock: _Clock) -> list[Message]:
    if opened.has_stored_inputs:
        return []
    for row in opened.inputs:
        row.created_at = clock.next()
        row.step_id = step.step_id
        row.is_err = step.status == "failed"
    return opened.inputs


def _run_calls(opened: OpenRun, step: StepEnd, changes: list[BlockChanged]) -> list[CallOutcome]:
    """Run the calls that have no outcome yet, each in a savepoint of its own."""
    known = {outcome.tool_call_id for outcome in step.outcomes}
    outcomes = []
    for planned in step.calls:
        if planned.call.id in known:
            continue
        context = _tool_context(opened, step.step_id, step.message_id, planned)
        began = time.monotonic_ns()
        result = run_call(
            planned.call.name, context, planned.arguments, opened.prepared.pop(planned.call.id, None)
        )
        outcomes.append(
            CallOutcome(
                tool_call_id=planned.call.id,
                name=planned.call.name,
                text=result.value_text,
                is_error=result.is_error,
                stdout=tuple(result.stdout),
                stderr=tuple(result.stderr),
                duration_ms=(time.monotonic_ns() - began) // 1_000_000,
            )
        )
        # A failed call has left nothing in `changes`: a block that is new here is attached for good.
        opened.block_ids |= {edit.block.label: edit.block.id for edit in context.changes}
        changes += [
            BlockChanged(
                step_id=step.step_id,
                tool_call_id=planned.call.id,
                block_id=edit.block.id,
                label=edit.block.label,
                from_version=edit.from_version,
                to_version=edit.to_version,
                added=edit.added,
                removed=edit.removed,
            )
            for edit in context.changes
        ]
    return outcomes


def _tool_context(opened: OpenRun, step_id: str, message_id: str, planned: PlannedCall) -> ToolContext:
    agent = opened.agent
    return ToolContext(
        caller=Caller(
            workspace_id=agent.workspace_id, id=agent.id, name=agent.name, role="editor", kind="agent"
        ),
        agent_id=agent.id,
        agent_name=agent.name,
        conversation_id=opened.conversation.id,
        run_id=opened.run.id,
        step_id=step_id,
        message_id=message_id,
        tool_call_id=planned.call.id,
        tool_name=planned.call.name,
        block_ids=opened.block_ids,
        archive_ids=opened.archive_ids,
        embedding=agent.embedding,
        timezone=agent.timezone,
        return_char_limit=opened.return_limits.get(planned.call.name, DEFAULT_RETURN_CHAR_LIMIT),
        ensure_archive=lambda: _ensure_archive(opened),
        attach_block=lambda block: _attach_block(opened, block),
    )


def _attach_block(opened: OpenRun, block: Block) -> None:
    attach_block(caller=opened.caller, agent_id=opened.agent.id, block_id=block.id)


def _ensure_archive(opened: OpenRun) -> Archive:
    archive = ensure_archive(agent=opened.agent)
    if archive.id not in opened.archive_ids:
        opened.archive_ids = (*opened.archive_ids, archive.id)
    return archive


def _said_rows(
    opened: OpenRun, step: StepEnd, outcomes: Sequence[CallOutcome], clock: _Clock
) -> list[Message]:
    """The messages of the step itself: what the model said, what its tools returned, our note."""
    rows: list[Message] = []
    if step.status == "failed":
        return rows
    if step.parts or step.calls:
        content = [part_to_data(part) for part in step.parts]
        calls = [call_to_data(each.call) for each in step.calls]
        row = _row(opened, step, clock, role="assistant", content=content, tool_calls=calls)
        row.id, row.model = step.message_id, opened.run.metadata["model"]
        rows.append(row)
    if step.calls:
        by_id = {outcome.tool_call_id: outcome for outcome in outcomes}
        returns = [_return_data(by_id[each.call.id]) for each in step.calls]
        rows.append(_row(opened, step, clock, role="tool", tool_returns=returns))
    if step.heartbeat is not None:
        note = {"type": "heartbeat", "reason": step.heartbeat, "time": clock.next().isoformat()}
        row = _row(opened, step, clock, role="user", content=text_content(json.dumps(note)))
        row.otid = new_otid()
        rows.append(row)
    return rows


def _row(opened: OpenRun, step: StepEnd, clock: _Clock, **fields: Any) -> Message:
    return Message(
        id=new_id("message"),
        workspace_id=opened.agent.workspace_id,
        agent_id=opened.agent.id,
        conversation_id=opened.conversation.id,
        run_id=opened.run.id,
        step_id=step.step_id,
        created_at=clock.next(),
        **without_nulls(fields),
    )


def _return_data(outcome: CallOutcome) -> dict[str, Any]:
    return {
        "tool_call_id": outcome.tool_call_id,
        "name": outcome.name,
        "status": "error" if outcome.is_error else "success",
        "text": outcome.text,
        "stdout": list(outcome.stdout),
        "stderr": list(outcome.stderr),
        "duration_ms": outcome.duration_ms,
    }


def _store_messages(opened: OpenRun, step: StepEnd, rows: list[Message]) -> None:
    for row in rows:
        row.text = searchable_text(row.content)
    insert_messages(rows, first_position=None if step.status == "failed" else opened.next_position)


def _response_text(reply: Reply | None) -> str:
    return json.dumps(reply.raw, ensure_ascii=False).replace("\0", "") if reply is not None else ""


def without_nulls(value: Any) -> Any:
    """The value without null characters: PostgreSQL stores none."""
    match value:
        case str():
            return value.replace("\0", "")
        case list():
            return [without_nulls(item) for item in value]
        case dict():
            return {key: without_nulls(item) for key, item in value.items()}
        case _:
            return value


def end_run(
    opened: OpenRun, *, status: str, stop_reason: str, error: dict[str, Any] | None, duration_ms: int
) -> None:
    """Write the end of the run and give its conversation back.

    Does nothing when another process has taken the conversation over: it has written the end already.
    """
    lease = opened.lease
    with transaction.atomic():
        has_ended = end_run_row(
            conversation_id=lease.conversation_id,
            run_id=lease.run_id,
            agent_id=opened.agent.id,
            owner=lease.owner,
            epoch=lease.epoch,
            status=status,
            stop_reason=stop_reason,
            error=error,
            duration_ms=duration_ms,
            ttft_ns=opened.ttft_ns,
            now=timezone.now(),
        )
        if has_ended:
            for group in (agent_group(opened.agent.id), workspace_group(opened.agent.workspace_id)):
                nudge(group, "run_ended", run_id=lease.run_id, agent_id=opened.agent.id, status=status)
