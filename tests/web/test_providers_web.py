"""Settings, Providers: add one, try it out, change and delete it. With htmx and without script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from letta_ade.core.crypto import decrypt
from letta_ade.llm import catalog
from letta_ade.llm.models import Provider
from letta_ade.llm.services.providers import ProviderDraft, create_provider
from tests.support.factories import make_agent, make_caller, make_workspace
from tests.support.fake_openai import FakeOpenAI
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}


@pytest.fixture(autouse=True)
def no_own_providers(settings: Settings) -> Iterator[None]:
    settings.LLM_ENVIRONMENT = {}
    catalog._current = None
    yield
    catalog._current = None


@pytest.fixture
def fake_openai() -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        yield fake


def filled(fake: FakeOpenAI | None, **fields: str) -> dict[str, str]:
    address = fake.url if fake else "http://127.0.0.1:9"
    return {"provider_type": "openai", "name": "house", "base_url": address, "api_key": "sk-secret"} | fields


def bring(fake: FakeOpenAI, **fields: str) -> Provider:
    return create_provider(caller=make_caller(), draft=ProviderDraft(**filled(fake, **fields)))


def box(html: str, anchor: str) -> str:
    return Page(html).by_id(anchor).text


def test_a_provider_is_added_and_its_models_are_there(browser: Client, fake_openai: FakeOpenAI) -> None:
    response = browser.post("/settings/providers/new/", filled(fake_openai))
    row = Provider.objects.get()
    assert (response.status_code, response.headers["Location"]) == (302, f"/settings/providers/#{row.id}")
    html = browser.get("/settings/providers/").content.decode()
    assert "Added house" in html
    assert "gpt-4o-mini" in box(html, row.id)
    assert "4 models" in box(html, row.id)
    assert "sk-secret" not in html
    assert decrypt(row.api_key_encrypted or "") == "sk-secret"


@pytest.mark.parametrize(
    ("fields", "text"),
    [
        ({"name": ""}, "A provider needs a name."),
        ({"name": "a/b"}, "without &#x27;/&#x27;"),
        ({"name": "demo"}, "one of the server&#x27;s own providers"),
        ({"base_url": "nowhere"}, "base_url must be an address"),
        ({"provider_type": "letta"}, "not one of the available choices"),
    ],
)
def test_what_does_not_fit_is_said_and_what_was_typed_stays(
    browser: Client, fields: dict[str, str], text: str
) -> None:
    response = browser.post("/settings/providers/new/", filled(None, **fields))
    html = response.content.decode()
    assert response.status_code == 422
    assert text in html
    assert fields.get("base_url", "http://127.0.0.1:9") in html
    # All but the key, which no page ever holds.
    assert "sk-secret" not in html
    assert not Provider.objects.exists()


@pytest.mark.parametrize("headers", [HTMX, {}])
def test_a_key_is_tried_out_before_it_is_stored(
    browser: Client, fake_openai: FakeOpenAI, headers: dict[str, str]
) -> None:
    asked = filled(fake_openai, name="", check="1")
    html = browser.post("/settings/providers/new/", asked, headers=headers).content.decode()
    assert "It answers and lists 4 models." in box(html, "provider-said")
    assert html.startswith("<div") == bool(headers)
    fake_openai.listing_status = 401
    html = browser.post("/settings/providers/new/", asked, headers=headers).content.decode()
    assert "OpenAI refused the key (401)." in box(html, "provider-said")
    assert "The fake lists nothing." in box(html, "provider-said")
    assert "sk-secret" not in html
    assert not Provider.objects.exists()


def test_what_cannot_be_tried_out_says_why(browser: Client) -> None:
    def said(**fields: str) -> str:
        asked = filled(None, check="1", **fields)
        return browser.post("/settings/providers/new/", asked, headers=HTMX).content.decode()

    assert "cannot be reached at http://127.0.0.1:9/v1" in said()
    assert "base_url must be an address" in said(base_url="x")
    assert "not one of the available choices" in said(provider_type="x")


def test_each_type_asks_for_its_own_fields(browser: Client) -> None:
    def fields(provider_type: str) -> set[str]:
        address = f"/settings/providers/new/?provider_type={provider_type}"
        fragment = browser.get(address, headers=HTMX).content.decode()
        assert fragment.startswith('<div id="provider-fields"')
        whole = Page(browser.get(address).content.decode())
        found = {each.attributes["name"] for each in Page(fragment).all("input")}
        assert found <= {each.attributes.get("name", "") for each in whole.all("input")}
        return found

    assert fields("openai") == {"base_url", "api_key"}
    assert fields("azure") == {"base_url", "api_key", "api_version"}
    assert fields("bedrock") == {"base_url", "api_key", "access_key", "region"}
    assert fields("nonsense") == {"base_url", "api_key"}


def test_a_provider_is_checked_where_it_stands(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    browser.get("/settings/providers/")
    fake_openai.listing_status = 500
    fragment = browser.get("/settings/providers/?check=house", headers=HTMX).content.decode()
    assert Page(fragment).elements[0].attributes["id"] == row.id
    assert "does not answer" in fragment
    assert "The fake lists nothing." in fragment
    # The models that it had stay.
    assert "gpt-4o-mini" in fragment
    fake_openai.listing_status = 200
    page = browser.get("/settings/providers/?check=house").content.decode()
    assert "4 models" in box(page, row.id)
    assert browser.get("/settings/providers/?check=nobody").status_code == 404


def test_a_provider_of_the_server_is_checked_too(
    browser: Client, fake_openai: FakeOpenAI, settings: Settings
) -> None:
    settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": fake_openai.url}
    assert "4 models" in browser.get("/settings/providers/").content.decode()
    fake_openai.models = ("gpt-4.1",)
    fragment = browser.get("/settings/providers/?check=openai", headers=HTMX).content.decode()
    assert "1 model" in box(fragment, "provider-openai")
    assert "Edit openai" not in fragment


def test_an_empty_key_stays_and_a_new_one_replaces_it(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    address = f"/settings/providers/{row.id}/"
    assert "sk-secret" not in browser.get(address).content.decode()
    browser.post(address, {"base_url": fake_openai.url, "api_key": ""})
    assert decrypt(Provider.objects.get().api_key_encrypted or "") == "sk-secret"
    assert browser.post(address, {"base_url": fake_openai.url, "api_key": "sk-new"}).status_code == 302
    assert decrypt(Provider.objects.get().api_key_encrypted or "") == "sk-new"


def test_a_key_does_not_go_to_another_address_by_itself(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    response = browser.post(f"/settings/providers/{row.id}/", {"base_url": "http://evil", "api_key": ""})
    assert response.status_code == 422
    assert "the key must be entered again" in response.content.decode()
    assert Provider.objects.get().base_url == fake_openai.url


def test_who_deletes_a_provider_sees_which_agents_stop(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    make_agent(name="Ada", model="house/gpt-4o")
    make_agent(name="Bob", model="other/gpt-4o")
    html = browser.get(f"/settings/providers/{row.id}/delete/").content.decode()
    assert "1 agent uses its models" in html
    assert "Ada" in html
    assert "Bob" not in html
    assert browser.post(f"/settings/providers/{row.id}/delete/").headers["Location"] == "/settings/providers/"
    assert Provider.objects.get().deleted_at is not None
    assert "house" not in Page(browser.get("/settings/providers/").content.decode()).by_id(
        "main"
    ).text.replace("Deleted house", "")


def test_providers_of_another_workspace_do_not_exist(browser: Client, fake_openai: FakeOpenAI) -> None:
    theirs = create_provider(
        caller=make_caller(workspace=make_workspace()), draft=ProviderDraft(**filled(fake_openai))
    )
    assert "house" not in Page(browser.get("/settings/providers/").content.decode()).by_id("main").text
    for path in ("", "delete/"):
        assert browser.get(f"/settings/providers/{theirs.id}/{path}").status_code == 404
        assert browser.post(f"/settings/providers/{theirs.id}/{path}", {}).status_code == 404
    assert browser.get("/settings/providers/?check=house").status_code == 404


@pytest.mark.parametrize("role", ["viewer", "reviewer", "editor"])
def test_only_owners_change_providers(sign_in: SignIn, fake_openai: FakeOpenAI, role: str) -> None:
    row = bring(fake_openai)
    client = sign_in(role)
    html = client.get("/settings/providers/").content.decode()
    assert "house" in html
    assert "Add provider" not in html
    assert "Edit house" not in html
    assert ("Check<span" in html) == (role == "editor")
    assert client.get("/settings/providers/?check=house").status_code == (200 if role == "editor" else 403)
    for path in ("new/", f"{row.id}/", f"{row.id}/delete/"):
        assert client.get(f"/settings/providers/{path}").status_code == 403
        assert client.post(f"/settings/providers/{path}", filled(fake_openai)).status_code == 403
    assert Provider.objects.count() == 1


def test_a_provider_that_is_hidden_says_so(
    browser: Client, fake_openai: FakeOpenAI, settings: Settings
) -> None:
    row = bring(fake_openai, name="openai")
    settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": fake_openai.url}
    text = box(browser.get("/settings/providers/").content.decode(), row.id)
    assert "under another name" in text
    assert "gpt-4o" not in text
