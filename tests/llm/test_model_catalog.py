"""The catalog: which models there are, for which environment."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from letta_ade.core.errors import Invalid, NotFound
from letta_ade.llm import catalog
from letta_ade.llm.errors import ModelAuthentication
from letta_ade.llm.providers.anthropic import AnthropicChat
from letta_ade.llm.providers.demo import DemoChat
from letta_ade.llm.providers.openai import OpenAIChat
from letta_ade.llm.testing import ScriptedModel, installed
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_openai import FakeOpenAI


@pytest.fixture
def environment(settings: Settings) -> Iterator[dict[str, str]]:
    """Variables to fill; each test has a catalog of its own, because no two have the same variables."""
    variables: dict[str, str] = {}
    settings.LLM_ENVIRONMENT = variables
    settings.DEFAULT_LLM_HANDLE = ""
    settings.DEFAULT_EMBEDDING_HANDLE = ""
    catalog._current = None
    yield variables
    catalog._current = None


@pytest.fixture
def closed_port() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def use_openai(environment: dict[str, str], fake: FakeOpenAI) -> None:
    environment.update(OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=fake.url)


def handles() -> list[str]:
    return [info.handle for info in catalog.list_models()]


def test_without_any_variable_there_is_the_demonstration(environment: dict[str, str]) -> None:
    (info,) = catalog.list_models()
    assert (info.handle, info.is_demo, info.endpoint) == ("demo/assistant", True, None)
    assert "not a language model" in info.display_name
    assert isinstance(catalog.get_chat_model("demo/assistant"), DemoChat)
    assert catalog.suggested_handle() == "demo/assistant"
    assert catalog.list_embedding_models() == []


def test_models_are_listed_by_provider_and_then_by_name(
    environment: dict[str, str], fake_openai: FakeOpenAI, fake_anthropic: FakeAnthropic
) -> None:
    use_openai(environment, fake_openai)
    environment.update(ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=fake_anthropic.url)
    assert handles() == [
        "openai/gpt-4.1-mini",
        "openai/gpt-4o",
        "openai/gpt-4o-mini",
        "openai/o4-mini",
        "anthropic/claude-haiku-4-5-20251001",
        "anthropic/claude-sonnet-4-5",
        "anthropic/claude-sonnet-5-5",
        "demo/assistant",
    ]
    assert isinstance(catalog.get_chat_model("openai/gpt-4o"), OpenAIChat)
    assert isinstance(catalog.get_chat_model("anthropic/claude-sonnet-5-5"), AnthropicChat)
    assert fake_openai.received[0].headers["authorization"] == "Bearer sk-test"


def test_a_model_is_described_by_what_we_know(environment: dict[str, str], fake_openai: FakeOpenAI) -> None:
    use_openai(environment, fake_openai)
    info = catalog.get_model_info("openai/gpt-4o-mini")
    assert (info.name, info.provider_name, info.provider_type) == ("gpt-4o-mini", "openai", "openai")
    assert (info.context_window, info.max_output_tokens) == (128_000, 16_384)
    assert info.supports_tools
    assert info.supports_images
    assert info.supports_json_schema
    assert not info.supports_reasoning
    assert info.endpoint == fake_openai.base_url
    assert not catalog.get_model_info("openai/o4-mini").supports_parallel


def test_what_the_listing_says_wins(environment: dict[str, str]) -> None:
    rows = ({"id": "Qwen/Qwen3-8B", "max_model_len": 40_960}, {"id": "nomic-embed-text"})
    with FakeOpenAI(models=rows) as fake:
        environment.update(VLLM_API_BASE=fake.url)
        info = catalog.get_model_info("vllm/Qwen/Qwen3-8B")
        assert (info.name, info.context_window) == ("Qwen/Qwen3-8B", 40_960)
        assert handles() == ["vllm/Qwen/Qwen3-8B", "demo/assistant"]
        assert [info.handle for info in catalog.list_embedding_models()] == ["vllm/nomic-embed-text"]


def test_the_listing_is_kept(environment: dict[str, str], fake_openai: FakeOpenAI) -> None:
    use_openai(environment, fake_openai)
    handles()
    handles()
    catalog.get_model_info("openai/gpt-4o")
    assert len(fake_openai.received) == 1
    catalog.list_models(refresh=True)
    assert len(fake_openai.received) == 2


def test_openais_embedding_models_need_no_listing(
    environment: dict[str, str], fake_openai: FakeOpenAI
) -> None:
    use_openai(environment, fake_openai)
    found = {info.handle: info.dimensions for info in catalog.list_embedding_models()}
    assert found == {
        "openai/text-embedding-3-large": 3072,
        "openai/text-embedding-3-small": 1536,
        "openai/text-embedding-ada-002": 1536,
    }


def test_a_provider_that_cannot_be_reached_is_skipped_and_reported(
    environment: dict[str, str], fake_openai: FakeOpenAI, closed_port: int
) -> None:
    use_openai(environment, fake_openai)
    environment.update(OLLAMA_BASE_URL=f"http://127.0.0.1:{closed_port}")
    assert "openai/gpt-4o" in handles()
    states = {state.name: state for state in catalog.provider_states()}
    assert states["openai"].error is None
    assert states["openai"].model_count == 4
    assert f"127.0.0.1:{closed_port}" in (states["ollama"].error or "")
    assert states["ollama"].is_listed


def test_models_stay_listed_when_the_provider_fails_later(
    environment: dict[str, str], fake_openai: FakeOpenAI
) -> None:
    use_openai(environment, fake_openai)
    before = handles()
    fake_openai.listing_status = 500
    catalog.list_models(refresh=True)
    assert handles() == before
    assert catalog.provider_states()[0].error


def test_a_model_of_a_provider_that_cannot_be_listed_is_accepted(
    environment: dict[str, str], closed_port: int
) -> None:
    environment.update(OPENAI_API_KEY="k", OPENAI_BASE_URL=f"http://127.0.0.1:{closed_port}")
    assert catalog.get_model_info("openai/gpt-4o").context_window == 128_000


def test_an_unknown_model_is_not_found_and_the_error_names_those_there_are(
    environment: dict[str, str], fake_openai: FakeOpenAI
) -> None:
    use_openai(environment, fake_openai)
    with pytest.raises(NotFound, match=r"'openai/gpt-99' is not available.*openai/gpt-4o-mini"):
        catalog.get_model_info("openai/gpt-99")


def test_a_model_that_was_added_meanwhile_is_found(
    environment: dict[str, str], fake_openai: FakeOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_openai(environment, fake_openai)
    handles()
    fake_openai.models = (*fake_openai.models, "gpt-5-new")
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 60)
    assert catalog.get_model_info("openai/gpt-5-new").name == "gpt-5-new"


@pytest.mark.parametrize(
    ("handle", "text"),
    [
        ("nobody/model", "no provider 'nobody'.*demo/assistant"),
        ("openai/gpt-4o", "OPENAI_API_KEY is not set"),
        ("vllm/qwen", "VLLM_API_BASE is not set"),
        ("gpt-4o", "provider/model"),
        ("", "provider/model"),
        ("demo/other", "demo/assistant"),
    ],
)
def test_a_handle_of_nothing_says_what_is_missing(
    environment: dict[str, str], handle: str, text: str
) -> None:
    with pytest.raises(NotFound, match=text):
        catalog.get_model_info(handle)


def test_calling_a_provider_without_its_key_names_the_variable(environment: dict[str, str]) -> None:
    with pytest.raises(ModelAuthentication, match="OPENAI_API_KEY"):
        catalog.get_chat_model("openai/gpt-4o")
    with pytest.raises(ModelAuthentication, match="ANTHROPIC_API_KEY"):
        catalog.get_chat_model("anthropic/claude-sonnet-4-5")
    with pytest.raises(ModelAuthentication, match="OPENAI_API_KEY"):
        catalog.get_embedder("openai/text-embedding-3-small")
    with pytest.raises(NotFound, match="nobody"):
        catalog.get_chat_model("nobody/model")


def test_an_unknown_embedding_model_is_invalid(environment: dict[str, str], fake_openai: FakeOpenAI) -> None:
    use_openai(environment, fake_openai)
    with pytest.raises(Invalid, match="text-embedding-3-small"):
        catalog.get_embedder("openai/text-embedding-9")
    with pytest.raises(Invalid):
        catalog.get_embedding_info("demo/assistant")


def test_the_embedder_embeds(environment: dict[str, str], fake_openai: FakeOpenAI) -> None:
    use_openai(environment, fake_openai)
    embedder = catalog.get_embedder("openai/text-embedding-3-small")
    assert (embedder.handle, embedder.dimensions) == ("openai/text-embedding-3-small", 1536)
    assert len(embedder.embed(["tea"])[0]) == 1536


def test_a_name_without_its_date_stands_for_the_dated_model(
    environment: dict[str, str], fake_anthropic: FakeAnthropic
) -> None:
    environment.update(ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=fake_anthropic.url)
    assert catalog.get_model_info("anthropic/claude-haiku-4-5").handle == "anthropic/claude-haiku-4-5"


def test_anthropics_listing_tells_sizes_and_names(environment: dict[str, str]) -> None:
    row = {
        "id": "claude-new",
        "display_name": "Claude New",
        "max_input_tokens": 500_000,
        "max_tokens": 9000,
        "capabilities": {"thinking": {"supported": True}, "image_input": {"supported": True}},
    }
    with FakeAnthropic(models=(row,)) as fake:
        environment.update(ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=fake.url)
        info = catalog.get_model_info("anthropic/claude-new")
    assert (info.display_name, info.context_window, info.max_output_tokens) == ("Claude New", 500_000, 9000)
    assert info.supports_reasoning
    assert info.supports_images


def test_a_proxy_without_a_listing_offers_the_known_models(
    environment: dict[str, str], fake_anthropic: FakeAnthropic
) -> None:
    fake_anthropic.listing_status = 404
    environment.update(ANTHROPIC_API_KEY="k", ANTHROPIC_BASE_URL=fake_anthropic.url)
    assert "anthropic/claude-sonnet-4-5" in handles()


def test_other_listings_are_understood(environment: dict[str, str]) -> None:
    router = {
        "id": "meta/llama",
        "name": "Meta: Llama",
        "context_length": 1000,
        "architecture": {"input_modalities": ["text", "image"]},
        "supported_parameters": ["tools", "reasoning", "structured_outputs"],
        "top_provider": {"max_completion_tokens": 500},
    }
    with FakeOpenAI(models=(router,)) as fake:
        environment.update(OPENROUTER_API_KEY="k", OPENROUTER_BASE_URL=fake.url, OPENROUTER_TITLE="ADE")
        info = catalog.get_model_info("openrouter/meta/llama")
    assert (info.display_name, info.context_window, info.max_output_tokens) == ("Meta: Llama", 1000, 500)
    assert info.supports_images
    assert info.supports_reasoning
    assert fake.received[0].query == {"supported_parameters": "tools"}
    assert fake.received[0].headers["x-title"] == "ADE"


def test_a_listing_that_is_no_listing_is_an_error(environment: dict[str, str]) -> None:
    class Odd(FakeOpenAI):
        def route(self, request: Any) -> Any:
            answer = super().route(request)
            return answer.__class__(headers=answer.headers, body=b'{"models": 3}')

    with Odd() as fake:
        use_openai(environment, fake)
        assert handles() == ["demo/assistant"]
    assert catalog.provider_states()[0].error


def test_the_suggested_model_is_the_default_or_a_well_known_one(
    environment: dict[str, str], fake_openai: FakeOpenAI, settings: Settings
) -> None:
    use_openai(environment, fake_openai)
    assert catalog.suggested_handle() == "openai/gpt-4.1-mini"
    assert catalog.default_handle() is None
    settings.DEFAULT_LLM_HANDLE = "openai/o4-mini"
    assert catalog.suggested_handle() == catalog.default_handle() == "openai/o4-mini"


def test_the_default_window_is_capped(environment: dict[str, str], settings: Settings) -> None:
    info = catalog.get_model_info("demo/assistant")
    settings.GLOBAL_MAX_CONTEXT_WINDOW = 10_000
    assert catalog.default_window(info) == 10_000
    settings.GLOBAL_MAX_CONTEXT_WINDOW = 1_000_000
    assert catalog.default_window(info) == info.context_window


def test_the_environment_is_described_for_people(environment: dict[str, str]) -> None:
    environment.update(
        OPENAI_API_KEY="sk-secret", OPENAI_BASE_URL="http://10.0.0.1:9", XAI_API_KEY="xai-secret"
    )
    described = catalog.describe_environment()
    assert [(row.name, row.source) for row in described] == [
        ("openai", "OPENAI_API_KEY"),
        ("xai", "XAI_API_KEY"),
        ("demo", "built in"),
    ]
    assert "http://10.0.0.1:9/v1" in described[0].note
    assert "secret" not in repr(described) + repr(catalog.provider_states())


def test_an_installed_model_is_found_like_any_other(environment: dict[str, str]) -> None:
    model = ScriptedModel(handle="test/one", context_window=5000)
    with installed(model):
        assert catalog.get_chat_model("test/one") is model
        assert catalog.get_model_info("test/one").context_window == 5000
        assert "test/one" in handles()
    with pytest.raises(NotFound):
        catalog.get_model_info("test/one")


def test_warming_up_lists_the_models_before_somebody_asks(
    environment: dict[str, str], fake_openai: FakeOpenAI
) -> None:
    use_openai(environment, fake_openai)
    warming = catalog.warm_up()
    warming.join(20)
    assert not warming.is_alive()
    assert catalog.provider_states()[0].model_count == 4
