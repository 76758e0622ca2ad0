"""The loop in a test: a journal in memory, a snapshot of an agent, no Django.

told = await tell([tool_call("echo", words="a"), text("Done")], tools=(spec("echo", "words"),))
assert told.stop_reason == "end_turn"
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from agents.runtime.cancellation import CancelToken
from agents.runtime.compacting import FindSummarisers
from agents.runtime.compaction import ContextItem
from agents.runtime.events import Event, RunEnded
from agents.runtime.loop import run_loop
from agents.runtime.model_call import Retry
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
from agents.runtime.snapshot import AttachedTool, CallSettings, Snapshot
from agents.runtime.tool_rules import Rule, RuleBook
from letta_ade.llm.messages import ChatMessage, TextPart, ToolReturn, ToolSpec
from letta_ade.llm.testing import ScriptedModel, ScriptedReply

Tool = Callable[..., str]
T = TypeVar("T")

SYSTEM = ChatMessage(role="system", parts=(TextPart(text="Be kind."),))
HELLO = ChatMessage(role="user", parts=(TextPart(text="Hello"),))
#: The two forms of the loop.
LOOPS = ("direct", "heartbeat")


def echo(words: str = "") -> str:
    return f"you said {words}"


class Recorder:
    """A tool that keeps the arguments of its calls."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []

    def __call__(self, **arguments: Any) -> str:
        self.seen.append(arguments)
        return "noted"


class MemoryJournal:
    """Journal and ToolRunner at once: tools are functions, and what is stored is kept as the next run reads it."""

    def __init__(self, **tools: Tool) -> None:
        self.tools = tools
        self.begun: list[StepStart] = []
        self.ended: list[StepEnd] = []
        self.answers: list[AnswersEnd] = []
        #: The end of the run, once and only once.
        self.ends: list[RunEnd] = []
        self.outcomes: list[CallOutcome] = []
        #: What the run has put into the context.
        self.stored: list[ChatMessage] = []
        #: Set: tools begin and never return; they set it when they have begun.
        self.slow: asyncio.Event | None = None
        self.has_begun = asyncio.Event()
        self._inputs: tuple[ChatMessage, ...] = ()
        #: The context of the run, as it changes.
        self.context: list[ContextItem] = []
        self.compactions: list[CompactionEnd] = []
        self._number = 0

    def open(self, snapshot: Snapshot) -> None:
        """Take the inputs of the run, which are stored with its first step."""
        self._inputs = snapshot.inputs
        if [item.chat for item in self.context] != [*snapshot.context]:
            self.context = [self._item(chat) for chat in snapshot.context]

    def _item(self, chat: ChatMessage, *, is_summary: bool = False) -> ContextItem:
        self._number += 1
        return ContextItem(message_id=f"message-{self._number}", chat=chat, is_summary=is_summary)

    def _keep(self, messages: Sequence[ChatMessage]) -> None:
        self.stored += messages
        self.context += map(self._item, messages)

    async def load_context(self) -> tuple[ContextItem, ...]:
        return tuple(self.context)

    async def compact(self, compaction: CompactionEnd) -> StoredCompaction:
        self.compactions.append(compaction)
        replaced = set(compaction.replaced)
        assert replaced == {item.message_id for item in self.context[1 : 1 + len(replaced)]}
        said = ChatMessage(role="user", parts=(TextPart(text=compaction.text),))
        summary = self._item(said, is_summary=True)
        self.context[1 : 1 + len(replaced)] = [summary]
        return StoredCompaction(
            message={"id": summary.message_id, "role": "summary"}, context=tuple(self.context)
        )

    async def begin_step(self, step: StepStart) -> None:
        self.begun.append(step)
        self.has_begun.set()

    async def execute(
        self, step_id: str, message_id: str, calls: Sequence[PlannedCall]
    ) -> tuple[CallOutcome, ...]:
        if self.slow is not None:
            self.slow.set()
            await asyncio.Event().wait()
        return ()

    async def end_step(self, step: StepEnd) -> StoredStep:
        self.ended.append(step)
        self._end(step.run_end)
        outcomes = step.outcomes if step.is_request else self._run(step.calls, step.outcomes)
        if step.status == "failed":
            return StoredStep(messages=[], input_ids=[], outcomes=outcomes)
        said = self._said(step, outcomes)
        self._keep([*self._inputs, *said])
        self._inputs = ()
        messages = [{"id": step.message_id, "role": each.role} for each in said]
        return StoredStep(messages=messages, input_ids=[], outcomes=outcomes)

    async def store_answers(self, answers: AnswersEnd) -> StoredStep:
        self.answers.append(answers)
        self._end(answers.run_end)
        outcomes = self._run(answers.calls, answers.outcomes)
        self._keep([ChatMessage(role="approval"), _returns(answers.calls, outcomes)])
        self._keep(_note(answers.heartbeat))
        return StoredStep(messages=[], input_ids=[], outcomes=outcomes)

    async def end_run(self, end: RunEnd) -> None:
        self._end(end)

    def _end(self, end: RunEnd | None) -> None:
        if end is not None:
            self.ends.append(end)

    def _said(self, step: StepEnd, outcomes: Sequence[CallOutcome]) -> list[ChatMessage]:
        free = tuple(each.call for each in step.calls if not each.is_waiting)
        waiting = tuple(each.call for each in step.calls if each.is_waiting)
        said = []
        if step.parts or free:
            said.append(ChatMessage(role="assistant", parts=step.parts, tool_calls=free))
        if step.is_request:
            said.append(ChatMessage(role="approval", tool_calls=waiting))
        elif step.calls:
            said.append(_returns(step.calls, outcomes))
        return said + _note(step.heartbeat)

    def _run(self, calls: Sequence[PlannedCall], known: Sequence[CallOutcome]) -> tuple[CallOutcome, ...]:
        done = {outcome.tool_call_id: outcome for outcome in known}
        outcomes = tuple(done.get(each.call.id) or self._call(each) for each in calls)
        self.outcomes += outcomes
        return outcomes

    def _call(self, planned: PlannedCall) -> CallOutcome:
        name = planned.call.name
        try:
            text, is_error = self.tools[name](**planned.arguments), False
        except Exception as error:
            text, is_error = f"Error executing function {name}: {type(error).__name__}: {error}", True
        return CallOutcome(tool_call_id=planned.call.id, name=name, text=text, is_error=is_error)


