"""What goes wrong between us and a provider, and what we call it."""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from letta_ade.llm.client import ChatModel
from letta_ade.llm.errors import (
    ContextOverflow,
    InvalidReply,
    ModelAuthentication,
    ModelBadRequest,
    ModelConnection,
    ModelCredits,
    ModelError,
    ModelOverloaded,
    ModelRateLimited,
    ModelTimeout,
)
from letta_ade.llm.events import ChatEvent, TextDelta
from letta_ade.llm.providers.anthropic import AnthropicChat, BedrockChat
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_responses import OpenAIResponses
from letta_ade.llm.providers.wire import Limits
from letta_ade.llm.testing import forbid_remote_models
from tests.llm.support import asking, events_of, provider, reply_of
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_bedrock import FakeBedrock
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import Answer, FakeProvider, FakeReply, Received

pytestmark = pytest.mark.usefixtures("closed_clients")


class FakeResponses(FakeOpenAI):
    """The same server, asked at its other endpoint."""


class FakeAzure(FakeOpenAI):
    """The same server below Azure's paths."""

    def route(self, request: Received) -> Answer:
        path = request.path.removeprefix("/openai/deployments/house")
        return super().route(replace(request, path=path))


@pytest.fixture(params=["openai", "anthropic", "responses", "azure", "bedrock"])
def fake(request: pytest.FixtureRequest) -> Iterator[FakeProvider]:
    if request.param == "bedrock":
        pytest.importorskip("boto3")
    kinds: dict[str, type[FakeProvider]] = {
        "openai": FakeOpenAI,
        "anthropic": FakeAnthropic,
        "responses": FakeResponses,
        "azure": FakeAzure,
        "bedrock": FakeBedrock,
    }
    served = kinds[request.param]()
    with served:
        yield served


def chat_with(fake: FakeProvider | str, limits: Limits | None = None, *, kind: str = "openai") -> ChatModel:
    url = fake if isinstance(fake, str) else fake.url
    if isinstance(fake, FakeBedrock):
        config = provider("bedrock", AWS_ACCESS_KEY_ID="a", AWS_SECRET_ACCESS_KEY="s", BEDROCK_BASE_URL=url)
        return BedrockChat(config=config, model="us.anthropic.claude-haiku-4-5", limits=limits)
    if isinstance(fake, FakeResponses):
        config = provider("openai", OPENAI_API_KEY="k", OPENAI_BASE_URL=url)
        return OpenAIResponses(config=config, model="gpt-5.1", limits=limits)
    if isinstance(fake, FakeAzure):
        config = provider("azure", AZURE_API_KEY="k", AZURE_BASE_URL=url)
        return OpenAIChat(config=config, model="house", limits=limits)
    if isinstance(fake, FakeAnthropic) or kind == "anthropic":
        config = provider("anthropic", ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=url)
        return AnthropicChat(config=config, model="claude-haiku-4-5", limits=limits)
    config = provider("openai", OPENAI_API_KEY="k", OPENAI_BASE_URL=url)
    return OpenAIChat(config=config, model="gpt-4o-mini", limits=limits)


async def collected(stream: AsyncIterator[ChatEvent]) -> list[ChatEvent]:
    return [event async for event in stream]


async def failure_of(chat: ChatModel) -> ModelError:
    with pytest.raises(ModelError) as caught:
        await reply_of(chat, asking())
    return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ModelBadRequest),
        (401, ModelAuthentication),
        (402, ModelCredits),
        (403, ModelAuthentication),
        (404, ModelBadRequest),
        (408, ModelTimeout),
        (413, ModelBadRequest),
        (422, ModelBadRequest),
        (429, ModelRateLimited),
        (500, ModelOverloaded),
        (502, ModelOverloaded),
        (503, ModelOverloaded),
        (504, ModelTimeout),
        (529, ModelOverloaded),
    ],
)
async def test_a_status_becomes_our_error_with_the_providers_text(
    fake: FakeProvider, status: int, kind: type[ModelError]
) -> None:
    fake.enqueue(FakeReply(status=status, error="The provider says why."))
    failure = await failure_of(chat_with(fake))
    assert type(failure) is kind
    assert failure.detail == "The provider says why."
    assert (failure.request_id or "").startswith("req_fake")
    assert str(status) in failure.message


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7.0),
        ({"retry-after-ms": "1500", "retry-after": "2"}, 1.5),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "inf"}, None),
        ({"retry-after": "-3"}, 0.0),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_how_long_the_provider_asks_to_be_left_alone_is_kept(
    fake: FakeProvider, status: int, headers: dict[str, str], seconds: float | None
) -> None:
    fake.enqueue(FakeReply(status=status, error="Slow down.", headers=headers))
    assert (await failure_of(chat_with(fake))).retry_after_seconds == seconds


async def test_nothing_is_sent_again_behind_our_back(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(status=500, error="no"), FakeReply(status=500, error="no"))
    await failure_of(chat_with(fake))
    assert len(fake.received) == 1


@pytest.mark.parametrize(
    "text",
    [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "prompt is too long: 210000 tokens > 200000 maximum",
        "the request exceeds the available context size, try increasing it",
    ],
)
@pytest.mark.parametrize("status", [400, 413])
async def test_a_request_that_is_too_long_is_told_apart(fake: FakeProvider, status: int, text: str) -> None:
    fake.enqueue(FakeReply(status=status, error=text))
    assert isinstance(await failure_of(chat_with(fake)), ContextOverflow)


async def test_the_code_tells_an_overflow_when_the_text_does_not(fake_openai: FakeOpenAI) -> None:
    body = {"error": {"message": "Too much.", "code": "context_length_exceeded"}}
    fake_openai.enqueue(FakeReply(status=400, error=body))
    assert isinstance(await failure_of(chat_with(fake_openai)), ContextOverflow)


