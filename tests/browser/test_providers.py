"""The form of a provider in a browser: what follows from another type, and a check that leaves the form alone."""

from __future__ import annotations

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
        fake.models = ("gpt-4.1",)
        box.get_by_role("link", name="Check house").click()
        expect(box).to_contain_text("1 model")
        box.get_by_role("link", name="Delete house").click()
        page.get_by_role("button", name="Delete house").click()
        expect(page.get_by_role("region", name="house")).to_have_count(0)
    assert fake.received[-1].headers["authorization"] == "Bearer sk-secret"
