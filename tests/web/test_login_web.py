"""Signing in, being refused, signing out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from letta_ade.accounts.services.users import create_user
from letta_ade.web.login_attempts import TRIES, WINDOW_SECONDS, LoginAttempts
from tests.support.factories import local_workspace
from tests.web.pages import PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed() -> Iterator[Client]:
    """A server that asks everybody to sign in, and one user."""
    local_workspace()
    create_user(email="ines@example.org", password=PASSWORD, name="Ines Moreau", role="owner")
    with override_settings(REQUIRE_LOGIN=True):
        yield Client(headers={"host": "localhost:8283"})


def sign_in(client: Client, password: str = PASSWORD, **fields: str):
    return client.post("/login/", {"email": "ines@example.org", "password": password, **fields})


def test_who_is_nobody_is_sent_to_the_login_page_and_back(closed: Client) -> None:
    refused = closed.get("/blocks/?q=a b")
    assert (refused.status_code, refused.headers["Location"]) == (
        302,
        "/login/?next=%2Fblocks%2F%3Fq%3Da%2520b",
    )
    entered = sign_in(closed, next="/blocks/?q=a%20b")
    assert (entered.status_code, entered.headers["Location"]) == (302, "/blocks/?q=a%20b")
    assert "Ines Moreau" in closed.get("/agents/").content.decode()


def test_an_htmx_request_of_nobody_is_told_where_to_sign_in(closed: Client) -> None:
    response = closed.get("/agents/", headers={"HX-Request": "true"})
    assert (response.status_code, response.headers["HX-Redirect"]) == (401, "/login/")


@pytest.mark.parametrize(
    "target", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"]
)
def test_signing_in_never_leads_elsewhere(closed: Client, target: str) -> None:
    assert sign_in(closed, next=target).headers["Location"] == "/"


def test_a_wrong_password_says_how_many_tries_are_left(closed: Client) -> None:
    response = sign_in(closed, "wrong")
    assert response.status_code == 422
    html = response.content.decode()
    assert "Email and password do not match. 4 tries left." in html
    assert 'value="ines@example.org"' in html
    assert "wrong" not in html


def test_an_unknown_email_is_answered_like_a_wrong_password(closed: Client) -> None:
    response = closed.post("/login/", {"email": "nobody@example.org", "password": "wrong"})
    assert (response.status_code, b"do not match" in response.content) == (422, True)


def test_guessing_ends_after_five_tries_even_with_the_right_password(closed: Client) -> None:
    for _ in range(TRIES):
        assert sign_in(closed, "wrong").status_code == 422
    response = sign_in(closed)
    assert (response.status_code, b"Try again in 5 min" in response.content) == (429, True)


def test_signing_out_ends_the_session(closed: Client) -> None:
    sign_in(closed)
    assert closed.get("/agents/").status_code == 200
    assert closed.get("/logout/").status_code == 405
    assert closed.post("/logout/").headers["Location"] == "/login/"
    assert closed.get("/agents/").status_code == 302


def test_a_form_without_its_token_is_refused(closed: Client) -> None:
    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost:8283"})
    response = sign_in(strict)
    assert (response.status_code, b"This form is out of date" in response.content) == (403, True)


def test_tries_are_counted_for_each_account_and_forgotten_after_a_while() -> None:
    now = [0.0]
    attempts = LoginAttempts(clock=lambda: now[0])
    mine, other = ("10.0.0.1", "a@b.c"), ("10.0.0.2", "a@b.c")
    assert [attempts.fail(mine) for _ in range(TRIES)] == [4, 3, 2, 1, 0]
    assert attempts.wait_seconds(mine) == WINDOW_SECONDS
    assert attempts.wait_seconds(other) == 0
    now[0] = WINDOW_SECONDS
    assert attempts.wait_seconds(mine) == 0
    assert attempts.fail(mine) == TRIES - 1
    attempts.succeed(mine)
    assert attempts.fail(mine) == TRIES - 1
