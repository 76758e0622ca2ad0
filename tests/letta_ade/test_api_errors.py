"""What the API answers to requests that it cannot serve, and to callers that it does not know."""

from __future__ import annotations

import pytest
from django.test import override_settings

from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.core.ids import new_id
from tests.support.api import Api, asgi_client
from tests.support.factories import local_workspace, make_agent, make_workspace

pytestmark = pytest.mark.django_db


@pytest.fixture
def api() -> Api:
    return Api()


def test_health_and_readiness_need_no_key(api: Api) -> None:
    for path in ("/v1/health/", "/v1/ready/"):
        answer = Api(Authorization="Bearer sk-ade-wrong").get(path)
        assert answer.status_code == 200
        assert answer.json()["status"] == "ok"
        assert answer.json()["version"]


def test_a_malformed_id_is_422_with_an_example(api: Api) -> None:
    answer = api.get("/v1/agents/agent-1")
    assert answer.status_code == 422
    body = answer.json()
    assert body["examples"] == ["agent-123e4567-e89b-42d3-8456-426614174000"]
    assert isinstance(body["detail"], str)
    assert body["errors"][0]["loc"] == ["path", "agent_id"]


def test_an_unknown_id_is_404(api: Api) -> None:
    answer = api.get(f"/v1/agents/{new_id('agent')}")
    assert (answer.status_code, answer.json()) == (404, {"detail": "NOT_FOUND: Agent not found"})
    assert "x-should-retry" not in answer


def test_json_that_is_none_is_422_and_says_where(api: Api) -> None:
    answer = api.post("/v1/blocks/", '{"label": "x", "value"')
    assert answer.status_code == 422
    assert "line 1" in answer.json()["detail"]


def test_a_number_that_is_none_is_not_accepted(api: Api) -> None:
    assert api.post("/v1/blocks/", '{"label": "x", "value": "", "metadata": {"a": NaN}}').status_code == 422


def test_half_a_surrogate_pair_is_refused_and_not_a_crash(api: Api) -> None:
    assert api.post("/v1/blocks/", r'{"label": "x", "value": "\ud800"}').status_code == 422


def test_a_missing_field_is_422_with_text_and_list(api: Api) -> None:
    body = api.post("/v1/blocks/", {"value": "x"}).json()
    assert "'loc': ('body', 'label')" in body["detail"] or "label" in body["detail"]
    assert body["errors"][0]["type"] == "missing"
    assert body["trace_id"] == ""


def test_a_body_that_is_a_list_is_422(api: Api) -> None:
    assert api.post("/v1/blocks/", [1, 2]).status_code == 422


def test_unknown_fields_and_parameters_are_ignored(api: Api) -> None:
    assert api.post("/v1/blocks/", {"label": "x", "value": "", "frobnicate": 1}).status_code == 200
    assert api.get("/v1/blocks/", frobnicate=1).status_code == 200


def test_null_characters_are_removed(api: Api) -> None:
    block = api.post("/v1/blocks/", '{"label": "x", "value": "a\\u0000b"}').json()
    assert block["value"] == "ab"
    assert api.get("/v1/agents/?name=%00").json() == []


def test_an_unknown_method_is_405(api: Api) -> None:
    assert api.delete("/v1/agents/").status_code == 405


def test_a_limit_below_one_is_422_and_a_large_one_is_cut(api: Api) -> None:
    for path in ("/v1/agents/", "/v1/blocks/", "/v1/tools/", "/v1/runs/"):
        assert api.get(path, limit=0).status_code == 422
        assert api.get(path, limit=-1).status_code == 422
        assert api.get(path, limit=100_000).status_code == 200


def test_an_unknown_cursor_is_404(api: Api) -> None:
    for path, kind in (("/v1/agents/", "agent"), ("/v1/blocks/", "block"), ("/v1/tools/", "tool")):
        assert api.get(path, after=new_id(kind)).status_code == 404


def test_a_wrong_key_of_ours_is_401_and_any_other_bearer_is_the_owner(api: Api) -> None:
    answer = Api(Authorization="Bearer sk-ade-wrong").get("/v1/agents/")
    assert answer.status_code == 401
    assert "API key" in answer.json()["detail"]
    assert Api(Authorization="Bearer anything").get("/v1/agents/").status_code == 200


def test_without_trust_in_the_machine_a_key_is_needed() -> None:
    with override_settings(REQUIRE_LOGIN=True):
        answer = Api().get("/v1/agents/")
        assert (answer.status_code, answer.json()) == (401, {"detail": "Unauthorized"})
        secret = create_api_key(name="test", workspace=local_workspace()).secret
        assert Api(Authorization=f"Bearer {secret}").get("/v1/agents/").status_code == 200


def test_a_foreign_page_may_not_write() -> None:
    answer = Api(Origin="https://evil.example").post("/v1/blocks/", {"label": "x", "value": ""})
    assert answer.status_code == 403
    assert Api(Host="evil.example").get("/v1/agents/").status_code == 403


def test_a_viewer_may_read_and_not_write() -> None:
    secret = create_api_key(name="eyes", role="viewer", workspace=local_workspace()).secret
    viewer = Api(Authorization=f"Bearer {secret}")
    assert viewer.get("/v1/agents/").status_code == 200
    assert viewer.post("/v1/blocks/", {"label": "x", "value": ""}).status_code == 403


def test_a_key_sees_only_its_workspace() -> None:
    mine = make_agent()
    elsewhere = make_workspace()
    secret = create_api_key(name="other", workspace=elsewhere).secret
    other = Api(Authorization=f"Bearer {secret}")
    assert other.get("/v1/agents/").json() == []
    for path in (
        f"/v1/agents/{mine.id}",
        f"/v1/agents/{mine.id}/core-memory/blocks",
        f"/v1/agents/{mine.id}/tools",
    ):
        assert other.get(path).status_code == 404
    assert other.delete(f"/v1/agents/{mine.id}").status_code == 404


def test_the_description_of_the_api_is_served(api: Api) -> None:
    paths = api.get("/openapi.json").json()["paths"]
    assert "post" in paths["/v1/agents/{agent_id}/messages"]
    assert "get" in paths["/v1/agents/{agent_id}/core-memory/blocks/{block_label}"]


@pytest.mark.django_db(transaction=True)
async def test_both_forms_of_a_trailing_slash_are_one_address() -> None:
    async with asgi_client() as client:
        for path in ("/health", "/health/", "/models", "/models/"):
            answer = await client.get(path, follow_redirects=False)
            assert answer.status_code == 200
        assert (await client.get("/nothing")).status_code == 404
