"""What providers that speak OpenAI's protocol want in a way of their own: Gemini, Azure, Mistral, DeepSeek, Z.ai, LM Studio."""

from __future__ import annotations

import json
from typing import Any

import pytest

from letta_ade.llm.client import ChatRequest, ToolChoice
from letta_ade.llm.messages import TextPart, ToolCall, ToolReturn, Usage
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.providers.openai_embeddings import OpenAIEmbedder
from tests.llm.support import CLOCK, asking, assistant, provider, reply_of, returned, user
from tests.support.fake_hosts import FakeAzure, FakeGemini
from tests.support.fake_openai import FakeOpenAI, frame
from tests.support.fake_provider import FakeReply

pytestmark = pytest.mark.usefixtures("closed_clients")

SCHEMA = {"type": "object", "properties": {"answer": {"type": "string"}}}
ASKED = {"type": "json_schema", "json_schema": {"name": "reply", "schema": SCHEMA}}


def chat(name: str, model: str, **environment: str) -> OpenAIChat:
    return OpenAIChat(config=provider(name, **environment), model=model)


def gemini(model: str, fake: FakeGemini | None = None) -> OpenAIChat:
    address = {"GEMINI_BASE_URL": fake.url} if fake else {}
    return chat("google_ai", model, GEMINI_API_KEY="k", **address)


def called(*calls: ToolCall) -> ChatRequest:
    returns = tuple(ToolReturn(tool_call_id=call.id, text="9") for call in calls)
    return ChatRequest(messages=(user("Time?"), assistant("", *calls), returned(*returns)), tools=(CLOCK,))


# Gemini


def test_gemini_is_asked_to_think_in_its_own_field() -> None:
    def thinking(model: str, **fields: Any) -> Any:
        payload = gemini(model).payload(asking(reasoning_effort="high", **fields))
        assert "reasoning_effort" not in payload
        return payload.get("extra_body", {}).get("google", {}).get("thinking_config")

    assert thinking("gemini-2.5-pro", thinking_tokens=2000) == {
        "thinking_budget": 2000,
        "include_thoughts": True,
    }
    assert thinking("gemini-2.5-pro", thinking_tokens=2000, shows_thoughts=False)["include_thoughts"] is False
    assert thinking("gemini-2.5-flash", thinking_tokens=0) == {
        "thinking_budget": 0,
        "include_thoughts": False,
    }
    assert thinking("gemini-2.5-flash") is None
    # It cannot, and refuses to be asked.
    assert thinking("gemini-2.0-flash", thinking_tokens=2000) is None


def test_gemini_is_not_sent_what_it_does_not_know() -> None:
    payload = gemini("gemini-2.5-pro").payload(asking(tools=(CLOCK,), return_logprobs=True, user="u"))
    assert not {"parallel_tool_calls", "logprobs", "user"} & payload.keys()
    assert payload["tool_choice"] == "auto"


async def test_geminis_signature_comes_with_the_call_and_goes_back_with_it() -> None:
    function = {"name": "clock", "arguments": "{}"}
    signed = {"id": "a", "function": function, "extra_content": {"google": {"thought_signature": "sig"}}}
    delta = {"tool_calls": [signed, {"id": "b", "function": function}]}
    body = [{"choices": [{"delta": delta, "finish_reason": "stop"}]}]
    with FakeGemini() as fake:
        fake.enqueue(FakeReply(frames=tuple(map(frame, body))))
        reply = await reply_of(gemini("gemini-3-pro", fake), asking(tools=(CLOCK,)))
    assert [(call.id, call.signature) for call in reply.tool_calls] == [("a", "sig"), ("b", None)]
    assert reply.finish_reason == "tool_calls"
    sent = gemini("gemini-3-pro").payload(called(*reply.tool_calls))["messages"][1]["tool_calls"]
    assert [call.get("extra_content") for call in sent] == [{"google": {"thought_signature": "sig"}}, None]


def test_calls_of_another_model_are_marked_for_a_gemini_that_insists_on_signatures() -> None:
    calls = (ToolCall(id="a", name="clock", arguments="{}"), ToolCall(id="b", name="clock", arguments="{}"))

    def marks(model: str) -> list[Any]:
        sent = gemini(model).payload(called(*calls))["messages"][1]["tool_calls"]
        return [call.get("extra_content") for call in sent]

    assert marks("gemini-3-pro") == [
        {"google": {"thought_signature": "skip_thought_signature_validator"}},
        None,
    ]
    assert marks("gemini-2.5-pro") == [None, None]


