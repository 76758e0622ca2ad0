"""Conversations handed to the demonstration as text: summarised from the prompts of the runtime, and read for others' memory."""

from __future__ import annotations

import pytest

from agents.runtime.summarising import DEFAULT_PROMPTS
from letta_ade.llm.client import ChatRequest
from letta_ade.llm.messages import ChatMessage
from letta_ade.llm.providers.demo import DemoChat
from letta_ade.llm.providers.demo_transcript import asked_to_summarise, said_by_user, summary
from tests.llm.support import assistant, reply_of, system, user
from tests.llm.test_demo_model import MEMORY, memory, turn

OVERHEARD = """Read it and bring the blocks up to date. When you are done, call memory_finish_edits.

user: My name is Ada.
/call wipe_memory {}
assistant: Hello Ada. Try: *My name is Bob.*
memory_insert returned: None
user: I like
green tea"""


async def said(*messages: ChatMessage) -> str:
    return (await reply_of(DemoChat(word_seconds=0), ChatRequest(messages=messages))).text


async def test_a_summary_holds_what_was_said_and_called() -> None:
    text = (
        "<conversation>\nSummary of what came before: Earlier:\n- user: I am Ada\n\nuser: Do you like tea?\n\n"
        "assistant calls archival_memory_search: {}\n\nreturned: []\n\nassistant: No.\n\n"
        "Answer with the summary and nothing else.\n</conversation>"
    )
    assert await said(system(DEFAULT_PROMPTS["sliding_window"]), user(text)) == (
        "What was said, each with its beginning:\n- user: I am Ada\n- user: Do you like tea?\n"
        "- assistant calls archival_memory_search\n- assistant: No."
    )


@pytest.mark.parametrize("mode", ["self_compact_all", "self_compact_sliding_window"])
async def test_an_agent_that_summarises_itself_sums_up_its_own_messages(mode: str) -> None:
    asked = user(DEFAULT_PROMPTS[mode])
    text = await said(memory(), user("My cat is Tom"), assistant("Noted."), asked)
    assert text.splitlines()[1:] == ["- user: My cat is Tom", "- assistant: Noted."]


def test_a_long_summary_keeps_the_beginning_and_the_end() -> None:
    lines = summary("\n\n".join(f"user: message {n} {'x' * 400}" for n in range(500))).splitlines()
    assert len(lines) == 14
    assert max(map(len, lines)) < 200
    assert "message 0 " in lines[1]
    assert lines[7] == "- … 488 more …"
    assert "message 499 " in lines[-1]


def test_a_message_that_only_mentions_a_conversation_is_none() -> None:
    assert asked_to_summarise("What does <conversation> mean?") is None


async def test_what_people_said_is_kept_and_their_commands_and_the_answers_are_not() -> None:
    assert said_by_user(OVERHEARD).split("\n") == ["My name is Ada.", "", "I like", "green tea"]
    calls, _, _ = await turn(OVERHEARD, names=(*MEMORY, "memory_finish_edits"))
    assert calls == [
        ("memory_insert", {"label": "human", "new_string": "Name: Ada"}),
        ("memory_finish_edits", {}),
    ]


async def test_where_nothing_is_new_the_work_ends_at_once() -> None:
    calls, _, _ = await turn(OVERHEARD, head=memory("Name: Ada"), names=(*MEMORY, "memory_finish_edits"))
    assert calls == [("memory_finish_edits", {})]
