"""Settings, Providers: add one, try it out, change and delete it. With htmx and without script."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client
from pytest_django import Settings

from letta_ade.core.crypto import decrypt
from letta_ade.core.errors import NotFound
from letta_ade.llm import catalog
from letta_ade.llm.models import HiddenModel, Provider, ProviderChange
from letta_ade.llm.services.providers import ProviderDraft, create_provider, delete_provider, set_disabled
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
    html = browser.get("/settings/providers/").content.decode()
    assert f'id="{row.id}"' not in html
    assert "deleted house" in box(html, "main")


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


def hide(
    browser: Client, row: Provider, handle: str, headers: dict[str, str] | None = None, **fields: str
) -> str:
    address = f"/settings/providers/{row.id}/models/hide/"
    response = browser.post(address, {"handle": handle, **fields}, headers=headers or {})
    assert response.status_code == (200 if headers else 302)
    return response.content.decode()


def offered() -> list[str]:
    return [info.name for info in catalog.list_models(workspace_id=make_caller().workspace_id)]


def test_a_check_says_what_was_asked_and_all_that_came_back(browser: Client, fake_openai: FakeOpenAI) -> None:
    fake_openai.listing_status = 401
    row = bring(fake_openai)
    make_agent(name="Ada", model="house/gpt-4o")
    text = box(browser.get("/settings/providers/").content.decode(), row.id)
    assert "OpenAI refused the key (401)." in text
    assert f"GET {fake_openai.base_url}/models" in text
    assert "HTTP 401" in text
    assert '"invalid_api_key"' in text
    assert "Ada" in text
    row.refresh_from_db()
    assert row.last_milliseconds is not None
    fake_openai.listing_status = 200
    text = box(browser.get("/settings/providers/?check=house").content.decode(), row.id)
    assert "answered in" in text
    assert "HTTP 401" not in text


def test_a_key_that_a_provider_repeats_is_masked(browser: Client, fake_openai: FakeOpenAI) -> None:
    fake_openai.listing_status = 401
    fake_openai.listing_text = "Incorrect API key provided: sk-secret."
    row = bring(fake_openai)
    html = browser.get("/settings/providers/").content.decode()
    assert "Incorrect API key provided: ********." in box(html, row.id)
    asked = filled(fake_openai, check="1", name="other")
    assert (
        "provided: ********."
        in browser.post("/settings/providers/new/", asked, headers=HTMX).content.decode()
    )
    row.refresh_from_db()
    assert "sk-secret" not in f"{row.last_error}{row.last_answer}{row.last_request}"


def test_a_password_in_an_address_of_the_server_is_not_shown(browser: Client, settings: Settings) -> None:
    settings.LLM_ENVIRONMENT = {"VLLM_API_BASE": "http://ann:hunter22@127.0.0.1:9/v1"}
    html = browser.get("/settings/providers/").content.decode()
    assert "http://127.0.0.1:9/v1" in box(html, "provider-vllm")
    assert "hunter22" not in html
    assert "Set by VLLM_API_BASE" in box(html, "provider-vllm")
    assert "Edit vllm" not in html


def test_changes_are_tried_out_before_they_are_saved(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    address = f"/settings/providers/{row.id}/"

    def said(**fields: str) -> str:
        html = browser.post(address, {"check": "1", "name": "house", **fields}, headers=HTMX).content.decode()
        return box(html, "provider-said")

    # With the key that is stored, which goes nowhere else.
    assert "lists 4 models" in said(base_url=fake_openai.url)
    assert fake_openai.received[-1].headers["authorization"] == "Bearer sk-secret"
    asked = len(fake_openai.received)
    assert "the key must be entered again" in said(base_url=f"{fake_openai.url}/v2")
    assert len(fake_openai.received) == asked
    assert "cannot be reached" in said(base_url="http://127.0.0.1:9", api_key="sk-other")
    assert Provider.objects.get().base_url == fake_openai.url


def test_a_provider_gets_another_name_only_while_nothing_uses_it(
    browser: Client, fake_openai: FakeOpenAI
) -> None:
    row, agent = bring(fake_openai), make_agent(name="Ada", model="house/gpt-4o")
    bring(fake_openai, name="taken")
    address = f"/settings/providers/{row.id}/"

    def rename(name: str) -> str:
        return browser.post(address, {"name": name, "base_url": fake_openai.url}).content.decode()

    assert "in use by Ada" in rename("home")
    agent.delete()
    assert "already a provider" in rename("taken")
    assert "without" in rename("a/b")
    assert "own providers" in rename("demo")
    assert Provider.objects.get(id=row.id).name == "house"
    rename("home")
    assert Provider.objects.get(id=row.id).name == "home"
    assert "home/gpt-4o" in [info.handle for info in catalog.list_models(workspace_id=row.workspace_id)]


def test_a_disabled_provider_is_neither_offered_nor_called(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    make_agent(name="Ada", model="house/gpt-4o")
    assert "gpt-4o" in offered()
    address = f"/settings/providers/{row.id}/disable/"
    assert browser.post(address).headers["Location"] == f"/settings/providers/#{row.id}"
    asked = len(fake_openai.received)
    text = box(browser.get("/settings/providers/?refresh=1").content.decode(), row.id)
    assert "disabled" in text
    assert "Ada" in text
    assert "gpt-4o" not in offered()
    with pytest.raises(NotFound, match="is disabled"):
        catalog.get_chat_model("house/gpt-4o", workspace_id=row.workspace_id)
    assert len(fake_openai.received) == asked
    browser.post(address, {"enable": "1"})
    assert "gpt-4o" in offered()
    acts = list(ProviderChange.objects.values_list("act", flat=True))
    assert acts == ["enabled", "disabled", "added"]
    assert browser.get(address).status_code == 405


def test_models_are_found_by_name_and_kind(browser: Client, fake_openai: FakeOpenAI) -> None:
    row = bring(fake_openai)
    address = f"/settings/providers/{row.id}/models/"
    text = box(browser.get(address).content.decode(), "provider-models")
    assert "gpt-4o-mini" in text
    assert "text-embedding-3-small" in text
    assert "128k" in text
    part = browser.get(f"{address}?q=GPT-4O&kind=chat", headers=HTMX | {"HX-Target": "provider-models"})
    found = part.content.decode()
    assert found.startswith('<div id="provider-models">')
    assert "house/gpt-4o-mini" in found
    assert "house/o4-mini" not in found
    assert "embedding-3" not in found
    assert "No model of this name" in browser.get(f"{address}?q=nothing").content.decode()
    assert browser.get("/settings/providers/nobody/models/").status_code == 404


def test_prices_are_those_of_the_maker_at_its_own_address(browser: Client, settings: Settings) -> None:
    row = create_provider(
        caller=make_caller(), draft=ProviderDraft(name="house", provider_type="openai", api_key="sk-secret")
    )
    row.models.create(name="gpt-4.1", facts={"name": "gpt-4.1", "kind": "chat"})
    row.models.create(name="gpt-unheard", facts={"name": "gpt-unheard", "kind": "chat"})
    Provider.objects.update(last_asked=row.created_at, last_synced=row.created_at)
    page = Page(browser.get(f"/settings/providers/{row.id}/models/").content.decode())
    assert "$2.00 / $8.00" in page.by_id("model-housegpt-41").text
    assert "$" not in page.by_id("model-housegpt-unheard").text


def test_a_hidden_model_is_not_offered_and_can_be_shown_again(
    browser: Client, fake_openai: FakeOpenAI
) -> None:
    row = bring(fake_openai)
    assert "gpt-4o" in offered()
    fragment = hide(browser, row, "house/gpt-4o", headers=HTMX)
    assert fragment.lstrip().startswith("<tr")
    assert "Show<span" in fragment
    assert "gpt-4o" not in offered()
    assert "gpt-4o-mini" in offered()
    # An agent that has it goes on with it.
    assert catalog.get_model_info("house/gpt-4o", workspace_id=row.workspace_id).name == "gpt-4o"
    hidden = browser.get(f"/settings/providers/{row.id}/models/?kind=hidden").content.decode()
    assert hidden.count("Show<span") == 1
    hide(browser, row, "house/gpt-4o", show="1", kind="hidden")
    assert "gpt-4o" in offered()
    assert not HiddenModel.objects.exists()
    asked = {"handle": "house/nothing"}
    assert browser.post(f"/settings/providers/{row.id}/models/hide/", asked).status_code == 404


def test_what_one_workspace_hides_another_is_offered(browser: Client, settings: Settings) -> None:
    with FakeOpenAI() as fake:
        settings.LLM_ENVIRONMENT = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": fake.url}
        browser.post("/settings/providers/openai/models/hide/", {"handle": "openai/gpt-4o"})
        assert "gpt-4o" not in offered()
        theirs = catalog.list_models(workspace_id=make_workspace().id)
        assert "gpt-4o" in [info.name for info in theirs]


def test_every_change_is_recorded_and_never_a_key(browser: Client, fake_openai: FakeOpenAI) -> None:
    browser.post("/settings/providers/new/", filled(fake_openai))
    row = Provider.objects.get()
    address = f"/settings/providers/{row.id}/"
    browser.post(address, {"name": "home", "base_url": f"{fake_openai.url}/v1", "api_key": "sk-second"})
    # Nothing changes, nothing is recorded.
    browser.post(address, {"name": "home", "base_url": f"{fake_openai.url}/v1", "api_key": ""})
    text = box(browser.get(address).content.decode(), "main")
    assert "name house → home" in text
    assert "api_key replaced" in text
    assert "api_key set" in text
    browser.post(f"{address}delete/")
    assert list(ProviderChange.objects.values_list("act", flat=True)) == ["deleted", "changed", "added"]
    kept = str(list(ProviderChange.objects.values()))
    assert "sk-" not in kept
    assert row.api_key_encrypted is not None
    assert row.api_key_encrypted not in kept


@pytest.mark.parametrize("role", ["viewer", "editor"])
def test_only_owners_hide_and_disable(sign_in: SignIn, fake_openai: FakeOpenAI, role: str) -> None:
    row = bring(fake_openai)
    client = sign_in(role)
    page = client.get(f"/settings/providers/{row.id}/models/").content.decode()
    assert "house/gpt-4o" in page
    assert "Hide<span" not in page
    asked = {"handle": "house/gpt-4o"}
    assert client.post(f"/settings/providers/{row.id}/models/hide/", asked).status_code == 403
    assert client.post(f"/settings/providers/{row.id}/disable/").status_code == 403
    assert not HiddenModel.objects.exists()
    assert "provider-changes" not in client.get("/settings/providers/").content.decode()


def test_who_deletes_a_disabled_provider_finds_it_enabled_when_it_is_made_again(
    fake_openai: FakeOpenAI,
) -> None:
    row = bring(fake_openai)
    set_disabled(caller=make_caller(), provider_id=row.id, is_disabled=True)
    delete_provider(caller=make_caller(), provider_id=row.id)
    assert bring(fake_openai).disabled_at is None
    assert "gpt-4o" in offered()


def test_a_region_is_no_part_of_another_host(browser: Client) -> None:
    asked = {
        "provider_type": "bedrock",
        "name": "aws",
        "api_key": "s" * 8,
        "access_key": "AKIA",
        "region": "evil.test/",
    }
    response = browser.post("/settings/providers/new/", asked)
    assert response.status_code == 422
    assert "region must be one such as" in response.content.decode()
