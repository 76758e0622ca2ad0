"""The transcript of a conversation read from the database: the newest runs, and those before them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Q

from agents.models import Agent, Conversation, Message, Run, RunEvent, Step
from agents.models.message import MessageRole
from agents.runtime.events import event_from_data
from agents.web.live_transcript import LiveRun, RunFrame
from agents.web.transcript import (
    InputItem,
    Item,
    MemoryLine,
    NoteItem,
    Records,
    RunItem,
    TextItem,
    ThoughtItem,
    ending_words,
    fault_from,
    input_from,
    memory_lines,
    step_from,
    text_of,
)
from letta_ade.accounts.models import ApiKey, User
from letta_ade.core.ids import LOCAL_USER_ID
from letta_ade.core.pagination import PageRequest, paginate
from memory.models import BlockVersion

#: Runs that are shown at once.
WINDOW = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A window of a conversation, oldest first."""

    runs: tuple[RunItem, ...]
    #: What the agent was born with; only above the very first run.
    first_messages: tuple[InputItem | Item, ...]
    #: The run before which there are more; None at the beginning.
    older_than: str | None

    @property
    def is_empty(self) -> bool:
        return not self.runs and not self.first_messages


def load_transcript(agent: Agent, conversation: Conversation, *, before: str | None = None) -> Transcript:
    """The newest runs, or those before a run. Raises NotFound for a run that the conversation has not."""
    everything = Run.objects.filter(conversation=conversation)
    page = PageRequest(limit=WINDOW + 1, order="desc", after=before)
    found = paginate(everything, page)
    runs = found[:WINDOW][::-1]
    has_more = len(found) > WINDOW
    return Transcript(
        runs=tuple(run_items(agent, runs)),
        first_messages=() if has_more else _first_messages(conversation),
        older_than=runs[0].id if has_more else None,
    )


def run_items(agent: Agent, runs: Sequence[Run]) -> list[RunItem]:
    """The runs as they are stored; one that goes on, as its stored events tell it. `runs` are consecutive, oldest first."""
    if not runs:
        return []
    run_ids = [run.id for run in runs]
    messages: dict[str, list[Message]] = defaultdict(list)
    rows = Message.objects.filter(run_id__in=run_ids).defer("search", "text").order_by("created_at", "id")
    for message in rows:
        messages[message.run_id or ""].append(message)
    records = _records(run_ids, messages)
    step_ids: dict[str, list[str]] = defaultdict(list)
    for step in sorted(records.steps.values(), key=lambda step: step.number):
        step_ids[step.run_id].append(step.id)
    number, day_before = _steps_before(runs[0]), _day_before(runs[0])
    items = []
    for run in runs:
        day = run.created_at if run.created_at.date() != day_before else None
        day_before = run.created_at.date()
        if run.has_ended:
            items.append(_ended_run(run, messages[run.id], step_ids[run.id], records, number, day))
        else:
            frame = RunFrame(run_id=run.id, agent_name=agent.name, first_number=number + 1, day=day)
            items.append(_live_run(frame, records))
        number += len(step_ids[run.id])
    return items


def load_frame(run_id: str) -> RunFrame | None:
    """What a watcher of a run must know before its first event; None when there is no such run."""
    run = Run.objects.filter(id=run_id).select_related("agent").first()
    if run is None:
        return None
    day = run.created_at if run.created_at.date() != _day_before(run) else None
    return RunFrame(run_id=run.id, agent_name=run.agent.name, first_number=_steps_before(run) + 1, day=day)


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
    for type_name, data in rows.values_list("type", "data"):
        live.apply(event_from_data(type_name, data))
    return live.item()


def _ended_run(
    run: Run,
    messages: Sequence[Message],
    step_ids: Sequence[str],
    records: Records,
    steps_before: int,
    day: datetime | None,
) -> RunItem:
    inputs, said = split_inputs(messages)
    by_step: dict[str, list[Message]] = defaultdict(list)
    for message in said:
        by_step[message.step_id or ""].append(message)
    return RunItem(
        id=run.id,
        inputs=tuple(input_from(message, records.names) for message in inputs),
        steps=tuple(
            step_from(step_id, steps_before + place, by_step[step_id], records)
            for place, step_id in enumerate(step_ids, start=1)
            if by_step[step_id]
        ),
        day=day,
        fault=fault_from(run.metadata.get("error")),
        ending=ending_words(run.stop_reason),
    )


def split_inputs(messages: Sequence[Message]) -> tuple[list[Message], list[Message]]:
    """The messages of the request, and what the run wrote after them."""
    for place, message in enumerate(messages):
        if message.role in (MessageRole.ASSISTANT, MessageRole.TOOL) and message.step_id is not None:
            return list(messages[:place]), list(messages[place:])
    return list(messages), []


def _records(run_ids: Sequence[str], messages: dict[str, list[Message]]) -> Records:
    authors = {each.created_by_id for rows in messages.values() for each in rows if each.created_by_id}
    return Records(
        steps=Step.objects.filter(run_id__in=run_ids).in_bulk(),
        changes=_changes(run_ids),
        names=author_names(authors),
    )


def _changes(run_ids: Sequence[str]) -> dict[str, tuple[MemoryLine, ...]]:
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


def _steps_before(run: Run) -> int:
    earlier = Q(run__created_at__lt=run.created_at) | Q(run__created_at=run.created_at, run_id__lt=run.id)
    return Step.objects.filter(earlier, run__conversation_id=run.conversation_id).count()


def _day_before(run: Run) -> object:
    earlier = Q(created_at__lt=run.created_at) | Q(created_at=run.created_at, id__lt=run.id)
    runs = Run.objects.filter(earlier, conversation_id=run.conversation_id).order_by("-created_at", "-id")
    moment = runs.values_list("created_at", flat=True).first()
    return moment.date() if moment is not None else None


def _first_messages(conversation: Conversation) -> tuple[InputItem | Item, ...]:
    rows = Message.objects.filter(conversation=conversation, run=None, is_err=False)
    rows = rows.exclude(role=MessageRole.SYSTEM).defer("search", "text").order_by("created_at", "id")
    return tuple(item for message in rows[:WINDOW] for item in _first_items(message))


def _first_items(message: Message) -> list[InputItem | Item]:
    """What a message shows that the agent was born with: words sent by a tool as words, and no returns of that tool."""
    text = text_of(message.content)
    match message.role:
        case MessageRole.TOOL:
            return []
        case MessageRole.ASSISTANT if message.tool_calls:
            thought = [ThoughtItem(id=f"thought-{message.id}", text=text)] if text else []
            words = [_words_of(call["arguments"]) for call in message.tool_calls]
            return [*thought, TextItem(id=message.id, text="\n\n".join(words))]
        case MessageRole.ASSISTANT:
            return [TextItem(id=message.id, text=text)]
        case MessageRole.USER if text.startswith('{"type": "login"'):
            return [NoteItem(id=message.id, text="The agent was told that somebody has come.")]
        case _:
            return [input_from(message, {})]


def _words_of(arguments: str) -> str:
    return str(json.loads(arguments).get("message", ""))
