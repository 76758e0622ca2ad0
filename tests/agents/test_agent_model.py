"""The settings of an agent's model: what each provider's type holds, and what they mean for a call."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from agents.services.agent_model import choose_model, default_settings
from agents.services.opening import call_settings
from letta_ade.core.errors import Invalid
from letta_ade.llm import catalog
from letta_ade.llm.listing import describe_model
from letta_ade.llm.model_rows import ModelRow
from letta_ade.llm.provider_config import make_config
from letta_ade.llm.provider_profiles import find_profile
from tests.support.factories import make_agent

ALL = {"provider_type", "max_output_tokens", "parallel_tool_calls", "temperature"}


def defaults(provider_type: str, name: str, **row: Any) -> dict[str, Any]:
    profile = find_profile(provider_type)
    assert profile is not None
    config = make_config(profile, name="x", source="test", base_url="http://127.0.0.1:1")
    assert config is not None
    return default_settings(describe_model(config, ModelRow(name=name, **row)))


def test_an_agent_with_just_a_model_of_openai_gets_these_settings() -> None:
    assert defaults("openai", "gpt-4o-mini") == {
        "provider_type": "openai",
        "max_output_tokens": 16384,
        "parallel_tool_calls": True,
        "strict": False,
        "temperature": 1.0,
        "reasoning": {"reasoning_effort": "minimal"},
        "response_format": None,
    }


@pytest.mark.parametrize(
    ("provider_type", "model", "special"),
    [
        (
            "sglang",
            "x",
            {
                "response_format": None,
                "strict": False,
                "reasoning": {"reasoning_effort": "minimal"},
                "tool_call_parser": None,
            },
        ),
        (
            "anthropic",
            "claude-haiku-4-5",
            {
                "response_format": None,
                "strict": False,
                "thinking": {"type": "enabled", "budget_tokens": 1024},
                "effort": None,
                "verbosity": None,
            },
        ),
        (
            "google_ai",
            "gemini-2.5-pro",
            {
                "response_schema": None,
                "thinking_config": {"include_thoughts": True, "thinking_budget": 1024},
            },
        ),
        (
            "google_ai",
            "gemini-2.0-flash",
            {"response_schema": None, "thinking_config": {"include_thoughts": False, "thinking_budget": 0}},
        ),
        (
            "zai",
            "glm-4.6",
            {"response_format": None, "thinking": {"type": "enabled", "clear_thinking": False}},
        ),
        ("bedrock", "us.anthropic.claude-haiku-4-5", {"response_format": None}),
        ("azure", "house", {"response_format": None}),
        ("groq", "x", {"response_format": None}),
    ],
)
def test_each_type_has_its_own_settings(provider_type: str, model: str, special: dict[str, Any]) -> None:
    settings = defaults(provider_type, model)
    assert settings["provider_type"] == provider_type
    assert {key: value for key, value in settings.items() if key not in ALL} == special


@pytest.mark.parametrize(
    ("provider_type", "name", "tokens"),
    [
        ("openai", "gpt-5.2", 128_000),
        ("openai", "gpt-4.1", 8192),
        ("anthropic", "claude-3-5-haiku", 8192),
        ("google_ai", "gemini-2.5-pro", 65_536),
        ("google_ai", "gemini-2.0-flash", 8192),
        ("minimax", "MiniMax-M2", 128_000),
        ("bedrock", "eu.anthropic.claude-sonnet-4-5-20250929-v1:0", 16_384),
        ("vllm", "something", 4096),
    ],
)
def test_how_long_a_reply_may_be_where_nobody_says(provider_type: str, name: str, tokens: int) -> None:
    assert defaults(provider_type, name)["max_output_tokens"] == tokens


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("stored", "meant"),
    [
        (
            {"strict": True, "verbosity": "low", "effort": "high", "frequency_penalty": 0.5},
            {"strict": True, "verbosity": "low", "effort": "high", "frequency_penalty": 0.5},
        ),
        ({"return_logprobs": True, "top_logprobs": 3}, {"return_logprobs": True, "top_logprobs": 3}),
        ({"reasoning": {"reasoning_effort": "low"}}, {"reasoning_effort": "low", "thinking_tokens": None}),
        (
            {"thinking": {"type": "enabled", "budget_tokens": 2000}},
            {"thinking_tokens": 2000, "thinks": True},
        ),
        ({"thinking": {"type": "disabled", "budget_tokens": 2000}}, {"thinking_tokens": 0, "thinks": False}),
        ({"thinking": {"type": "enabled"}}, {"thinking_tokens": None, "thinks": True}),
        (
            {"thinking_config": {"thinking_budget": 0, "include_thoughts": False}},
            {"thinking_tokens": 0, "shows_thoughts": False, "thinks": None},
        ),
        (
            {"thinking_config": {"thinking_budget": 512}},
            {"thinking_tokens": 512, "shows_thoughts": True},
        ),
        ({"response_schema": {"type": "json_object"}}, {"response_format": {"type": "json_object"}}),
        ({"thinking": None, "reasoning": None}, {"thinking_tokens": None, "reasoning_effort": None}),
    ],
)
def test_what_is_stored_means_this_for_a_call(stored: dict[str, Any], meant: dict[str, Any]) -> None:
    settings = call_settings(make_agent(model_settings=stored))
    assert {name: getattr(settings, name) for name in meant} == meant


@pytest.fixture
def own_windows(settings: Settings) -> Iterator[None]:
    settings.LLM_ENVIRONMENT = {}
    settings.LLM_CONTEXT_WINDOWS = {"demo/assistant": 9000}
    catalog._current = None
    yield
    catalog._current = None


@pytest.mark.usefixtures("own_windows")
def test_the_operator_knows_a_models_window_best() -> None:
    assert catalog.list_models()[0].context_window == 9000
    assert choose_model(handle="demo/assistant", asked={}, window=None).context_window_limit == 9000
    with pytest.raises(Invalid, match="between 1 and the 9000 tokens"):
        choose_model(handle="demo/assistant", asked={}, window=9001)