def test_geminis_signature_is_nothing_for_others() -> None:
    signed = ToolCall(id="a", name="clock", arguments="{}", signature="sig")
    payload = chat("openai", "gpt-4o", OPENAI_API_KEY="k").payload(called(signed))
    assert "sig" not in json.dumps(payload)


async def test_geminis_thoughts_count_as_output() -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 40}
    with FakeGemini() as fake:
        fake.enqueue(FakeReply(text="Hi.", usage=usage))
        reply = await reply_of(gemini("gemini-2.5-pro", fake), asking())
    assert reply.usage == Usage(prompt_tokens=10, completion_tokens=30, reasoning_tokens=25)


async def test_xais_reasoning_counts_as_output_too(fake_openai: FakeOpenAI) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 40,
        "completion_tokens_details": {"reasoning_tokens": 25},
    }
    fake_openai.enqueue(FakeReply(text="Hi.", usage=usage))
    reply = await reply_of(chat("xai", "grok-4", XAI_API_KEY="k", XAI_BASE_URL=fake_openai.url), asking())
    assert (reply.usage.completion_tokens, reply.usage.reasoning_tokens) == (30, 25)


@pytest.mark.parametrize(
    "usage",
    [
        {"prompt_cache_hit_tokens": 4},
        {"cached_tokens": 4},
        {"prompt_tokens_details": {"cached_tokens": 4}},
    ],
)
async def test_what_came_from_a_cache_is_found_under_each_name(
    fake_openai: FakeOpenAI, usage: dict[str, Any]
) -> None:
    fake_openai.enqueue(FakeReply(text="Hi.", usage=usage))
    reply = await reply_of(chat("vllm", "x", VLLM_API_BASE=fake_openai.url), asking())
    assert reply.usage.cached_input_tokens == 4


# Azure


@pytest.mark.parametrize(
    ("suffix", "version", "path", "query"),
    [
        ("", None, "/openai/deployments/my%20house/chat/completions", {"api-version": "2024-09-01-preview"}),
        ("", "2024-10-21", "/openai/deployments/my%20house/chat/completions", {"api-version": "2024-10-21"}),
        ("/openai/v1", None, "/openai/v1/chat/completions", {}),
        ("/openai/v1", "preview", "/openai/v1/chat/completions", {"api-version": "preview"}),
    ],
)
async def test_azure_is_asked_at_its_deployment(
    suffix: str, version: str | None, path: str, query: dict[str, str]
) -> None:
    with FakeAzure() as fake:
        versions = {"AZURE_API_VERSION": version} if version else {}
        model = chat("azure", "my house", AZURE_API_KEY="k", AZURE_BASE_URL=fake.url + suffix, **versions)
        reply = await reply_of(model, asking())
    assert reply.text
    request = fake.received[0]
    assert (request.path, request.query) == (path, query)
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers


def test_a_deployment_is_known_by_its_model_and_not_by_its_name() -> None:
    config = provider("azure", AZURE_API_KEY="k", AZURE_BASE_URL="https://a")
    payload = OpenAIChat(config=config, model="house", base_model="gpt-5").payload(
        asking(max_output_tokens=9, temperature=0.3, reasoning_effort="low")
    )
    assert payload["model"] == "house"
    assert (payload["max_completion_tokens"], payload["temperature"]) == (9, 1.0)
    assert payload["reasoning_effort"] == "low"


def test_azure_embeds_at_its_deployment() -> None:
    with FakeAzure() as fake:
        config = provider("azure", AZURE_API_KEY="k", AZURE_BASE_URL=fake.url)
        vectors = OpenAIEmbedder(config=config, model="vectors").embed(["tea"])
    assert len(vectors[0]) == 1536
    request = fake.received[0]
    assert request.path == "/openai/deployments/vectors/embeddings"
    assert request.query == {"api-version": "2024-09-01-preview"}
    assert request.headers["api-key"] == "k"


# Others


def test_mistral_gets_call_ids_of_nine_characters_that_fit_together() -> None:
    calls = tuple(
        ToolCall(id=each, name="clock", arguments="{}") for each in ("call_0123456789", "Ab3dEf6h9")
    )
    messages = chat("mistral", "mistral-large", MISTRAL_API_KEY="k").payload(called(*calls))["messages"]
    ids = [call["id"] for call in messages[1]["tool_calls"]]
    assert all(len(each) == 9 and each.isalnum() for each in ids)
    assert ids[1] == "Ab3dEf6h9"
    assert [message["tool_call_id"] for message in messages[2:]] == ids


