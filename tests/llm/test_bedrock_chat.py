"""Anthropic's models at AWS, with the real SDK against a local server that speaks AWS's framing."""

from __future__ import annotations

import pytest

from letta_ade.llm.errors import ModelAuthentication, ModelError
from letta_ade.llm.messages import ReasoningPart, TextPart, ToolCall, Usage
from letta_ade.llm.providers.anthropic import BedrockChat
from tests.llm.support import CLOCK, asking, ended, events_of, provider, reply_of, text_of
from tests.support.fake_bedrock import FakeBedrock
from tests.support.fake_provider import FakeCall, FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")

SONNET = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"


def model(url: str, name: str = SONNET, **environment: str) -> BedrockChat:
    config = provider(
        "bedrock",
        AWS_ACCESS_KEY_ID="AKIA",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="eu-west-1",
        BEDROCK_BASE_URL=url,
        **environment,
    )
    return BedrockChat(config=config, model=name)


def test_the_payload_is_that_of_the_messages_api() -> None:
    payload = model("http://127.0.0.1:1").payload(asking(thinking_tokens=2000, max_output_tokens=4000))
    assert payload["model"] == SONNET
    # The model is known by its name, whatever stands before it.
    assert payload["thinking"] == {"type": "enabled", "budget_tokens": 2000}


async def test_a_reply_is_streamed_signed_and_whole() -> None:
    pytest.importorskip("boto3")
    usage = {"input_tokens": 10, "cache_read_input_tokens": 5, "output_tokens": 4}
    with FakeBedrock() as fake:
        fake.enqueue(
            FakeReply(
                reasoning="Hm.",
                signature="sig",
                text="One two.",
                calls=(FakeCall(name="clock", id="a"),),
                usage=usage,
            )
        )
        chat = model(fake.url, AWS_SESSION_TOKEN="token")
        events = await events_of(chat, chat.payload(asking(tools=(CLOCK,), thinking_tokens=2000)))
    reply = ended(events)
    assert text_of(events) == "One two."
    assert reply.parts == (ReasoningPart(reasoning="Hm.", signature="sig"), TextPart(text="One two."))
    assert reply.tool_calls == (ToolCall(id="a", name="clock", arguments="{}"),)
    assert reply.usage == Usage(
        prompt_tokens=15, completion_tokens=4, cached_input_tokens=5, cache_write_tokens=0
    )
    assert reply.request_id == "req_fake_bedrock"
    (request,) = fake.received
    assert request.path == "/model/us.anthropic.claude-sonnet-4-5-20250929-v1:0/invoke-with-response-stream"
    assert "Credential=AKIA/" in request.headers["authorization"]
    assert "/eu-west-1/bedrock/aws4_request" in request.headers["authorization"]
    assert request.headers["x-amz-security-token"] == "token"
    assert not {"model", "stream"} & request.body.keys()


async def test_a_profile_of_ones_own_is_called_by_its_arn() -> None:
    pytest.importorskip("boto3")
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc"
    with FakeBedrock() as fake:
        assert (await reply_of(model(fake.url, arn), asking())).text
    assert fake.received[0].path.count("/") == 3


async def test_two_credentials_at_once_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("boto3")
    monkeypatch.setenv("AWS_BEARER_TOKEN_BEDROCK", "bearer")
    with pytest.raises(ModelAuthentication) as caught:
        await reply_of(model("http://127.0.0.1:1"), asking())
    assert "Cannot specify both" in (caught.value.detail or "")


async def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_ade.llm.providers.clients.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"letta-ade\[bedrock\]") as caught:
        await reply_of(model("http://127.0.0.1:1"), asking())
    assert not caught.value.is_transient
