"""Signing in, being refused, signing out."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.sessions.models import Session
from django.test import Client, override_settings
from django.utils import timezone

from letta_ade.accounts.attempts import TRIES, TRIES_OF_AN_ADDRESS
from letta_ade.accounts.models import User
from letta_ade.accounts.services.users import create_user
from tests.support.factories import local_workspace
from tests.web.pages import FAST_HASHER, PASSWORD

pytestmark = pytest.mark.django_db


@pytest.fixture
def closed() -> Iterator[Client]:
    """A server that asks everybody to sign in, and one user."""
    local_workspace()
    with override_settings(REQUIRE_LOGIN=True, PASSWORD_HASHERS=[FAST_HASHER]):
        create_user(email="ines@example.org", password=PASSWORD, name="Ines Moreau", role="owner")
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


def test_many_accounts_from_one_address_are_too_many(closed: Client) -> None:
    for number in range(TRIES_OF_AN_ADDRESS):
        fields = {"email": f"user{number}@example.org", "password": "wrong"}
        assert closed.post("/login/", fields).status_code == 422
    refused = sign_in(closed)
    assert (refused.status_code, b"Too many wrong passwords" in refused.content) == (429, True)
    elsewhere = Client(headers={"host": "localhost:8283"}, REMOTE_ADDR="10.0.0.9")
    assert sign_in(elsewhere).status_code == 302


def test_a_right_password_makes_an_address_no_less_suspicious(closed: Client) -> None:
    """Otherwise who has one account could guess at all others for ever."""
    for number in range(TRIES_OF_AN_ADDRESS - 1):
        closed.post("/login/", {"email": f"user{number}@example.org", "password": "wrong"})
    assert sign_in(closed).status_code == 302
    closed.post("/logout/")
    closed.post("/login/", {"email": "another@example.org", "password": "wrong"})
    assert sign_in(closed).status_code == 429


@pytest.mark.parametrize("name", ["X-Forwarded-For", "X-Real-IP", "Forwarded"])
def test_a_forwarding_header_does_not_make_somebody_else_of_a_guesser(closed: Client, name: str) -> None:
    for number in range(TRIES):
        assert guess_from(closed, name, f"203.0.113.{number}").status_code == 422
    assert guess_from(closed, name, "203.0.113.99").status_code == 429


def guess_from(client: Client, name: str, address: str):
    fields = {"email": "ines@example.org", "password": "wrong"}
    return client.post("/login/", fields, headers={name: address})


@override_settings(TRUST_PROXY=True)
def test_behind_a_trusted_proxy_its_own_entry_is_what_counts(closed: Client) -> None:
    def guess(forwarded: str) -> int:
        return int(guess_from(closed, "X-Forwarded-For", forwarded).status_code)

    # The guesser writes the first entries; the proxy appends the last.
    assert [guess(f"203.0.113.{number}, 198.51.100.7") for number in range(TRIES)] == [422] * TRIES
    assert guess("203.0.113.99, 198.51.100.7") == 429
    assert guess("198.51.100.7, 198.51.100.8") == 422


def test_an_unknown_account_takes_as_long_as_a_known_one(closed: Client) -> None:
    """One hashing each, also for who has no password at all."""
    User.objects.create(email="none@example.org", password="!unusable")
    hashed: list[str] = []

    class Counting(PBKDF2PasswordHasher):
        def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
            hashed.append(password)
            return super().encode(password, salt, iterations)

    with pytest.MonkeyPatch.context() as patch, override_settings(PASSWORD_HASHERS=[f"{__name__}.Counting"]):
        patch.setitem(globals(), "Counting", Counting)
        user = User.objects.get(email="ines@example.org")
        user.set_password(PASSWORD)
        user.save()
        for email in ("ines@example.org", "nobody@example.org", "none@example.org", "local@localhost"):
            hashed.clear()
            closed.post("/login/", {"email": email, "password": "wrong"})
            assert len(hashed) == 1, email


def test_signing_in_gives_the_session_another_key(closed: Client) -> None:
    """A key that somebody planted beforehand opens nothing."""
    planted = closed.session
    planted["x"] = 1
    planted.save()
    closed.cookies["ade_session"] = str(planted.session_key)
    sign_in(closed)
    assert closed.cookies["ade_session"].value != planted.session_key
    thief = Client(headers={"host": "localhost:8283"})
    thief.cookies["ade_session"] = str(planted.session_key)
    assert thief.get("/agents/").status_code == 302


@override_settings(SESSION_HOURS=12)
def test_a_session_ends_at_a_fixed_time_however_much_it_is_used(closed: Client) -> None:
    sign_in(closed)
    ends = Session.objects.get().expire_date
    assert timedelta(hours=11.9) < ends - timezone.now() <= timedelta(hours=12)
    assert 0 < int(closed.cookies["ade_session"]["max-age"]) <= 12 * 3600
    session = closed.session
    session["used"] = True
    session.save()
    assert Session.objects.get().expire_date == ends
    Session.objects.update(expire_date=timezone.now())
    assert closed.get("/agents/").status_code == 302


def test_cookies_keep_to_https_where_there_is_https(closed: Client) -> None:
    with override_settings(SECURE_PROXY_SSL_HEADER=("HTTP_X_FORWARDED_PROTO", "https")):
        closed.get("/login/", headers={"X-Forwarded-Proto": "https"})
        assert closed.cookies["ade_csrf"]["secure"]
        closed.post(
            "/login/",
            {"email": "ines@example.org", "password": PASSWORD},
            headers={"X-Forwarded-Proto": "https"},
        )
    assert closed.cookies["ade_session"]["secure"]
    assert closed.cookies["ade_session"]["httponly"]
    plain = Client(headers={"host": "localhost:8283"})
    sign_in(plain)
    assert not plain.cookies["ade_session"]["secure"]


def test_the_word_of_a_stranger_makes_no_https(closed: Client) -> None:
    closed.get("/login/", headers={"X-Forwarded-Proto": "https"})
    assert not closed.cookies["ade_csrf"]["secure"]


def test_a_proxy_that_ends_tls_unannounced_is_named(closed: Client) -> None:
    strict = Client(
        enforce_csrf_checks=True, headers={"host": "ade.example.org", "origin": "https://ade.example.org"}
    )
    with override_settings(EXTRA_HOSTS=["ade.example.org"]):
        response = sign_in(strict)
    assert (response.status_code, b"ADE_TRUST_PROXY=1" in response.content) == (403, True)


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
