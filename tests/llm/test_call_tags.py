"""Tool calls that a server left in the text."""

from __future__ import annotations

import json

import pytest

from letta_ade.llm.events import TextDelta, ToolCallStarted
from letta_ade.llm.providers.call_tags import CallTags
from letta_ade.llm.providers.openai import OpenAIChat
from tests.llm.support import CLOCK, WEATHER, asking, ended, events_of, provider, text_of
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeCall, FakeReply

ROME = '{"place": "Rome"}'
HERMES = f'<tool_call>\n{{"name": "weather", "arguments": {ROME}}}\n</tool_call>'
GLM = "<tool_call>weather\n<arg_key>place</arg_key>\n<arg_value>Rome</arg_value>\n</tool_call>"
MISTRAL = f'[TOOL_CALLS] [{{"name": "weather", "arguments": {ROME}}}]'


def read(*pieces: str) -> tuple[str, list[tuple[str, str]]]:
    tags = CallTags(frozenset({"weather", "clock"}))
    text = "".join(tags.take(piece) for piece in pieces)
    rest, calls = tags.rest()
    return text + rest, calls


@pytest.mark.parametrize(
    ("text", "said", "calls"),
    [
        (HERMES, "", [("weather", ROME)]),
        (HERMES.removesuffix("</tool_call>"), "", [("weather", ROME)]),
        (f"I look.\n{HERMES}\n{HERMES}", "I look.\n", [("weather", ROME)] * 2),
        (HERMES.replace("arguments", "parameters"), "", [("weather", ROME)]),
        (GLM, "", [("weather", ROME)]),
        ("<tool_call>clock</tool_call>", "", [("clock", "{}")]),
        (MISTRAL, "", [("weather", ROME)]),
        ('<tool_call>{"name": "clock", "arguments": "{}"}</tool_call>', "", [("clock", "{}")]),
    ],
)
def test_a_call_is_found_however_the_text_is_cut(text: str, said: str, calls: list[tuple[str, str]]) -> None:
    for pieces in ([text], list(text), [text[:5], text[5:12], text[12:]]):
        assert read(*pieces) == (said, calls)


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, a < b, a[0] and <tool> too.",
        "<tool_call",
        "<tool_call>{broken</tool_call>",
        '<tool_call>{"name": "unknown", "arguments": {}}</tool_call>',
        "Write <tool_call> before a call, and then its JSON.",
        f"{HERMES} and so on",
        "[TOOL_CALLS] are listed below.",
        "<tool_call>[1]</tool_call>",
        "",
    ],
)
def test_what_is_no_call_of_an_offered_tool_stays_text(text: str) -> None:
    assert read(text) == read(*text) == (text, [])


def test_text_is_not_held_back_longer_than_it_must() -> None:
    tags = CallTags(frozenset())
    assert tags.take("Hello ") == "Hello "
    assert tags.take("a <to") == "a "
    assert tags.take("p") == "<top"


@pytest.mark.usefixtures("closed_clients")
async def test_a_server_without_the_parser_is_understood(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text=f"<think>Hm.</think>I look. {HERMES}"))
    chat = OpenAIChat(config=provider("vllm", VLLM_API_BASE=fake_openai.url), model="qwen3")
    events = await events_of(chat, chat.payload(asking(tools=(WEATHER, CLOCK))))
    reply = ended(events)
    assert text_of(events) == reply.text == "I look. "
    (call,) = reply.tool_calls
    assert (call.name, json.loads(call.arguments), reply.finish_reason) == (
        "weather",
        {"place": "Rome"},
        "tool_calls",
    )
    assert call.id
    assert sum(isinstance(event, ToolCallStarted) for event in events) == 1


@pytest.mark.usefixtures("closed_clients")
async def test_without_tools_and_at_hosted_providers_text_is_text(fake_openai: FakeOpenAI) -> None:
    for name, environment, tools in (
        ("vllm", {"VLLM_API_BASE": fake_openai.url}, ()),
        ("groq", {"GROQ_API_KEY": "k", "GROQ_BASE_URL": fake_openai.url}, (WEATHER,)),
    ):
        fake_openai.enqueue(FakeReply(text=HERMES))
        chat = OpenAIChat(config=provider(name, **environment), model="x")
        events = await events_of(chat, chat.payload(asking(tools=tools)))
        assert (ended(events).text, ended(events).tool_calls) == (HERMES, ())


@pytest.mark.usefixtures("closed_clients")
async def test_a_server_with_the_parser_is_not_read_twice(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="I look.", calls=(FakeCall(name="clock", id="a"),)))
    chat = OpenAIChat(config=provider("vllm", VLLM_API_BASE=fake_openai.url), model="x")
    events = await events_of(chat, chat.payload(asking(tools=(CLOCK,))))
    assert [call.id for call in ended(events).tool_calls] == ["a"]
    assert TextDelta(text="look.") in events
