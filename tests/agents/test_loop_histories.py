"""Whatever a model says and whatever goes wrong, a conversation stays whole and goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from agents.runtime.cancellation import CancelToken
from agents.runtime.endings import FAILING
from agents.runtime.ports import CallOutcome, PlannedCall
from agents.runtime.prompt import MISSING_RETURN, repair
from agents.runtime.snapshot import Answer, CallSettings, PendingTurn
from agents.runtime.turn import past_calls
from letta_ade.llm.messages import ChatMessage, TextPart
from letta_ade.llm.testing import ScriptedModel, ScriptedReply, text, tool_call
from tests.support.loop import HELLO, LOOPS, SYSTEM, MemoryJournal, collect, ending, rules, spec
from tests.support.scripts import TURNS, Names, Turn, assert_whole, reply_of

NAMES = Names(
    plain="echo", asks="risky", client="shell", exits="leave", fails="broken", arguments={"words": "a"}
)
TOOLS = (
    spec("broken", "words"),
    spec("echo", "words", required=["words"]),
    spec("leave", "words"),
    spec("risky", "words"),
    spec("shell", "words", is_client=True),
    spec("slow", "words"),
)
RULES: tuple[dict[str, Any], ...] = (
    {"type": "exit_loop", "tool_name": "leave"},
    {"type": "run_first", "tool_name": "echo"},
    {"type": "constrain_child_tools", "tool_name": "echo", "children": ["risky", "leave"]},
    {"type": "parent_last_tool", "tool_name": "echo", "children": ["shell"]},
    {"type": "max_count_per_step", "tool_name": "echo", "max_count_limit": 1},
    {"type": "required_before_exit", "tool_name": "echo"},
    {"type": "continue_loop", "tool_name": "broken"},
    {"type": "run_first", "tool_name": "risky", "args": {"no_such": 1}},
)


class StoppableJournal(MemoryJournal):
    """Its tools may be stopped while they run."""

    def __init__(self, token: CancelToken, *, stops_tools: bool) -> None:
        super().__init__(
            echo=lambda words: f"you said {words}",
            risky=lambda **_: "risked",
            shell=lambda **_: "never run here",
            leave=lambda **_: "left",
            broken=lambda words: str(1 / 0),
        )
        self._token = token
        self._stops_tools = stops_tools

    async def execute(
        self, step_id: str, message_id: str, calls: Sequence[PlannedCall]
    ) -> tuple[CallOutcome, ...]:
        if self._stops_tools:
            asyncio.get_running_loop().call_soon(self._token.request, "cancelled")
            await asyncio.Event().wait()
        return ()


def pending_of(context: list[ChatMessage], turn: Turn) -> PendingTurn | None:
    """The answers of the turn to what the context waits for."""
    if context[-1].role != "approval" or not context[-1].tool_calls:
        return None
    waiting = context[-1].tool_calls
    free = context[-2].tool_calls if context[-2].role == "assistant" else ()
    answers = {
        call.id: Answer(returned=CallOutcome(tool_call_id=call.id, name=call.name, text="42"))
        if turn.answer == "return"
        else Answer(is_approved=turn.answer == "yes")
        for call in waiting
    }
    return PendingTurn(step_id="step-1", message_id="message-1", calls=free + waiting, answers=answers)


async def play(turns: list[Turn], *, asks: bool, stops_tools: bool, **fields: Any) -> None:
    context: list[ChatMessage] = [SYSTEM]
    sent: list[dict[str, Any]] = []
    for turn in turns:
        token = CancelToken()
        journal = StoppableJournal(token, stops_tools=stops_tools)

        def cancel(token: CancelToken = token) -> None:
            token.request("cancelled")

        replies = [reply_of(pieces, NAMES, cancel) for pieces in turn.replies]
        model = ScriptedModel([*replies, *(text("Bye") for _ in range(20))])
        pending = pending_of(context, turn)
        events = await collect(
            model,
            journal,
            token,
            tools=TOOLS,
            context=tuple(context),
            pending=pending,
            inputs=(HELLO,) if pending is None or turn.says_more else (),
            past_calls=past_calls(context) if pending else (),
            **fields,
        )
        end = ending(events)
        assert [each.stop_reason for each in journal.ends] == [end.stop_reason]
        expected = {"cancelled": "cancelled"}.get(
            end.stop_reason, "failed" if end.stop_reason in FAILING else "completed"
        )
        assert end.status == expected
        returned = [outcome.text for outcome in journal.outcomes]
        assert "never run here" not in returned
        assert "risked" not in returned or (pending is not None and turn.answer == "yes") or not asks
        context += journal.stored
        waits = end.stop_reason == "requires_approval"
        assert_whole(context, waits=waits)
        assert_nothing_to_repair(context, waits=waits)
        assert_prefix([*sent, *model.payloads])
        # What was sent with the input of a step that failed is void: that input is not in the context.
        sent = model.payloads[-1:] if journal.stored else []
    await assert_goes_on(context, **fields)


def assert_nothing_to_repair(context: list[ChatMessage], *, waits: bool) -> None:
    """What is sent is what was stored: no call and no return is made up, dropped or moved, and no word is lost."""

    def flat(messages: list[ChatMessage]) -> list[Any]:
        found: list[Any] = []
        for message in messages:
            found += [part.text for part in message.parts if isinstance(part, TextPart)]
            found += [call.id for call in message.tool_calls]
            found += [(each.tool_call_id, each.text) for each in message.tool_returns]
        return found

    repaired = repair(context)
    sent, stored = flat(repaired), flat(context)
    if waits:
        made_up = [each for each in sent if isinstance(each, tuple) and each[1] == MISSING_RETURN]
        sent = [each for each in sent if each not in made_up]
    # In the heartbeat loop a thought is stored, and sent as the text that it was.
    assert [each for each in sent if each in stored] == stored
    assert all(isinstance(each, str) for each in sent if each not in stored)
    assert repair(repaired) == repaired


def assert_prefix(payloads: Sequence[dict[str, Any]]) -> None:
    """Each request begins with the one before it, also with the last one of the run before."""
    for before, after in pairwise(payloads):
        assert after["messages"][: len(before["messages"])] == before["messages"]


async def assert_goes_on(context: list[ChatMessage], **fields: Any) -> None:
    """Another run ends well and stores its answer."""
    pending = pending_of(context, Turn(replies=(), answer="no", says_more=False))
    journal = StoppableJournal(CancelToken(), stops_tools=False)
    calls: list[ScriptedReply] = [
        tool_call("echo", words="a", request_heartbeat=True),
        tool_call("leave", request_heartbeat=True),
    ]
    script = calls if fields["loop"] == "heartbeat" else [calls[0], text("Bye")]
    events = await collect(
        ScriptedModel(script),
        journal,
        tools=TOOLS,
        context=tuple(context),
        pending=pending,
        inputs=() if pending else (HELLO,),
        **{**fields, "rules": rules(RULES[0]), "max_steps": 5},
    )
    assert ending(events).stop_reason == ("tool_rule" if fields["loop"] == "heartbeat" else "end_turn")
    assert_whole([*context, *journal.stored], waits=False)


@settings(deadline=None, max_examples=300)
@given(
    turns=TURNS,
    loop=st.sampled_from(LOOPS),
    # Without rules a reply may hold several calls.
    chosen=st.just([]) | st.lists(st.sampled_from(RULES), unique_by=str, max_size=4),
    asks=st.booleans(),
    is_parallel=st.booleans(),
    stops_tools=st.booleans(),
    max_steps=st.integers(1, 4),
)
def test_a_conversation_stays_whole_whatever_the_model_says(
    turns: list[Turn],
    loop: str,
    chosen: list[dict[str, Any]],
    asks: bool,
    is_parallel: bool,
    stops_tools: bool,
    max_steps: int,
) -> None:
    asking = [{"type": "requires_approval", "tool_name": "risky"}] if asks else []
    asyncio.run(
        play(
            turns,
            asks=asks,
            stops_tools=stops_tools,
            loop=loop,
            rules=rules(*chosen, *asking),
            settings=CallSettings(parallel_tool_calls=is_parallel),
            max_steps=max_steps,
        )
    )