async def test_a_used_up_quota_is_not_a_rate_limit(fake_openai: FakeOpenAI) -> None:
    body = {"error": {"message": "You exceeded your quota.", "code": "insufficient_quota"}}
    fake_openai.enqueue(FakeReply(status=429, error=body))
    failure = await failure_of(chat_with(fake_openai))
    assert isinstance(failure, ModelCredits)
    assert not failure.is_transient


@pytest.mark.parametrize("body", [{"detail": "Why not."}, {"error": "Why not."}, {"message": "Why not."}])
async def test_the_providers_text_is_found_in_other_shapes(fake_openai: FakeOpenAI, body: Any) -> None:
    fake_openai.enqueue(FakeReply(status=400, error=body))
    assert (await failure_of(chat_with(fake_openai))).detail == "Why not."


async def test_silence_is_a_timeout(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(text="a b", hang_after=1))
    failure = await failure_of(chat_with(fake, Limits(silence_seconds=0.1)))
    assert isinstance(failure, ModelTimeout)
    assert "0.1 seconds" in failure.message


async def test_a_reply_that_never_ends_is_a_timeout(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(text="a b", hang_after=1))
    failure = await failure_of(chat_with(fake, Limits(reply_seconds=0.1)))
    assert isinstance(failure, ModelTimeout)
    assert "end its reply" in failure.message


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
async def test_a_refused_connection_names_the_address(kind: str) -> None:
    with socket.socket() as taken:
        # Bound and not listening, so that nobody else answers there.
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        failure = await failure_of(chat_with(url, kind=kind))
    assert isinstance(failure, ModelConnection)
    assert url in failure.message
    assert failure.is_transient


async def test_a_connection_that_breaks_is_told_after_what_came_before_it(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(text="a b c d e f", drop_after=5))
    chat = chat_with(fake)
    stream = chat.stream(chat.payload(asking()))
    await anext(stream)
    with pytest.raises(ModelConnection):
        await collected(stream)


async def test_what_came_before_a_failure_in_the_same_piece_is_told_first(fake: FakeProvider) -> None:
    chat = chat_with(fake)
    payload = chat.payload(asking())
    fake.enqueue(FakeReply(text="One two", breaks_with="Why.", is_one_piece=True))
    stream = chat.stream(payload)
    said = [await anext(stream), await anext(stream)]
    assert said[-2:] == [TextDelta(text="One "), TextDelta(text="two")]
    with pytest.raises(ModelError) as caught:
        await anext(stream)
    assert caught.value.detail == "Why."
    assert caught.value.is_transient


async def test_a_body_that_ends_before_the_reply_does_is_a_broken_connection(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(text="Half of", is_unfinished=True))
    failure = await failure_of(chat_with(fake))
    assert isinstance(failure, ModelConnection)
    assert failure.is_transient


@pytest.mark.parametrize(
    "frame", [b"event: x\ndata: {no json\n\n", b'event: x\ndata: {"type": 5, "choices": 3}\n\n']
)
async def test_garbage_is_an_invalid_reply(fake: FakeProvider, frame: bytes) -> None:
    fake.enqueue(FakeReply(frames=(frame,)))
    failure = await failure_of(chat_with(fake))
    assert isinstance(failure, InvalidReply | ModelConnection)
    if not isinstance(fake, FakeAnthropic):
        assert isinstance(failure, InvalidReply)


async def test_a_page_instead_of_a_stream_is_an_invalid_reply(fake: FakeProvider) -> None:
    fake.enqueue(FakeReply(frames=(b"<html>Sign in</html>",), content_type="text/html"))
    failure = await failure_of(chat_with(fake))
    assert isinstance(failure, InvalidReply)
    assert "Sign in" in (failure.detail or "")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Slow down", "code": 429}, ModelRateLimited),
        ({"message": "Broken", "type": "server_error"}, ModelOverloaded),
        ({"message": "maximum context length is 10", "code": "400"}, ContextOverflow),
        ({"message": "Something"}, ModelOverloaded),
    ],
)
async def test_an_error_inside_openais_stream_is_understood(
    fake_openai: FakeOpenAI, error: dict[str, Any], kind: type[ModelError]
) -> None:
    fake_openai.enqueue(FakeReply(frames=(f"data: {json.dumps({'error': error})}\n\n".encode(),)))
    failure = await failure_of(chat_with(fake_openai))
    assert type(failure) is kind
    assert failure.detail == error["message"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("overloaded_error", ModelOverloaded),
        ("rate_limit_error", ModelRateLimited),
        ("invalid_request_error", ModelBadRequest),
    ],
)
async def test_an_error_inside_anthropics_stream_is_understood(
    fake_anthropic: FakeAnthropic, name: str, kind: type[ModelError]
) -> None:
    body = f'event: error\ndata: {{"type": "error", "error": {{"type": "{name}", "message": "Why."}}}}\n\n'
    fake_anthropic.enqueue(FakeReply(frames=(body.encode(),)))
    failure = await failure_of(chat_with(fake_anthropic))
    assert type(failure) is kind
    assert failure.detail == "Why."


async def test_after_a_failure_the_next_call_works(fake: FakeProvider) -> None:
    chat = chat_with(fake)
    fake.enqueue(FakeReply(text="a b c", drop_after=1), FakeReply(text="Fine."))
    await failure_of(chat)
    assert (await reply_of(chat, asking())).text == "Fine."


async def test_the_switch_forbids_calls_to_other_machines() -> None:
    forbid_remote_models()
    chat = OpenAIChat(config=provider("openai", OPENAI_API_KEY="k"), model="gpt-4o")
    with pytest.raises(RuntimeError, match="real model"):
        await events_of(chat, chat.payload(asking()))
