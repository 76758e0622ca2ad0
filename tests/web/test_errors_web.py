"""Errors as pages and as notices."""

from __future__ import annotations

import logging

import pytest
from django.test import Client, RequestFactory

from letta_ade.core.errors import AdeError, Conflict, NotFound
from letta_ade.web.errors import WORDS, error_response, server_error
from tests.support.factories import make_agent, make_block, make_tool, make_workspace
from tests.web.pages import SignIn

pytestmark = pytest.mark.django_db


def test_an_unknown_address_is_a_page_in_the_shell(browser: Client) -> None:
    response = browser.get("/nothing/<b>here</b>/")
    html = response.content.decode()
    assert response.status_code == 404
    assert 'class="rail"' in html
    assert "There is no page at /nothing/&lt;b&gt;here" in html


def test_rows_of_another_workspace_do_not_exist(browser: Client) -> None:
    elsewhere = make_workspace()
    agent, block, tool = (make(workspace=elsewhere) for make in (make_agent, make_block, make_tool))
    for address in (
        f"/agents/{agent.id}/peek/",
        f"/agents/{agent.id}/delete/",
        f"/blocks/{block.id}/",
        f"/blocks/{block.id}/versions/1/",
        f"/blocks/{block.id}/verify/",
        f"/blocks/{block.id}/delete/",
        f"/tools/{tool.id}/",
    ):
        response = browser.get(address)
        assert response.status_code == 404, address
        assert b"it belongs to a workspace that you are not in" in response.content
    assert browser.post(f"/agents/{agent.id}/delete/").status_code == 404
    assert browser.post(f"/blocks/{block.id}/delete/").status_code == 404


def test_htmx_gets_a_notice_instead_of_a_page(browser: Client) -> None:
    response = browser.get("/blocks/block-none/", headers={"HX-Request": "true"})
    html = response.content.decode()
    assert response.status_code == 404
    assert html.lstrip().startswith('<div class="notice"')
    assert "<html" not in html


def test_a_foreign_host_is_refused_without_the_shell(browser: Client) -> None:
    response = browser.get("/agents/", headers={"host": "evil.example"})
    assert response.status_code == 403
    assert b"called as" in response.content
    assert b'class="rail"' not in response.content


@pytest.mark.parametrize("role", ["viewer", "reviewer"])
def test_who_may_only_read_is_offered_no_change_and_refused_one(sign_in: SignIn, role: str) -> None:
    client = sign_in(role)
    agent = make_agent()
    block = make_block(agent=agent)
    for address in ("/agents/", f"/agents/?peek={agent.id}", "/blocks/", f"/blocks/{block.id}/", "/tools/"):
        html = client.get(address).content.decode()
        for offer in ("New agent", "New block", "Delete", "Save v"):
            assert offer not in html, (address, offer)
    for address in (
        "/agents/new/",
        f"/agents/{agent.id}/delete/",
        "/blocks/new/",
        f"/blocks/{block.id}/delete/",
    ):
        response = client.get(address)
        assert (response.status_code, f"Your role is {role}" in response.content.decode()) == (403, True), (
            address
        )
        assert client.post(address, {}).status_code == 403, address
    assert client.post(f"/blocks/{block.id}/", {"label": "x", "limit": "5"}).status_code == 403


def test_every_status_of_our_errors_has_words() -> None:
    def all_of(kind: type[AdeError]) -> set[type[AdeError]]:
        return {kind}.union(*(all_of(each) for each in kind.__subclasses__()))

    ours = {kind for kind in all_of(AdeError) if kind.__module__ == "letta_ade.core.errors"}
    assert {kind.status for kind in ours} <= WORDS.keys()


def test_the_text_of_an_error_is_shown(browser: Client) -> None:
    request = RequestFactory().get("/x/")
    assert b"in use by run-1" in error_response(request, Conflict("in use by run-1")).content
    assert error_response(request, NotFound("Agent not found")).content.count(b"Agent not found") == 2


def test_a_failure_of_ours_is_a_page_without_the_database(caplog: pytest.LogCaptureFixture) -> None:
    response = server_error(RequestFactory().get("/x/"))
    assert (response.status_code, b"The server failed" in response.content) == (500, True)
    with caplog.at_level(logging.ERROR):
        assert error_response(RequestFactory().get("/x/"), AdeError("boom")).status_code == 500
    assert "boom" in caplog.text
