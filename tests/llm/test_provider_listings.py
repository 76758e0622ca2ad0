"""The lists of models of each provider, asked as that provider wants it."""

from __future__ import annotations

from typing import Any

import pytest

from letta_ade.llm.checks import check_provider
from letta_ade.llm.errors import ModelAuthentication, ModelConnection, ModelError
from letta_ade.llm.listing import Listing, listing_of
from letta_ade.llm.model_rows import openai_row
from letta_ade.llm.provider_config import ProviderConfig, azure_base_url, google_base_url
from tests.llm.support import provider
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_bedrock import FakeBedrock
from tests.support.fake_hosts import FakeAzure, FakeGemini, FakeLMStudio, FakeOllama
from tests.support.fake_openai import FakeOpenAI
from tests.support.fake_provider import Answer, Received, json_answer


def listed(config: ProviderConfig) -> Listing:
    outcome = check_provider(config, timeout_seconds=5)
    if outcome.failure is not None:
        raise outcome.failure
    return listing_of(config, outcome.rows)


def names(listing: Listing) -> tuple[list[str], list[str]]:
    return [info.name for info in listing.models], [info.name for info in listing.embeddings]


# Ollama


LLAMA = {
    "capabilities": ["completion", "tools", "vision"],
    "model_info": {"general.architecture": "llama", "llama.context_length": 131072},
}


def ollama(fake: FakeOpenAI, suffix: str = "") -> ProviderConfig:
    return provider("ollama", OLLAMA_BASE_URL=fake.url + suffix)


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/"])
def test_ollama_is_asked_about_each_of_its_tags(suffix: str) -> None:
    fake = FakeOllama()
    fake.shows = {
        "llama3.2-vision:latest": LLAMA,
        "nomic-embed-text:latest": {
            "capabilities": ["embedding"],
            "model_info": {"general.architecture": "nomic-bert", "nomic-bert.embedding_length": 768},
        },
        "whisper:latest": {"capabilities": ["audio"]},
    }
    with fake:
        listing = listed(ollama(fake, suffix))
    assert names(listing) == (["llama3.2-vision:latest"], ["nomic-embed-text:latest"])
    (model,), (embedding,) = listing.models, listing.embeddings
    assert (model.context_window, model.supports_tools, model.supports_images) == (131072, True, True)
    assert not model.supports_reasoning
    assert embedding.dimensions == 768
    assert {request.path for request in fake.received} == {"/api/tags", "/api/show"}


def test_the_window_that_ollama_loads_a_model_with_counts_more_than_its_largest() -> None:
    fake = FakeOllama()
    fake.shows = {"small": {**LLAMA, "parameters": 'stop           "<|eot|>"\nnum_ctx        8192'}}
    with fake:
        assert listed(ollama(fake)).models[0].context_window == 8192


def test_a_model_that_cannot_use_tools_says_so() -> None:
    fake = FakeOllama()
    fake.shows = {"plain": {"capabilities": ["completion"]}}
    with fake:
        (model,) = listed(ollama(fake)).models
    assert not model.supports_tools


def test_an_ollama_without_capabilities_is_told_apart_by_names() -> None:
    fake = FakeOllama()
    fake.shows = {"llama3.1:8b": {"model_info": {}}, "mxbai-embed-large": {"model_info": {}}, "gone": None}
    with fake:
        listing = listed(ollama(fake))
    assert names(listing) == (["gone", "llama3.1:8b"], ["mxbai-embed-large"])
    assert listing.models[1].context_window == 131_072
    assert listing.embeddings[0].dimensions is None


def test_another_server_at_ollamas_address_lists_as_openai_does(fake_openai: FakeOpenAI) -> None:
    assert "gpt-4o" in names(listed(ollama(fake_openai)))[0]


# LM Studio


def test_lm_studio_says_what_each_model_is() -> None:
    fake = FakeLMStudio()
    fake.rows = (
        {"id": "qwen3", "type": "llm", "max_context_length": 40960, "loaded_context_length": 8192},
        {"id": "pixtral", "type": "vlm", "max_context_length": 32768},
        {"id": "odd-name", "type": "embeddings", "max_context_length": 512},
    )
    with fake:
        listing = listed(provider("lmstudio_openai", LMSTUDIO_BASE_URL=fake.url + "/v1"))
    assert names(listing) == (["pixtral", "qwen3"], ["odd-name"])
    assert [(info.context_window, info.supports_images) for info in listing.models] == [
        (32768, True),
        (8192, False),
    ]
    # Nobody guesses: one call tells.
    assert listing.embeddings[0].dimensions is None


