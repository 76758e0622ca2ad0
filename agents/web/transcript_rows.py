"""Runs of a conversation read from the database as the transcript shows them: stored ones, and one that goes on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from django.db.models import Q

from agents.models import Agent, Conversation, Message, Run, RunEvent, RunLease, Step
from agents.models.message import MessageRole
from agents.runtime.events import event_from_data
from agents.services.agent_types import facts_of
from agents.services.leases import QUEUE
from agents.web.compaction_items import CompactionItem, compactions_of
from agents.web.context_places import places_of
from agents.web.live_frame import AskedStep, RunFrame
from agents.web.live_transcript import LiveRun
from agents.web.transcript import (
    MemoryLine,
    Records,
    RunItem,
    called_tools,
    decisions_from,
    ending_words,
    fault_from,
    input_from,
    remark_on,
)
from agents.web.transcript_steps import memory_lines, step_from
from letta_ade.accounts.models import ApiKey, User
from letta_ade.core.ids import LOCAL_USER_ID
from memory.models import BlockVersion

_SAID = (MessageRole.ASSISTANT, MessageRole.TOOL, MessageRole.APPROVAL)


def run_items(agent: Agent, runs: Sequence[Run]) -> list[RunItem]:
    """The runs as they are stored; one that goes on, as its stored events tell it. `runs` are consecutive, oldest first."""
    if not runs:
        return []
    run_ids = [run.id for run in runs]
    steps = Step.objects.filter(run_id__in=run_ids).order_by().in_bulk()
    rows = messages_of(Q(run_id__in=run_ids) | Q(step_id__in=list(steps)))
    records = _records(agent, steps, rows, runs[0].conversation_id)
    step_ids = _step_ids_by_run(steps)
    marks = compactions_of(runs[0].conversation, runs)
    day_before = _day_before(runs[0])
    items = []
    for run in runs:
        day = run.created_at if run.created_at.date() != day_before else None
        day_before = run.created_at.date()
        if run.has_ended:
            item = _ended_run(run, rows, step_ids[run.id], records, day)
            items.append(_with_marks(item, marks.get(run.id, ())))
        else:
            items.append(_live_run(_frame(run, agent, day), records))
    return items


def _step_ids_by_run(steps: Mapping[str, Step]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = defaultdict(list)
    for step in sorted(steps.values(), key=lambda step: step.number):
        found[step.run_id].append(step.id)
    return found


def ended_run_items(
    agent: Agent, conversation: Conversation, runs: Sequence[Run], rows: Sequence[Message]
) -> list[RunItem]:
    """Runs that have ended, as these of their messages tell them to a conversation that took them over; oldest first."""
    steps = Step.objects.filter(run__in=runs).order_by().in_bulk()
    records = _records(agent, steps, rows, conversation.id)
    step_ids = _step_ids_by_run(steps)
    day_before = _day_before(runs[0])
    items = []
    for run in runs:
        day = run.created_at if run.created_at.date() != day_before else None
        day_before = run.created_at.date()
        items.append(_ended_run(run, rows, step_ids[run.id], records, day))
    return items


def _with_marks(run: RunItem, marks: Sequence[CompactionItem]) -> RunItem:
    """The run with its compactions, each behind the step after which it happened."""
    if not marks:
        return run
    own = [mark for mark in marks if not mark.is_outside]
    after = {mark.step_id: mark for mark in own if mark.step_id}
    steps = tuple(
        replace(step, items=(*step.items, after.pop(step.id))) if step.id in after else step
        for step in run.steps
    )
    return replace(
        run,
        steps=steps,
        first_marks=tuple(mark for mark in own if not mark.step_id or mark.step_id in after),
        last_marks=tuple(mark for mark in marks if mark.is_outside),
    )


def load_frame(run_id: str) -> RunFrame | None:
    """What a watcher of a run must know before its first event; None when there is no such run."""
    run = Run.objects.filter(id=run_id).select_related("agent").first()
    if run is None:
        return None
    day = run.created_at if run.created_at.date() != _day_before(run) else None
    return _frame(run, run.agent, day)


def _frame(run: Run, agent: Agent, day: datetime | None) -> RunFrame:
    lease = RunLease.objects.filter(run=run).first()
    asked = run.request or {}
    queued = asked.get("inputs", []) if lease is not None and lease.owner == QUEUE else None
    return RunFrame(
        run_id=run.id,
        agent_name=agent.name,
        first_number=_first_place(run),
        day=day,
        speaks_by_tool=facts_of(agent.agent_type).is_heartbeat,
        queued=None if queued is None else tuple(Message.from_data(data) for data in queued),
        is_handed_over=queued is not None and RunEvent.objects.filter(run=run).exists(),
        queued_by=asked.get("caller", {}).get("name", ""),
        asked=_asked_step(run, agent),
    )


def _asked_step(run: Run, agent: Agent) -> AskedStep | None:
    """The step of an earlier run whose calls this one answers."""
    answer = run.messages.filter(role=MessageRole.APPROVAL, approvals__isnull=False).only("step_id").first()
    if answer is None:
        entry = run.conversation.entries.order_by("-position").select_related("message").first()
        if entry is None or entry.message.role != MessageRole.APPROVAL or not entry.message.tool_calls:
            return None
        answer = entry.message
    step = Step.objects.filter(id=answer.step_id).exclude(run=run).select_related("run").first()
    if step is None:
        return None
    rows = [message for message in messages_of(Q(step=step)) if message.run_id != run.id]
    said = _of_steps(step.run, rows, [step.id])
    return AskedStep(
        id=step.id,
        run_id=step.run_id,
        number=step.place,
        messages=tuple(said[step.id]),
        records=_records(agent, {step.id: step}, rows, run.conversation_id),
    )


def messages_of(which: Q) -> list[Message]:
    """These messages without what only searches need, oldest first."""
    return list(Message.objects.filter(which).defer("search", "text").order_by("created_at", "id"))


def load_run(run_id: str) -> tuple[Run, RunItem] | None:
    """One run as it is stored."""
    run = Run.objects.filter(id=run_id).select_related("agent").first()
    return None if run is None else (run, run_items(run.agent, [run])[0])


def runs_since(conversation_id: str, run_id: str | None, limit: int = 50) -> list[str]:
    """The ids of a run and of those after it, oldest first; of the newest ones when the run is unknown."""
    runs = Run.objects.filter(conversation_id=conversation_id).order_by("-created_at", "-id")
    if run_id:
        since = runs.filter(id=run_id).values_list("created_at", flat=True).first()
        if since is not None:
            runs = runs.filter(created_at__gte=since)
    return list(runs.values_list("id", flat=True)[:limit])[::-1]


def _live_run(frame: RunFrame, records: Records) -> RunItem:
    live = LiveRun(frame, names=records.names)
    rows = RunEvent.objects.filter(run_id=frame.run_id).order_by("seq")
    live.apply_all([event_from_data(*row) for row in rows.values_list("type", "data")])
    return live.item()


def _ended_run(
    run: Run,
    rows: Sequence[Message],
    step_ids: Sequence[str],
    records: Records,
    day: datetime | None,
) -> RunItem:
    by_step = _of_steps(run, rows, step_ids)
    own = [message for message in rows if message.run_id == run.id]
    answers = [message for message in own if message.approvals is not None and message.step_id not in by_step]
    tools = called_tools(rows)
    if answers and not all(item["tool_call_id"] in tools for item in answers[0].approvals or ()):
        # They were asked in a run that is further up than this window.
        tools = called_tools(messages_of(Q(step_id=answers[0].step_id)))
    return RunItem(
        id=run.id,
        decisions=decisions_from(answers, records.names, tools),
        inputs=tuple(
            input_from(message, records.names, place=records.places.get(message.id, ""))
            for message in inputs_of(own, step_ids)
        ),
        steps=tuple(
            step_from(step_id, records.steps[step_id].place, by_step[step_id], records)
            for step_id in step_ids
            if by_step[step_id]
        ),
        day=day,
        fault=fault_from(run.metadata.get("error")),
        ending=ending_words(run.stop_reason),
        remark=remark_on(run.attempts),
    )


def _of_steps(run: Run, rows: Sequence[Message], step_ids: Sequence[str]) -> dict[str, list[Message]]:
    """What each step wrote, the inputs of the run left out, and what was answered to it later."""
    own = [message for message in rows if message.run_id == run.id]
    inputs = {message.id for message in inputs_of(own, step_ids)}
    by_step: dict[str, list[Message]] = {step_id: [] for step_id in step_ids}
    for message in rows:
        if message.step_id in by_step and message.id not in inputs:
            by_step[message.step_id].append(message)
    return by_step


def inputs_of(messages: Sequence[Message], step_ids: Collection[str]) -> list[Message]:
    """The messages of a run's request, among all that the run stored; `step_ids` are its own steps."""
    found = []
    for message in messages:
        if message.step_id and message.step_id not in step_ids:
            continue  # an answer to an earlier run, and what came of it
        if message.step_id and message.role in _SAID:
            break
        if message.role == MessageRole.SUMMARY:
            continue
        found.append(message)
    return found


