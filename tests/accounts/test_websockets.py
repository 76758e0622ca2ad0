"""Who opened a websocket."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import override_settings

from letta_ade.accounts.services.users import create_user
from letta_ade.accounts.websockets import resolve_websocket
from letta_ade.core.errors import Forbidden, Unauthenticated

pytestmark = pytest.mark.django_db


def scope(host: str = "127.0.0.1", **headers: str) -> dict[str, Any]:
    pairs = {"host": "localhost:8283", **headers}
    return {
        "headers": [(name.encode(), value.encode()) for name, value in pairs.items()],
        "client": (host, 1),
    }


def logged_in(role: str = "editor") -> tuple[str, str]:
    user = create_user(email="ada@example.org", password="a long enough password", role=role)
    session = SessionStore()
    session[SESSION_KEY] = user.pk
    session[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.create()
    return user.id, f"other=1; ade_session={session.session_key}"


def test_the_machine_itself_is_let_in() -> None:
    assert resolve_websocket(scope()).kind == "local"


@override_settings(REQUIRE_LOGIN=True)
def test_a_session_is_its_user_and_nothing_is_nobody() -> None:
    user_id, cookie = logged_in("viewer")
    caller = resolve_websocket(scope(cookie=cookie))
    assert (caller.id, caller.role) == (user_id, "viewer")
    for headers in ({}, {"cookie": "ade_session=nonsense"}, {"cookie": "ade_session"}):
        with pytest.raises(Unauthenticated):
            resolve_websocket(scope(**headers))


def test_a_page_of_another_site_cannot_open_one() -> None:
    with pytest.raises(Forbidden):
        resolve_websocket(scope(origin="https://evil.example"))
