"""The built-in demonstration: what it does with a message, seen as the loop sees it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.events import ReasoningDelta, ReplyEnded, TextDelta
from letta_ade.llm.messages import ChatMessage, Reply, ToolCall, ToolReturn, ToolSpec
from letta_ade.llm.providers.demo import DemoChat
from letta_ade.llm.providers.demo_answers import LABEL
from memory.rendering import BlockView, render_blocks
from tests.llm.support import assistant, events_of, reply_of, returned, system, user

MEMORY = ("memory_insert", "memory_replace", "conversation_search")
ARCHIVE = ("archival_memory_insert", "archival_memory_search")


def tool(name: str, **properties: Any) -> ToolSpec:
    return ToolSpec(name=name, description=name, parameters={"type": "object", "properties": properties})


def tools(*names: str) -> tuple[ToolSpec, ...]:
    return tuple(tool(name) for name in names)


def memory(human: str = "", *, is_read_only: bool = False, numbered: bool = False) -> ChatMessage:
    """A compiled system message with a persona and a human block."""
    lines = [f"{number}→ {line}" if numbered else line for number, line in enumerate(human.splitlines(), 1)]
    flag = "- read_only=true\n" if is_read_only else ""
    value = "\n".join(lines)
    return system(
        "You are an agent.\n\n<memory_blocks>\nThese are your blocks.\n\n"
        "<persona>\n<description>\nWho I am\n</description>\n<metadata>\n- chars_current=9\n</metadata>\n"
        "<value>\nI am kind.\n</value>\n</persona>\n\n"
        f"<human>\n<description>\n\n</description>\n<metadata>\n{flag}- chars_limit=5000\n</metadata>\n"
        f"<value>\n{value}\n</value>\n</human>\n\n</memory_blocks>\n\n<memory_metadata>\n</memory_metadata>"
    )


async def turn(
    text: str,
    *,
    head: ChatMessage | None = None,
    names: Sequence[str] = MEMORY + ARCHIVE,
    results: dict[str, str] | None = None,
    failing: Sequence[str] = (),
    **fields: Any,
) -> tuple[list[tuple[str, dict[str, Any]]], str, list[Reply]]:
    """The calls of a whole turn, its final text, and every reply of it."""
    messages = [head or memory(), user(text)]
    calls: list[tuple[str, dict[str, Any]]] = []
    replies: list[Reply] = []
    while len(replies) < 8:
        request = ChatRequest(messages=tuple(messages), tools=tools(*names), **fields)
        reply = await reply_of(DemoChat(word_seconds=0), request)
        replies.append(reply)
        if not reply.tool_calls:
            return calls, reply.text, replies
        calls += [(call.name, json.loads(call.arguments)) for call in reply.tool_calls]
        backs = [
            ToolReturn(
                tool_call_id=call.id,
                text=(results or {}).get(call.name, "None"),
                is_error=call.name in failing,
            )
            for call in reply.tool_calls
        ]
        messages += [assistant(reply.text, *reply.tool_calls), returned(*backs)]
    raise AssertionError("the turn does not end")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("My name is Ada.", "Name: Ada"),
        ("hi, i'm ada", "Name: Ada"),
        ("CALL ME ISHMAEL", "Name: Ishmael"),
        ("I like green tea", "Likes green tea"),
        ("I'm Ada and I prefer tea, but I hate rain!", "Name: Ada\nPrefers tea\nHates rain"),
    ],
)
async def test_a_name_or_a_preference_is_written_to_the_human_block(text: str, line: str) -> None:
    calls, answer, _ = await turn(text)
    assert calls == [("memory_insert", {"label": "human", "new_string": line})]
    assert all(part in answer for part in line.splitlines())
    assert "`human`" in answer


async def test_a_name_that_contradicts_the_block_replaces_it() -> None:
    calls, answer, _ = await turn("My name is Ada", head=memory("Name: Bob\nLikes jam", numbered=True))
    assert calls == [
        ("memory_replace", {"label": "human", "old_string": "Name: Bob", "new_string": "Name: Ada"})
    ]
    assert "Name: Ada" in answer


async def test_what_the_block_says_already_is_not_written_again() -> None:
    calls, answer, _ = await turn("My name is Ada and I like jam", head=memory("Name: Ada\nLikes jam"))
    assert calls == []
    assert "already" in answer


async def test_a_replacement_and_an_addition_are_two_calls() -> None:
    head = memory("Name: Bob")
    calls, _, replies = await turn("My name is Ada and I like tea", head=head)
    assert [name for name, _ in calls] == ["memory_replace", "memory_insert"]
    assert [len(reply.tool_calls) for reply in replies] == [1, 1, 0]
    _, _, together = await turn("My name is Ada and I like tea", head=head, parallel_tool_calls=True)
    assert [len(reply.tool_calls) for reply in together] == [2, 0]


async def test_older_memory_tools_serve_as_well() -> None:
    names = ("core_memory_append", "core_memory_replace")
    calls, _, _ = await turn("My name is Ada", names=names)
    assert calls == [("core_memory_append", {"label": "human", "content": "Name: Ada"})]
    calls, _, _ = await turn("My name is Ada", names=names, head=memory("Name: Bob"))
    assert calls[0][0] == "core_memory_replace"


@pytest.mark.parametrize(
    ("head", "names", "reason"),
    [
        (memory(), (), "`memory_insert` is not attached"),
        (memory("Name: Bob"), ("memory_insert",), "`memory_replace` is not attached"),
        (memory(is_read_only=True), MEMORY, "read-only"),
        (system("No blocks here."), MEMORY, "no `human` block"),
    ],
)
async def test_when_nothing_can_be_written_it_says_why(
    head: ChatMessage, names: tuple[str, ...], reason: str
) -> None:
    calls, answer, _ = await turn("My name is Ada", head=head, names=names)
    assert calls == []
    assert reason in answer


async def test_a_failed_write_is_told_as_one() -> None:
    _, answer, _ = await turn(
        "I like tea", results={"memory_insert": "over the limit"}, failing=["memory_insert"]
    )
    assert "did not work" in answer
    assert "over the limit" in answer
    _, answer, _ = await turn(
        "I like tea", results={"memory_insert": '{"status": "Failed", "message": "full"}'}
    )
    assert "did not work" in answer
    assert "full" in answer


async def test_what_is_to_be_remembered_goes_to_archival_memory() -> None:
    calls, answer, _ = await turn("Please remember that the pump is serviced in May.")
    assert calls == [("archival_memory_insert", {"content": "The pump is serviced in May"})]
    assert "The pump is serviced in May" in answer


@pytest.mark.parametrize(
    "text",
    ["What do you know about the pump?", "recall the pump", "Search your archival memory for the pump"],
)
async def test_recalling_searches_archival_memory(text: str) -> None:
    found = json.dumps({"results": [{"content": "Serviced in May", "tags": []}], "count": 1})
    calls, answer, _ = await turn(text, results={"archival_memory_search": found})
    assert calls == [("archival_memory_search", {"query": "the pump"})]
    assert "- Serviced in May" in answer


async def test_finding_nothing_is_said() -> None:
    _, answer, _ = await turn("recall the pump", results={"archival_memory_search": "[]"})
    assert "found nothing" in answer


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Remember that it rains", "archival_memory_insert"),
        ("What do you know about rain?", "archival_memory_search"),
        ("What did I say about rain?", "conversation_search"),
    ],
)
async def test_without_the_tool_it_says_so(text: str, name: str) -> None:
    calls, answer, _ = await turn(text, names=())
    assert calls == []
    assert f"`{name}` is not attached" in answer


async def test_what_was_said_is_looked_for_in_the_conversation() -> None:
    rows = [{"role": "user", "content": "I like tea"}, {"role": "assistant", "content": f"Noted.\n\n{LABEL}"}]
    found = json.dumps({"message": "Showing 2 results:", "results": rows})
    calls, answer, _ = await turn("What did I say about tea?", results={"conversation_search": found})
    assert calls == [("conversation_search", {"query": "tea"})]
    assert "- I like tea\n- Noted.\n" in answer


async def test_a_command_calls_any_attached_tool() -> None:
    calls, answer, _ = await turn(
        '/call roll {"sides": 6, "of": ["a"]}', names=["roll"], results={"roll": "4"}
    )
    assert calls == [("roll", {"sides": 6, "of": ["a"]})]
    assert "`roll` returned" in answer
    assert "4" in answer


async def test_a_command_without_arguments_sends_an_empty_object() -> None:
    calls, _, _ = await turn("/call roll", names=["roll"])
    assert calls == [("roll", {})]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("/call missing {}", "`missing` is not attached"),
        ("/call roll {bad", "not JSON"),
        ("/call roll [1]", "one JSON object"),
        ("/call", "Write the tool"),
        ("/dance", "do not know the command `/dance`"),
    ],
)
async def test_a_command_that_cannot_be_obeyed_is_explained(text: str, reason: str) -> None:
    calls, answer, _ = await turn(text, names=["roll"])
    assert calls == []
    assert reason in answer


async def test_several_commands_are_parallel_calls_when_allowed() -> None:
    text = '/call roll {"n": 1}\n/call roll {"n": 2}\n/call flip {}'
    calls, _, replies = await turn(text, names=["roll", "flip"], parallel_tool_calls=True)
    assert calls == [("roll", {"n": 1}), ("roll", {"n": 2}), ("flip", {})]
    assert [len(reply.tool_calls) for reply in replies] == [3, 0]
    again, _, one_by_one = await turn(text, names=["roll", "flip"])
    assert again == calls
    assert [len(reply.tool_calls) for reply in one_by_one] == [1, 1, 1, 0]


@pytest.mark.parametrize("text", ["/think My name is Ada", "Think about it", "please reason aloud"])
async def test_it_reasons_visibly_on_request_and_first(text: str) -> None:
    chat = DemoChat(word_seconds=0)
    events = await events_of(
        chat, chat.payload(ChatRequest(messages=(memory(), user(text)), tools=tools(*MEMORY)))
    )
    assert isinstance(events[0], ReasoningDelta)
    assert not any(isinstance(event, ReasoningDelta) for event in events[events.index(events[-2]) :])
    _, _, replies = await turn(text)
    assert [any(part.type == "reasoning" for part in reply.parts) for reply in replies].count(True) == 1


async def test_otherwise_it_says_what_it_is_and_what_it_sees() -> None:
    _, answer, _ = await turn("Hello!", head=memory("Name: Ada\nLikes tea"))
    assert answer.startswith("Hello, Ada.")
    assert "`persona`: I am kind." in answer
    assert "`human`: Name: Ada (and 1 more)" in answer


async def test_it_knows_the_person_from_the_block() -> None:
    calls, answer, _ = await turn("Who am I?", head=memory("Name: Ada", numbered=True))
    assert calls == []
    assert "> Name: Ada" in answer
    _, answer, _ = await turn("What is my name?")
    assert "nothing about you yet" in answer


@pytest.mark.parametrize(
    "text", ["Hello", "I like tea", "/slow 5", "/call x {}", "thanks", "", "<script>alert(1)</script>"]
)
async def test_every_answer_is_labelled(text: str) -> None:
    assert (await turn(text))[1].endswith(LABEL)


@pytest.mark.parametrize(
    ("text", "count"), [("/slow 30", 30), ("/slow", 200), ("/slow many", 200), ("/slow 99999", 5000)]
)
async def test_a_long_answer_has_the_words_that_were_asked_for(text: str, count: int) -> None:
    _, answer, _ = await turn(text)
    assert len(answer.removesuffix(LABEL).split()) == count


async def test_it_streams_word_by_word_and_counts() -> None:
    chat = DemoChat(word_seconds=0)
    events = await events_of(chat, chat.payload(ChatRequest(messages=(memory(), user("/slow 50")))))
    words = [event.text for event in events if isinstance(event, TextDelta)]
    assert len(words) > 50
    last = events[-1]
    assert isinstance(last, ReplyEnded)
    assert "".join(words) == last.reply.text
    assert last.reply.usage.prompt_tokens > 0
    assert last.reply.usage.completion_tokens > 50


async def test_the_same_request_gets_the_same_answer() -> None:
    assert (await turn("My name is Ada"))[1] == (await turn("My name is Ada"))[1]


async def test_only_the_running_turn_is_answered() -> None:
    messages = (memory(), user("My name is Ada"), assistant("Done."), user("Hello"))
    reply = await reply_of(DemoChat(word_seconds=0), ChatRequest(messages=messages, tools=tools(*MEMORY)))
    assert reply.tool_calls == ()


async def test_a_forced_tool_is_called_with_arguments_that_fit() -> None:
    parameters = {
        "type": "object",
        "properties": {"n": {"type": "integer"}, "mode": {"enum": ["a", "b"]}, "note": {"type": "string"}},
        "required": ["n", "mode"],
    }
    spec = ToolSpec(name="plan", description="", parameters=parameters)
    for choice in (ToolChoice(mode="required"), ToolChoice(mode="one", name="plan")):
        request = ChatRequest(messages=(memory(), user("Hello")), tools=(spec,), tool_choice=choice)
        (call,) = (await reply_of(DemoChat(word_seconds=0), request)).tool_calls
        assert (call.name, json.loads(call.arguments)) == ("plan", {"n": 1, "mode": "a"})


async def test_no_tool_is_called_where_none_is_allowed() -> None:
    calls, _, _ = await turn("My name is Ada", tool_choice=ToolChoice(mode="none"))
    assert calls == []


async def test_it_reads_the_blocks_as_prompts_render_them() -> None:
    human = BlockView(label="human", value="Name: Bob", description="The person", limit=100, read_only=False)
    for is_numbered in (False, True):
        head = system("You are.\n\n" + render_blocks([human], is_numbered=is_numbered))
        calls, _, _ = await turn("My name is Ada", head=head)
        assert calls[0][1] == {"label": "human", "old_string": "Name: Bob", "new_string": "Name: Ada"}


async def test_older_agents_are_answered_through_their_tool() -> None:
    heartbeat = {"request_heartbeat": {"type": "boolean"}}
    specs = (tool("send_message"), tool("memory_insert", **heartbeat))
    messages: list[ChatMessage] = [memory(), user("My name is Ada")]

    async def step() -> ToolCall:
        request = ChatRequest(messages=tuple(messages), tools=specs, tool_choice=ToolChoice(mode="required"))
        (call,) = (await reply_of(DemoChat(word_seconds=0), request)).tool_calls
        messages.extend((assistant("", call), returned(ToolReturn(tool_call_id=call.id, text="None"))))
        return call

    first = await step()
    assert json.loads(first.arguments)["request_heartbeat"] is True
    messages.append(user('{"type": "heartbeat", "reason": "go on", "time": "now"}'))
    second = await step()
    assert second.name == "send_message"
    assert "Name: Ada" in json.loads(second.arguments)["message"]
