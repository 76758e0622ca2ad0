"""Which variables switch which provider on."""

from __future__ import annotations

import pytest
from django.core.exceptions import ImproperlyConfigured

from letta_ade.llm.environment import (
    PROVIDER_VARIABLES,
    configured_providers,
    missing_variable,
    openai_api,
    split_handle,
)
from letta_ade.llm.profiles import MODELS, model_profile
from letta_ade.llm.provider_config import anthropic_base_url, openai_base_url
from letta_ade.llm.provider_profiles import PROVIDERS, find_profile
from letta_ade.settings import env_numbers


def names(**environment: str) -> list[str]:
    return [config.name for config in configured_providers(environment)]


@pytest.mark.parametrize(
    ("handle", "parts"),
    [
        ("openai/gpt-4o", ("openai", "gpt-4o")),
        ("vllm/Qwen/Qwen3-8B", ("vllm", "Qwen/Qwen3-8B")),
        ("ollama/llama3.1:8b", ("ollama", "llama3.1:8b")),
        ("gpt-4o", ("", "")),
        ("/x", ("", "")),
        ("x/", ("", "")),
    ],
)
def test_a_handle_is_split_at_its_first_slash(handle: str, parts: tuple[str, str]) -> None:
    assert split_handle(handle) == parts


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("http://a:1", "http://a:1/v1"),
        ("http://a:1/", "http://a:1/v1"),
        ("http://a:1/v1/", "http://a:1/v1"),
        ("http://a/openai/v1", "http://a/openai/v1"),
        ("http://a/v1beta/openai", "http://a/v1beta/openai"),
        (" http://a/proxy ", "http://a/proxy/v1"),
    ],
)
def test_a_version_is_added_where_there_is_none(given: str, used: str) -> None:
    assert openai_base_url(given) == used


def test_anthropics_sdk_adds_the_version_itself() -> None:
    assert anthropic_base_url("http://a/v1/") == anthropic_base_url("http://a") == "http://a"


def test_a_provider_with_a_key_needs_its_key() -> None:
    assert names(OPENAI_BASE_URL="http://a") == ["demo"]
    assert names(OPENAI_API_KEY=" ", OPENAI_BASE_URL="http://a") == ["demo"]
    assert names(OPENAI_API_KEY="k") == ["openai", "demo"]


def test_a_server_without_keys_is_switched_on_by_its_address() -> None:
    (vllm, _) = configured_providers({"VLLM_API_BASE": "http://a:8000", "VLLM_API_KEY": "k"})
    assert (vllm.base_url, vllm.api_key, vllm.source) == ("http://a:8000/v1", "k", "VLLM_API_BASE")
    assert names(VLLM_API_KEY="k") == ["demo"]


def test_the_older_name_of_a_variable_works_and_the_newer_wins() -> None:
    (older, _) = configured_providers({"OPENAI_API_KEY": "k", "OPENAI_API_BASE": "http://old"})
    assert older.base_url == "http://old/v1"
    both = {"OPENAI_API_KEY": "k", "OPENAI_API_BASE": "http://old", "OPENAI_BASE_URL": "http://new"}
    assert configured_providers(both)[0].base_url == "http://new/v1"


def test_the_handles_of_a_provider_can_be_renamed() -> None:
    assert names(VLLM_API_BASE="http://a", VLLM_HANDLE_BASE="house") == ["house", "demo"]


def test_providers_come_in_the_order_of_the_list() -> None:
    everything = {name: "http://a" if name.endswith(("BASE", "URL")) else "k" for name in PROVIDER_VARIABLES}
    everything["ADE_OPENAI_API"] = "auto"
    found = [config.profile.name for config in configured_providers(everything)]
    assert found == [profile.name for profile in PROVIDERS]
    assert found == [
        "openai", "anthropic", "ollama", "google_ai", "azure", "groq", "together", "vllm", "sglang", "bedrock", "deepseek",
        "xai", "lmstudio_openai", "mistral", "minimax", "baseten", "zai", "zai_coding", "openrouter", "demo",
    ]  # fmt: skip


def test_the_key_is_in_no_representation() -> None:
    assert "sk-secret" not in repr(configured_providers({"OPENAI_API_KEY": "sk-secret"}))


def test_how_openai_is_spoken_to_is_one_of_three_words() -> None:
    assert configured_providers({"OPENAI_API_KEY": "k"})[0].api == "auto"
    assert configured_providers({"OPENAI_API_KEY": "k", "ADE_OPENAI_API": " Chat "})[0].api == "chat"
    with pytest.raises(ValueError, match="must be one of auto, responses, chat, not 'completions'"):
        openai_api({"ADE_OPENAI_API": "completions"})


@pytest.mark.parametrize(
    ("provider_type", "environment", "missing"),
    [
        ("openai", {}, "OPENAI_API_KEY"),
        ("vllm", {}, "VLLM_API_BASE"),
        ("azure", {"AZURE_API_KEY": "k"}, "AZURE_BASE_URL"),
        ("bedrock", {"AWS_ACCESS_KEY_ID": "k"}, "AWS_SECRET_ACCESS_KEY"),
    ],
)
def test_what_is_missing_is_the_first_variable_that_is_not_set(
    provider_type: str, environment: dict[str, str], missing: str
) -> None:
    profile = find_profile(provider_type)
    assert profile is not None
    assert missing_variable(profile, environment) == missing
    assert names(**environment) == ["demo"]


def test_windows_of_the_operator_are_numbers_by_handle(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADE_CONTEXT_WINDOWS", "ollama/qwen3:32b=16384, vllm/a=b/c=9")
    assert env_numbers("ADE_CONTEXT_WINDOWS") == {"ollama/qwen3:32b": 16384, "vllm/a=b/c": 9}
    for bad in ("ollama/x", "ollama/x=many", "=5", "ollama/x=0"):
        monkeypatch.setenv("ADE_CONTEXT_WINDOWS", bad)
        with pytest.raises(ImproperlyConfigured, match="name=number"):
            env_numbers("ADE_CONTEXT_WINDOWS")


def test_every_provider_has_a_name_of_its_own_and_a_way_to_be_switched_on() -> None:
    assert len({profile.name for profile in PROVIDERS}) == len(PROVIDERS)
    for profile in PROVIDERS:
        assert profile.variables or profile.protocol == "demo"


@pytest.mark.parametrize(
    ("name", "prefix"),
    [
        ("gpt-4o-mini", "gpt-4o"),
        ("gpt-4-turbo-2024-04-09", "gpt-4-turbo"),
        ("gpt-5.4-mini", "gpt-5.4"),
        ("openai/gpt-oss-120b", "gpt-oss"),
        ("claude-opus-4-8", "claude-opus-4-8"),
        ("claude-sonnet-5-5", "claude-"),
        ("meta-llama/Llama-3.3-70B", "llama-3.3"),
        ("something-else", ""),
    ],
)
def test_the_longest_prefix_tells_about_a_model(name: str, prefix: str) -> None:
    assert model_profile(name).prefix == prefix


def test_no_prefix_is_described_twice() -> None:
    assert len({row.prefix for row in MODELS}) == len(MODELS)
