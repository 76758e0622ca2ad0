"""Providers that a workspace brings, over REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from pytest_django import Settings

from letta_ade.accounts.models import Role
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.crypto import decrypt
from letta_ade.llm import catalog
from letta_ade.llm.models import Provider, ProviderModel
from tests.support.api import Api
from tests.support.factories import make_agent, make_workspace
from tests.support.fake_openai import FakeOpenAI

pytestmark = pytest.mark.django_db

UNKNOWN = "provider-123e4567-e89b-42d3-8456-426614174000"


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    """A server without a provider of its own."""
    settings.LLM_ENVIRONMENT = {}
    settings.DEFAULT_LLM_HANDLE = ""
    catalog._current = None
    yield Api()
    catalog._current = None


def body(fake: FakeOpenAI | None = None, **fields: Any) -> dict[str, Any]:
    base = {
        "name": "house",
        "provider_type": "openai",
        "api_key": " sk-secret ",
        "base_url": fake.url if fake else "",
    }
    return base | fields


def create(api: Api, fake: FakeOpenAI, **fields: Any) -> dict[str, Any]:
    response = api.post("/v1/providers/", body(fake, **fields))
    assert response.status_code == 200, response.content
    made: dict[str, Any] = response.json()
    return made


def handles(api: Api, **query: Any) -> list[str]:
    return [model["handle"] for model in api.get("/v1/models/", **query).json()]


def test_a_provider_is_made_and_its_key_never_comes_back(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai, access_key="", region="", api_version="")
    assert made["id"].startswith("provider-")
    assert (made["name"], made["provider_type"], made["provider_category"]) == ("house", "openai", "byok")
    assert (made["api_key"], made["access_key"], made["region"]) == ("********", None, None)
    row = Provider.objects.get(id=made["id"])
    assert row.api_key_encrypted is not None
    assert "sk-secret" not in row.api_key_encrypted
    assert decrypt(row.api_key_encrypted) == "sk-secret"
    for answer in (api.get("/v1/providers/"), api.get(f"/v1/providers/{made['id']}")):
        assert answer.status_code == 200
        assert b"sk-secret" not in answer.content
    # Nobody was asked yet: the models are listed when they are wanted.
    assert (made["last_synced"], fake_openai.received) == (None, [])


def test_its_models_are_listed_on_first_use_and_kept(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    assert "house/gpt-4o" in handles(api)
    assert handles(api)[-1] == "demo/assistant"
    assert "house/gpt-4o" in handles(api, provider_category="byok")
    assert handles(api, provider_category="base") == ["demo/assistant"]
    assert len(fake_openai.received) == 1
    assert fake_openai.received[0].headers["authorization"] == "Bearer sk-secret"
    assert ProviderModel.objects.filter(provider_id=made["id"], name="gpt-4o").exists()
    assert api.get(f"/v1/providers/{made['id']}").json()["last_synced"] is not None
    model = next(each for each in api.get("/v1/models/").json() if each["handle"] == "house/gpt-4o")
    assert (model["provider_category"], model["provider_name"]) == ("byok", "house")
    embeddings = [each["handle"] for each in api.get("/v1/models/embedding").json()]
    assert "house/text-embedding-3-small" in embeddings


def test_an_agent_uses_them_and_says_so(api: Api, fake_openai: FakeOpenAI) -> None:
    create(api, fake_openai)
    response = api.post(
        "/v1/agents/", {"model": "house/gpt-4o-mini", "embedding": "house/text-embedding-3-small"}
    )
    assert response.status_code == 200, response.content
    agent = response.json()
    assert (agent["model"], agent["embedding"]) == ("house/gpt-4o-mini", "house/text-embedding-3-small")
    assert agent["model_settings"]["provider_type"] == "openai"
    assert (agent["llm_config"]["provider_category"], agent["llm_config"]["provider_name"]) == (
        "byok",
        "house",
    )
    assert agent["embedding_config"]["embedding_dim"] == 1536


def test_another_workspace_never_sees_them(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    handles(api)
    key = create_api_key(name="theirs", role=Role.OWNER, workspace=make_workspace())
    theirs = Api(Authorization=f"Bearer {key.secret}")
    assert theirs.get("/v1/providers/").json() == []
    assert handles(theirs) == ["demo/assistant"]
    assert theirs.get("/v1/models/embedding").json() == []
    assert theirs.post("/v1/agents/", {"model": "house/gpt-4o"}).status_code == 404
    for method, path, sent in (
        ("get", "", None),
        ("patch", "", {"api_key": "x"}),
        ("delete", "", None),
        ("post", "/check", None),
        ("patch", "/refresh", None),
    ):
        arguments = [] if sent is None else [sent]
        response = getattr(theirs, method)(f"/v1/providers/{made['id']}{path}", *arguments)
        assert (response.status_code, response.json()["detail"]) == (404, "NOT_FOUND: Provider not found")
    assert Provider.objects.get(id=made["id"]).deleted_at is None
    # The name is free there.
    assert theirs.post("/v1/providers/", body(fake_openai)).status_code == 200


@pytest.mark.parametrize("path", ["", "/check", "/refresh"])
def test_an_unknown_id_is_404_and_a_malformed_one_422(api: Api, path: str) -> None:
    method = {"": api.get, "/check": api.post, "/refresh": api.patch}[path]
    assert method(f"/v1/providers/{UNKNOWN}{path}").status_code == 404
    assert method(f"/v1/providers/provider-1{path}").status_code == 422


@pytest.mark.parametrize(
    ("fields", "status", "text"),
    [
        ({"name": ""}, 400, "needs a name"),
        ({"name": "a/b"}, 400, "without '/'"),
        ({"name": "x" * 101}, 400, "100 characters"),
        ({"name": "demo"}, 400, "one of the server's own providers"),
        ({"provider_type": "letta"}, 400, "cannot speak to a provider of type 'letta'"),
        ({"api_key": " "}, 400, "OpenAI needs an api_key"),
        ({"provider_type": "ollama", "api_key": ""}, 400, "Ollama needs a base_url"),
        ({"provider_type": "azure"}, 400, "Azure OpenAI needs a base_url"),
        ({"provider_type": "bedrock"}, 400, "needs an access_key"),
        ({"base_url": "ftp://a"}, 400, "base_url must be an address"),
        ({"base_url": "house"}, 400, "base_url must be an address"),
        ({"base_url": "http://a b"}, 400, "base_url must be an address"),
        ({"base_url": "http://[::1"}, 400, "base_url must be an address"),
        ({"base_url": "http://me:pass@a"}, 400, "more than an address"),
        ({"base_url": "http://a/?key=x"}, 400, "more than an address"),
        ({"region": "x" * 65}, 400, "region has at most"),
        ({"name": None}, 422, "valid string"),
    ],
)
def test_a_provider_that_does_not_fit_is_refused(
    api: Api, fields: dict[str, Any], status: int, text: str
) -> None:
    response = api.post("/v1/providers/", body(**fields))
    assert response.status_code == status, response.content
    assert text in response.json()["detail"]
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"provider_type": "vllm", "api_key": "", "base_url": "http://10.0.0.5:8000"},
        {"provider_type": "openai", "api_key": "", "base_url": "http://localhost:8000/v1"},
        {"provider_type": "bedrock", "access_key": "AKIA", "region": "eu-west-1"},
        {"provider_type": "anthropic"},
    ],
)
def test_a_private_address_is_fine_and_needs_no_key(api: Api, fields: dict[str, Any]) -> None:
    assert api.post("/v1/providers/", body(**fields)).status_code == 200


def test_a_name_is_taken_once(api: Api, fake_openai: FakeOpenAI) -> None:
    create(api, fake_openai)
    again = api.post("/v1/providers/", body(fake_openai))
    assert (again.status_code, again.headers["x-should-retry"]) == (409, "false")
    assert "already a provider 'house'" in again.json()["detail"]


def test_the_name_of_one_of_the_servers_own_is_refused(api: Api, settings: Settings) -> None:
    settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "http://127.0.0.1:9"}
    response = api.post("/v1/providers/", body(name="openai"))
    assert response.status_code == 400
    assert "one of the server's own providers" in response.json()["detail"]


def test_a_provider_of_the_server_hides_one_of_its_name(
    api: Api, fake_openai: FakeOpenAI, settings: Settings
) -> None:
    create(api, fake_openai, name="openai")
    with FakeOpenAI(models=("gpt-4.1",)) as own:
        settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": own.url}
        assert handles(api) == ["openai/gpt-4.1", "demo/assistant"]
    states = catalog.provider_states(workspace_id=Provider.objects.get().workspace_id)
    assert [(state.name, state.category, state.is_hidden) for state in states] == [
        ("openai", "base", False),
        ("openai", "byok", True),
        ("demo", "base", False),
    ]


def test_a_deleted_provider_is_gone_with_its_key_and_can_come_back(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    handles(api)
    deleted = api.delete(f"/v1/providers/{made['id']}")
    assert (deleted.status_code, list(deleted.json())) == (200, ["message"])
    assert api.get("/v1/providers/").json() == []
    assert handles(api) == ["demo/assistant"]
    row = Provider.objects.get()
    assert (row.api_key_encrypted, row.models.count()) == (None, 0)
    assert api.delete(f"/v1/providers/{made['id']}").status_code == 404
    again = create(api, fake_openai, provider_type="vllm", api_key="other")
    assert again["id"] == made["id"]
    assert again["created_at"] == made["created_at"]
    row = Provider.objects.get()
    assert (row.provider_type, decrypt(row.api_key_encrypted or "")) == ("vllm", "other")
    assert "house/gpt-4o" in handles(api)


def test_an_agent_of_a_deleted_provider_is_told_what_there_is(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    agent = make_agent(model="house/gpt-4o")
    api.delete(f"/v1/providers/{made['id']}")
    response = api.patch(f"/v1/agents/{agent.id}", {"context_window_limit": 1000})
    assert response.status_code == 404
    assert "There is no provider 'house'; available are demo/assistant" in response.json()["detail"]
    assert api.get(f"/v1/agents/{agent.id}").status_code == 200


def test_a_changed_provider_lists_its_models_anew(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    handles(api)
    with FakeOpenAI(models=("gpt-4.1",)) as other:
        changed = api.patch(f"/v1/providers/{made['id']}", {"api_key": "new", "base_url": other.url}).json()
        assert (changed["base_url"], changed["last_synced"]) == (other.url, None)
        assert handles(api) == ["house/gpt-4.1", "demo/assistant"]
        assert other.received[0].headers["authorization"] == "Bearer new"


def test_a_change_needs_the_key(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    assert api.patch(f"/v1/providers/{made['id']}", {"base_url": "http://evil"}).status_code == 422
    response = api.patch(f"/v1/providers/{made['id']}", {"api_key": "", "base_url": "http://evil"})
    assert response.status_code == 400
    assert "the key must be entered again" in response.json()["detail"]
    assert Provider.objects.get().base_url == fake_openai.url


def test_a_key_alone_is_changed(api: Api, fake_openai: FakeOpenAI) -> None:
    made = create(api, fake_openai)
    assert api.patch(f"/v1/providers/{made['id']}", {"api_key": "new"}).json()["base_url"] == fake_openai.url
    assert decrypt(Provider.objects.get().api_key_encrypted or "") == "new"


def test_a_key_is_tried_out_before_it_is_stored(api: Api, fake_openai: FakeOpenAI) -> None:
    asked = {"provider_type": "openai", "api_key": "sk-try", "base_url": fake_openai.url}
    response = api.post("/v1/providers/check", asked)
    assert (response.status_code, list(response.json())) == (200, ["message"])
    assert fake_openai.received[0].headers["authorization"] == "Bearer sk-try"
    assert not Provider.objects.exists()


@pytest.mark.parametrize(
    ("status", "answered", "kind"), [(401, 401, "llm_authentication"), (500, 503, "llm_error")]
)
def test_what_the_provider_says_is_passed_on(
    api: Api, fake_openai: FakeOpenAI, status: int, answered: int, kind: str
) -> None:
    made = create(api, fake_openai)
    fake_openai.listing_status = status
    asked = {"provider_type": "openai", "api_key": "k", "base_url": fake_openai.url}
    for response in (
        api.post("/v1/providers/check", asked),
        api.post(f"/v1/providers/{made['id']}/check"),
        api.patch(f"/v1/providers/{made['id']}/refresh"),
    ):
        assert response.status_code == answered
        assert response.json()["error"]["type"] == kind
        assert response.json()["error"]["detail"] == "The fake lists nothing."
    assert "The fake lists nothing." in api.get(f"/v1/providers/{made['id']}").json()["last_error"]


def test_openrouter_is_asked_about_the_key_because_its_list_is_open(api: Api) -> None:
    class Router(FakeOpenAI):
        def route(self, request: Any) -> Any:
            if request.path == "/v1/key":
                return type(super().route(request))(status=401, body=b'{"error": {"message": "No auth."}}')
            return super().route(request)

    with Router() as fake:
        asked = {"provider_type": "openrouter", "api_key": "bad", "base_url": fake.url}
        response = api.post("/v1/providers/check", asked)
    assert (response.status_code, response.json()["error"]["detail"]) == (401, "No auth.")


def test_refreshing_finds_what_was_added_and_a_failure_keeps_what_there_was(
    api: Api, fake_openai: FakeOpenAI
) -> None:
    made = create(api, fake_openai)
    before = handles(api)
    fake_openai.listing_status = 500
    assert api.patch(f"/v1/providers/{made['id']}/refresh").status_code == 503
    assert handles(api) == before
    fake_openai.listing_status = 200
    fake_openai.models = ("gpt-4.1",)
    refreshed = api.patch(f"/v1/providers/{made['id']}/refresh").json()
    assert (refreshed["last_error"], refreshed["id"]) == (None, made["id"])
    assert handles(api) == ["house/gpt-4.1", "demo/assistant"]
    assert "lists 1 model." in api.post(f"/v1/providers/{made['id']}/check").json()["message"]


def test_an_address_where_nobody_answers_is_an_error_that_names_it(api: Api) -> None:
    asked = {"provider_type": "vllm", "base_url": "http://127.0.0.1:9"}
    response = api.post("/v1/providers/check", asked)
    assert response.status_code == 500
    assert "cannot be reached at http://127.0.0.1:9/v1" in response.json()["error"]["message"]


def test_lists_are_filtered_and_paged(api: Api, fake_openai: FakeOpenAI) -> None:
    made = [create(api, fake_openai, name=f"p{n}")["id"] for n in range(3)]
    create(api, fake_openai, name="gpu", provider_type="vllm")

    def ids(**query: Any) -> list[str]:
        return [each["id"] for each in api.get("/v1/providers/", **query).json()]

    assert ids(provider_type="openai") == made[::-1]
    assert ids(name="p1") == [made[1]]
    assert ids(provider_type="openai", order="asc", limit=1, after=made[0]) == [made[1]]
    assert api.get("/v1/providers/", after=UNKNOWN).status_code == 404


@pytest.mark.parametrize(
    ("role", "may"),
    [
        (Role.OWNER, {"list", "make", "try", "check", "change", "delete"}),
        (Role.EDITOR, {"list", "check"}),
        (Role.REVIEWER, {"list"}),
        (Role.VIEWER, {"list"}),
    ],
)
def test_who_decides_where_requests_go(api: Api, fake_openai: FakeOpenAI, role: str, may: set[str]) -> None:
    made = create(api, fake_openai)
    key = create_api_key(name="k", role=role)
    caller = Api(Authorization=f"Bearer {key.secret}")
    asked = {"provider_type": "openai", "api_key": "k", "base_url": fake_openai.url}
    statuses = {
        "list": caller.get("/v1/providers/").status_code,
        "make": caller.post("/v1/providers/", body(fake_openai, name="mine")).status_code,
        "try": caller.post("/v1/providers/check", asked).status_code,
        "check": caller.post(f"/v1/providers/{made['id']}/check").status_code,
        "change": caller.patch(f"/v1/providers/{made['id']}", {"api_key": "x"}).status_code,
        "delete": caller.delete(f"/v1/providers/{made['id']}").status_code,
    }
    assert {name for name, status in statuses.items() if status == 200} == may
    assert set(statuses.values()) <= {200, 403}
