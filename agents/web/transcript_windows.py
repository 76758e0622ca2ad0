"""Windows of a transcript: the newest runs of a conversation, those beside a run, those around something that an address names."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from django.db.models import Count, Q, QuerySet

from agents.models import Agent, Conversation, Message, Run, SharedMessage, Step
from agents.models.message import MessageRole
from agents.services.conversations import history_of
from agents.web.context_places import Place, places_of
from agents.web.transcript import (
    InputItem,
    Item,
    NoteItem,
    RunItem,
    TextItem,
    ThoughtItem,
    input_from,
    text_of,
)
from agents.web.transcript_rows import ended_run_items, messages_of, run_items
from letta_ade.core.errors import NotFound
from letta_ade.core.pagination import Order, PageRequest, paginate

#: Runs that are shown at once; fewer when a page is opened, which is seen the sooner; and the messages from which on fewer are.
WINDOW = 20
FIRST_WINDOW = 10
MOST_MESSAGES = 200
_ID = re.compile(r"(?P<kind>run|step|message)-[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Transcript:
    """A window of a conversation, oldest first."""

    runs: tuple[RunItem, ...]
    #: What a fork took over; comes before its own runs.
    taken_over: tuple[RunItem, ...]
    #: The last of what was taken over is in this window.
    ends_taken_over: bool
    #: What the agent was born with; only above the very first run.
    first_messages: tuple[InputItem | Item, ...]
    #: The run before which there are more; None at the beginning.
    older_than: str | None
    #: The run after which there are more; None at the end.
    newer_than: str | None
    #: The run that was looked for.
    around: str | None = None

    @property
    def is_empty(self) -> bool:
        return not self.runs and not self.first_messages and not self.taken_over

    def placed(self, *, without: Collection[str] = ()) -> Iterator[InputItem | TextItem]:
        """What is, or was, in the context and can be seen, but for what these runs said."""
        for item in self.first_messages:
            if isinstance(item, InputItem | TextItem) and item.place:
                yield item
        for run in (*self.taken_over, *self.runs):
            if run.id not in without:
                yield from run.placed()


def load_transcript(
    agent: Agent,
    conversation: Conversation,
    *,
    before: str | None = None,
    after: str | None = None,
    around: str | None = None,
) -> Transcript:
    """The newest runs, those before or after a run, or those around a run, a step or a message.

    Raises NotFound for what the conversation has not.
    """
    everything = _runs_of(conversation)
    if after is not None:
        later, has_later = _some(everything, after, "asc", WINDOW)
        return _window(agent, conversation, later, has_earlier=True, has_later=has_later)
    if around is None:
        earlier, has_earlier = _some(everything, before, "desc", WINDOW if before else FIRST_WINDOW)
        return _window(
            agent, conversation, earlier[::-1], has_earlier=has_earlier, has_later=before is not None
        )
    run = _run_around(conversation, everything, around)
    if run is None:  # it is older than all runs
        later, has_later = _some(everything, None, "asc", WINDOW)
        return _window(agent, conversation, later, has_earlier=False, has_later=has_later)
    earlier, has_earlier = _some(everything, run.id, "desc", WINDOW // 2)
    later, has_later = _some(everything, run.id, "asc", WINDOW // 2)
    runs = [*earlier[::-1], run, *later]
    window = _window(agent, conversation, runs, has_earlier=has_earlier, has_later=has_later)
    return replace(window, around=run.id)


def _some(everything: QuerySet[Run], cursor: str | None, order: Order, most: int) -> tuple[list[Run], bool]:
    """The runs nearest to the cursor, and whether there are more. Fewer when they say much, but one at least."""
    found = paginate(everything, PageRequest(limit=most + 1, order=order, after=cursor))
    counted = Message.objects.filter(run__in=found).values_list("run_id").annotate(n=Count("id"))
    sizes = dict(counted.order_by())
    total = taken = 0
    for run in found[:most]:
        total += sizes.get(run.id, 0)
        if taken and total > MOST_MESSAGES:
            break
        taken += 1
    return found[:taken], taken < len(found)


def _runs_of(conversation: Conversation) -> QuerySet[Run]:
    """Its own runs, and those of which a fork took something over; these are all older."""
    own = Q(conversation=conversation)
    if conversation.forked_from_id:
        own |= Q(id__in=_shared(conversation).values("run_id"))
    return Run.objects.filter(own)


def _shared(conversation: Conversation) -> QuerySet[Message]:
    shared = SharedMessage.objects.filter(conversation=conversation).values("message_id")
    return Message.objects.filter(id__in=shared, run__isnull=False)


def _run_around(conversation: Conversation, everything: QuerySet[Run], name: str) -> Run | None:
    """The run of what an element's id names; None for a message that the agent was born with."""
    match = _ID.search(name)
    run_id: str | None = None
    if match is not None:
        found = match.group()
        match match["kind"]:
            case "run":
                run_id = found
            case "step":
                run_id = Step.objects.filter(id=found).values_list("run_id", flat=True).first()
            case "message":
                run_ids = list(history_of(conversation).filter(id=found).values_list("run_id", flat=True))
                if run_ids == [None]:
                    return None
                run_id = run_ids[0] if run_ids else None
    run = everything.filter(id=run_id).first() if run_id else None
    if run is None:
        raise NotFound(f"The conversation has no {name!r}.")
    return run


