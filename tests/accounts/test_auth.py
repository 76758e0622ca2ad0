"""Who may call, and as whom."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from django.test import override_settings

from letta_ade.accounts.attempts import TRIES_OF_AN_ADDRESS
from letta_ade.accounts.auth import Door, client_address, resolve_caller
from letta_ade.accounts.services.api_keys import create_api_key, revoke_api_key
from letta_ade.accounts.services.users import (
    WeakPassword,
    WrongPassword,
    change_password,
    create_user,
    reset_password,
)
from letta_ade.core.errors import (
    Conflict,
    Forbidden,
    Invalid,
    NotAllowed,
    NotFound,
    TooManyAttempts,
    Unauthenticated,
)
from letta_ade.core.ids import LOCAL_USER_ID, LOCAL_WORKSPACE_ID
from tests.web.pages import FAST_HASHER

pytestmark = pytest.mark.django_db

LOCAL = {"host": "localhost:8283"}


def door(headers: Mapping[str, str] = LOCAL, client: str = "127.0.0.1", method: str = "GET") -> Door:
    return Door(headers=headers, client_host=client, method=method)


def test_the_machine_itself_is_the_owner() -> None:
    caller = resolve_caller(door())
    assert (caller.id, caller.workspace_id, caller.role) == (LOCAL_USER_ID, LOCAL_WORKSPACE_ID, "owner")


def test_a_bearer_that_is_not_ours_is_ignored_in_local_mode() -> None:
    assert resolve_caller(door({**LOCAL, "authorization": "Bearer sk-proj-123"})).kind == "local"


def test_an_unknown_key_of_ours_is_refused_even_in_local_mode() -> None:
    with pytest.raises(Unauthenticated):
        resolve_caller(door({**LOCAL, "authorization": "Bearer sk-ade-nothing"}))


def test_a_key_acts_for_its_workspace_until_it_is_revoked() -> None:
    created = create_api_key(name="ci", role="viewer")
    headers = {**LOCAL, "authorization": f"Bearer {created.secret}"}
    caller = resolve_caller(door(headers))
    assert (caller.kind, caller.role, caller.id) == ("api_key", "viewer", created.row.id)
    assert created.secret not in str(created.row.__dict__)
    revoke_api_key(key=created.row)
    with pytest.raises(Unauthenticated):
        resolve_caller(door(headers))


@pytest.mark.parametrize("header", ["x-forwarded-for", "forwarded", "x-real-ip", "via"])
def test_a_proxy_in_front_ends_local_mode(header: str) -> None:
    with pytest.raises(Unauthenticated):
        resolve_caller(door({**LOCAL, header: "10.0.0.7"}))


def test_another_machine_is_nobody() -> None:
    with pytest.raises(Unauthenticated):
        resolve_caller(door(client="192.168.1.20"))


@override_settings(HOST="0.0.0.0")
def test_a_server_for_others_trusts_nobody() -> None:
    with pytest.raises(Unauthenticated):
        resolve_caller(door())


@override_settings(REQUIRE_LOGIN=True)
def test_login_can_be_required_on_loopback() -> None:
    with pytest.raises(Unauthenticated):
        resolve_caller(door())


def test_a_rebound_host_name_is_refused() -> None:
    with pytest.raises(Forbidden, match=r"evil\.example"):
        resolve_caller(door({"host": "evil.example:8283"}))


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_page_of_another_origin_is_refused(method: str) -> None:
    with pytest.raises(Forbidden):
        resolve_caller(door({**LOCAL, "origin": "https://evil.example"}, method=method))


@override_settings(ACCEPTABLE_ORIGINS=["https://app.example"])
def test_a_listed_origin_is_let_in() -> None:
    assert resolve_caller(door({**LOCAL, "origin": "https://app.example"}, method="POST")).kind == "local"


def test_a_cross_site_form_without_origin_is_refused() -> None:
    with pytest.raises(Forbidden):
        resolve_caller(door({**LOCAL, "sec-fetch-site": "cross-site"}, method="POST"))
    assert resolve_caller(door({**LOCAL, "sec-fetch-site": "cross-site"})).kind == "local"


def test_a_null_origin_may_not_write() -> None:
    with pytest.raises(Forbidden):
        resolve_caller(door({**LOCAL, "origin": "null"}, method="POST"))


def test_a_user_acts_by_the_role_of_the_membership() -> None:
    user = create_user(email="Vera@example.org", password="a long enough password", role="viewer")
    caller = resolve_caller(door(), user)
    assert (caller.kind, caller.id, caller.name) == ("user", user.id, "vera")
    assert caller.can("read")
    with pytest.raises(Forbidden, match="viewer"):
        caller.check("edit")


def test_a_user_without_workspace_gets_in_nowhere() -> None:
    user = create_user(email="gone@example.org", password="a long enough password")
    user.memberships.all().delete()
    with pytest.raises(Forbidden):
        resolve_caller(door(), user)


def test_an_address_belongs_to_one_user() -> None:
    create_user(email="a@example.org", password="a long enough password")
    with pytest.raises(Conflict):
        create_user(email="A@Example.org", password="a long enough password")


@pytest.mark.parametrize(
    ("email", "password"), [("nonsense", "a long enough password"), ("b@example.org", "short")]
)
def test_a_bad_address_or_password_is_refused(email: str, password: str) -> None:
    with pytest.raises(Invalid):
        create_user(email=email, password=password)


WRONG = {**LOCAL, "authorization": "Bearer sk-ade-nothing"}


def test_wrong_keys_from_one_address_are_too_many_after_a_while() -> None:
    created = create_api_key(name="ci")
    right = {**LOCAL, "authorization": f"Bearer {created.secret}"}
    resolve_caller(door(right))
    for _ in range(TRIES_OF_AN_ADDRESS):
        with pytest.raises(Unauthenticated):
            resolve_caller(door(WRONG))
    with pytest.raises(TooManyAttempts) as refused:
        resolve_caller(door(WRONG))
    assert 0 < refused.value.data["retry_after"] <= 300
    # A program that was let in before goes on; one that was not is looked at again after the pause.
    assert resolve_caller(door(right)).kind == "api_key"
    late = create_api_key(name="late")
    with pytest.raises(TooManyAttempts):
        resolve_caller(door({**LOCAL, "authorization": f"Bearer {late.secret}"}))
    revoke_api_key(key=created.row)
    with pytest.raises(Unauthenticated):
        resolve_caller(door(right))


def test_a_pause_for_keys_concerns_nobody_without_one() -> None:
    for _ in range(TRIES_OF_AN_ADDRESS):
        with pytest.raises(Unauthenticated):
            resolve_caller(door(WRONG))
    assert resolve_caller(door()).kind == "local"


def test_another_address_is_not_stopped_by_the_first_and_a_header_is_no_address() -> None:
    for number in range(TRIES_OF_AN_ADDRESS):
        with pytest.raises(Unauthenticated):
            resolve_caller(door({**WRONG, "x-forwarded-for": f"203.0.113.{number}"}))
    with pytest.raises(TooManyAttempts):
        resolve_caller(door({**WRONG, "x-forwarded-for": "203.0.113.99"}))
    with pytest.raises(Unauthenticated):
        resolve_caller(door(WRONG, client="192.168.1.20"))


@pytest.mark.parametrize(
    ("client", "forwarded", "plain", "trusting"),
    [
        ("10.0.0.1", None, "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "203.0.113.5", "10.0.0.1", "203.0.113.5"),
        ("10.0.0.1", "1.1.1.1, 203.0.113.5", "10.0.0.1", "203.0.113.5"),
        ("10.0.0.1", "203.0.113.5:4711", "10.0.0.1", "203.0.113.5"),
        ("10.0.0.1", "unknown", "10.0.0.1", "10.0.0.1"),
        ("10.0.0.1", "", "10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::4", None, "2001:db8:1:2::/64", "2001:db8:1:2::/64"),
        ("::1", "[2001:db8:1:2::9]:443", "::/64", "2001:db8:1:2::/64"),
        ("::ffff:10.0.0.7", None, "10.0.0.7", "10.0.0.7"),
        (None, None, "", ""),
    ],
)
def test_failures_are_counted_against_an_address(
    client: str | None, forwarded: str | None, plain: str, trusting: str
) -> None:
    headers = {**LOCAL, **({} if forwarded is None else {"x-forwarded-for": forwarded})}
    asked = Door(headers=headers, client_host=client)
    assert client_address(asked) == plain
    with override_settings(TRUST_PROXY=True):
        assert client_address(asked) == trusting


@override_settings(PASSWORD_HASHERS=[FAST_HASHER])
def test_a_password_is_changed_by_who_knows_the_old_one() -> None:
    user = create_user(email="a@example.org", password="a long enough password")
    for current, new, error in (
        ("wrong", "another long password", WrongPassword),
        ("a long enough password", "short", WeakPassword),
        ("a long enough password", "1234567890", WeakPassword),
        ("a long enough password", "a long enough password", WeakPassword),
    ):
        with pytest.raises(error):
            change_password(user=user, current=current, new=new)
    change_password(user=user, current="a long enough password", new="another long password")
    user.refresh_from_db()
    assert user.check_password("another long password")


@override_settings(PASSWORD_HASHERS=[FAST_HASHER])
def test_a_forgotten_password_is_set_by_address() -> None:
    create_user(email="a@example.org", password="a long enough password")
    assert reset_password(email=" A@example.org", new="another long password").check_password(
        "another long password"
    )
    with pytest.raises(WeakPassword):
        reset_password(email="a@example.org", new="short")
    with pytest.raises(NotFound):
        reset_password(email="b@example.org", new="another long password")
    with pytest.raises(NotAllowed):
        reset_password(email="local@localhost", new="another long password")