def _returns(calls: Sequence[PlannedCall], outcomes: Sequence[CallOutcome]) -> ChatMessage:
    by_id = {outcome.tool_call_id: outcome for outcome in outcomes}
    return ChatMessage(
        role="tool",
        tool_returns=tuple(
            ToolReturn(
                tool_call_id=each.call.id,
                text=by_id[each.call.id].text,
                is_error=by_id[each.call.id].is_error,
                was_run=by_id[each.call.id].was_run,
            )
            for each in calls
        ),
    )


def _note(text: str | None) -> list[ChatMessage]:
    return [] if text is None else [ChatMessage(role="user", parts=(TextPart(text=text),))]


def spec(
    name: str,
    *parameters: str,
    required: Sequence[str] = (),
    is_client: bool = False,
    **schemas: dict[str, Any],
) -> AttachedTool:
    """A tool with these parameters, which are texts unless they have a schema of their own."""
    properties = {**{each: {"type": "string"} for each in parameters}, **schemas}
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return AttachedTool(spec=ToolSpec(name=name, description="", parameters=schema), is_client=is_client)


def snapshot(**changes: Any) -> Snapshot:
    """An agent that has one tool, `echo`, and is told hello."""
    values: dict[str, Any] = {
        "run_id": "run-1",
        "agent_id": "agent-1",
        "conversation_id": "conv-1",
        "caller_name": "Ada",
        "caller_id": "user-1",
        "context": (SYSTEM,),
        "inputs": (HELLO,),
        "tools": (spec("echo", "words"),),
        "rules": RuleBook(()),
        "settings": CallSettings(),
        "context_window": 32_000,
        "max_steps": 10,
    }
    return Snapshot(**{**values, **changes})


def rules(*data: dict[str, Any]) -> RuleBook:
    return RuleBook(Rule.from_data(each) for each in data)


async def collect(
    model: ScriptedModel,
    journal: MemoryJournal,
    token: CancelToken | None = None,
    *,
    find_summarisers: FindSummarisers | None = None,
    **changes: Any,
) -> list[Event]:
    """All events of a run."""
    opened = snapshot(**changes)
    journal.open(opened)
    events = run_loop(
        opened,
        model=model,
        journal=journal,
        tools=journal,
        token=token or CancelToken(),
        estimate=lambda message: len(message.text),
        retry=Retry(attempts=2, pause_seconds=0),
        find_summarisers=find_summarisers,
    )
    return [event async for event in events]


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A run that has ended: what it told, stored and sent."""

    events: list[Event]
    journal: MemoryJournal
    model: ScriptedModel

    @property
    def end(self) -> RunEnded:
        return ending(self.events)

    @property
    def stop_reason(self) -> str:
        return self.end.stop_reason

    @property
    def status(self) -> str:
        return self.end.status

    @property
    def returns(self) -> list[str]:
        """What the calls returned, in order."""
        return [outcome.text for outcome in self.journal.outcomes]

    def offered(self, call: int = -1) -> set[str]:
        """The tools that a model call was offered."""
        return {tool.name for tool in self.model.requests[call].tools}

    def choice(self, call: int = -1) -> str:
        """How a model call was told to choose among them: a mode, or the name of the only tool."""
        choice = self.model.requests[call].tool_choice
        return choice.name or choice.mode


async def tell(
    replies: Sequence[ScriptedReply],
    *,
    journal: MemoryJournal | None = None,
    token: CancelToken | None = None,
    **changes: Any,
) -> Told:
    """A run with these replies; every attached tool is an `echo` unless a journal has others."""
    if journal is None:
        attached = changes.get("tools") or snapshot().tools
        journal = MemoryJournal(**{tool.spec.name: lambda **said: echo(*said.values()) for tool in attached})
    model = ScriptedModel(replies)
    return Told(events=await collect(model, journal, token, **changes), journal=journal, model=model)


def of(events: Sequence[Event], kind: type[T]) -> list[T]:
    """The events of this kind."""
    return [event for event in events if isinstance(event, kind)]


def ending(events: Sequence[Event]) -> RunEnded:
    """The last event, which is the only end."""
    assert len(of(events, RunEnded)) == 1
    assert isinstance(events[-1], RunEnded)
    return events[-1]