def _window(
    agent: Agent, conversation: Conversation, runs: Sequence[Run], *, has_earlier: bool, has_later: bool
) -> Transcript:
    own = [run for run in runs if run.conversation_id == conversation.id]
    others = [run for run in runs if run.conversation_id != conversation.id]
    for run in own:
        run.conversation = conversation
    newest = _shared(conversation).order_by("-run__created_at", "-run_id") if others else None
    return Transcript(
        runs=tuple(run_items(agent, own)),
        taken_over=_taken_over(agent, conversation, others) if others else (),
        ends_taken_over=newest is not None
        and newest.values_list("run_id", flat=True).first() == others[-1].id,
        first_messages=() if has_earlier else _first_messages(conversation),
        older_than=runs[0].id if has_earlier and runs else None,
        newer_than=runs[-1].id if has_later and runs else None,
    )


def _taken_over(agent: Agent, conversation: Conversation, runs: Sequence[Run]) -> tuple[RunItem, ...]:
    """These runs of other conversations; of each only what is in the fork's history."""
    shared = _shared(conversation).filter(run__in=runs)
    rows = messages_of(Q(id__in=shared.values("id")))
    # How a run ended is told where it ran.
    return tuple(
        replace(item, fault=None, ending="", remark="")
        for item in ended_run_items(agent, conversation, runs, rows)
    )


def _first_messages(conversation: Conversation) -> tuple[InputItem | Item, ...]:
    rows = history_of(conversation).filter(run=None, is_err=False)
    rows = (
        rows.exclude(role__in=[MessageRole.SYSTEM, MessageRole.SUMMARY])
        .defer("search", "text")
        .order_by("created_at", "id")
    )
    found = list(rows[:WINDOW])
    places = places_of(conversation.id, found)
    return tuple(item for message in found for item in _first_items(message, places.get(message.id, "")))


def _first_items(message: Message, place: Place) -> list[InputItem | Item]:
    """What a message shows that the agent was born with: words sent by a tool as words, and no returns of that tool."""
    text = text_of(message.content)
    match message.role:
        case MessageRole.TOOL:
            return []
        case MessageRole.ASSISTANT if message.tool_calls:
            thought = [ThoughtItem(id=f"thought-{message.id}", text=text)] if text else []
            words = [_words_of(call["arguments"]) for call in message.tool_calls]
            return [*thought, TextItem(id=message.id, text="\n\n".join(words), place=place)]
        case MessageRole.ASSISTANT:
            return [TextItem(id=message.id, text=text, place=place)]
        case MessageRole.USER if text.startswith('{"type": "login"'):
            return [NoteItem(id=message.id, text="The agent was told that somebody has come.")]
        case _:
            return [input_from(message, {}, place=place)]


def _words_of(arguments: str) -> str:
    return str(json.loads(arguments).get("message", ""))
