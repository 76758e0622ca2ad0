"""Requests of every protocol read back: what is built is what is read."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_ade.llm.client import ChatRequest
from letta_ade.llm.messages import (
    ChatMessage,
    ImagePart,
    ReasoningPart,
    TextPart,
    ToolCall,
    ToolReturn,
    ToolSpec,
)
from letta_ade.llm.profiles import model_profile
from letta_ade.llm.provider_config import ProviderConfig
from letta_ade.llm.provider_profiles import find_profile
from letta_ade.llm.providers import anthropic_request, openai_request, openai_responses_request
from letta_ade.llm.request_reading import read_request
from letta_ade.llm.scripting import request_data

CALL = ToolCall(id="call_1", name="look_up", arguments='{"order": 7}')
IMAGE = ImagePart(source={"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="})
REQUEST = ChatRequest(
    messages=(
        ChatMessage(role="system", parts=(TextPart(text="You help."),)),
        ChatMessage(role="user", parts=(TextPart(text="Where is it?"), IMAGE)),
        ChatMessage(role="user", parts=(TextPart(text="Order 7."),)),
        ChatMessage(
            role="assistant",
            parts=(ReasoningPart(reasoning="Hm."), TextPart(text="I look.")),
            tool_calls=(CALL,),
        ),
        ChatMessage(role="tool", tool_returns=(ToolReturn(tool_call_id="call_1", text="In Oslo."),)),
        ChatMessage(role="user", parts=(TextPart(text="Thanks."),)),
    ),
    tools=(ToolSpec(name="look_up", description="Finds.", parameters={"type": "object"}),),
)


def config(provider_type: str) -> ProviderConfig:
    profile = find_profile(provider_type)
    assert profile is not None
    return ProviderConfig(profile=profile, name=provider_type, base_url="https://x.test/v1", source="a test")


def chat() -> dict[str, Any]:
    known = model_profile("gpt-4.1")
    return openai_request.build_payload(REQUEST, model="gpt-4.1", config=config("openai"), known=known)


def responses() -> dict[str, Any]:
    return openai_responses_request.build_responses_payload(
        REQUEST, model="gpt-4.1", known=model_profile("gpt-4.1")
    )


def anthropic() -> dict[str, Any]:
    return anthropic_request.build_payload(
        REQUEST,
        model="claude-haiku-4-5",
        profile=config("anthropic").profile,
        known=model_profile("claude-haiku-4-5"),
    )


def scripted() -> dict[str, Any]:
    return request_data(REQUEST, model="any")


@pytest.mark.parametrize("payload", [chat, responses, anthropic, scripted])
def test_every_protocol_is_read_into_the_same_parts(payload: Any) -> None:
    request = read_request(json.loads(json.dumps(payload())))
    assert request.system == "You help."
    assert [tool.name for tool in request.tools] == ["look_up"]
    assert "Finds." in request.tools[0].text
    said = [message for message in request.messages if message.role == "user"]
    assert [message.text.split("\n")[0] for message in said] == ["Where is it?", "Order 7.", "Thanks."]
    assert "(an image)" in said[0].text
    assert "iVBOR" not in json.dumps([message.text for message in request.messages])
    answer = [message for message in request.messages if message.role == "assistant"]
    assert any("I look." in message.text for message in answer)
    assert [name for message in answer for name in message.calls] == ["look_up"]
    assert any("look_up(" in message.text and "7" in message.text for message in answer)
    assert [message.text for message in request.messages if message.role == "tool"] == ["In Oslo."]
    assert request.settings["model"]
    assert not {"messages", "input", "system", "instructions", "tools"} & set(request.settings)


def test_what_is_not_known_is_kept_as_json() -> None:
    request = read_request({"messages": [{"role": "user", "content": [{"type": "audio", "pitch": 3}]}, 7]})
    assert [message.text for message in request.messages] == ['{"type": "audio", "pitch": 3}', "7"]


def test_an_empty_payload_has_no_parts() -> None:
    request = read_request({})
    assert (request.system, request.tools, request.messages) == ("", (), ())
