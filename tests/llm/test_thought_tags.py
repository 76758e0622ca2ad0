"""Reasoning that stands in the text between tags."""

from __future__ import annotations

import json

import pytest

from letta_ade.llm.messages import ReasoningPart, TextPart
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.thought_tags import ThoughtTags
from tests.llm.support import asking, provider, reply_of
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import FakeReply


def split(*pieces: str) -> tuple[str, str]:
    tags = ThoughtTags()
    found = [each for piece in pieces for each in tags.take(piece)] + tags.rest()
    return (
        "".join(words for kind, words in found if kind == "reasoning"),
        "".join(words for kind, words in found if kind == "text"),
    )


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("<think>Hm.</think>\n\nYes.", ("Hm.", "Yes.")),
        ("<thought>Hm.</thought>Yes.", ("Hm.", "Yes.")),
        ("\n<think>\nHm.\n</think>Yes.", ("\nHm.\n", "Yes.")),
        ("<think></think>Yes.", ("", "Yes.")),
        ("<think>It broke off", ("It broke off", "")),
        ("<think>a </thi b</think>c", ("a </thi b", "c")),
        ("The tag <think> is one.", ("", "The tag <think> is one.")),
        ("<thinking about it>", ("", "<thinking about it>")),
        ("<", ("", "<")),
        ("", ("", "")),
        ("  \n\n indented", ("", "  \n\n indented")),
    ],
)
def test_a_tag_at_the_head_begins_reasoning_however_the_text_is_cut(
    text: str, parts: tuple[str, str]
) -> None:
    assert split(text) == parts
    assert split(*text) == parts
    assert split(text[:7], text[7:9], text[9:]) == parts


def test_nothing_is_held_back_once_the_text_has_begun() -> None:
    tags = ThoughtTags()
    assert tags.take("Yes") == [("text", "Yes")]
    assert tags.is_past
    assert tags.take(" <think>") == [("text", " <think>")]


@pytest.mark.usefixtures("closed_clients")
async def test_a_server_without_a_reasoning_parser_is_understood(fake_openai: FakeOpenAI) -> None:
    fake_openai.enqueue(FakeReply(text="<think>Hm. So.</think>\n\nYes it is."))
    config = provider("ollama", OLLAMA_BASE_URL=fake_openai.url)
    reply = await reply_of(OpenAIChat(config=config, model="qwen3"), asking())
    assert reply.parts == (ReasoningPart(reasoning="Hm. So."), TextPart(text="Yes it is."))


@pytest.mark.usefixtures("closed_clients")
async def test_geminis_thoughts_are_reasoning_even_between_texts(fake_openai: FakeOpenAI) -> None:
    mark = {"extra_content": {"google": {"thought": True}}}
    deltas = (
        {"content": "<thought>First", **mark},
        {"content": " this.", **mark},
        {"content": "</thought>Yes. "},
        {"content": "<thought>Once more.", **mark},
        {"content": "</thought>Done."},
    )
    chunks = [{"id": "c", "choices": [{"delta": delta}]} for delta in deltas]
    chunks.append({"id": "c", "choices": [{"delta": {}, "finish_reason": "stop"}]})
    fake_openai.enqueue(
        FakeReply(frames=tuple(f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks))
    )
    config = provider("google_ai", GEMINI_API_KEY="k", GEMINI_BASE_URL=fake_openai.base_url)
    reply = await reply_of(OpenAIChat(config=config, model="gemini-2.5-flash"), asking())
    assert reply.parts == (
        ReasoningPart(reasoning="First this."),
        TextPart(text="Yes. "),
        ReasoningPart(reasoning="Once more."),
        TextPart(text="Done."),
    )
