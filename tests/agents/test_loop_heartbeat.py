"""The loop of agents that answer through a tool and go on by heartbeats (spec/agent-loop.md §1, §4)."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import pytest

from agents.runtime.events import ReasoningDelta, TextDelta
from agents.runtime.turn import is_note, past_calls
from letta_ade.llm.messages import ChatMessage, TextPart
from letta_ade.llm.testing import ScriptedModel, reasoning, text, tool_call
from tests.support.loop import HELLO, SYSTEM, MemoryJournal, Recorder, Told, collect, of, rules, spec, tell

SEND = {"type": "exit_loop", "tool_name": "send_message"}
TOOLS = (
    spec("look", "words", required=["words"]),
    spec("note", "words"),
    spec("send_message", "message", required=["message"]),
)


async def run(replies: list[Any], *data: dict[str, Any], **changes: Any) -> Told:
    return await tell(
        replies, **{"tools": TOOLS, "rules": rules(SEND, *data), "loop": "heartbeat", **changes}
    )


def say(words: str = "Hi", **arguments: Any) -> Any:
    return tool_call("send_message", message=words, **arguments)


def look(**arguments: Any) -> Any:
    return tool_call("look", **{"words": "a", **arguments})


async def test_every_tool_but_those_that_end_the_run_asks_whether_to_go_on() -> None:
    told = await run([say()])
    shown = {tool.name: tool.parameters for tool in told.model.requests[0].tools}
    assert shown["look"]["properties"]["request_heartbeat"]["type"] == "boolean"
    assert shown["look"]["required"] == ["words", "request_heartbeat"]
    assert shown["note"]["required"] == ["request_heartbeat"]
    assert "request_heartbeat" not in shown["send_message"]["properties"]
    assert shown["send_message"]["required"] == ["message"]
    # What is attached stays as it is.
    assert TOOLS[0].spec.parameters["required"] == ["words"]


async def test_without_an_exit_rule_the_tool_that_answers_asks_too() -> None:
    told = await run([say()], rules=rules())
    assert "request_heartbeat" in told.model.requests[0].tools[2].parameters["required"]
    assert told.stop_reason == "end_turn"


async def test_the_direct_loop_shows_tools_as_they_are() -> None:
    told = await run([text("Hi")], loop="direct")
    assert [tool.parameters for tool in told.model.requests[0].tools] == [
        tool.spec.parameters for tool in TOOLS
    ]


async def test_the_model_must_call_a_tool_and_only_one() -> None:
    told = await run([[look(), look(words="b"), say()]])
    request = told.model.requests[0]
    assert (request.tool_choice.mode, request.tool_choice.forces_by_rule) == ("required", False)
    assert request.parallel_tool_calls is False
    assert told.returns == ["you said a"]
    assert told.stop_reason == "end_turn"


@pytest.mark.parametrize(
    ("wish", "steps"),
    [(True, 2), ("true", 2), ("True", 2), (False, 1), ("false", 1), (None, 1), ("yes", 1), (1, 1)],
)
async def test_it_goes_on_when_the_call_asks_to(wish: Any, steps: int) -> None:
    told = await run([look(request_heartbeat=wish), say()])
    assert len(told.model.requests) == steps
    assert told.stop_reason == ("tool_rule" if steps == 2 else "end_turn")


async def test_the_wish_is_not_an_argument_of_the_tool() -> None:
    seen = Recorder()
    journal = MemoryJournal(look=seen, send_message=Recorder())
    await run([look(request_heartbeat=True, inner_thoughts="x"), say()], journal=journal)
    assert seen.seen == [{"words": "a"}]


async def test_an_exit_rule_wins_over_the_wish() -> None:
    told = await run([say(request_heartbeat=True)])
    assert (told.stop_reason, len(told.model.requests)) == ("tool_rule", 1)


@pytest.mark.parametrize(
    "rule",
    [
        {"type": "continue_loop", "tool_name": "look"},
        {"type": "constrain_child_tools", "tool_name": "look", "children": ["send_message"]},
        {"type": "conditional", "tool_name": "look", "child_output_mapping": {"x": "send_message"}},
    ],
    ids=lambda rule: rule["type"],
)
async def test_a_rule_goes_on_without_the_wish(rule: dict[str, Any]) -> None:
    told = await run([look(), say()], rule)
    assert told.stop_reason == "tool_rule"
    assert (
        json.loads(told.journal.ended[0].heartbeat or "")["reason"]
        == "A tool rule lets you go on after look. Go on."
    )


async def test_a_rule_without_a_word_on_going_on_does_not_go_on() -> None:
    told = await run([look()], {"type": "parent_last_tool", "tool_name": "look", "children": ["note"]})
    assert told.stop_reason == "end_turn"


@pytest.mark.parametrize(
    "refused",
    [tool_call("gone"), tool_call("look", json_text="{"), tool_call("look"), tool_call("note", words="a")],
    ids=["unknown", "unreadable", "incomplete", "against a rule"],
)
async def test_a_call_that_was_not_run_goes_on_without_the_wish(refused: Any) -> None:
    rule = {"type": "parent_last_tool", "tool_name": "look", "children": ["note"]}
    told = await run([refused, say()], rule)
    assert told.stop_reason == "tool_rule"
    note = json.loads(told.journal.ended[0].heartbeat or "")
    assert note["reason"] == f"Your call of {refused.name} was not run; its return says why. Go on."


async def test_a_tool_that_fails_does_not_go_on_by_itself() -> None:
    def fail(words: str) -> str:
        raise ValueError("broken")

    told = await run([look()], journal=MemoryJournal(look=fail))
    assert told.stop_reason == "end_turn"


async def test_what_the_model_says_beside_its_call_is_a_thought() -> None:
    told = await run([[reasoning("Deep. "), text("I greet. "), say()]])
    assert [(event.text, event.is_native) for event in of(told.events, ReasoningDelta)] == [
        ("Deep. ", True),
        ("I ", False),
        ("greet. ", False),
    ]
    assert not of(told.events, TextDelta)
    kinds = [(part.reasoning, part.is_native) for part in told.journal.stored[1].parts]  # type: ignore[union-attr]
    assert kinds == [("Deep. ", True), ("I greet. ", False)]


async def test_words_without_a_call_are_kept_as_a_thought_and_fail_the_run() -> None:
    told = await run([text("Hi")])
    assert (told.stop_reason, told.status) == ("no_tool_call", "failed")
    assert told.end.error is None
    assert [message.role for message in told.journal.stored] == ["user", "assistant"]


async def test_a_thought_is_sent_again_as_what_the_model_said() -> None:
    told = await run([[text("I look."), look(request_heartbeat=True)], say()])
    assert told.model.requests[1].messages[2].parts == (TextPart(text="I look."),)


async def test_the_note_to_go_on_is_sent_as_it_is_stored() -> None:
    told = await run([look(request_heartbeat=True), say()], timezone="Europe/Oslo")
    sent, stored = told.model.requests[1].messages[-1], told.journal.stored[3]
    assert sent == stored
    note = json.loads(stored.text)
    assert list(note) == ["type", "reason", "time"]
    assert (note["type"], note["reason"]) == (
        "heartbeat",
        "You asked to go on with request_heartbeat. Go on.",
    )
    assert note["time"].endswith(("CET+0100", "CEST+0200"))
    assert is_note(stored)


async def test_the_note_comes_after_the_return() -> None:
    told = await run([look(request_heartbeat=True), say()])
    assert [message.role for message in told.journal.stored] == [
        "user",
        "assistant",
        "tool",
        "user",
        "assistant",
        "tool",
    ]


async def test_the_last_step_of_the_budget_asks_nothing_more() -> None:
    told = await run([look(request_heartbeat=True)], max_steps=1)
    assert told.stop_reason == "max_steps"


@pytest.mark.parametrize("loop", ["direct", "heartbeat"])
async def test_every_request_of_a_run_begins_with_the_bytes_of_the_one_before(loop: str) -> None:
    replies = [
        [text("I look. "), look(request_heartbeat=True)],
        tool_call("gone", request_heartbeat=True),
        [text("Again. "), look(words="b", request_heartbeat=True)],
        say(),
    ]
    told = await run(replies, loop=loop)
    payloads = told.model.payloads
    assert len(payloads) == 4
    for before, after in pairwise(payloads):
        assert json.dumps(after["tools"]) == json.dumps(before["tools"])
        assert after["messages"][: len(before["messages"])] == before["messages"]


@pytest.mark.parametrize("loop", ["direct", "heartbeat"])
async def test_the_next_run_begins_with_the_bytes_of_the_last_one(loop: str) -> None:
    first = await run([[text("I look. "), look(request_heartbeat=True)], tool_call("gone"), say()], loop=loop)
    model = ScriptedModel([say()])
    context = (SYSTEM, *first.journal.stored)
    await collect(
        model,
        MemoryJournal(send_message=lambda message: "ok"),
        tools=TOOLS,
        rules=rules(SEND),
        loop=loop,
        context=context,
        max_steps=1,
    )
    before, after = first.model.payloads[-1], model.payloads[0]
    assert json.dumps(after["tools"]) == json.dumps(before["tools"])
    assert after["messages"][: len(before["messages"])] == before["messages"]


# A turn, as a run that begins in its middle finds it.


def note(kind: str) -> ChatMessage:
    return ChatMessage(role="user", parts=(TextPart(text=json.dumps({"type": kind, "reason": "x"})),))


@pytest.mark.parametrize("kind", ["heartbeat", "system_alert"])
async def test_a_note_does_not_begin_a_turn(kind: str) -> None:
    told = await run([look(request_heartbeat=True), say()])
    first, *rest = told.journal.stored
    context = [SYSTEM, first, *rest[:2], note(kind), *rest[3:]]
    assert [call.name for call in past_calls(context)] == ["look", "send_message"]


@pytest.mark.parametrize(
    "said", [HELLO, note("login"), ChatMessage(role="system", parts=(TextPart(text="Be brief."),))]
)
async def test_whoever_says_something_begins_a_turn(said: ChatMessage) -> None:
    told = await run([look(request_heartbeat=True), say()])
    stored = told.journal.stored
    assert [call.name for call in past_calls([*stored[:3], said, *stored[4:]])] == ["send_message"]
    assert past_calls([*stored, said]) == ()


async def test_calls_that_did_not_run_are_no_part_of_the_turn() -> None:
    told = await run([tool_call("gone"), look(request_heartbeat=True), say()])
    assert [call.name for call in past_calls(told.journal.stored)] == ["look", "send_message"]


@pytest.mark.parametrize("text_of_user", ["{", "{}", "[]", '{"type": 1}', '"heartbeat"', "heartbeat"])
def test_what_only_looks_like_a_note_is_said_by_somebody(text_of_user: str) -> None:
    assert not is_note(ChatMessage(role="user", parts=(TextPart(text=text_of_user),)))


def test_only_a_users_message_is_a_note() -> None:
    assert not is_note(ChatMessage(role="assistant", parts=note("heartbeat").parts))