def test_an_older_lm_studio_lists_as_openai_does(fake_openai: FakeOpenAI) -> None:
    listing = listed(provider("lmstudio_openai", LMSTUDIO_BASE_URL=fake_openai.url))
    assert "gpt-4o" in names(listing)[0]


# Gemini


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://a", "https://a/v1beta/openai"),
        ("https://a/v1beta", "https://a/v1beta/openai"),
        ("https://a/v1beta/openai/", "https://a/v1beta/openai"),
        ("http://proxy/v1", "http://proxy/v1"),
    ],
)
def test_geminis_address_may_be_that_of_the_whole_api(given: str, used: str) -> None:
    assert google_base_url(given) == used


def test_geminis_own_list_tells_windows_and_kinds() -> None:
    fake = FakeGemini()
    chat = {"supportedGenerationMethods": ["generateContent", "countTokens"]}
    fake.rows = (
        {"name": "models/gemini-2.5-pro", "displayName": "Gemini 2.5 Pro", "inputTokenLimit": 1048576,
         "outputTokenLimit": 65536, "thinking": True, **chat},
        {"name": "models/gemini-2.5-flash-preview-tts", "inputTokenLimit": 8192, **chat},
        {"name": "models/gemini-embedding-001", "supportedGenerationMethods": ["embedContent"]},
        {"name": "models/imagen-4", "supportedGenerationMethods": ["predict"]},
    )  # fmt: skip
    with fake:
        listing = listed(provider("google_ai", GEMINI_API_KEY="k", GEMINI_BASE_URL=fake.url))
    assert names(listing) == (["gemini-2.5-pro"], ["gemini-embedding-001"])
    model = listing.models[0]
    assert (model.handle, model.display_name) == ("google_ai/gemini-2.5-pro", "Gemini 2.5 Pro")
    assert (model.context_window, model.max_output_tokens, model.supports_reasoning) == (1048576, 65536, True)
    assert fake.received[0].headers["x-goog-api-key"] == "k"
    assert "authorization" not in fake.received[0].headers


def test_a_gemini_without_its_own_list_gives_names() -> None:
    fake = FakeGemini(models=("models/gemini-2.5-flash", "models/text-embedding-004"))
    fake.own_status = 404
    with fake:
        listing = listed(provider("google_ai", GEMINI_API_KEY="k", GEMINI_BASE_URL=fake.url))
    assert names(listing) == (["gemini-2.5-flash"], ["text-embedding-004"])
    assert listing.models[0].context_window == 1_048_576
    assert listing.embeddings[0].dimensions == 768


def test_googles_word_for_a_bad_key_is_an_authentication() -> None:
    class Refusing(FakeGemini):
        def route(self, request: Received) -> Answer:
            error = {"code": 400, "message": "API key not valid. Please pass a valid API key."}
            return json_answer([{"error": error}], status=400)

    with Refusing() as fake, pytest.raises(ModelAuthentication) as caught:
        listed(provider("google_ai", GEMINI_API_KEY="k", GEMINI_BASE_URL=fake.url))
    assert caught.value.detail == "API key not valid. Please pass a valid API key."


# Azure


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://a.openai.azure.com/", "https://a.openai.azure.com/openai"),
        ("https://a/openai/deployments/gpt-4o", "https://a/openai"),
        ("https://a/openai/v1/", "https://a/openai/v1"),
    ],
)
def test_azures_address_may_be_the_resource_or_its_undated_api(given: str, used: str) -> None:
    assert azure_base_url(given) == used


