"""Who is here, and another password."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.test import Client, override_settings

from letta_ade.accounts.attempts import TRIES
from letta_ade.accounts.models import User
from letta_ade.accounts.services.api_keys import create_api_key
from letta_ade.accounts.services.users import create_user
from tests.support.factories import local_workspace
from tests.web.pages import FAST_HASHER, PASSWORD, Page

pytestmark = pytest.mark.django_db

NEW = "four other words and 8"


@pytest.fixture(autouse=True)
def person() -> Iterator[User]:
    local_workspace()
    with override_settings(REQUIRE_LOGIN=True, PASSWORD_HASHERS=[FAST_HASHER]):
        yield create_user(email="ines@example.org", password=PASSWORD, name="Ines Moreau", role="viewer")


def signed_in(password: str = PASSWORD) -> Client:
    client = Client(headers={"host": "localhost:8283"})
    answer = client.post("/login/", {"email": "ines@example.org", "password": password})
    assert answer.status_code == 302, "the password is another one"
    return client


@pytest.fixture
def here() -> Client:
    return signed_in()


def change(client: Client, current: str = PASSWORD, new: str = NEW, again: str = NEW):
    return client.post("/settings/account/", {"current": current, "new": new, "again": again})


def test_the_page_says_who_is_here_and_how_to_leave(here: Client) -> None:
    page = Page(here.get("/settings/account/").content.decode())
    text = page.all("main")[0].text
    for expected in ("Ines Moreau", "ines@example.org", "viewer of", "Signed in until", "Sign out"):
        assert expected in text, expected
    (link,) = (each for each in page.all("a") if "rail-ws" in each.attributes.get("class", ""))
    assert link.attributes["href"] == "/settings/account/"
    assert "Ines Moreau" in link.text


def test_another_password_keeps_this_session_and_ends_the_others(here: Client) -> None:
    elsewhere = signed_in()
    before = here.cookies["ade_session"].value
    answer = change(here)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/settings/account/")
    assert here.cookies["ade_session"].value != before
    page = here.get("/settings/account/")
    assert (page.status_code, b"Your other sessions have ended." in page.content) == (200, True)
    assert elsewhere.get("/agents/").status_code == 302
    old = Client(headers={"host": "localhost:8283"})
    refused = old.post("/login/", {"email": "ines@example.org", "password": PASSWORD})
    assert refused.status_code == 422
    signed_in(NEW)


def test_a_session_cookie_from_before_opens_nothing(here: Client) -> None:
    thief = Client(headers={"host": "localhost:8283"})
    thief.cookies["ade_session"] = here.cookies["ade_session"].value
    assert thief.get("/agents/").status_code == 200
    change(here)
    assert thief.get("/agents/").status_code == 302


def test_a_key_goes_on_working(here: Client, person: User) -> None:
    created = create_api_key(name="mine", user=person, role="viewer")
    change(here)
    keyed = Client(headers={"host": "localhost:8283", "Authorization": f"Bearer {created.secret}"})
    page = keyed.get("/settings/account/")
    assert (page.status_code, b"called with an API key" in page.content) == (200, True)
    assert change(keyed).status_code == 403


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"current": "wrong"}, "This is not your current password. 4 tries left."),
        ({"current": ""}, "Your current password is needed."),
        ({"new": ""}, "A new password is needed."),
        ({"again": ""}, "Type the new password once more."),
        ({"again": "something else entirely"}, "The two passwords differ."),
        ({"new": "short", "again": "short"}, "too short"),
        ({"new": "password123", "again": "password123"}, "too common"),
        ({"new": PASSWORD, "again": PASSWORD}, "This is the password that you have."),
    ],
)
def test_what_does_not_fit_is_said_at_its_field_and_changes_nothing(
    here: Client, fields: dict[str, str], words: str
) -> None:
    answer = change(here, **fields)
    html = answer.content.decode()
    assert (answer.status_code, words in html) == (422, True)
    assert not any(value and value in html for value in (PASSWORD, NEW))
    signed_in(PASSWORD)


def test_a_wrong_current_password_is_counted_like_a_guess_at_the_door(here: Client) -> None:
    for _ in range(TRIES):
        assert change(here, current="wrong").status_code == 422
    refused = change(here)
    assert (refused.status_code, b"Try again in 5 min" in refused.content) == (429, True)
    door = Client(headers={"host": "localhost:8283"})
    assert door.post("/login/", {"email": "ines@example.org", "password": PASSWORD}).status_code == 429


def test_a_weak_new_password_costs_no_guess(here: Client) -> None:
    for _ in range(TRIES + 1):
        assert change(here, new="short", again="short").status_code == 422
    assert change(here).status_code == 302


@override_settings(REQUIRE_LOGIN=False)
def test_local_mode_has_no_password_and_says_how_to_let_others_in() -> None:
    local = Client(headers={"host": "localhost:8283"})
    page = local.get("/settings/account/")
    assert (page.status_code, b"createuser" in page.content) == (200, True)
    assert 'name="current"' not in page.content.decode()
    assert change(local).status_code == 403


def test_nobody_changes_a_password_without_signing_in() -> None:
    assert change(Client(headers={"host": "localhost:8283"})).status_code == 302
    signed_in(PASSWORD)


def test_a_form_without_its_token_is_refused(here: Client) -> None:
    strict = Client(enforce_csrf_checks=True, headers={"host": "localhost:8283"})
    strict.cookies["ade_session"] = here.cookies["ade_session"].value
    assert change(strict).status_code == 403
    signed_in(PASSWORD)
