"""The loop with a small window: it compacts, asks again, goes on, and ends when nothing helps."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from agents.runtime.compaction import CompactionSettings, ContextItem, read_summary
from agents.runtime.events import CompactionStarted, ContextCompacted, StepStarted, StepStored
from agents.runtime.summarising import Summariser
from letta_ade.llm.errors import ContextOverflow, ModelOverloaded
from letta_ade.llm.messages import ChatMessage, TextPart, Usage
from letta_ade.llm.testing import ScriptedModel, ending, error, text, tool_call
from tests.support.loop import SYSTEM, MemoryJournal, collect, echo, of, spec, tell
from tests.support.loop import ending as end_of
from tests.support.scripts import assert_whole


def _context(turns: int, *, length: int = 400) -> tuple[ChatMessage, ...]:
    said = [
        ChatMessage(role=role, parts=(TextPart(text=f"{number} ".ljust(length, "x")),))
        for number in range(turns)
        for role in ("user", "assistant")
    ]
    return (SYSTEM, *said)


def _counted(tokens: int) -> Any:
    return ending(usage=Usage(prompt_tokens=tokens, completion_tokens=5))


async def test_a_context_beyond_the_threshold_is_compacted_after_the_step() -> None:
    summariser = ScriptedModel([text("They spoke.")], handle="test/small")

    async def find() -> tuple[Summariser, ...]:
        return (Summariser(model=summariser, window=32_000),)

    journal = MemoryJournal()
    model = ScriptedModel([[text("Hi"), _counted(9500)]])
    events = await collect(
        model, journal, context=_context(10), context_window=10_000, tools=(), find_summarisers=find
    )
    assert end_of(events).stop_reason == "end_turn"
    kinds = [
        type(each) for each in events if isinstance(each, StepStored | CompactionStarted | ContextCompacted)
    ]
    assert kinds == [StepStored, CompactionStarted, ContextCompacted]
    started = of(events, CompactionStarted)[0]
    assert (started.trigger, started.context_window) == ("post_step_context_check", 10_000)
    assert started.context_tokens >= 9500
    compaction = journal.compactions[0]
    assert compaction.summary.model == "test/small"
    assert compaction.tokens_after < compaction.tokens_before
    assert journal.context[1].is_summary
    assert read_summary(journal.context[1].chat.text)[0] == "They spoke."
    # The run ends once, after the compaction; until then nobody else may write.
    assert [each.run_end for each in journal.ended] == [None]
    assert [each.stop_reason for each in journal.ends] == ["end_turn"]


async def test_output_and_reasoning_do_not_bring_a_compaction() -> None:
    told = await tell(
        [[text("Hi"), ending(usage=Usage(prompt_tokens=5000, completion_tokens=50_000))]],
        context=_context(10),
        context_window=10_000,
        tools=(),
    )
    assert told.journal.compactions == []


async def test_a_provider_that_counts_nothing_is_estimated() -> None:
    told = await tell(
        [[text("Hi"), _counted(0)], text("Summary.")],
        context=_context(11, length=420),
        context_window=10_000,
        tools=(),
    )
    assert [each.trigger for each in told.journal.compactions] == ["post_step_context_check"]


async def test_a_run_goes_on_with_the_compacted_context_between_its_steps() -> None:
    told = await tell(
        [[tool_call("echo", words="tea"), _counted(9500)], text("They spoke."), text("Done")],
        context=_context(10),
        context_window=10_000,
    )
    assert told.stop_reason == "end_turn"
    sent = told.model.requests[-1].messages
    assert read_summary(sent[1].text)[0] == "They spoke."
    assert len(sent) < 22
    assert_whole([item.chat for item in told.journal.context], waits=False)


async def test_a_request_that_is_too_long_is_compacted_and_sent_again() -> None:
    told = await tell(
        [error(ContextOverflow("too long")), text("They spoke."), text("Hi")],
        context=_context(10),
        tools=(),
    )
    assert told.stop_reason == "end_turn"
    assert [each.trigger for each in told.journal.compactions] == ["context_window_exceeded"]
    failed, stored = told.journal.ended
    assert (failed.status, failed.is_repeated, failed.run_end) == ("failed", True, None)
    assert (stored.status, stored.number) == ("success", 2)
    # What was said to the run comes after the summary, and is stored once.
    assert told.model.requests[-1].messages[-1].text == "Hello"
    assert [item.chat.text for item in told.journal.context].count("Hello") == 1
    assert [each.number for each in of(told.events, StepStarted)] == [1, 2]


async def test_a_request_that_stays_too_long_fails_after_three_compactions() -> None:
    def too_long_unless_summary(payload: dict[str, Any]) -> Any:
        return text("Short.") if "<conversation>" in str(payload) else error(ContextOverflow("too long"))

    told = await tell([too_long_unless_summary] * 20, context=_context(30), tools=())
    assert (told.stop_reason, told.status) == ("llm_api_error", "failed")
    assert 1 <= len(told.journal.compactions) <= 3
    assert len(told.journal.ends) + sum(each.run_end is not None for each in told.journal.ended) >= 1
    assert_whole([item.chat for item in told.journal.context], waits=False)


async def test_a_context_with_nothing_to_compact_fails_with_the_providers_words() -> None:
    told = await tell([error(ContextOverflow("too long"))], tools=())
    assert told.stop_reason == "llm_api_error"
    assert told.journal.compactions == []


async def test_instructions_that_fill_the_window_end_the_run_with_their_own_reason() -> None:
    system = ChatMessage(role="system", parts=(TextPart(text="x" * 20_000),))
    told = await tell([], context=(system, *_context(5)[1:]), context_window=10_000, tools=())
    assert told.stop_reason == "context_window_overflow_in_system_prompt"
    assert told.journal.compactions == []


async def test_a_summariser_that_fails_costs_the_run_nothing_but_the_summary() -> None:
    told = await tell(
        [[text("Hi"), _counted(9500)], *[error(ModelOverloaded("busy"))] * 3],
        context=_context(10),
        context_window=10_000,
        tools=(),
    )
    assert told.stop_reason == "end_turn"
    summary = told.journal.compactions[0].summary
    assert summary.model is None
    assert "No summary could be written" in told.journal.context[1].chat.text


async def test_an_agent_that_summarises_itself_is_asked_with_its_own_context() -> None:
    told = await tell(
        [[text("Hi"), _counted(9500)], text("I spoke with Ada.")],
        context=_context(10),
        context_window=10_000,
        compaction=CompactionSettings(mode="self_compact_sliding_window"),
    )
    asked = told.model.requests[-1]
    assert asked.messages[0] == SYSTEM
    assert asked.messages[-1].role == "user"
    assert asked.tool_choice.mode == "none"
    assert [tool.name for tool in asked.tools] == ["echo"]
    assert told.journal.compactions[0].summary.text == "I spoke with Ada."


async def test_a_request_for_approval_is_not_compacted_away() -> None:
    told = await tell(
        [[tool_call("ask", words="tea"), _counted(9500)]],
        context=_context(10),
        context_window=10_000,
        tools=(spec("ask", "words", is_client=True),),
    )
    assert told.stop_reason == "requires_approval"
    assert told.journal.compactions == []


@pytest.mark.parametrize("mode", ["sliding_window", "all", "self_compact_all"])
async def test_two_thousand_turns_go_through_a_small_window(mode: Any) -> None:
    """Every turn ends, the context stays whole and below the window, and compactions stay rare."""
    journal, window, turns = MemoryJournal(echo=echo), 2000, 2000

    def reply(payload: dict[str, Any]) -> Any:
        said = str(payload)
        if "<conversation>" in said or "about to leave your context" in said:
            return text("They talk about tea.")
        return text("So it is. " * 8)

    model = ScriptedModel([reply] * (turns * 3))
    for number in range(turns):
        context = tuple(item.chat for item in journal.context) or (SYSTEM,)
        events = await collect(
            model,
            journal,
            context=context,
            context_window=window,
            tools=(),
            inputs=(ChatMessage(role="user", parts=(TextPart(text=f"{number}: " + "tea " * 10),)),),
            compaction=CompactionSettings(mode=mode),
        )
        assert end_of(events).stop_reason == "end_turn"
        assert sum(len(item.chat.text) for item in journal.context) <= window
        if number % 50 == 0:
            await asyncio.sleep(0)
    assert 0 < len(journal.compactions) < turns / 4
    assert_whole([item.chat for item in journal.context], waits=False)
    assert isinstance(journal.context[1], ContextItem)
    assert all(each.tokens_after < each.tokens_before for each in journal.compactions)