async def test_mistrals_typed_pieces_are_read(fake_openai: FakeOpenAI) -> None:
    content = [
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm. "}, {"type": "text", "text": "So."}]},
        {"type": "text", "text": "Yes."},
    ]
    chunk = {"choices": [{"delta": {"content": content}, "finish_reason": "stop"}]}
    fake_openai.enqueue(FakeReply(frames=(frame(chunk),)))
    model = chat("mistral", "magistral", MISTRAL_API_KEY="k", MISTRAL_BASE_URL=fake_openai.url)
    reply = await reply_of(model, asking())
    assert [getattr(part, "reasoning", None) or part.text for part in reply.parts] == ["Hm. So.", "Yes."]  # type: ignore[union-attr]
    assert reply.parts[1] == TextPart(text="Yes.")


@pytest.mark.parametrize(
    ("name", "environment"), [("deepseek", {"DEEPSEEK_API_KEY": "k"}), ("zai", {"ZAI_API_KEY": "k"})]
)
def test_a_provider_without_schemas_is_told_the_schema_in_words(
    name: str, environment: dict[str, str]
) -> None:
    payload = chat(name, "x", **environment).payload(asking(response_format=ASKED))
    assert payload["response_format"] == {"type": "json_object"}
    roles = [message["role"] for message in payload["messages"]]
    assert roles == ["system", "system", "user"]
    assert json.dumps(SCHEMA) in payload["messages"][1]["content"]


def test_a_provider_with_schemas_gets_the_schema() -> None:
    payload = chat("groq", "x", GROQ_API_KEY="k").payload(asking(response_format=ASKED))
    assert payload["response_format"] == ASKED
    plain = chat("deepseek", "x", DEEPSEEK_API_KEY="k").payload(
        asking(response_format={"type": "json_object"})
    )
    assert plain["response_format"] == {"type": "json_object"}
    assert len(plain["messages"]) == 2


@pytest.mark.parametrize(
    ("thinks", "sent"), [(True, {"type": "enabled"}), (False, {"type": "disabled"}), (None, None)]
)
def test_zai_has_a_switch_for_thinking(thinks: bool | None, sent: Any) -> None:
    assert chat("zai", "glm-4.6", ZAI_API_KEY="k").payload(asking(thinks=thinks)).get("thinking") == sent


def test_lm_studio_is_asked_for_any_tool_instead_of_one() -> None:
    choice = ToolChoice(mode="one", name="clock")
    model = chat("lmstudio_openai", "x", LMSTUDIO_BASE_URL="http://a")
    assert model.payload(asking(tools=(CLOCK,), tool_choice=choice))["tool_choice"] == "required"


@pytest.mark.parametrize(
    ("name", "model", "environment", "sent"),
    [
        ("openai", "gpt-4o", {"OPENAI_API_KEY": "k"}, {"frequency_penalty", "logprobs", "top_logprobs"}),
        ("openai", "gpt-5", {"OPENAI_API_KEY": "k"}, {"verbosity"}),
        ("openai", "o3", {"OPENAI_API_KEY": "k"}, set()),
        ("xai", "grok-4", {"XAI_API_KEY": "k"}, {"logprobs", "top_logprobs"}),
        ("groq", "llama-3.3", {"GROQ_API_KEY": "k"}, {"frequency_penalty"}),
    ],
)
def test_settings_go_only_to_models_that_take_them(
    name: str, model: str, environment: dict[str, str], sent: set[str]
) -> None:
    request = asking(frequency_penalty=0.5, return_logprobs=True, top_logprobs=3, verbosity="low")
    payload = chat(name, model, **environment).payload(request)
    assert payload.keys() & {"frequency_penalty", "logprobs", "top_logprobs", "verbosity"} == sent


async def test_log_probabilities_are_collected_over_the_stream(fake_openai: FakeOpenAI) -> None:
    def token(word: str) -> dict[str, Any]:
        return {"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []}

    chunks = [
        {"choices": [{"delta": {"content": "a"}, "logprobs": {"content": [token("a")], "refusal": None}}]},
        {"choices": [{"delta": {"content": "b"}, "logprobs": {"content": [token("b")], "refusal": None}}]},
        {"choices": [{"delta": {}, "finish_reason": "stop", "logprobs": None}]},
    ]
    fake_openai.enqueue(FakeReply(frames=tuple(map(frame, chunks))))
    model = chat("openai", "gpt-4o", OPENAI_API_KEY="k", OPENAI_BASE_URL=fake_openai.url)
    reply = await reply_of(model, asking(return_logprobs=True))
    assert reply.logprobs == {"content": [token("a"), token("b")], "refusal": None}
    assert (await reply_of(model, asking())).logprobs is None
