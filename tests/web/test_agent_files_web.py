"""Agents to and from files in the pages: a receipt, a dry run that makes nothing, and errors that lose nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from agents.models import Agent
from tests.support.factories import make_agent, make_workspace
from tests.web.pages import SignIn

pytestmark = pytest.mark.django_db

HOSTILE = "<script>alert(1)</script>"


def file_of(**agent: Any) -> bytes:
    fields = {"id": "agent-0", "name": "Ada", "model": "demo/assistant", "secrets": {"API_KEY": ""}, **agent}
    return json.dumps({"agents": [fields]}).encode()


def send(browser: Client, data: bytes, *, is_part: bool = False, **fields: str) -> Any:
    headers = {"HX-Request": "true"} if is_part else None
    return browser.post(
        "/agents/import/", {"file": SimpleUploadedFile("ada.af", data), **fields}, headers=headers
    )


def test_a_dry_run_makes_nothing_and_an_import_leads_to_the_agent(browser: Client) -> None:
    html = send(browser, file_of(), dry_run="1").content.decode()
    assert "Dry run: nothing was made" in html
    assert "<code>API_KEY</code>" in html
    assert not Agent.objects.exists()
    html = send(browser, file_of(), append_copy_suffix="on").content.decode()
    agent = Agent.objects.get()
    assert agent.name == "Ada_copy"
    assert f"/agents/{agent.id}/" in html


def test_what_is_entered_stands_over_the_file(browser: Client) -> None:
    send(
        browser,
        file_of(model="nobody/knows"),
        name="Grace",
        model="demo/assistant",
        secrets="API_KEY=a=b\n\n",
    )
    agent = Agent.objects.get()
    assert (agent.name, agent.model) == ("Grace", "demo/assistant")
    assert agent.secrets.get().key == "API_KEY"


@pytest.mark.parametrize("is_part", [False, True])
def test_an_error_is_shown_and_nothing_typed_is_lost(browser: Client, is_part: bool) -> None:
    response = send(browser, b"{", is_part=is_part, name=HOSTILE, secrets="A=1")
    html = response.content.decode()
    assert response.status_code == (200 if is_part else 422)
    assert "The file is not JSON" in html
    assert "<script>alert" not in html
    if not is_part:
        assert "A=1" in html
    assert not Agent.objects.exists()


@pytest.mark.parametrize(
    ("fields", "said"),
    [({"secrets": "no equals sign"}, "Line 1 of the secrets"), ({"model": "nobody/knows"}, "nobody/knows")],
)
def test_a_bad_field_is_named(browser: Client, fields: dict[str, Any], said: str) -> None:
    response = send(browser, file_of(), **fields)
    assert response.status_code == 422
    assert said in response.content.decode()
    assert not Agent.objects.exists()


def test_a_file_must_be_chosen(browser: Client) -> None:
    assert "Choose a file" in browser.post("/agents/import/", {}).content.decode()


def test_hostile_names_are_shown_as_text(browser: Client) -> None:
    html = send(browser, file_of(name=HOSTILE), dry_run="1").content.decode()
    assert HOSTILE not in html


def test_an_export_is_read_in_again(browser: Client) -> None:
    send(browser, file_of(name="Ada O'First"))
    first = Agent.objects.get()
    response = browser.get(f"/agents/{first.id}/export/")
    assert response["Content-Disposition"] == 'attachment; filename="Ada-O-First.af"'
    send(browser, response.content)
    assert [agent.name for agent in Agent.objects.all()] == [first.name, first.name]
    assert (
        json.loads(browser.get(f"/agents/{first.id}/export/?messages=0").content)["agents"][0]["messages"]
        == []
    )


def test_both_are_found_where_agents_are(browser: Client) -> None:
    send(browser, file_of())
    agent = Agent.objects.get()
    assert 'href="/agents/import/"' in browser.get("/agents/").content.decode()
    assert f'href="/agents/{agent.id}/export/"' in browser.get(f"/agents/{agent.id}/").content.decode()


def test_a_viewer_exports_and_does_not_import(sign_in: SignIn) -> None:
    viewer = sign_in("viewer")
    assert viewer.get("/agents/import/").status_code == 403
    assert send(viewer, file_of()).status_code == 403
    foreign = make_agent(workspace=make_workspace())
    assert viewer.get(f"/agents/{foreign.id}/export/").status_code == 404
