"""Providers in a browser: the form that follows the type, a check that leaves it alone, models found and hidden."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import OpenPages
from tests.support.fake_openai import FakeOpenAI


def test_another_type_asks_for_other_fields_and_a_check_leaves_the_form_alone(open_page: OpenPages) -> None:
    with FakeOpenAI() as fake, open_page("/settings/providers/new/") as page:
        page.get_by_role("textbox", name="Name").fill("house")
        page.get_by_label("Type").select_option("azure")
        expect(page.get_by_label("API version")).to_be_visible()
        page.get_by_label("Type").select_option("vllm")
        expect(page.get_by_label("API version")).to_have_count(0)
        expect(page.get_by_role("textbox", name="Name")).to_have_value("house")
        page.get_by_label("Base URL").fill("http://127.0.0.1:9")
        page.get_by_label("API key").fill("sk-secret")
        page.get_by_role("button", name="Check first").click()
        expect(page.locator("#provider-said")).to_contain_text(
            "vLLM cannot be reached at http://127.0.0.1:9/v1."
        )
        page.get_by_label("Base URL").fill(fake.url)
        page.get_by_role("button", name="Check first").click()
        expect(page.locator("#provider-said")).to_contain_text("It answers and lists 4 models.")
        expect(page.get_by_label("API key")).to_have_value("sk-secret")
        assert "sk-secret" not in page.url
        page.get_by_role("button", name="Add provider").click()
        box = page.get_by_role("region", name="house")
        expect(box).to_contain_text("4 models")
        expect(box).to_contain_text("answered in")
        fake.models = ("gpt-4.1",)
        box.get_by_role("link", name="Check house").click()
        expect(box).to_contain_text("1 model")
        box.get_by_role("link", name="Delete house").click()
        page.get_by_role("button", name="Delete house").click()
        expect(page.get_by_role("region", name="house")).to_have_count(0)
    assert fake.received[-1].headers["authorization"] == "Bearer sk-secret"


def test_models_are_found_and_hidden_where_they_stand(open_page: OpenPages) -> None:
    with FakeOpenAI() as fake, open_page("/settings/providers/new/") as page:
        page.get_by_role("textbox", name="Name").fill("house")
        page.get_by_label("Base URL").fill(fake.url)
        page.get_by_label("API key").fill("sk-secret")
        page.get_by_role("button", name="Add provider").click()
        page.get_by_role("region", name="house").get_by_role("link", name="4 models").click()
        rows = page.locator("#provider-models tbody tr")
        expect(rows).to_have_count(7)
        page.get_by_label("Filter models").press_sequentially("4o-mini")
        expect(rows).to_have_count(1)
        expect(page).to_have_url(re.compile("q=4o-mini"))
        page.get_by_role("button", name="Hide house/gpt-4o-mini").click()
        expect(page.get_by_role("button", name="Show house/gpt-4o-mini")).to_be_visible()
        page.get_by_role("link", name="Hidden").click()
        expect(rows).to_have_count(1)
        page.goto(page.url.split("/settings/")[0] + "/agents/new/")
        offered = page.get_by_label("Model", exact=True).locator("option").all_inner_texts()
        assert any("gpt-4o" in name for name in offered)
        assert not any("gpt-4o-mini" in name for name in offered)


def test_what_a_failing_provider_said_is_opened_in_full_and_can_be_tried_again(open_page: OpenPages) -> None:
    with FakeOpenAI() as fake, open_page("/settings/providers/new/") as page:
        fake.listing_status, fake.listing_text = 401, "Incorrect API key provided: sk-secret."
        page.get_by_role("textbox", name="Name").fill("broken")
        page.get_by_label("Base URL").fill(fake.url)
        page.get_by_label("API key").fill("sk-secret")
        page.get_by_role("button", name="Add provider").click()
        box = page.get_by_role("region", name="broken")
        expect(box).to_contain_text("does not answer")
        said = box.get_by_label("What the provider said")
        expect(said).to_be_hidden()
        box.get_by_text("What was asked and what came back").click()
        expect(said).to_contain_text(f"GET {fake.base_url}/models")
        expect(said).to_contain_text("Incorrect API key provided: ********.")
        fake.listing_status = 200
        box.get_by_role("link", name="Check broken").click()
        expect(box).to_contain_text("answered in")
        box.get_by_role("link", name="Edit broken").click()
        page.get_by_role("button", name="Disable").click()
        expect(box).to_contain_text("neither offered nor called")
        box.get_by_role("button", name="Enable broken").click()
        expect(box).to_contain_text("4 models")
