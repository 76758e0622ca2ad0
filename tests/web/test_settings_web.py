"""Settings: keys, providers, about. And the tools' pages and home."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.test import Client
from django.utils import timezone

from agents.models import Run
from agents.services.callbacks import signing_secret
from letta_ade.accounts.models import ApiKey
from letta_ade.accounts.services.api_keys import create_api_key, find_api_key
from letta_ade.core.ids import LOCAL_WORKSPACE_ID
from letta_ade.web import settings_pages
from letta_ade.web.charts import draw_bars, nice_ceiling
from tests.support.factories import make_agent, make_conversation, make_run, make_step, make_workspace
from tests.web.pages import Page, SignIn
from tools.sandbox.port import Isolation

pytestmark = pytest.mark.django_db


def test_a_key_is_shown_once_and_works(browser: Client) -> None:
    response = browser.post("/settings/keys/", {"name": "nightly", "role": "viewer"})
    secret = Page(response.content.decode()).by_id("secret").text
    key = find_api_key(secret)
    assert key is not None
    assert (key.name, key.role) == ("nightly", "viewer")
    assert "no-store" in response.headers["Cache-Control"]
    listed = browser.get("/settings/keys/").content.decode()
    assert "nightly" in listed
    assert secret not in listed


def test_a_key_needs_a_name(browser: Client) -> None:
    response = browser.post("/settings/keys/", {"name": " ", "role": "viewer"})
    assert (response.status_code, b"A key needs a name." in response.content) == (422, True)
    assert not ApiKey.objects.exists()


def test_a_revoked_key_stops_working(browser: Client) -> None:
    created = create_api_key(name="old")
    assert b"This cannot be undone" in browser.get(f"/settings/keys/{created.row.id}/revoke/").content
    assert find_api_key(created.secret) is not None
    browser.post(f"/settings/keys/{created.row.id}/revoke/")
    assert find_api_key(created.secret) is None
    assert b"Revoked" in browser.get("/settings/keys/").content


def test_keys_of_another_workspace_do_not_exist(browser: Client) -> None:
    created = create_api_key(name="theirs", workspace=make_workspace())
    assert b"theirs" not in browser.get("/settings/keys/").content
    assert browser.post(f"/settings/keys/{created.row.id}/revoke/").status_code == 404
    assert find_api_key(created.secret) is not None


def test_an_owner_finds_the_secret_of_the_callbacks(browser: Client) -> None:
    shown = Page(browser.get("/settings/keys/").content.decode()).by_id("callback-secret").text
    assert shown == signing_secret(LOCAL_WORKSPACE_ID)


@pytest.mark.parametrize("role", ["viewer", "reviewer", "editor"])
def test_only_owners_see_keys(sign_in: SignIn, role: str) -> None:
    client = sign_in(role)
    assert client.get("/settings/keys/").status_code == 403
    assert client.post("/settings/keys/", {"name": "x", "role": "owner"}).status_code == 403
    assert client.get("/settings/").headers["Location"] == "/settings/providers/"
    html = client.get("/settings/about/").content.decode()
    assert "API keys</a>" not in html
    assert "Data folder" not in html
    assert not ApiKey.objects.exists()


def test_an_owner_signs_out_from_settings(sign_in: SignIn) -> None:
    client = sign_in("owner")
    assert client.get("/settings/").headers["Location"] == "/settings/keys/"
    assert "Sign out" in client.get("/settings/about/").content.decode()


def test_providers_say_what_the_demonstration_is_and_how_to_add_one(browser: Client) -> None:
    html = browser.get("/settings/providers/").content.decode()
    assert "not a language model" in html
    assert "ANTHROPIC_API_KEY" in html


def test_tools_show_the_schema_that_the_model_sees(browser: Client) -> None:
    page = Page(browser.get("/tools/?q=memory_ins").content.decode())
    links = [each for each in page.all("a") if "data-row-open" in each.attributes]
    assert {each.text for each in links} == {"memory_insert", "archival_memory_insert"}
    link = next(each for each in links if each.text == "memory_insert")
    detail = Page(browser.get(link.attributes["href"]).content.decode())
    assert '"name": "memory_insert"' in detail.by_id("tool-schema").text
    assert "required" in detail.elements[0].text


def test_home_says_how_to_begin_until_there_is_an_agent(browser: Client) -> None:
    assert "Make the first agent" in browser.get("/").content.decode()
    make_agent()
    assert "Last 24 hours" in browser.get("/").content.decode()


def test_home_counts_the_last_day(browser: Client) -> None:
    conversation = make_conversation(agent=make_agent(name="busy"))
    for status in ("completed", "completed", "failed"):
        run = make_run(conversation=conversation, status=status, ttft_ns=800_000_000)
        make_step(run=run, prompt_tokens=1000, completion_tokens=50, model_handle="openai/gpt-4.1")
    old = make_run(conversation=conversation, status="failed")
    Run.objects.filter(id=old.id).update(created_at=timezone.now() - timedelta(hours=30))
    make_run(conversation=make_conversation(agent=make_agent(workspace=make_workspace())))
    text = re.sub(r"\s+", " ", Page(browser.get("/").content.decode()).all("main")[0].text)
    for expected in (
        "Runs31 the day before",
        "Failed runs1 ",
        "p50800 ms",
        "3,000 in, 150 out",
        "openai/gpt-4.1",
    ):
        assert expected in text, expected


def test_bars_reach_the_axis_and_say_their_numbers() -> None:
    begin = datetime(2026, 11, 24, tzinfo=UTC)
    bars = draw_bars([(begin + timedelta(hours=hour), hour, hour // 20) for hour in range(24)])
    assert bars.summary == "Runs by hour: 276 in all, 4 failed, most at 23:00 with 23"
    assert [rule.text for rule in bars.wide.rules] == ["0", "8", "16", "24"]
    assert max(bar.height for bar in bars.wide.bars) < 142
    assert bars.wide.bars[-1].is_bad
    assert [nice_ceiling(most) for most in (0, 3, 4, 99, 101, 1482)] == [3, 3, 6, 99, 120, 1500]


def test_about_says_what_stands_between_tools_and_the_server(
    browser: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        Page(browser.get("/settings/about/").content.decode()).by_id("about-isolation").attributes["hx-get"]
    )
    found = Isolation(
        state="partial",
        summary="Tools run isolated.",
        active=("Landlock 7", "seccomp"),
        missing=("own account: the server is not root",),
        languages={"python": None, "typescript": "Node is not installed"},
    )
    monkeypatch.setattr(settings_pages, "isolation_now", lambda: found)
    text = Page(browser.get("/settings/about/sandbox/").content.decode()).by_id("about-isolation").text
    for words in (
        "partial",
        "Landlock 7, seccomp",
        "the server is not root",
        "cannot confine it",
        "Node is not",
    ):
        assert words in text