def _records(
    agent: Agent, steps: Mapping[str, Step], rows: Sequence[Message], conversation_id: str
) -> Records:
    return Records(
        steps=steps,
        changes=_changes({message.run_id for message in rows if message.run_id}),
        names=author_names({message.created_by_id for message in rows if message.created_by_id}),
        places=places_of(conversation_id, rows),
        speaks_by_tool=facts_of(agent.agent_type).is_heartbeat,
    )


def _changes(run_ids: Collection[str]) -> dict[str, tuple[MemoryLine, ...]]:
    versions = list(BlockVersion.objects.filter(run_id__in=run_ids).order_by("created_at"))
    if not versions:
        return {}
    wanted = Q()
    for version in versions:
        wanted |= Q(block_id=version.block_id, number=version.number - 1)
    before = {
        (block_id, number): value
        for block_id, number, value in BlockVersion.objects.filter(wanted).values_list(
            "block_id", "number", "value"
        )
    }
    return memory_lines(versions, before)


def author_names(ids: set[str]) -> dict[str, str]:
    """Names of the users and keys that wrote something."""
    names = {LOCAL_USER_ID: "You"}
    user_ids = [each for each in ids if each.startswith("user-") and each not in names]
    key_ids = [each for each in ids if each.startswith("key-")]
    if user_ids:
        names |= {user.id: user.display_name for user in User.objects.filter(id__in=user_ids)}
    if key_ids:
        names |= dict(ApiKey.objects.filter(id__in=key_ids).values_list("id", "name"))
    return names


def _first_place(run: Run) -> int:
    """The place of its first step; before that the next one of the conversation, to which nobody else writes meanwhile."""
    own = run.steps.order_by("number").values_list("place", flat=True).first()
    if own is not None:
        return own
    last = Step.objects.filter(conversation_id=run.conversation_id).order_by("-place")
    return (last.values_list("place", flat=True).first() or 0) + 1


def _day_before(run: Run) -> object:
    earlier = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, id__lt=run.id)
    runs = Run.objects.filter(earlier, conversation_id=run.conversation_id).order_by("-created_at", "-id")
    moment = runs.values_list("created_at", flat=True).first()
    return moment.date() if moment is not None else None