@pytest.mark.parametrize("suffix", ["", "/openai/v1"])
def test_azures_models_are_the_deployments(suffix: str) -> None:
    fake = FakeAzure()
    fake.deployments = (
        {"id": "house", "model": "gpt-5.1", "status": "succeeded"},
        {"id": "vectors", "model": "text-embedding-3-large", "status": "succeeded"},
        {"id": "coming", "model": "gpt-4o", "status": "creating"},
    )
    with fake:
        listing = listed(provider("azure", AZURE_API_KEY="k", AZURE_BASE_URL=fake.url + suffix))
    assert names(listing) == (["house"], ["vectors"])
    model = listing.models[0]
    # Known by what it is, not by what somebody called it.
    assert (model.base_model, model.context_window, model.supports_reasoning) == ("gpt-5.1", 272_000, True)
    assert listing.embeddings[0].dimensions == 3072
    request = fake.received[0]
    assert (request.path, request.query) == ("/openai/deployments", {"api-version": "2023-03-15-preview"})
    assert request.headers["api-key"] == "k"
    assert "authorization" not in request.headers


def test_an_azure_that_does_not_tell_its_deployments_lists_its_models() -> None:
    fake = FakeAzure()
    fake.deployments = None
    fake.base_models = (
        {"id": "gpt-4o", "capabilities": {"chat_completion": True, "embeddings": False}},
        {"id": "ada-2", "capabilities": {"chat_completion": False, "embeddings": True}},
        {"id": "dall-e-3", "capabilities": {"chat_completion": False, "embeddings": False}},
    )
    with fake:
        config = provider("azure", AZURE_API_KEY="k", AZURE_BASE_URL=fake.url, AZURE_API_VERSION="2024-10-21")
        assert names(listed(config)) == (["gpt-4o"], ["ada-2"])
    assert fake.received[-1].query == {"api-version": "2024-10-21"}


# Compatible providers


@pytest.mark.parametrize(
    ("name", "environment", "rows", "models"),
    [
        (
            "groq",
            {"GROQ_API_KEY": "k", "GROQ_BASE_URL": "{url}"},
            [{"id": "llama-3.3", "context_window": 131072}, {"id": "whisper"}],
            ["llama-3.3"],
        ),
        (
            "together",
            {"TOGETHER_API_KEY": "k", "TOGETHER_BASE_URL": "{url}"},
            [
                {"id": "a/chat", "type": "chat", "context_length": 32768},
                {"id": "a/tiny", "type": "chat", "context_length": 2048},
                {"id": "a/image", "type": "image"},
            ],
            ["a/chat"],
        ),
        (
            "mistral",
            {"MISTRAL_API_KEY": "k", "MISTRAL_BASE_URL": "{url}"},
            [
                {"id": "mistral-large", "capabilities": {"completion_chat": True, "vision": True}},
                {"id": "mistral-large", "capabilities": {"completion_chat": True, "vision": True}},
                {"id": "mistral-ocr", "capabilities": {"completion_chat": False}},
            ],
            ["mistral-large"],
        ),
        (
            "deepseek",
            {"DEEPSEEK_API_KEY": "k", "DEEPSEEK_BASE_URL": "{url}"},
            [{"id": "deepseek-chat"}],
            None,
        ),
        ("xai", {"XAI_API_KEY": "k", "XAI_BASE_URL": "{url}"}, [{"id": "grok-4"}], None),
        ("sglang", {"SGLANG_API_BASE": "{url}"}, [{"id": "glm", "max_model_len": 9000}], None),
        ("baseten", {"BASETEN_API_KEY": "k", "BASETEN_BASE_URL": "{url}"}, [{"id": "x"}], None),
    ],
)
def test_compatible_providers_list_those_that_chat(
    name: str, environment: dict[str, str], rows: list[Any], models: list[str] | None
) -> None:
    with FakeOpenAI(models=tuple(rows)) as fake:
        config = provider(name, **{key: value.format(url=fake.url) for key, value in environment.items()})
        listing = listed(config)
    assert [info.name for info in listing.models] == (models or [row["id"] for row in rows])
    assert all(info.provider_type == config.profile.provider_type for info in listing.models)


def test_zai_has_a_version_of_its_own() -> None:
    config = provider("zai", ZAI_API_KEY="k")
    assert config.base_url == "https://api.z.ai/api/paas/v4"


def test_models_of_openai_itself_that_answer_only_elsewhere_are_listed_when_they_are_asked_there() -> None:
    config = provider("openai", OPENAI_API_KEY="k")
    chat = provider("openai", OPENAI_API_KEY="k", ADE_OPENAI_API="chat")
    kinds = {}
    for name in ("gpt-5.1", "gpt-5.1-codex", "gpt-5-pro", "gpt-4o-audio", "o1-pro", "text-embedding-3-small"):
        row, forced = openai_row(config, {"id": name}), openai_row(chat, {"id": name})
        assert row is not None
        assert forced is not None
        kinds[name] = (row.kind, forced.kind)
    assert kinds == {
        "gpt-5.1": ("chat", "chat"),
        "gpt-5.1-codex": ("chat", "other"),
        "gpt-5-pro": ("chat", "other"),
        "gpt-4o-audio": ("other", "other"),
        "o1-pro": ("other", "other"),
        "text-embedding-3-small": ("other", "other"),
    }


