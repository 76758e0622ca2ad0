"""The pages of an agent's versions."""

from __future__ import annotations

import pytest
from django.test import Client

from agents.models import Agent
from tests.agents.test_agent_versions import change, make
from tests.support.factories import make_caller
from tests.web.pages import Page, SignIn

pytestmark = pytest.mark.django_db


def test_the_page_shows_what_changed_and_restores(browser: Client) -> None:
    agent = make(description="<b>calm</b>")
    change(agent, system="Be brief.", model_settings={"temperature": 0.2})
    html = browser.get(f"/agents/{agent.id}/versions/").content.decode()
    assert "System instructions" in html
    assert "Be brief." in html
    assert "As the agent is now" in html
    whole = browser.get(f"/agents/{agent.id}/versions/1/").content.decode()
    assert "&lt;b&gt;calm&lt;/b&gt;" in whole
    assert "Restore v1" in whole
    after = browser.post(f"/agents/{agent.id}/versions/1/restore/", follow=True)
    assert "v1 is restored as v3" in after.content.decode()
    missing = browser.post(f"/agents/{agent.id}/versions/77/restore/", follow=True)
    assert missing.status_code == 404


def test_who_may_only_read_sees_versions_without_a_button(sign_in: SignIn) -> None:
    reader = sign_in("reviewer")
    caller = make_caller()
    agent = make()
    change(agent, name="Bob")
    Agent.objects.filter(id=agent.id).update(workspace_id=caller.workspace_id)
    page = Page(reader.get(f"/agents/{agent.id}/versions/1/").content.decode())
    assert not [each for each in page.all("button") if "Restore" in each.text]


def test_an_agent_without_versions_says_why(browser: Client) -> None:
    agent = make()
    agent.versions.all().delete()
    assert "before versions were kept" in browser.get(f"/agents/{agent.id}/versions/").content.decode()
