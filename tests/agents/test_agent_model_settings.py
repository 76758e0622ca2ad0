"""The model of an agent and its settings, under the names of today and of older clients (spec/agent-loop.md §8)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.test import override_settings

from agents.models import Agent
from tests.support.api import Api
from tests.support.fake_anthropic import FakeAnthropic
from tests.support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.django_db

PLAIN = "openai/gpt-4o-mini"
GPT5 = "openai/gpt-5"
GPT51 = "openai/gpt-5.1"
CODEX = "openai/gpt-5-codex"
CLAUDE = "anthropic/claude-sonnet-4-5"
OLD_CLAUDE = "anthropic/claude-3-5-haiku"
DEMO = "demo/assistant"
EMBEDDING = "openai/text-embedding-3-small"


@pytest.fixture(scope="module")
def variables() -> Iterator[dict[str, str]]:
    openai = FakeOpenAI(models=("gpt-4o-mini", "gpt-5", "gpt-5.1", "gpt-5-codex"))
    anthropic = FakeAnthropic(models=("claude-sonnet-4-5", "claude-3-5-haiku"))
    with openai, anthropic:
        yield {
            "OPENAI_API_KEY": "sk-test",
            "OPENAI_BASE_URL": openai.base_url,
            "ANTHROPIC_API_KEY": "sk-test",
            "ANTHROPIC_BASE_URL": anthropic.url,
        }


@pytest.fixture(autouse=True)
def providers(variables: dict[str, str]) -> Iterator[None]:
    with override_settings(LLM_ENVIRONMENT=variables):
        yield


@pytest.fixture
def api() -> Api:
    return Api()


def create(api: Api, **fields: Any) -> Any:
    answer = api.post("/v1/agents/", fields)
    assert answer.status_code == 200, answer.content
    return answer.json()


def within(settings: dict[str, Any], expected: dict[str, Any]) -> dict[str, Any]:
    """Those of the settings that are expected, so that a failure shows both."""
    return {name: settings.get(name, "missing") for name in expected}


def test_an_agent_that_only_names_its_model_gets_the_settings_of_the_sdk_tests(api: Api) -> None:
    assert create(api, model=PLAIN)["model_settings"] == {
        "provider_type": "openai",
        "max_output_tokens": 16384,
        "parallel_tool_calls": True,
        "strict": False,
        "temperature": 1.0,
        "reasoning": {"reasoning_effort": "minimal"},
        "response_format": None,
    }


ASKED = [
    # Names of today, laid over the defaults field by field.
    (PLAIN, {"model_settings": {"temperature": 0.2}}, {"temperature": 0.2, "max_output_tokens": 16384}),
    (PLAIN, {"model_settings": {"temperature": None}}, {"temperature": 1.0}),
    (PLAIN, {"model_settings": {"provider_type": "anthropic", "strict": True}}, {"provider_type": "openai", "strict": True}),
    (PLAIN, {"model_settings": {"tool_call_parser": "hermes"}}, {"tool_call_parser": "hermes"}),
    (CLAUDE, {"model_settings": {"thinking": {"budget_tokens": 4000}}}, {"thinking": {"type": "enabled", "budget_tokens": 4000}}),
    (CLAUDE, {"model_settings": {"thinking": {"type": "disabled"}}}, {"thinking": {"type": "disabled", "budget_tokens": 1024}}),
    # Older names in the body.
    (PLAIN, {"max_tokens": 500}, {"max_output_tokens": 500}),
    (PLAIN, {"parallel_tool_calls": False}, {"parallel_tool_calls": False}),
    (PLAIN, {"max_tokens": 500, "model_settings": {"max_output_tokens": 700}}, {"max_output_tokens": 700}),
    (GPT5, {"reasoning": True}, {"reasoning": {"reasoning_effort": "medium"}}),
    (GPT5, {"reasoning": False}, {"reasoning": {"reasoning_effort": "minimal"}}),
    (GPT51, {"enable_reasoner": False}, {"reasoning": {"reasoning_effort": "none"}}),
    (GPT5, {"enable_reasoner": False, "reasoning": True}, {"reasoning": {"reasoning_effort": "medium"}}),
    (PLAIN, {"reasoning": True}, {"reasoning": {"reasoning_effort": "minimal"}, "thinking": "missing"}),
    (PLAIN, {"reasoning": False, "max_tokens": 4000, "max_reasoning_tokens": 1500}, {"thinking": "missing"}),
    (DEMO, {"reasoning": False}, {"thinking": "missing", "reasoning": "missing"}),
    (CLAUDE, {"reasoning": False}, {"thinking": {"type": "disabled", "budget_tokens": 1024}}),
    (CLAUDE, {"reasoning": True}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    (CLAUDE, {"max_tokens": 9000, "max_reasoning_tokens": 3000}, {"thinking": {"type": "enabled", "budget_tokens": 3000}}),
    (CLAUDE, {"max_tokens": 9000, "max_reasoning_tokens": 100}, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
    (OLD_CLAUDE, {"reasoning": True}, {"thinking": {"type": "disabled", "budget_tokens": 1024}}),
    # Nobody asked for the thinking that would not fit into so short a reply.
    (CLAUDE, {"max_tokens": 800}, {"thinking": {"type": "disabled", "budget_tokens": 1024}, "max_output_tokens": 800}),
    # The effort that a model refuses is not its default.
    (CODEX, {}, {"reasoning": {"reasoning_effort": "medium"}}),
    (CODEX, {"model_settings": {"reasoning": {"reasoning_effort": "high"}}}, {"reasoning": {"reasoning_effort": "high"}}),
    (PLAIN, {"model_settings": {"response_format": {"type": "json_object"}}}, {"response_format": {"type": "json_object"}}),
]  # fmt: skip


@pytest.mark.parametrize(("model", "fields", "expected"), ASKED)
def test_settings_are_laid_over_the_defaults_of_the_model(
    api: Api, model: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert within(create(api, model=model, **fields)["model_settings"], expected) == expected


@pytest.mark.parametrize(
    ("model", "fields", "expected"), [row for row in ASKED if row[1] and row[1] != {"max_tokens": 800}]
)
def test_an_update_takes_the_same_names(
    api: Api, model: str, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    agent = create(api, model=model)
    answer = api.patch(f"/v1/agents/{agent['id']}", fields)
    assert answer.status_code == 200, answer.content
    assert within(answer.json()["model_settings"], expected) == expected


def test_what_an_update_does_not_name_stays(api: Api) -> None:
    agent = create(
        api, model=CLAUDE, model_settings={"temperature": 0.3, "thinking": {"budget_tokens": 2000}}
    )
    url = f"/v1/agents/{agent['id']}"
    changed = api.patch(url, {"max_tokens": 5000}).json()
    assert changed["model_settings"] == {**agent["model_settings"], "max_output_tokens": 5000}
    changed = api.patch(url, {"reasoning": False}).json()
    assert changed["model_settings"]["thinking"] == {"type": "disabled", "budget_tokens": 2000}
    changed = api.patch(url, {"reasoning": True}).json()
    assert changed["model_settings"]["thinking"] == {"type": "enabled", "budget_tokens": 2000}
    unchanged = api.patch(url, {"description": "x"}).json()
    assert unchanged["model_settings"] == changed["model_settings"]


def test_another_model_begins_with_its_own_settings(api: Api) -> None:
    agent = create(api, model=CLAUDE, model_settings={"temperature": 0.3})
    changed = api.patch(f"/v1/agents/{agent['id']}", {"model": GPT5, "reasoning": True}).json()
    assert "thinking" not in changed["model_settings"]
    assert changed["model_settings"]["reasoning"] == {"reasoning_effort": "medium"}
    assert changed["model_settings"]["temperature"] == 1.0
    assert changed["llm_config"]["context_window"] == 128_000


CONFIG = {"model": "gpt-5", "model_endpoint_type": "openai", "context_window": 50_000}


def test_the_older_configuration_names_model_window_and_settings(api: Api) -> None:
    config = {
        **CONFIG,
        "temperature": 0.5,
        "max_tokens": 700,
        "reasoning_effort": "high",
        "enable_reasoner": False,
        "parallel_tool_calls": False,
        "strict": True,
        "verbosity": "low",
        "frequency_penalty": 0.1,
        "response_format": {"type": "json_object"},
        "put_inner_thoughts_in_kwargs": True,
    }
    agent = create(api, llm_config=config)
    assert (agent["model"], agent["llm_config"]["context_window"]) == (GPT5, 50_000)
    assert agent["model_settings"] == {
        "provider_type": "openai",
        "temperature": 0.5,
        "max_output_tokens": 700,
        "reasoning": {"reasoning_effort": "high"},
        "parallel_tool_calls": False,
        "strict": True,
        "verbosity": "low",
        "frequency_penalty": 0.1,
        "response_format": {"type": "json_object"},
    }
    config = agent["llm_config"]
    assert (config["temperature"], config["max_tokens"], config["reasoning_effort"]) == (0.5, 700, "high")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"llm_config": {**CONFIG, "handle": PLAIN}}, {"model": PLAIN}),
        ({"llm_config": {**CONFIG, "provider_name": "openai", "model_endpoint_type": "x"}}, {"model": GPT5}),
        ({"llm_config": CONFIG, "model": PLAIN}, {"model": PLAIN}),
        ({"model": PLAIN, "embedding_config": {"handle": EMBEDDING}}, {"embedding": EMBEDDING}),
        (
            {
                "model": PLAIN,
                "embedding_config": {
                    "embedding_endpoint_type": "openai",
                    "embedding_model": "text-embedding-3-small",
                    "embedding_dim": 1536,
                },
            },
            {"embedding": EMBEDDING},
        ),
    ],
)
def test_the_older_configurations_name_a_handle(
    api: Api, fields: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert within(create(api, **fields), expected) == expected


@pytest.mark.parametrize("model", [PLAIN, GPT5, GPT51, CLAUDE, OLD_CLAUDE, DEMO])
def test_a_configuration_that_is_sent_back_changes_nothing(api: Api, model: str) -> None:
    agent = create(api, model=model)
    changed = api.patch(
        f"/v1/agents/{agent['id']}",
        {"llm_config": agent["llm_config"], "model_settings": agent["model_settings"]},
    ).json()
    for field in ("model", "model_settings", "llm_config"):
        assert changed[field] == agent[field]
    config_alone = api.patch(f"/v1/agents/{agent['id']}", {"llm_config": agent["llm_config"]}).json()
    assert config_alone["model_settings"] == agent["model_settings"]


def test_a_field_of_the_body_wins_over_the_configuration(api: Api) -> None:
    agent = create(api, llm_config={**CONFIG, "max_tokens": 700}, max_tokens=900, context_window_limit=40_000)
    assert agent["model_settings"]["max_output_tokens"] == 900
    assert agent["llm_config"]["context_window"] == 40_000


def test_the_older_response_format_is_kept_on_the_agent(api: Api) -> None:
    schema = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object"}}}
    agent = create(api, model=PLAIN, response_format=schema)
    assert agent["response_format"] == schema
    url = f"/v1/agents/{agent['id']}"
    assert api.patch(url, {"response_format": {"type": "text"}}).json()["response_format"] == {"type": "text"}
    assert api.patch(url, {"response_format": None}).json()["response_format"] is None


def test_fields_without_a_meaning_any_more_do_no_harm(api: Api) -> None:
    agent = create(
        api, model=PLAIN, embedding_chunk_size=300, template=False, project="p", memory_variables={"a": "b"}
    )
    assert agent["model"] == PLAIN


BAD = [
    ({"max_reasoning_tokens": 500}, 400, "max_reasoning_tokens must be below max_tokens"),
    ({"max_tokens": 500, "max_reasoning_tokens": 500}, 400, "max_reasoning_tokens must be below max_tokens"),
    ({"model": CLAUDE, "max_tokens": 1024, "max_reasoning_tokens": 100}, 400, "thinking budget of 1024"),
    ({"model": CLAUDE, "model_settings": {"max_output_tokens": 2000, "thinking": {"budget_tokens": 2000}}}, 400, "thinking budget of 2000"),
    ({"model": CODEX, "model_settings": {"reasoning": {"reasoning_effort": "minimal"}}}, 400, "no reasoning effort 'minimal'"),
    ({"llm_config": {"handle": CODEX, "reasoning_effort": "minimal"}}, 400, "no reasoning effort 'minimal'"),
    ({"context_window_limit": 0}, 400, "context_window_limit must be between 1 and"),
    ({"context_window_limit": 128_001}, 400, "128000 tokens"),
    ({"llm_config": {"handle": PLAIN, "context_window": 9_999_999}}, 400, "9999999"),
    ({"model": "gpt-4o-mini"}, 400, "provider/model"),
    ({"model": "openai/no-such"}, 404, "gpt-4o-mini"),
    ({"embedding": "openai/no-such"}, 400, "text-embedding-3-small"),
    ({"llm_config": {"context_window": 8000}}, 422, "llm_config names no model"),
    ({"embedding_config": {"embedding_dim": 3}}, 422, "embedding_config names no model"),
    ({"llm_config": {"handle": PLAIN, "context_window": "much"}}, 422, "context_window"),
    ({"llm_config": {"handle": PLAIN, "reasoning_effort": "extreme"}}, 422, "reasoning_effort"),
    ({"max_tokens": 0}, 422, "max_tokens"),
    ({"max_tokens": 10, "max_reasoning_tokens": -1}, 422, "max_reasoning_tokens"),
    ({"model_settings": {"temperature": "hot"}}, 422, "temperature"),
    ({"model_settings": {"max_output_tokens": 0}}, 422, "max_output_tokens"),
    ({"model_settings": {"reasoning": {"reasoning_effort": "extreme"}}}, 422, "reasoning_effort"),
    ({"model_settings": {"thinking": {"type": "sometimes"}}}, 422, "thinking"),
    ({"model_settings": {"response_format": {"type": "xml"}}}, 422, "not 'xml'"),
    ({"response_format": {"type": "xml"}}, 422, "not 'xml'"),
    ({"response_format": {"type": "json_schema"}}, 422, "needs the object json_schema"),
]  # fmt: skip


@pytest.mark.parametrize(("fields", "status", "words"), BAD)
def test_what_does_not_fit_the_model_is_refused(
    api: Api, fields: dict[str, Any], status: int, words: str
) -> None:
    named = {} if "llm_config" in fields else {"model": PLAIN}
    answer = api.post("/v1/agents/", {**named, **fields})
    assert answer.status_code == status, answer.content
    assert words in answer.json()["detail"]
    assert not Agent.objects.exists()


@pytest.mark.parametrize(("fields", "status", "words"), BAD)
def test_an_update_refuses_the_same_and_changes_nothing(
    api: Api, fields: dict[str, Any], status: int, words: str
) -> None:
    agent = create(api, model=fields.get("model", PLAIN) if "/gpt-5" in str(fields) else PLAIN)
    answer = api.patch(f"/v1/agents/{agent['id']}", {**fields, "name": "Changed"})
    assert answer.status_code == status, answer.content
    assert words in answer.json()["detail"]
    kept = api.get(f"/v1/agents/{agent['id']}").json()
    assert {**kept, "secrets": []} == {**agent, "secrets": []}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"from_template": "me/support:latest"}, "no templates"),
        ({"include_default_source": True}, "no folders"),
    ],
)
def test_what_cannot_be_made_is_refused(api: Api, fields: dict[str, Any], words: str) -> None:
    answer = api.post("/v1/agents/", {"model": PLAIN, **fields})
    assert (answer.status_code, words in answer.json()["detail"]) == (400, True)
    assert not Agent.objects.exists()
