"""The loop in a test: a scripted model, a journal in memory, no Django."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from agents.runtime.cancellation import CancelToken
from agents.runtime.events import (
    CallRetried,
    Event,
    RunEnded,
    RunStarted,
    StepStored,
    TextDelta,
    ToolCallDelta,
    ToolCallStarted,
    event_from_data,
    event_to_data,
)
from agents.runtime.loop import CANCELLED_RETURN, run_loop
from agents.runtime.model_call import Retry
from agents.runtime.ports import (
    AnswersEnd,
    CallOutcome,
    PlannedCall,
    RunEnd,
    StepEnd,
    StepStart,
    StoredStep,
)
from agents.runtime.snapshot import AttachedTool, CallSettings, Snapshot
from agents.runtime.tool_rules import Rule, RuleBook
from letta_ade.core.ids import otid_at
from letta_ade.llm.errors import ModelAuthentication, ModelOverloaded
from letta_ade.llm.messages import ChatMessage, TextPart, ToolSpec
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, reasoning, text, tool_call

Tool = Callable[..., str]
T = TypeVar("T")


class MemoryJournal:
    """Journal and ToolRunner at once: tools are functions, steps are kept in a list."""

    def __init__(self, **tools: Tool) -> None:
        self.tools = tools
        self.begun: list[StepStart] = []
        self.ended: list[StepEnd] = []
        self.answers: list[AnswersEnd] = []
        #: The end of the run, once and only once.
        self.ends: list[RunEnd] = []
        self.outcomes: list[CallOutcome] = []
        self.slow: asyncio.Event | None = None
        self.has_begun = asyncio.Event()

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
        made = () if step.is_request else self._run(step.calls, step.outcomes)
        messages = [{"id": step.message_id, "role": "assistant"}] if step.parts or step.calls else []
        return StoredStep(messages=messages, input_ids=[], outcomes=(*step.outcomes, *made))

    async def store_answers(self, answers: AnswersEnd) -> StoredStep:
        self.answers.append(answers)
        self._end(answers.run_end)
        made = self._run(answers.calls, answers.outcomes)
        return StoredStep(messages=[], input_ids=[], outcomes=(*answers.outcomes, *made))

    async def end_run(self, end: RunEnd) -> None:
        self._end(end)

    def _end(self, end: RunEnd | None) -> None:
        if end is not None:
            self.ends.append(end)

    def _run(self, calls: Sequence[PlannedCall], known: Sequence[CallOutcome]) -> tuple[CallOutcome, ...]:
        done = {outcome.tool_call_id for outcome in known}
        made = tuple(self._call(each) for each in calls if each.call.id not in done)
        self.outcomes += [*known, *made]
        return made

    def _call(self, planned: PlannedCall) -> CallOutcome:
        result = self.tools[planned.call.name](**planned.arguments)
        return CallOutcome(tool_call_id=planned.call.id, name=planned.call.name, text=result)


def spec(name: str, *parameters: str) -> AttachedTool:
    schema = {"type": "object", "properties": {each: {"type": "string"} for each in parameters}}
    return AttachedTool(spec=ToolSpec(name=name, description="", parameters=schema))


def snapshot(**changes: Any) -> Snapshot:
    values: dict[str, Any] = {
        "run_id": "run-1",
        "agent_id": "agent-1",
        "conversation_id": "conv-1",
        "caller_name": "Ada",
        "caller_id": "user-1",
        "context": (ChatMessage(role="system", parts=(TextPart(text="Be kind."),)),),
        "inputs": (ChatMessage(role="user", parts=(TextPart(text="Hello"),)),),
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
    model: ScriptedModel, journal: MemoryJournal, token: CancelToken | None = None, **changes: Any
) -> list[Event]:
    events = run_loop(
        snapshot(**changes),
        model=model,
        journal=journal,
        tools=journal,
        token=token or CancelToken(),
        estimate=lambda message: len(message.text),
        retry=Retry(attempts=2, pause_seconds=0),
    )
    return [event async for event in events]


def of(events: Sequence[Event], kind: type[T]) -> list[T]:
    return [event for event in events if isinstance(event, kind)]


def ending(events: Sequence[Event]) -> RunEnded:
    assert isinstance(events[-1], RunEnded)
    return events[-1]


def echo(words: str = "") -> str:
    return f"you said {words}"


async def test_a_plain_answer_ends_the_turn() -> None:
    journal = MemoryJournal()
    events = await collect(ScriptedModel([text("Good morning")]), journal)
    assert isinstance(events[0], RunStarted)
    assert "".join(event.text for event in of(events, TextDelta)) == "Good morning"
    assert (ending(events).status, ending(events).stop_reason) == ("completed", "end_turn")
    assert journal.ended[0].status == "success"


async def test_a_tool_call_brings_another_step_whose_request_holds_call_and_return() -> None:
    model = ScriptedModel([tool_call("echo", words="tea"), text("Done")])
    events = await collect(model, MemoryJournal(echo=echo))
    assert ending(events).usage["step_count"] == 2
    sent = json.dumps(model.payloads[1])
    assert "you said tea" in sent
    assert sent.index("Hello") < sent.index("you said tea")


async def test_the_step_is_stored_before_it_is_told() -> None:
    journal = MemoryJournal(echo=echo)
    seen: list[tuple[int, int]] = []
    events = run_loop(
        snapshot(),
        model=ScriptedModel([tool_call("echo", words="x"), text("y")]),
        journal=journal,
        tools=journal,
        token=CancelToken(),
        estimate=lambda message: 1,
        retry=Retry(),
    )
    async for event in events:
        if isinstance(event, StepStored):
            seen.append((event.number, len(journal.ended)))
    assert seen == [(1, 1), (2, 2)]


async def test_every_kind_of_message_has_the_next_otid_of_the_reply() -> None:
    model = ScriptedModel([[reasoning("hm"), text("I look"), tool_call("echo", words="a")], text("ok")])
    events = await collect(model, MemoryJournal(echo=echo))
    first = of(events, StepStored)[0].messages[0]["id"]
    otids = []
    for event in events:
        if getattr(event, "message_id", None) == first and hasattr(event, "otid") and event.otid not in otids:
            otids.append(event.otid)
    assert otids == [otid_at(first, 0), otid_at(first, 1), otid_at(first, 2)]
    assert otids[0] == first.removeprefix("message-")


async def test_arguments_that_are_no_json_are_refused_with_the_reason_and_the_run_goes_on() -> None:
    journal = MemoryJournal(echo=echo)
    model = ScriptedModel([tool_call("echo", json_text='{"words": '), text("sorry")])
    events = await collect(model, journal)
    assert journal.outcomes[0].is_error
    assert "not valid JSON" in journal.outcomes[0].text
    assert ending(events).stop_reason == "end_turn"


async def test_an_unknown_tool_is_refused_and_the_valid_ones_are_named() -> None:
    journal = MemoryJournal(echo=echo)
    await collect(ScriptedModel([tool_call("shout", words="a"), text("ok")]), journal)
    assert journal.outcomes[0].text.startswith("[ToolConstraintError]")
    assert "echo" in journal.outcomes[0].text


async def test_max_steps_ends_a_run_that_would_go_on() -> None:
    events = await collect(
        ScriptedModel([tool_call("echo", words="a"), tool_call("echo", words="b")]),
        MemoryJournal(echo=echo),
        max_steps=2,
    )
    assert (ending(events).status, ending(events).stop_reason) == ("completed", "max_steps")


async def test_an_exit_rule_ends_the_run_after_its_tool() -> None:
    book = rules({"type": "exit_loop", "tool_name": "echo"})
    events = await collect(
        ScriptedModel([tool_call("echo", words="a")]), MemoryJournal(echo=echo), rules=book
    )
    assert (ending(events).status, ending(events).stop_reason) == ("completed", "tool_rule")


async def test_a_tool_required_before_exit_is_asked_for_until_it_is_called() -> None:
    journal = MemoryJournal(echo=echo)
    book = rules({"type": "required_before_exit", "tool_name": "echo"})
    model = ScriptedModel([text("Bye"), tool_call("echo", words="a"), text("Now bye")])
    events = await collect(model, journal, rules=book)
    assert "echo" in (journal.ended[0].heartbeat or "")
    assert ending(events).usage["step_count"] == 3


async def test_a_count_limit_counts_each_call_once() -> None:
    book = rules({"type": "max_count_per_step", "tool_name": "echo", "max_count_limit": 2})
    journal = MemoryJournal(echo=echo, other=echo)
    model = ScriptedModel([tool_call("echo", words=str(n)) for n in range(3)] + [text("end")])
    await collect(model, journal, rules=book, tools=(spec("echo", "words"), spec("other", "words")))
    assert [outcome.is_error for outcome in journal.outcomes] == [False, False, True]


async def test_parallel_calls_are_stored_in_one_step_in_order() -> None:
    journal = MemoryJournal(echo=echo)
    model = ScriptedModel([[tool_call("echo", words="a"), tool_call("echo", words="b")], text("ok")])
    await collect(model, journal)
    assert [each.arguments["words"] for each in journal.ended[0].calls] == ["a", "b"]
    assert [outcome.text for outcome in journal.outcomes] == ["you said a", "you said b"]


async def test_the_first_of_several_calls_counts_when_parallel_calls_are_off() -> None:
    journal = MemoryJournal(echo=echo)
    model = ScriptedModel([[tool_call("echo", words="a"), tool_call("echo", words="b")], text("ok")])
    events = await collect(model, journal, settings=CallSettings(parallel_tool_calls=False))
    assert len(journal.ended[0].calls) == 1
    assert len({event.tool_call_id for event in of(events, ToolCallStarted)}) == 1


async def test_a_repeated_call_id_gets_a_new_one_in_stream_and_store() -> None:
    journal = MemoryJournal(echo=echo)
    model = ScriptedModel(
        [
            tool_call("echo", call_id="call_1", words="a"),
            tool_call("echo", call_id="call_1", words="b"),
            text("ok"),
        ]
    )
    events = await collect(model, journal)
    stored = [step.calls[0].call.id for step in journal.ended if step.calls]
    assert stored[0] == "call_1"
    assert stored[1] != "call_1"
    assert {event.tool_call_id for event in of(events, ToolCallDelta)} == set(stored)


async def test_a_passing_failure_is_tried_again_while_nothing_was_said() -> None:
    model = ScriptedModel([error(ModelOverloaded("busy")), text("Here")])
    events = await collect(model, MemoryJournal())
    assert [event.attempt for event in of(events, CallRetried)] == [1]
    assert ending(events).stop_reason == "end_turn"


async def test_a_failure_after_the_first_word_is_not_tried_again() -> None:
    journal = MemoryJournal()
    events = await collect(ScriptedModel([[text("Half a"), error(ModelOverloaded("gone"))]]), journal)
    assert (ending(events).status, ending(events).stop_reason) == ("failed", "llm_api_error")
    assert journal.ended[0].status == "failed"
    assert not of(events, CallRetried)


async def test_a_provider_error_keeps_the_providers_own_text() -> None:
    failure = ModelAuthentication(
        "The provider refused the key.", detail="Incorrect API key", request_id="req_7"
    )
    events = await collect(ScriptedModel([error(failure)]), MemoryJournal())
    payload = ending(events).error
    assert payload is not None
    assert payload["error_type"] == "llm_authentication"
    assert payload["detail"] == "Incorrect API key"
    assert payload["request_id"] == "req_7"


async def test_an_empty_reply_is_asked_for_once_more_and_then_fails_the_run() -> None:
    events = await collect(ScriptedModel([text(""), text("")]), MemoryJournal())
    assert len(of(events, CallRetried)) == 1
    assert ending(events).stop_reason == "invalid_llm_response"


async def test_a_cancelled_run_stores_what_it_had_said() -> None:
    journal, token, said = MemoryJournal(), CancelToken(), asyncio.Event()
    events: list[Event] = []

    async def run() -> None:
        stream = run_loop(
            snapshot(),
            model=ScriptedModel([[text("Once upon"), hang()]]),
            journal=journal,
            tools=journal,
            token=token,
            estimate=lambda message: 1,
            retry=Retry(),
        )
        async for event in stream:
            events.append(event)
            if isinstance(event, TextDelta) and "upon" in event.text:
                said.set()

    task = asyncio.create_task(run())
    await said.wait()
    token.request("cancelled")
    await task
    assert (ending(events).status, ending(events).stop_reason) == ("cancelled", "cancelled")
    assert journal.ended[0].status == "cancelled"
    told = "".join(event.text for event in of(events, TextDelta))
    assert "".join(part.text for part in journal.ended[0].parts if isinstance(part, TextPart)) == told


async def test_a_silent_model_can_be_cancelled() -> None:
    journal, token = MemoryJournal(), CancelToken()
    task = asyncio.create_task(collect(ScriptedModel([hang()]), journal, token))
    await journal.has_begun.wait()
    token.request("cancelled")
    assert ending(await task).status == "cancelled"


async def test_a_tool_that_is_cancelled_leaves_its_call_with_a_return() -> None:
    journal, token = MemoryJournal(echo=echo), CancelToken()
    journal.slow = asyncio.Event()
    task = asyncio.create_task(collect(ScriptedModel([tool_call("echo", words="a")]), journal, token))
    await journal.slow.wait()
    token.request("cancelled")
    events = await task
    assert ending(events).status == "cancelled"
    assert journal.outcomes[0].text == CANCELLED_RETURN


async def test_a_shutdown_fails_the_run_and_says_so() -> None:
    journal, token = MemoryJournal(), CancelToken()
    task = asyncio.create_task(collect(ScriptedModel([gate(asyncio.Event())]), journal, token))
    await journal.has_begun.wait()
    token.request("shutdown")
    error_payload = ending(await task).error
    assert error_payload is not None
    assert error_payload["error_type"] == "stream_task_cancelled"


async def test_a_journal_that_fails_still_ends_the_run() -> None:
    class Broken(MemoryJournal):
        async def end_step(self, step: StepEnd) -> StoredStep:
            raise RuntimeError("disk full")

    events = await collect(ScriptedModel([text("Hi")]), Broken())
    assert (ending(events).status, ending(events).stop_reason) == ("failed", "error")


async def test_events_survive_the_way_to_the_table_and_back() -> None:
    events = await collect(ScriptedModel([tool_call("echo", words="a"), text("b")]), MemoryJournal(echo=echo))
    for event in events:
        data = json.loads(json.dumps(event_to_data(event)))
        assert event_from_data(type(event).__name__, {**data, "from_the_future": 1}) == event
