"""The run's journal in the database: each step in one transaction, under the run's lease."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.utils import timezone

from agents.models import Agent, Compaction, Conversation, Message, Run, RunEvent, RunLease
from agents.models.step import StepStatus
from agents.runtime.cancellation import RunStopped
from agents.runtime.compaction import ContextItem
from agents.runtime.events import BlockChanged, RunEnded
from agents.runtime.ports import (
    AnswersEnd,
    CallOutcome,
    CompactionEnd,
    PlannedCall,
    RunEnd,
    StepEnd,
    StepStart,
    StoredCompaction,
    StoredStep,
)
from agents.services import run_rows
from agents.services.agent_archives import ensure_archive
from agents.services.agent_blocks import attach_block, detach_block
from agents.services.agent_types import as_caller
from agents.services.background_turns import count_turn
from agents.services.block_pins import about_pins
from agents.services.compaction_rows import context_items, write_compaction
from agents.services.context import searchable_text, text_content
from agents.services.decision_notes import DecisionNote, find_cause, mark_told
from agents.services.leases import LeaseLost
from agents.services.run_ends import announce_end
from agents.services.run_rows import end_run_row
from agents.services.single_writes import Doubt, W, Write, write_once
from agents.services.step_rows import (
    add_tool_time,
    close_pending_steps,
    finish_step,
    insert_messages,
    insert_step,
)
from agents.services.tool_calls import call_scope
from letta_ade.accounts.auth import Caller
from letta_ade.core import threads
from letta_ade.core.ids import message_id_before, new_id, new_otid
from letta_ade.core.nudges import agent_group, nudge, workspace_group
from letta_ade.llm.messages import ChatMessage, Reply, TextPart, call_to_data, part_to_data
from memory.models import Archive, Block
from memory.services.blocks import BlockEdit
from tools.context import ToolContext
from tools.custom import CustomTool
from tools.execution import is_waiting_call, prepare_call, run_call, wait_call
from tools.models.tool import DEFAULT_RETURN_CHAR_LIMIT

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class PreparedCall:
    """What `prepare_call` gave, and when."""

    result: Any
    started_at: datetime
    took_ns: int


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
    #: Tools that users wrote, by name: they run in the sandbox.
    custom_tools: Mapping[str, CustomTool] = field(default_factory=dict)
    #: Tools whose calls may run at the same time.
    parallel_tools: frozenset[str] = frozenset()
    #: Stands before the inputs, and is stored with them.
    note: DecisionNote | None = None
    #: Answers to calls that waited; stored with what the calls return.
    answers: list[Message] = field(default_factory=list)
    model_endpoint: str | None = None
    #: Follows the system message in the requests of this run.
    skills_text: str = ""
    has_stored_inputs: bool = False
    #: By tool call id; only of calls that had something to prepare.
    prepared: dict[str, PreparedCall] = field(default_factory=dict)
    #: A write whose commit was not confirmed.
    doubt: Doubt | None = None
    #: Runs of the background that the end of this one has started.
    background_run_ids: list[str] = field(default_factory=list)


class DatabaseJournal:
    """Journal and ToolRunner of the product. Its methods hop to the pool; the sync halves are below."""

    def __init__(self, opened: OpenRun) -> None:
        self.opened = opened
        #: A step whose beginning could not be written.
        self._unbegun: StepStart | None = None

    async def begin_step(self, step: StepStart) -> None:
        self._unbegun = step
        await threads.insist(_begin_step, self.opened, step, patience=settings.DATABASE_PATIENCE_SECONDS)
        self._unbegun = None

    async def end_step(self, step: StepEnd) -> StoredStep:
        # An end by failure or stop has nothing else to become: it waits for the database however long it takes.
        patience = settings.DATABASE_PATIENCE_SECONDS if step.status == "success" else None
        return await self._write(partial(_end_step, begin=self._unbegun), step, patience)

    async def store_answers(self, answers: AnswersEnd) -> StoredStep:
        return await self._write(_store_answers, answers, settings.DATABASE_PATIENCE_SECONDS)

    async def load_context(self) -> tuple[ContextItem, ...]:
        return await threads.insist(_load_context, self.opened, patience=settings.DATABASE_PATIENCE_SECONDS)

    async def compact(self, compaction: CompactionEnd) -> StoredCompaction:
        try:
            return await threads.insist(
                _compact, self.opened, compaction, patience=settings.DATABASE_PATIENCE_SECONDS
            )
        except LeaseLost:
            raise RunStopped("lease_lost") from None

    async def end_run(self, end: RunEnd) -> None:
        try:
            is_ours = await threads.insist(end_run, self.opened, end, patience=None)
        except Exception:
            # The lease stays and expires: whoever watches over leases will write an end.
            logger.exception("the end of run %s could not be stored", self.opened.run.id)
            is_ours = False
        if not is_ours:
            raise RunStopped("lease_lost")

    async def execute(
        self, step_id: str, message_id: str, calls: Sequence[PlannedCall]
    ) -> tuple[CallOutcome, ...]:
        """Run the tools that users wrote, and the halves of ours that need the network or wait for others.

        What these write is written in the step's transaction.

        Those of tools that may run in parallel do.
        """
        parallel = self.opened.parallel_tools
        in_turn = [each for each in calls if each.call.name not in parallel]
        groups = [[each] for each in calls if each.call.name in parallel]
        await asyncio.gather(
            *(self._prepare(step_id, message_id, group) for group in (*groups, in_turn) if group)
        )
        return ()

    async def _prepare(self, step_id: str, message_id: str, calls: Sequence[PlannedCall]) -> None:
        await threads.insist(
            _prepare_calls,
            self.opened,
            step_id,
            message_id,
            calls,
            patience=settings.DATABASE_PATIENCE_SECONDS,
            is_outside=True,
        )
        for planned in calls:
            if is_waiting_call(planned.call.name, self.opened.custom_tools.get(planned.call.name)):
                await self._wait_for(step_id, message_id, planned)

    async def _wait_for(self, step_id: str, message_id: str, planned: PlannedCall) -> None:
        context = _tool_context(self.opened, step_id, message_id, planned)
        started_at, began = timezone.now(), time.monotonic_ns()
        result = await wait_call(planned.call.name, context, planned.arguments)
        self.opened.prepared[planned.call.id] = PreparedCall(
            result=result, started_at=started_at, took_ns=time.monotonic_ns() - began
        )

    async def _write(self, write: Write[W], what: W, patience: float | None) -> StoredStep:
        try:
            return await threads.insist(write_once, self.opened, write, what, patience=patience)
        except LeaseLost:
            raise RunStopped("lease_lost") from None


def _begin_step(opened: OpenRun, step: StepStart) -> None:
    insert_step(
        step,
        lease=opened.lease,
        workspace_id=opened.agent.workspace_id,
        agent_id=opened.agent.id,
        caller_id=opened.caller.id,
        model=opened.run.metadata["model"],
        endpoint=opened.model_endpoint,
    )


def _load_context(opened: OpenRun) -> tuple[ContextItem, ...]:
    items = context_items(opened.conversation)
    if opened.skills_text:
        text = f"{items[0].chat.text}\n\n{opened.skills_text}"
        items[0] = replace(items[0], chat=ChatMessage(role="system", parts=(TextPart(text=text),)))
    return tuple(items)


def _compact(opened: OpenRun, end: CompactionEnd) -> StoredCompaction:
    """Store the compaction under the lease; when an earlier try was stored after all, what it stored."""
    with transaction.atomic():
        is_held = run_rows.lock_lease(opened.lease)
        stored = Compaction.objects.select_related("message").filter(id=end.compaction_id).first()
        if stored is None and not is_held:
            raise LeaseLost()
        if stored is None:
            stored = write_compaction(
                end,
                caller=opened.caller,
                agent=opened.agent,
                conversation=opened.conversation,
                run_id=opened.run.id,
                created_at=RisingClock(opened.last_message_at).next(),
            )
        message = stored.message
        assert message is not None, "just stored"
        context = _load_context(opened)
    opened.last_message_at = message.created_at
    return StoredCompaction(message=message.to_data(), context=context)


def _prepare_calls(opened: OpenRun, step_id: str, message_id: str, calls: Sequence[PlannedCall]) -> None:
    for planned in calls:
        context = _tool_context(opened, step_id, message_id, planned)
        started_at, began = timezone.now(), time.monotonic_ns()
        result = prepare_call(planned.call.name, context, planned.arguments)
        if result is not None:
            opened.prepared[planned.call.id] = PreparedCall(
                result=result, started_at=started_at, took_ns=time.monotonic_ns() - began
            )


def _end_step(opened: OpenRun, step: StepEnd, *, begin: StepStart | None) -> StoredStep:
    began = time.monotonic_ns()
    if begin is not None and begin.step_id == step.step_id:
        _begin_step(opened, begin)
    clock = RisingClock(opened.last_message_at)
    inputs = _input_rows(opened, step, clock)
    outcomes: tuple[CallOutcome, ...] = step.outcomes
    changes: list[BlockChanged] = []
    if not step.is_request:
        place = _Place(step_id=step.step_id, message_id=step.message_id)
        ran, tool_ns, changes = _run_calls(opened, place, step.calls, step.outcomes)
        outcomes += ran
        if ran or step.tool_ns is not None:
            step = replace(step, tool_ns=(step.tool_ns or 0) + tool_ns)
    said = _said_rows(opened, step, outcomes, clock)
    position = None if step.status == "failed" else opened.next_position
    insert_messages([*inputs, *said], first_position=position)
    step = replace(step, step_ns=step.step_ns + time.monotonic_ns() - began)
    finish_step(step, response_text=_response_text(step.reply))
    if step.run_end is not None:
        _write_end(opened, step.run_end)
    opened.last_message_at = clock.last
    opened.has_stored_inputs = opened.has_stored_inputs or bool(inputs)
    if step.status != "failed":
        opened.next_position += len(inputs) + len(said)
    return _stored(inputs, said, outcomes, changes)


def _store_answers(opened: OpenRun, answers: AnswersEnd) -> StoredStep:
    clock = RisingClock(opened.last_message_at)
    place = _Place(step_id=answers.step_id, message_id=answers.message_id)
    ran, tool_ns, changes = _run_calls(opened, place, answers.calls, answers.outcomes)
    outcomes = answers.outcomes + ran
    if ran or answers.tool_ns is not None:
        add_tool_time(answers.step_id, (answers.tool_ns or 0) + tool_ns)
    given = opened.answers
    for row in given:
        row.created_at, row.step_id = clock.next(), answers.step_id
    said = [_return_row(opened, answers.step_id, answers.calls, outcomes, clock)]
    if answers.heartbeat is not None:
        said.append(_note_row(opened, answers.step_id, answers.heartbeat, clock))
    insert_messages([*given, *said], first_position=opened.next_position)
    if answers.run_end is not None and _write_end(opened, answers.run_end):
        _keep_inputs(opened, clock)
    opened.last_message_at = clock.last
    opened.next_position += len(given) + len(said)
    opened.answers = []
    return _stored(given, said, outcomes, changes)


def _stored(
    inputs: Sequence[Message],
    said: Sequence[Message],
    outcomes: tuple[CallOutcome, ...],
    changes: Sequence[BlockChanged],
) -> StoredStep:
    return StoredStep(
        messages=[row.to_data() for row in (*inputs, *said)],
        input_ids=[row.id for row in inputs],
        outcomes=outcomes,
        changes=tuple(changes),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """The step and message that a call belongs to."""

    step_id: str
    message_id: str


class RisingClock:
    """Times that rise: messages are listed by them, and the clock of a machine may stand still or go back."""

    def __init__(self, last: datetime | None) -> None:
        self.last = last

    def next(self) -> datetime:
        now = timezone.now()
        if self.last is not None and now <= self.last:
            now = self.last + timedelta(microseconds=1)
        self.last = now
        return now


def _input_rows(opened: OpenRun, step: StepEnd, clock: RisingClock) -> list[Message]:
    if opened.has_stored_inputs or step.is_repeated:
        return []
    # Of a step that failed nothing is in context: what was decided is told by the next run.
    note = opened.note if step.status != "failed" else None
    if note is not None:
        note.message.created_at = clock.next()
    for row in opened.inputs:
        row.created_at = clock.next()
        row.step_id = step.step_id
        row.is_err = step.status == "failed"
        row.text = searchable_text(row.content)
    if note is None:
        return opened.inputs
    note.message.step_id = step.step_id
    mark_told(note)
    return [note.message, *opened.inputs]


def _keep_inputs(opened: OpenRun, clock: RisingClock) -> None:
    """Store what was said to a run that ends before its first step: out of context, and not lost."""
    if opened.has_stored_inputs:
        return
    for row in opened.inputs:
        row.created_at, row.is_err = clock.next(), True
        row.step = None
        row.text = searchable_text(row.content)
    insert_messages(opened.inputs, first_position=None)


def _keep_inputs_if_possible(opened: OpenRun) -> None:
    try:
        with transaction.atomic():
            _keep_inputs(opened, RisingClock(opened.last_message_at))
    except DatabaseError:
        # What cannot be stored must not keep the run from its end.
        logger.exception("what was said to run %s could not be stored", opened.run.id)


def _run_calls(
    opened: OpenRun, place: _Place, calls: Sequence[PlannedCall], known: Sequence[CallOutcome]
) -> tuple[tuple[CallOutcome, ...], int, list[BlockChanged]]:
    """Run the calls that have no outcome yet, each in a savepoint of its own: outcomes, nanoseconds, what they did to blocks."""
    done = {outcome.tool_call_id for outcome in known}
    outcomes, total_ns, changes = [], 0, []
    for planned in calls:
        if planned.call.id in done:
            continue
        context = _tool_context(opened, place.step_id, place.message_id, planned)
        prepared = opened.prepared.pop(planned.call.id, None)
        started_at, began = timezone.now(), time.monotonic_ns()
        result = run_call(
            planned.call.name, context, planned.arguments, prepared.result if prepared else None
        )
        took_ns = time.monotonic_ns() - began
        total_ns += took_ns
        if prepared is not None:
            started_at, took_ns = prepared.started_at, prepared.took_ns + took_ns
        outcomes.append(
            CallOutcome(
                tool_call_id=planned.call.id,
                name=planned.call.name,
                text=result.value_text + about_pins(opened.conversation, context.changes),
                is_error=result.is_error,
                stdout=tuple(result.stdout),
                stderr=tuple(result.stderr),
                started_at=started_at,
                duration_ms=took_ns // 1_000_000,
            )
        )
        # A failed call has left nothing in `changes`: a block that is new here is attached for good.
        opened.block_ids |= {edit.block.label: edit.block.id for edit in context.changes}
        changes += [_block_changed(place.step_id, planned.call.id, edit) for edit in context.changes]
    return tuple(outcomes), total_ns, changes


def _block_changed(step_id: str, tool_call_id: str, edit: BlockEdit) -> BlockChanged:
    return BlockChanged(
        step_id=step_id,
        tool_call_id=tool_call_id,
        block_id=edit.block.id,
        label=edit.block.label,
        from_version=edit.from_version,
        to_version=edit.to_version,
        added=edit.added,
        removed=edit.removed,
    )


def _tool_context(opened: OpenRun, step_id: str, message_id: str, planned: PlannedCall) -> ToolContext:
    agent = opened.agent
    return ToolContext(
        caller=as_caller(agent),
        agent_id=agent.id,
        agent_name=agent.name,
        conversation_id=opened.conversation.id,
        run_id=opened.run.id,
        step_id=step_id,
        message_id=message_id,
        tool_call_id=planned.call.id,
        tool_name=planned.call.name,
        block_ids=opened.block_ids,
        seen_versions=opened.conversation.compiled_versions,
        pinned_versions=opened.conversation.pinned_versions,
        archive_ids=opened.archive_ids,
        embedding=agent.embedding,
        timezone=agent.timezone,
        return_char_limit=opened.return_limits.get(planned.call.name, DEFAULT_RETURN_CHAR_LIMIT),
        custom=opened.custom_tools.get(planned.call.name),
        call_scope=partial(call_scope, agent),
        ensure_archive=lambda: _ensure_archive(opened),
        attach_block=lambda block: _attach_block(opened, block),
        detach_block=lambda block_id: _detach_block(opened, block_id),
        run_metadata=opened.run.metadata,
        find_cause=lambda: find_cause(opened.conversation, opened.inputs),
        input_texts=tuple(searchable_text(row.content) for row in opened.inputs),
    )


def _attach_block(opened: OpenRun, block: Block) -> None:
    attach_block(caller=opened.caller, agent_id=opened.agent.id, block_id=block.id)


def _detach_block(opened: OpenRun, block_id: str) -> None:
    detach_block(caller=opened.caller, agent_id=opened.agent.id, block_id=block_id)


def _ensure_archive(opened: OpenRun) -> Archive:
    archive = ensure_archive(agent=opened.agent)
    if archive.id not in opened.archive_ids:
        opened.archive_ids = (*opened.archive_ids, archive.id)
    return archive


def _said_rows(
    opened: OpenRun, step: StepEnd, outcomes: Sequence[CallOutcome], clock: RisingClock
) -> list[Message]:
    """The messages of the step itself: what the model said, what its tools returned, our note."""
    rows: list[Message] = []
    if step.status == "failed":
        return rows
    content = [part_to_data(part) for part in step.parts]
    free = [each for each in step.calls if not each.is_waiting]
    if content or free:
        row = _row(
            opened, step.step_id, clock, role="assistant", content=content, tool_calls=_calls_data(free)
        )
        row.id, row.model = step.message_id, opened.run.metadata["model"]
        row.text = searchable_text(row.content, row.tool_calls)
        rows.append(row)
    if step.is_request:
        waiting = [each for each in step.calls if each.is_waiting]
        row = _row(opened, step.step_id, clock, role="approval", tool_calls=_calls_data(waiting))
        row.id, row.model = message_id_before(step.message_id), opened.run.metadata["model"]
        row.text = searchable_text([], row.tool_calls)
        rows.append(row)
    elif step.calls:
        rows.append(_return_row(opened, step.step_id, step.calls, outcomes, clock))
    if step.heartbeat is not None:
        rows.append(_note_row(opened, step.step_id, step.heartbeat, clock))
    return rows


def _calls_data(calls: Sequence[PlannedCall]) -> list[dict[str, Any]]:
    return [call_to_data(each.call) for each in calls]


def _return_row(
    opened: OpenRun,
    step_id: str,
    calls: Sequence[PlannedCall],
    outcomes: Sequence[CallOutcome],
    clock: RisingClock,
) -> Message:
    by_id = {outcome.tool_call_id: outcome for outcome in outcomes}
    returns = [return_data(by_id[each.call.id]) for each in calls]
    return _row(opened, step_id, clock, role="tool", tool_returns=returns)


def _note_row(opened: OpenRun, step_id: str, note: str, clock: RisingClock) -> Message:
    """A note of ours. Searches do not find it: nobody said it."""
    return _row(opened, step_id, clock, role="user", content=text_content(note), otid=new_otid())


def _row(opened: OpenRun, step_id: str, clock: RisingClock, **fields: Any) -> Message:
    return Message(
        id=new_id("message"),
        workspace_id=opened.agent.workspace_id,
        agent_id=opened.agent.id,
        conversation_id=opened.conversation.id,
        run_id=opened.run.id,
        step_id=step_id,
        created_at=clock.next(),
        **without_nulls(fields),
    )


def return_data(outcome: CallOutcome) -> dict[str, Any]:
    """What a call returned, as a tool message holds it."""
    return {
        "tool_call_id": outcome.tool_call_id,
        "name": outcome.name,
        "status": "error" if outcome.is_error else "success",
        "text": outcome.text,
        "was_run": outcome.was_run,
        "stdout": list(outcome.stdout),
        "stderr": list(outcome.stderr),
        "started_at": outcome.started_at.isoformat() if outcome.started_at else None,
        "duration_ms": outcome.duration_ms,
    }


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


def end_run(opened: OpenRun, end: RunEnd) -> bool:
    """Write the end of the run and give its conversation back.

    False when another process has taken the conversation over: it has written an end already, or will.
    """
    with transaction.atomic():
        if _write_end(opened, end):
            _keep_inputs_if_possible(opened)
            if end.error is not None:
                # Its last step is the one that could not be stored.
                close_pending_steps(
                    opened.run.id, status=StepStatus.FAILED, stop_reason=end.stop_reason, error=end.error
                )
            return True
    # Or an earlier try of ours was stored and not confirmed. Who ends a run from outside tells it in the same transaction.
    run = Run.objects.only("status", "stop_reason").get(id=opened.run.id)
    is_as_we_wrote = (run.status, run.stop_reason) == (end.status, end.stop_reason)
    return is_as_we_wrote and not RunEvent.objects.filter(run=run, type=RunEnded.__name__).exists()


def _write_end(opened: OpenRun, end: RunEnd) -> bool:
    has_ended = end_run_row(opened.lease, end)
    if has_ended:
        announce_end(opened.run)
        opened.background_run_ids = count_turn(opened.agent, opened.run.id, end)
        for group in (agent_group(opened.agent.id), workspace_group(opened.agent.workspace_id)):
            nudge(group, "run_ended", run_id=opened.run.id, agent_id=opened.agent.id, status=end.status)
    return has_ended
