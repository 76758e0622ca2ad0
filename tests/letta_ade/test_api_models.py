"""The lists of models over REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.api import Api
from tests.support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.django_db


@pytest.fixture
def provider(settings: Any) -> Iterator[FakeOpenAI]:
    fake = FakeOpenAI()
    with fake:
        settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "sk-test", "OPENAI_BASE_URL": fake.base_url}
        yield fake


def handles(**query: Any) -> list[str]:
    return [model["handle"] for model in Api().get("/v1/models/", **query).json()]


def test_a_model_is_told_with_all_its_fields(provider: FakeOpenAI) -> None:
    models = {model["handle"]: model for model in Api().get("/v1/models/").json()}
    model = models["openai/gpt-4o-mini"]
    assert (model["model_type"], model["provider_type"], model["provider_name"]) == (
        "llm",
        "openai",
        "openai",
    )
    assert model["max_context_window"] == model["context_window"] == 128_000
    assert model["max_tokens"] == 16_384
    assert model["model_endpoint"] == provider.base_url
    assert {"put_inner_thoughts_in_kwargs", "temperature", "tool_call_parser"} <= set(model)
    assert "demo/assistant" in models


def test_models_are_filtered_by_provider(provider: FakeOpenAI) -> None:
    assert handles(provider_name="demo") == ["demo/assistant"]
    assert "demo/assistant" not in handles(provider_type="openai")
    assert handles(provider_category="byok") == []
    assert "demo/assistant" in handles(provider_category=["base", "byok"])


def test_embedding_models_say_how_long_their_vectors_are(provider: FakeOpenAI) -> None:
    models = {model["handle"]: model for model in Api().get("/v1/models/embedding").json()}
    model = models["openai/text-embedding-3-large"]
    assert (model["embedding_dim"], model["model_type"]) == (3072, "embedding")


def test_without_a_provider_there_is_the_demonstration() -> None:
    assert handles() == ["demo/assistant"]
    assert Api().get("/v1/models/embedding").json() == []
