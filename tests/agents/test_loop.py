"""The loop in a test: a scripted model, a journal in memory, no Django."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from agents.runtime.cancellation import CancelToken, RunStopped
from agents.runtime.events import (
    CallRetried,
    Event,
    RunEnded,
    RunStarted,
    StepStored,
    TextDelta,
    event_from_data,
    event_to_data,
)
from agents.runtime.loop import CANCELLED_RETURN, run_loop
from agents.runtime.model_call import Retry
from agents.runtime.ports import StepEnd, StoredStep
from letta_ade.core.ids import otid_at
from letta_ade.llm.errors import ModelAuthentication, ModelOverloaded
from letta_ade.llm.messages import TextPart
from letta_ade.llm.testing import ScriptedModel, error, gate, hang, reasoning, text, tool_call
from tests.support.loop import MemoryJournal, collect, echo, ending, of, snapshot, tell


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


async def test_a_run_cancelled_between_two_steps_ends_without_another_call() -> None:
    token = CancelToken()

    def cancel(words: str = "") -> str:
        token.request("cancelled")
        return "done"

    told = await tell([tool_call("echo", words="a")], journal=MemoryJournal(echo=cancel), token=token)
    assert (told.status, told.stop_reason) == ("cancelled", "cancelled")
    assert len(told.model.requests) == 1
    assert told.returns == ["done"]


async def test_a_stop_that_cannot_be_stored_still_ends_the_run() -> None:
    class Broken(MemoryJournal):
        async def end_step(self, step: StepEnd) -> StoredStep:
            raise RuntimeError("disk full")

    journal, token = Broken(), CancelToken()
    task = asyncio.create_task(tell([hang()], journal=journal, token=token))
    await journal.has_begun.wait()
    token.request("cancelled")
    told = await task
    assert (told.status, told.stop_reason) == ("failed", "error")
    assert len(journal.ends) == 1


@pytest.mark.parametrize("replies", [[text("Hi")], [error(ModelAuthentication("no"))], [hang()]])
async def test_a_run_that_another_process_has_taken_over_is_not_ended_here(replies: list[Any]) -> None:
    class TakenOver(MemoryJournal):
        async def end_step(self, step: StepEnd) -> StoredStep:
            raise RunStopped("lease_lost")

    journal, token = TakenOver(), CancelToken()
    task = asyncio.create_task(collect(ScriptedModel(replies), journal, token))
    await journal.has_begun.wait()
    token.request("shutdown")
    assert not of(await task, RunEnded)
    assert not journal.ends


async def test_events_survive_the_way_to_the_table_and_back() -> None:
    events = await collect(ScriptedModel([tool_call("echo", words="a"), text("b")]), MemoryJournal(echo=echo))
    for event in events:
        data = json.loads(json.dumps(event_to_data(event)))
        assert event_from_data(type(event).__name__, {**data, "from_the_future": 1}) == event