def test_minimax_speaks_anthropics_protocol_and_may_list_nothing(fake_anthropic: FakeAnthropic) -> None:
    fake_anthropic.listing_status = 404
    config = provider("minimax", MINIMAX_API_KEY="k", MINIMAX_BASE_URL=fake_anthropic.url)
    listing = listed(config)
    assert listing.models[0].handle == "minimax/MiniMax-M2"
    assert listing.models[0].max_output_tokens == 128_000


# Bedrock


def bedrock(url: str) -> ProviderConfig:
    return provider(
        "bedrock",
        AWS_ACCESS_KEY_ID="AKIA",
        AWS_SECRET_ACCESS_KEY="secret",
        AWS_DEFAULT_REGION="eu-west-1",
        BEDROCK_BASE_URL=url,
    )


def test_bedrock_needs_both_halves_of_its_key_and_knows_its_region() -> None:
    with pytest.raises(StopIteration):
        provider("bedrock", AWS_SECRET_ACCESS_KEY="secret")
    config = provider("bedrock", AWS_ACCESS_KEY_ID="AKIA", AWS_SECRET_ACCESS_KEY="secret")
    assert config.base_url == "https://bedrock-runtime.us-east-1.amazonaws.com"
    assert config.is_official_host


def test_without_the_extra_bedrock_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("letta_ade.llm.providers.clients.find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"letta-ade\[bedrock\]"):
        listed(bedrock("http://127.0.0.1:1"))


def test_bedrocks_models_are_the_inference_profiles_of_claude() -> None:
    pytest.importorskip("boto3")
    with FakeBedrock() as fake:
        listing = listed(bedrock(fake.url))
    found = {info.name: (info.base_model, info.context_window) for info in listing.models}
    assert found == {
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0": ("anthropic.claude-sonnet-4-5-v1:0", 200_000),
        "arn:aws:bedrock:us-east-1:1:application-inference-profile/abc": (
            "anthropic.claude-haiku-4-5-v1:0",
            200_000,
        ),
    }
    assert fake.received[0].headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIA/")


def test_who_may_not_list_at_aws_is_offered_the_known_models_of_the_region() -> None:
    pytest.importorskip("boto3")
    fake = FakeBedrock()
    fake.listing_error = "AccessDeniedException"
    with fake:
        listing = listed(bedrock(fake.url))
    assert listing.models
    assert all(info.name.startswith("eu.anthropic.claude-") for info in listing.models)


@pytest.mark.parametrize(
    ("word", "kind"),
    [("UnrecognizedClientException", ModelAuthentication), ("ThrottlingException", ModelError)],
)
def test_what_aws_says_is_passed_on(word: str, kind: type[ModelError]) -> None:
    pytest.importorskip("boto3")
    fake = FakeBedrock()
    fake.listing_error = word
    with fake, pytest.raises(kind) as caught:
        listed(bedrock(fake.url))
    assert "The fake lists nothing." in (caught.value.detail or "")


def test_an_aws_that_is_not_there_cannot_be_reached() -> None:
    pytest.importorskip("boto3")
    with pytest.raises(ModelConnection):
        listed(bedrock("http://127.0.0.1:9"))


def test_a_refusal_without_a_body_is_a_refusal_and_says_what_was_asked() -> None:
    class Silent(FakeOpenAI):
        def route(self, request: Received) -> Answer:
            return Answer(status=401, body=b"")

    with Silent() as fake:
        config = provider("openai", OPENAI_API_KEY="sk-secret", OPENAI_BASE_URL=fake.url)
        outcome = check_provider(config, timeout_seconds=5)
    assert isinstance(outcome.failure, ModelAuthentication)
    assert outcome.check.request == f"GET {fake.base_url}/models"
    assert outcome.check.answer == "HTTP 401 Fake"
    assert outcome.check.milliseconds is not None
